"""What one watched step of an untouched script is made of: inputs, reconstruction, target, loss and code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aetui.diagnosis import losses
from aetui.diagnosis.intake import loss_kind
from aetui.diagnosis.parted import KL, SPREADS, Gaussian, Parts
from aetui.diagnosis.paths import Path, item_text, items_of
from aetui.diagnosis.taken import Look, source_of, whole
from aetui.diagnosis.touched import ALIKE, DATA, WEIGHTS, Comparison, Touch, tensors_in
from aetui.watching.backwards import Backward
from aetui.watching.programs import Forward, Function, Input, Other, RowCount
from aetui.watching.whole import Whole

_SHAPES = ("view", "reshape", "expand", "unflatten", "broadcast_to")
"""Calls that take sizes, of which one may be the number of rows."""
_IN_ORDER = ("view", "reshape", "flatten", "contiguous", "squeeze", "unsqueeze", "view_as", "reshape_as", "to", "float")
"""Calls that leave the values in their order."""
_LEAST_KL = 1e-4
"""Nats of a row from which its share of the loss tells what it weighs."""
_MOST = 400
"""Calls in a way from the inputs to the reconstruction; a longer one is not followed."""
_SAME_VALUE = 1e-3
"""Share of a loss up to which it is taken for the value of a loss known by name."""


class NotFollowed(Exception):
    """A tensor whose way can't be run again; one sentence."""


@dataclass
class Call:
    """An outermost forward, or one that was asked for by name."""

    module: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Any
    inner: dict[int, tuple[str, Path]] = field(default_factory=dict)
    """Tensors that a module within returned: its name, and the way into what it returned."""


# --- reading --------------------------------------------------------------------------------------


@dataclass
class Reading:
    """A step, as `watch` would be told of it.

    inputs: tensors that the rows are made of. wanted: the target, None where it is the input itself. loss: by name,
    or a callable known by its kind; None where it is none of those known. simple: whether the module's own forward
    takes the rows and returns all of this.
    """

    modules: tuple[nn.Module, ...]
    inputs: list[Tensor]
    made: Tensor
    wanted: Tensor | None
    program: dict[str, Any]
    simple: bool
    function: str
    loss: Any
    variational: bool
    kl_weight: float | None
    words: tuple[str, ...]
    score: tuple[Any, ...]


class Reader:
    """Reads the calls of one step."""

    def __init__(
        self, touch: Touch, calls: Sequence[Call], names: Mapping[nn.Module, str], sources: set[int] | None
    ) -> None:
        """names: of the modules within the one that is watched, or held together. sources: tensors that what is
        looked for depends on, by id, None where they are not known."""
        self.touch, self.calls, self.names, self._sources = touch, calls, names, sources
        self.inputs: list[Tensor] = []
        self.rows = 0
        self._count = 0
        self._places: dict[int, tuple[Call, Path, str]] = {}
        for call in reversed(calls):
            for one, (inner, path) in call.inner.items():
                self._places[one] = (call, path, inner)
        for call in reversed(calls):
            for path, one in reversed(list(items_of(call.output))):
                self._places[id(one)] = (call, path, "")

    def node(self, tensor: Tensor, gaussian: Gaussian | None) -> Any:
        """The program that makes a tensor.

        Raises:
            NotFollowed: there is none.
        """
        self._count += 1
        if self._count > _MOST:
            raise NotFollowed("the way to the reconstruction is too long")
        touch = self.touch
        if not touch.depends(tensor) & WEIGHTS and not self._drawn(tensor):
            return self._input(tensor)
        if (place := self._places.get(id(tensor))) is not None and place[0].module in self.names:
            return self._call(*place, gaussian)
        record = touch.records.get(id(tensor))
        if record is None:
            raise NotFollowed("it depends on weights outside the model")
        if gaussian is not None and (mean := self._sampled_around(tensor, gaussian)) is not None:
            return self.node(mean, gaussian)
        sizes = record.name in _SHAPES or not touch.depends(tensor)
        return Function(
            record.function, self._template(record.args, gaussian, sizes),
            self._template(record.kwargs, gaussian, sizes), id(tensor),
        )  # fmt: skip

    def _drawn(self, tensor: Tensor) -> bool:
        """Whether it was made in the step of nothing that came with the batch, as noise is."""
        record = self.touch.records.get(id(tensor))
        return record is not None and not self.touch.depends(tensor)

    def _sampled_around(self, tensor: Tensor, gaussian: Gaussian) -> Tensor | None:
        """The mean of the code's distribution where a tensor is a draw from it."""
        record = self.touch.records.get(id(tensor))
        if record is None or record.name not in ("add", "addcmul", "rsample") or tensor.shape != gaussian.mean.shape:
            return None
        means = {id(one) for one, _ in self.touch.chain(gaussian.mean)}
        return next((one for one in record.tensors if id(one) in means), None)

    def _input(self, tensor: Tensor) -> Any:
        if not self.rows and tensor.ndim and tensor.numel() > 1:
            self.rows = len(tensor)
        if tensor.ndim == 0 or len(tensor) != self.rows:
            return tensor.detach()
        if self._sources is not None and id(tensor) not in self._sources:
            return Other(tensor.detach().clone())
        for number, one in enumerate(self.inputs):
            if one is tensor:
                return Input(number)
        self.inputs.append(tensor)
        return Input(len(self.inputs) - 1)

    def _call(self, call: Call, path: Path, inner: str, gaussian: Gaussian | None) -> Forward:
        args = self._template(call.args, gaussian, sizes=False)
        return Forward(
            self.names[call.module], args, self._template(call.kwargs, gaussian, False), path, inner, id(call)
        )

    def _template(self, values: Any, gaussian: Gaussian | None, sizes: bool) -> Any:
        if isinstance(values, Tensor):
            return values if isinstance(values, nn.Parameter) else self.node(values, gaussian)
        if isinstance(values, torch.Size):
            values = tuple(values)
        if isinstance(values, list | tuple) and not hasattr(values, "_fields"):
            return type(values)([self._template(one, gaussian, sizes) for one in values])
        if isinstance(values, dict):
            return {name: self._template(one, gaussian, sizes) for name, one in values.items()}
        if sizes and isinstance(values, int) and values == self.rows and self.rows > 1:
            return RowCount()
        if any(True for _ in tensors_in(values)):
            raise NotFollowed(f"an argument is a {type(values).__name__}")
        return values


def read(touch: Touch, back: Backward, names: Mapping[nn.Module, str], calls: Sequence[Call]) -> Reading | None:
    """What a backward's loss compares, by way of the modules that have names; None where that is not to be found."""
    main = back.main
    if main is None or not main.wanted.is_floating_point() or not main.made.ndim:
        return None
    made, wanted, mask = whole(touch, main)
    gaussian = None if back.parts is None else back.parts.gaussian
    ends = (made,) if gaussian is None else (made, gaussian.mean, gaussian.spread)
    reader = Reader(touch, calls, names, touch.sources(ends) if isinstance(touch, Whole) else None)
    try:
        program: dict[str, Any] = {"reconstruction": reader.node(made, gaussian)}
        if (apart := _by_rows(touch, made, reader.rows)) is not None and wanted.numel() == made.numel():
            beside = _by_rows(touch, wanted, reader.rows)
            made, wanted = apart, wanted.reshape(apart.shape) if beside is None else beside
            program = {"reconstruction": reader.node(made, gaussian)}
        if gaussian is not None:
            try:
                program["mu"] = reader.node(gaussian.mean, gaussian)
                program["logvar"] = _log_variance(reader.node(gaussian.spread, gaussian), gaussian)
            except NotFollowed:
                program = {"reconstruction": program["reconstruction"]}
    except NotFollowed:
        return None
    if not reader.inputs:
        return None
    first = reader.inputs[0]
    same = wanted is not None and made[0].numel() == first[0].numel() and _is_input(touch, wanted, first)
    loss, about = _named_loss(touch, back, made, wanted, masked=mask is not None)
    used = tuple(one for one, name in names.items() if _uses(program, name))
    return Reading(
        modules=used,
        inputs=list(reader.inputs),
        made=made,
        wanted=None if same and len(reader.inputs) == 1 else wanted,
        program=program,
        simple=_simple(program),
        function=main.function,
        loss=loss,
        variational="mu" in program,
        kl_weight=_kl_weight(back, len(made)),
        words=_words(touch, calls, program, names, main, made, wanted, same, about, more=back.more),
        score=(bool(touch.depends(wanted) & DATA), wanted.is_floating_point(), made[0].numel() if made.ndim else 0),
    )


def _by_rows(touch: Touch, tensor: Tensor, rows: int) -> Tensor | None:
    """What a tensor was before its rows were run together; None where they were not."""
    one = tensor
    while len(one) != rows:
        record = touch.records.get(id(one))
        before = record.args[0] if record is not None and record.name in _IN_ORDER and record.args else None
        if not isinstance(before, Tensor) or not before.ndim:
            return None
        one = before
    return None if one is tensor else one


def _kl_weight(back: Backward, rows: int) -> float | None:
    """What the KL of a row, summed over the code, is multiplied by in the loss; None where there is none."""
    if back.parts is None or back.parts.gaussian is None or KL not in back.parts.terms:
        return None
    mean, log_variance = back.parts.gaussian.mean.detach().float(), back.parts.gaussian.log_variance.detach().float()
    if len(mean) != rows:
        return None
    kl = float(0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum()) / rows
    return float(back.parts.terms[KL].detach()) * back.times(back.depth) / kl if kl > _LEAST_KL else None


def _log_variance(node: Any, gaussian: Gaussian) -> Any:
    if gaussian.form == "log-variance":
        return node
    return Function(SPREADS[gaussian.form][1], (node,), {}, id(gaussian))


def _uses(node: Any, name: str) -> bool:
    if isinstance(node, Forward):
        return node.module == name or _uses(node.args, name) or _uses(node.kwargs, name)
    if isinstance(node, Function):
        return _uses(node.args, name) or _uses(node.kwargs, name)
    if isinstance(node, dict):
        return any(_uses(one, name) for one in node.values())
    return isinstance(node, list | tuple) and any(_uses(one, name) for one in node)


def _simple(program: Mapping[str, Any]) -> bool:
    """Whether all of it is what one forward of one input returns."""
    first = program["reconstruction"]
    return all(
        isinstance(one, Forward)
        and not one.inner
        and one.key == first.key
        and one.args == (Input(0),)
        and not one.kwargs
        for one in program.values()
    )


def _is_input(touch: Touch, wanted: Tensor, given: Tensor) -> bool:
    """Whether the target is the input itself, in another shape at most."""
    if wanted.numel() != given.numel():
        return False
    if wanted.data_ptr() == given.data_ptr() and wanted.is_contiguous() and given.is_contiguous():
        return wanted.dtype == given.dtype
    if wanted.dtype == given.dtype and torch.equal(wanted.reshape(-1), given.reshape(-1)):
        # A loader that gives the rows a second time, as the target.
        return True
    from_one, from_other = (
        {id(one) for one, through in touch.chain(tensor) if not through} for tensor in (wanted, given)
    )
    return bool(from_one & from_other)


# --- the loss -------------------------------------------------------------------------------------


class Scaled:
    """A loss of a known kind times a number, as where it is summed over everything; 1 where it is not constant."""

    reduction = "scaled"

    def __init__(self, call: Any, times: float | None) -> None:
        self.func, self.times = call, times

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        return (self.times or 1.0) * self.func(output, target)


_FUNCTIONS = {
    "mse": F.mse_loss, "mae": F.l1_loss, "bce": F.binary_cross_entropy, "smooth_l1": F.smooth_l1_loss,
    "bce_logits": F.binary_cross_entropy_with_logits, "huber": F.huber_loss,
}  # fmt: skip


def _named_loss(touch: Touch, back: Backward, made: Tensor, wanted: Tensor, *, masked: bool) -> tuple[Any, str]:
    """The reconstruction loss as `watch` takes it, and in words."""
    kind = loss_kind(Look(touch, None, back.loss, back.main, Parts({}) if back.parts is None else back.parts))
    if kind not in losses.NAMES:
        return None, f"{kind or 'not known by name'}, so there are no floors; --loss says it"
    if masked and kind in _FUNCTIONS:
        return Scaled(_FUNCTIONS[kind], None), f"{kind} under a mask, so there are no floors"
    if back.term is None or made.numel() != wanted.numel():
        return kind, kind
    with torch.no_grad():
        output, target = made.detach().reshape(wanted.shape), wanted.detach()
        target = target if target.is_floating_point() else target.to(output.dtype)
        value = float(back.term) * back.times(back.depth)
        for name in (kind, f"{kind}_sum"):
            known = float(losses.resolve(name).call(output, target))
            if abs(known - value) <= _SAME_VALUE * abs(known):
                return name, name
        mean = float(losses.resolve(kind).call(output, target))
    if not mean or kind not in _FUNCTIONS:
        return kind, kind
    factor = value / mean
    return Scaled(_FUNCTIONS[kind], factor), f"{kind} times {factor:.4g}"


# --- in words -------------------------------------------------------------------------------------


def _words(
    touch: Touch,
    calls: Sequence[Call],
    program: Mapping[str, Any],
    names: Mapping[nn.Module, str],
    main: Comparison,
    made: Tensor,
    wanted: Tensor,
    same: bool,
    about: str,
    *,
    more: bool,
) -> tuple[str, ...]:
    act = f"in {main.function}" if main.named else "by a difference"
    act = "in a cross-entropy" if main.function == "log" else act
    parts = "; the curve is of the whole loss, which has more parts" if more else ""
    target = "the input itself" if same else source_of(touch, None, {}, wanted)
    rows = [
        f"reconstruction: {_where(program['reconstruction'])}, {list(made.shape)}, compared with the target {act}",
        f"target: {target}, {list(wanted.shape)}; loss: {about}{parts}",
    ]
    if "mu" in program:
        rows.append(f"code: {_where(program['mu'])}, a mean whose KL is in the loss")
    return tuple(rows)


def _where(node: Any) -> str:
    if isinstance(node, Function):
        name = getattr(node.function, "__name__", "").strip("_")
        inside = next((one for one in node.args if isinstance(one, Forward | Function)), None)
        if inside is None:
            return f"what {name} makes"
        return _where(inside) if name in ALIKE or name == "get" else f"{_where(inside)}, after {name}"
    if isinstance(node, Forward):
        return item_text(node.path, f"what {node.inner or node.module or 'forward'} returns")
    return "the input"
