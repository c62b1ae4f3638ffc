"""A user's own module as an autoencoder of the workbench."""

from __future__ import annotations

import contextlib
import copy
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from aetui.models import find_code, userfile
from aetui.models.base import Autoencoder, Reconstruction
from aetui.models.errors import ForwardError, ModelError
from aetui.models.find_code import Tap
from aetui.models.initialize import initialize
from aetui.models.ownstate import HostStates, host_untouched, unchanged
from aetui.models.returned import Returned, take_apart
from aetui.spec.sections import ModelSection, OwnModel, PytorchInit, RunSpec

log = logging.getLogger(__name__)

_PROBE_ROWS = 13
"""An odd number, so that a batch is not easily taken for another dimension."""
_STILL = 1
"""Seed of what a model draws in eval mode, at every call anew: gauges see the same noise each time."""


class OwnAutoencoder(Autoencoder):
    """A user's module over flat rows, [batch, features].

    `inner` is the module. It is given batches [batch, *row_shape]. `code_width` is the width of the code
    as the linear floor takes it, `variational` whether forward returns mean and log-variance of a
    Gaussian code; their KL is then `Reconstruction.kl`.

    With `strict`, an output with as many values per row as the batch is reshaped to it, and another one
    raises ForwardError. Without, an output that a loss would broadcast against the batch as `inner` gets it
    (`shaped`) is handed on as it is.

    PyTorch's global generators, and Python's and NumPy's where forward draws from them, are put back after every
    call. In train mode `inner` draws from states that follow from `set_generator` alone; in eval mode from the
    same state at every call, and its buffers and attributes are put back too.
    """

    def __init__(
        self, inner: nn.Module, file: Path, name: str, features: int, row_shape: tuple[int, ...], *, strict: bool = True
    ) -> None:
        nn.Module.__init__(self)
        self.inner = inner
        self.noise = self.dropout = 0.0
        self.file, self.name, self.strict = file, name, strict
        self.features, self.row_shape = features, row_shape
        self.code_width = features
        self.variational = False
        self.architecture = f"{name} {features}-[?]-{features}"
        self.copies_input = False
        """Whether `inner` changes its input in place, so that it gets a copy."""
        self.draws_on_host = False
        """Whether `inner` draws from Python's or NumPy's global generator, so that these are swapped too."""
        self._tap: Tap | None = None
        self._calls = 0
        self._caught: Tensor | None = None
        self.set_generator(torch.Generator().manual_seed(0))

    def forward(self, x: Tensor) -> Reconstruction:
        if self.noise and self.training:
            x = self.noisy(x)
        returned = self.run(x)
        output = self._as_target(returned.output, x)
        kl = None
        if returned.mean is not None and returned.log_variance is not None:
            mean, log_variance = returned.mean, returned.log_variance
            # KL of N(mean, variance) to N(0, 1) in closed form: Kingma & Welling 2014, appendix B.
            kl = 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).flatten(1).sum(1).mean()
        return Reconstruction(output, self._code_of(returned, output, len(x)), kl)

    def encode(self, x: Tensor) -> Tensor:
        returned = self.run(x)
        return self._code_of(returned, returned.output, len(x))

    def shaped(self, x: Tensor) -> Tensor:
        """Flat rows as `inner` gets them."""
        return x.view(-1, *self.row_shape) if len(self.row_shape) > 1 else x

    def run(self, x: Tensor) -> Returned:
        """What `inner` makes of flat rows.

        Raises:
            ForwardError: it raises, or returns no tensor.
        """
        given = self.shaped(x.clone() if self.copies_input else x)
        self._calls, self._caught = 0, None
        try:
            raw = self._call(given)
        except (torch.OutOfMemoryError, MemoryError):
            raise
        except (Exception, SystemExit) as error:
            log.info("%s:%s failed", self.file, self.name, exc_info=True)
            text = f"{self.name} failed on a batch of {_shape(given)}: {userfile.blame(error, self.file)}"
            raise ForwardError(text) from error
        returned = take_apart(raw, len(x), self.features)
        if returned is None:
            what = "None" if raw is None else f"an object of type {type(raw).__name__} without a tensor in it"
            raise ForwardError(
                f"{self.file.name}: {self.name} returned {what}; its forward has to return the reconstruction, or a "
                "tuple or mapping with it first"
            )
        return returned

    def tap(self, tap: Tap) -> None:
        """Take the code from `tap`."""
        self._tap = tap
        part = self.inner.get_submodule(tap.name)
        # Bound methods, so that a deep copy of the whole catches its own code.
        if tap.side == "in":
            part.register_forward_pre_hook(self._catch_taken)
        else:
            part.register_forward_hook(self._catch_returned)

    def apply_live(self, section: ModelSection) -> None:
        self.noise = float(section.noise)

    def set_generator(self, generator: torch.Generator) -> None:
        self.generator = generator
        device = generator.device
        seed = int(torch.randint(2**62, (), generator=generator, device=device))
        self._drawn = [_fresh(one, seed) for one in _defaults(device)]
        self._still = [_fresh(one, _STILL) for one in _defaults(device)]
        self._drawn_on_host, self._still_on_host = HostStates.seeded(seed), HostStates.seeded(_STILL)

    def random_states(self) -> list[Tensor]:
        return [
            *super().random_states(),
            *(state.clone() for state in self._drawn),
            *([self._drawn_on_host.encoded()] if self.draws_on_host else []),
        ]

    def restore_random_states(self, states: list[Tensor]) -> None:
        super().restore_random_states(states[:1])
        count = 1 + len(self._drawn)
        self._drawn = [state.clone() for state in states[1:count]]
        for state in states[count:]:
            self._drawn_on_host = HostStates.decoded(state)

    def _call(self, given: Tensor) -> Any:
        """`inner`'s forward, with random states of its own; in eval mode it leaves nothing behind."""
        with self._own_randomness(given.device), nullcontext() if self.training else unchanged(self.inner):
            return self.inner(given)

    @contextmanager
    def _own_randomness(self, device: torch.device) -> Iterator[None]:
        defaults = _defaults(device)
        saved = [one.get_state() for one in defaults]
        saved_on_host = HostStates.present() if self.draws_on_host else None
        for one, state in zip(defaults, self._drawn if self.training else self._still, strict=True):
            one.set_state(state)
        if saved_on_host is not None:
            (self._drawn_on_host if self.training else self._still_on_host).put_in_force()
        # What a forward prints must not mix with what a command prints.
        stdout, sys.stdout = sys.stdout, sys.stderr
        try:
            yield
        finally:
            sys.stdout = stdout
            if self.training:
                self._drawn = [one.get_state() for one in defaults]
            for one, state in zip(defaults, saved, strict=True):
                one.set_state(state)
            if saved_on_host is not None:
                if self.training:
                    self._drawn_on_host = HostStates.present()
                saved_on_host.put_in_force()

    def _catch_taken(self, _module: nn.Module, taken: Any) -> None:
        self._catch(taken)

    def _catch_returned(self, _module: nn.Module, _taken: Any, returned: Any) -> None:
        self._catch(returned)

    def _catch(self, value: Any) -> None:
        assert self._tap is not None
        if self._calls == self._tap.call:
            found = find_code.tensors_in(value)
            self._caught = found[self._tap.place] if self._tap.place < len(found) else None
        self._calls += 1

    def _code_of(self, returned: Returned, output: Tensor, rows: int) -> Tensor:
        code = returned.code if self._tap is None else self._caught
        self._caught = None
        flat = None if code is None else find_code.rows_first(code, rows)
        return output.reshape(rows, -1) if flat is None else flat

    def _as_target(self, output: Tensor, x: Tensor) -> Tensor:
        if output.shape == x.shape:
            return output
        given = torch.Size((len(x), *self.row_shape))
        fits = output.numel() == x.numel() and output.ndim > 0 and len(output) == len(x)
        if not self.strict and output.shape != given and (_broadcasts(output.shape, given) or not fits):
            return output
        if not fits:
            raise ForwardError(self.wrong_shape(output, given))
        return output.reshape(x.shape)

    def wrong_shape(self, output: Tensor, given: torch.Size) -> str:
        """The sentence on an output that is no reconstruction of the batch."""
        broadcast = ", and a loss would broadcast it" if _broadcasts(output.shape, given) else ""
        return (
            f"{self.file.name}: {self.name} returned {list(output.shape)} for a batch of {list(given)}{broadcast}; "
            f"it has to return {self.features:,} values per row"
        )


@host_untouched()
def build_own(
    spec: RunSpec,
    features: int,
    image_shape: tuple[int, ...],
    seed: int,
    sample: Tensor | None = None,
    *,
    strict: bool = True,
) -> OwnAutoencoder:
    """The module that `spec.model` names, as an autoencoder, on the CPU, float32, in train mode.

    Rows are given to it in the first of these shapes that it takes and returns as many values for: flat; as
    an image [channels, height, width] and [height, width], where the data have such a shape; and as a
    sequence, [1, features] and [features, 1].

    The weights are those that the module gives itself, a function of the file and `seed`; `init.gain`
    multiplies the weights of dense and convolutional layers. An `init.kind` other than pytorch draws these
    anew. The tries are made on copies.

    Args:
        sample: some rows, [rows, features]; random numbers where there are none.

    Raises:
        ModelError: the file, the name or what it makes can't be used on these data.
    """
    section = spec.model
    assert isinstance(section, OwnModel)
    inner = userfile.make(section.path, spec, features, image_shape, seed)
    file, name = userfile.locate(section.path)
    _check_parameters(inner, f"{file.name}: {name}", strict)
    inner.to(device="cpu", dtype=torch.float32).train()
    generator = torch.Generator().manual_seed(seed)
    probe = _probe(sample, features, generator)

    def adapter(module: nn.Module, shape: tuple[int, ...]) -> OwnAutoencoder:
        return OwnAutoencoder(module, file, name, features, shape, strict=strict).train()

    model = adapter(inner, _row_shape(inner, adapter, probe, image_shape, strict))
    try:
        if _lazy(inner):
            _forward(model.eval(), probe)
            model.train()
        _study(model, probe, section.code)
    except ForwardError as error:
        raise ModelError("model.path", str(error)) from error
    _initialize(inner, spec, generator)
    model.set_generator(generator)
    model.apply_live(section)
    return model


def _probe(sample: Tensor | None, features: int, generator: torch.Generator) -> Tensor:
    if sample is None:
        return torch.randn(_PROBE_ROWS, features, generator=generator)
    return sample[:_PROBE_ROWS].detach().to("cpu", torch.float32, copy=True).nan_to_num(0.0, 0.0, 0.0)


def _row_shape(
    inner: nn.Module,
    adapter: Callable[[nn.Module, tuple[int, ...]], OwnAutoencoder],
    probe: Tensor,
    image_shape: tuple[int, ...],
    strict: bool,
) -> tuple[int, ...]:
    """The shape of a row that the module takes."""
    features = probe.shape[1]
    shapes: list[tuple[int, ...]] = [(features,)]
    if image_shape:
        shapes.append(tuple(image_shape) if len(image_shape) == 3 else (1, *image_shape))
        if shapes[-1][0] == 1:
            shapes.append(shapes[-1][1:])
    natural = len(shapes)
    shapes += [(1, features), (features, 1)]
    refusals: list[str] = []
    taken: list[tuple[int, ...]] = []
    for shape in dict.fromkeys(shapes):
        trial = adapter(_copied(inner), shape)
        try:
            for mode in (True, False):
                output = trial.train(mode).run(probe).output
                if output.numel() != probe.numel() or len(output) != len(probe):
                    raise ForwardError(trial.wrong_shape(output, torch.Size((len(probe), *shape))))
            return shape
        except ForwardError as error:
            refusals.append(str(error))
            if not isinstance(error.__cause__, Exception):
                taken.append(shape)
    if taken and not strict:
        return taken[0]
    # What is wrong with a shape that it takes says more than that others fail.
    first = list(dict.fromkeys(shapes)).index(taken[0]) if taken else 0
    more = "" if taken or natural == 1 else f"; nor does it take {' or '.join(map(str, map(list, shapes[1:natural])))}"
    raise ModelError("model.path", f"{refusals[first]}{more}")


def _study(model: OwnAutoencoder, probe: Tensor, wanted: int) -> None:
    """Find out on a copy where the code is, whether the input is changed in place, whether gradients flow."""
    trial = OwnAutoencoder(
        _copied(model.inner), model.file, model.name, model.features, model.row_shape, strict=model.strict
    )
    rows = probe.clone()
    version, host = rows._version, HostStates.present()
    returned = trial.train().run(rows)
    model.copies_input = rows._version != version
    model.draws_on_host = HostStates.present() != host
    if model.strict and not returned.output.requires_grad:
        raise ModelError(
            "model.path",
            f"{model.file.name}: no gradient reaches the output of {model.name}; look for detach(), no_grad() or "
            "numpy in its forward",
        )
    model.variational = returned.mean is not None
    inner = trial.eval().inner

    def reconstruct(given: Tensor) -> Tensor:
        found = take_apart(inner(given), len(given), model.features)
        return given.new_zeros(()) if found is None else found.output

    with torch.random.fork_rng(devices=()), contextlib.redirect_stdout(sys.stderr):
        seen = find_code.watch(inner, trial.shaped(probe.clone()))
        narrow = None
        if returned.code is None:
            narrow = find_code.find(inner, reconstruct, trial.shaped(probe), seen, wanted)
    found = narrow.width if narrow is not None else None
    if returned.code is not None:
        found = returned.code[0].numel()
    elif narrow is not None:
        model.tap(narrow.tap)
    model.code_width = wanted or found or model.features
    layers = find_code.widths(seen, found or model.code_width, model.features, variational=model.variational)
    model.architecture = f"{model.name} {layers}"


def _initialize(inner: nn.Module, spec: RunSpec, generator: torch.Generator) -> None:
    if not isinstance(spec.init, PytorchInit):
        initialize(inner, spec.init, generator)
    elif spec.init.gain != 1:
        weights = {id(m.weight): m.weight for m in inner.modules() if isinstance(m, nn.Linear | _ConvNd)}
        with torch.no_grad():
            for weight in weights.values():
                weight.mul_(spec.init.gain)


def _check_parameters(inner: nn.Module, shown: str, strict: bool) -> None:
    parameters = list(inner.parameters())
    if any(one.is_complex() for one in parameters):
        raise ModelError("model.path", f"{shown} has complex parameters; only real ones are trained")
    if strict and not any(one.requires_grad for one in parameters):
        raise ModelError(
            "model.path",
            f"{shown} has no trainable parameters; layers count where they are attributes of the module, in a list "
            "only as nn.ModuleList",
        )


def _lazy(inner: nn.Module) -> bool:
    held = [*inner.parameters(), *inner.buffers()]
    return any(isinstance(one, UninitializedParameter | UninitializedBuffer) for one in held)


def _copied(inner: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(inner)
    except (RuntimeError, TypeError, copy.Error):
        log.warning("%s can't be copied, so it is tried out itself", type(inner).__name__)
        return inner


def _forward(model: OwnAutoencoder, probe: Tensor) -> None:
    with torch.no_grad():
        model.run(probe)


def _defaults(device: torch.device) -> list[torch.Generator]:
    """PyTorch's own generators that code on `device` draws from."""
    found = [torch.default_generator]
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        found.append(torch.cuda.default_generators[index])
    elif device.type == "mps":
        found.append(torch.mps._get_default_mps_generator())
    return found


def _fresh(like: torch.Generator, seed: int) -> Tensor:
    return torch.Generator(like.device).manual_seed(seed).get_state()


def _shape(tensor: Tensor) -> str:
    return str(list(tensor.shape))


def _broadcasts(output: torch.Size, given: torch.Size) -> bool:
    """Whether a loss would silently broadcast the two against each other."""
    try:
        return torch.broadcast_shapes(output, given) != output or output != given
    except RuntimeError:
        return False
