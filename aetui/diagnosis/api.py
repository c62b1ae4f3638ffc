"""`aetui.diagnose`: any module and any array, from Python."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from numbers import Integral, Real
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from aetui.diagnosis import losses
from aetui.diagnosis.budget import Budget, checked_seconds
from aetui.diagnosis.change import affine
from aetui.diagnosis.examine import examine, finish, preflight_findings, quiet
from aetui.diagnosis.isolate import Randomness, clone, rebound
from aetui.diagnosis.loop import Loop
from aetui.diagnosis.losses import hint
from aetui.diagnosis.outputs import Output, OutputError, take_apart
from aetui.diagnosis.probing import Progress
from aetui.diagnosis.subject import Bound, Penalty, Subject, takes_raw
from aetui.diagnosis.width import code_width
from aetui.report import Finding, Report
from aetui.spec import sections as s
from aetui.training import optimizers
from aetui.training.batches import least_rows

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    **{section.__name__.lower(): kind.make for section, kind in optimizers.OPTIMIZERS.items()},
    "rprop": torch.optim.Rprop,
}
"""By name: those of a spec, and one more."""
_FUSED = tuple(kind.make for kind in optimizers.OPTIMIZERS.values() if kind.fused)
_SCALINGS = ("none", "standardize", "minmax", "max", "center", "unit", "symmetric")
_ERRORS = (RuntimeError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError, AssertionError)
"""What a caller's loss or penalty may raise."""
_HELD_OUT = 10
"""One row in so many is held out where the caller gives none."""
_FEWEST = 40
"""Rows below which none are held out."""


def diagnose(
    model: nn.Module,
    data: Any,
    *,
    loss: str | Callable[..., Tensor] = "mse",
    optimizer: str | type[torch.optim.Optimizer] | Callable[..., torch.optim.Optimizer] = "adam",
    lr: float = 1e-3,
    batch_size: int = 64,
    steps: int | None = None,
    seed: int = 0,
    optimizer_options: dict[str, Any] | None = None,
    penalty: Callable[[nn.Module], Tensor] | None = None,
    scaling: str | None = None,
    clip: float | None = None,
    targets: Any = None,
    validation: Any = None,
    probes: bool = True,
    seconds: float | None = None,
    in_place: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Report:
    """Train a copy of `model` on `data`, watch it, and say what is wrong with the training, if anything.

    Args:
        model: its forward takes a batch and returns the reconstruction, or a tuple or mapping with it
            first or under a usual name; a code distribution (mu, logvar) beside it is recognized.
        data: array or tensor, [rows, ...]; `targets` are the same unless given.
        loss: a name of `aetui.diagnosis.losses.NAMES` (averaged over the batch, and averaged or, with
            `_sum`, summed over the features), or a callable `(output, target)`. A callable that can
            use the forward's whole return value gets it.
        optimizer: a name, a `torch.optim` class (called with `lr` and `optimizer_options`), or a
            callable on the parameters.
        steps: the length of the caller's own training, for which `under-trained` is judged; None
            lets the diagnosis decide how long to look.
        penalty: called with the model after each forward, added to the loss.
        scaling: standardize, minmax, center (per feature), max, unit or symmetric (all values alike), applied before
            the model; the report is then on the scaled data.
        clip: joint gradient norm to clip at.
        validation: rows held out, for memorization; by default one in ten is taken from `data`.
        probes: whether suspects are checked in short trainings of copies.
        seconds: for the whole; what is left out for that is said in the report's notes. By default three times
            the plain training, and at most two minutes beyond it.
        in_place: train `model` itself rather than a copy.
        progress: called now and then with how far it is.

    Raises:
        ValueError, TypeError: what was given can't be trained at all; one sentence says why.
    """
    limit = checked_seconds(seconds)
    subject = subject_of(
        model, data, loss=loss, optimizer=optimizer, lr=lr, batch_size=batch_size, seed=seed,
        optimizer_options=optimizer_options, penalty=penalty, scaling=scaling, clip=clip, targets=targets,
        validation=validation, steps=steps,
    )  # fmt: skip
    budget = Budget(limit, asked=steps is not None)
    report = finish(examine(subject, steps=subject.horizon, probes=probes, budget=budget), progress)
    if in_place:
        _train_in_place(subject, model, report.steps)
    return report


def preflight(model: nn.Module, data: Any, **options: Any) -> tuple[Finding, ...]:
    """What can be said before the first step, best first; takes what `diagnose` takes."""
    options = {key: value for key, value in options.items() if key not in ("probes", "progress", "in_place", "seconds")}
    steps = options.pop("steps", None)
    subject = subject_of(model, data, steps=steps, **options)
    with quiet():
        return preflight_findings(subject)


def _train_in_place(subject: Subject, model: nn.Module, steps: int) -> None:
    Loop(subject, model=model).advance(steps)


def subject_of(
    model: nn.Module,
    data: Any,
    *,
    loss: str | Callable[..., Tensor] = "mse",
    optimizer: str | type[torch.optim.Optimizer] | Callable[..., torch.optim.Optimizer] = "adam",
    lr: float = 1e-3,
    batch_size: int = 64,
    seed: int = 0,
    optimizer_options: dict[str, Any] | None = None,
    penalty: Callable[[nn.Module], Tensor] | None = None,
    scaling: str | None = None,
    clip: float | None = None,
    targets: Any = None,
    validation: Any = None,
    steps: int | None = None,
) -> Subject:
    """Everything that `diagnose` was given, checked and on the model's device.

    Raises:
        ValueError, TypeError: it can't be trained at all; one sentence says why.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: {type(model).__name__} is not allowed; it takes a torch.nn.Module")
    _check(lr=lr, batch_size=batch_size, steps=steps, clip=clip, seed=seed)
    if penalty is not None and not callable(penalty):
        raise TypeError(f"penalty: {penalty!r} is not allowed; it takes a callable on the model")
    lr, batch_size, seed = float(lr), int(batch_size), int(seed)
    steps = None if steps is None else int(steps)
    first = next(iter(model.parameters()), None)
    device = torch.device("cpu") if first is None else first.device
    dtype = torch.float32 if first is None or not first.is_floating_point() else first.dtype
    x = tensor(data, "data", device, dtype)
    y = x if targets is None else tensor(targets, "targets", device, dtype)
    if len(y) != len(x):
        raise ValueError(f"targets: {len(y):,} rows, and data has {len(x):,}; they have to be as many")
    rest = None if validation is None else tensor(validation, "validation", device, dtype)
    if rest is not None and rest.shape[1:] != x.shape[1:]:
        shapes = f"{list(rest.shape[1:])}, and those of data {list(x.shape[1:])}"
        raise ValueError(f"validation: its rows have shape {shapes}; they have to be alike")
    x, y, held = _split(x, y, rest)
    kind = scaling or "none"
    if kind not in _SCALINGS:
        raise ValueError(f"scaling: {scaling!r} is not known; {hint(scaling, _SCALINGS)}")
    if (scaled := affine(kind, x)) is not None:
        same = y is x
        x = scaled.apply(x)
        y = x if same else scaled.apply(y)
        held = None if held is None else (scaled.apply(held[0]), scaled.apply(held[1]))
    resolved = losses.resolve(loss)
    build, name = _optimizer(optimizer, lr, optimizer_options or {})
    penalties: dict[str, Penalty] = {} if penalty is None else {"penalty": _penalty(penalty)}
    least = _least(model, x, seed, batch_size)
    tried = _try(model, x, y, seed, batch_size, resolved.named)
    if not name:
        copy = clone(model)
        made = rebound(build, model, copy)(copy)
        if not isinstance(made, torch.optim.Optimizer):
            raise TypeError(f"optimizer: the callable returned {made!r}; it has to return a torch.optim.Optimizer")
        name = type(made).__name__.lower()
    subject = Subject(
        model=model,
        inputs=x,
        targets=y,
        held_out=held,
        loss=resolved,
        build_optimizer=build,
        optimizer=name,
        batch_size=batch_size,
        least=least,
        clip=s.NoClip() if clip is None else s.GlobalNorm(threshold=clip),
        horizon=steps,
        seed=seed,
        order_seed=seed,
        penalties=penalties,
        takes_raw=not resolved.named and takes_raw(rebound(resolved.call, model, tried[0]), tried[1], y[: tried[2]]),
        code_width=code_width(model, x, seed),
    )
    _try_loss(subject, *tried)
    return subject


def _check(**given: Any) -> None:
    lr, batch, steps, clip = given["lr"], given["batch_size"], given["steps"], given["clip"]
    if not isinstance(lr, Real) or not 0 <= float(lr) < float("inf"):
        raise ValueError(f"lr: {lr!r} is not allowed; it takes a number of at least 0")
    if not isinstance(batch, Integral) or batch < 0:
        raise ValueError(f"batch_size: {batch!r} is not allowed; it takes a whole number, 0 for all rows at once")
    if steps is not None and (not isinstance(steps, Integral) or steps < 1):
        raise ValueError(f"steps: {steps!r} is not allowed; it takes a whole number of at least 1, or None")
    if clip is not None and (not isinstance(clip, Real) or not float(clip) > 0):
        raise ValueError(f"clip: {clip!r} is not allowed; it takes a number above 0, or None")
    if not isinstance(given["seed"], Integral) or given["seed"] < 0:
        raise ValueError(f"seed: {given['seed']!r} is not allowed; it takes a whole number of at least 0")


def tensor(values: Any, name: str, device: torch.device, dtype: torch.dtype) -> Tensor:
    """`values` as a tensor of the model's kind, [rows, ...]; the caller's own memory is never written to.

    Raises:
        ValueError: they are no numbers, or there are fewer than two rows.
    """
    if isinstance(values, torch.utils.data.DataLoader):
        values = values.dataset
    if isinstance(values, torch.utils.data.TensorDataset):
        values = values.tensors[0]
    elif isinstance(values, torch.utils.data.Dataset):
        rows: Any = values
        values = [row[0] if isinstance(row, tuple | list) else row for row in (rows[i] for i in range(len(rows)))]
    if isinstance(values, list | tuple) and values and isinstance(values[0], Tensor):
        values = torch.stack([value.detach() for value in values])
    try:
        if np.iscomplexobj(values) if isinstance(values, np.ndarray) else getattr(values, "is_complex", bool)():
            raise TypeError("they are complex")
        if not isinstance(values, Tensor):
            values = torch.from_numpy(np.array(values, dtype=np.float64, order="C"))
        made = values.detach()
        made = made.to(device=device, dtype=dtype, copy=True)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: {type(values).__name__} can't be read as numbers: {error}") from None
    if made.ndim < 1 or len(made) < 2:
        raise ValueError(f"{name}: shape {list(made.shape)} is not allowed; it takes at least two rows, [rows, ...]")
    if not made.numel():
        raise ValueError(f"{name}: shape {list(made.shape)} is not allowed; its rows hold no values")
    return made


def _split(x: Tensor, y: Tensor, validation: Tensor | None) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor] | None]:
    if validation is not None:
        return x, y, (validation, validation)
    if len(x) < _FEWEST or not bool(torch.isfinite(x).all()):
        return x, y, None
    held = torch.arange(len(x), device=x.device) % _HELD_OUT == _HELD_OUT // 2
    if y is x:
        kept, out = x[~held], x[held]
        return kept, kept, (out, out)
    return x[~held], y[~held], (x[held], y[held])


def _optimizer(
    given: Any, lr: float, options: dict[str, Any]
) -> tuple[Callable[[nn.Module], torch.optim.Optimizer], str]:
    if isinstance(given, str):
        name = given.lower().replace("-", "").replace("_", "")
        if name not in OPTIMIZERS:
            ways = f"{hint(name, OPTIMIZERS)}, or a torch.optim class, or a callable on the parameters"
            raise ValueError(f"optimizer: {given!r} is not known; {ways}")
        given = OPTIMIZERS[name]
    if isinstance(given, type):
        kind: type = given
        build = cast(Callable[..., torch.optim.Optimizer], given)
        if given in _FUSED and not options.keys() & {"fused", "foreach", "capturable", "differentiable"}:
            options = {**options, "fused": True}

        def from_class(model: nn.Module) -> torch.optim.Optimizer:
            parameters = list(model.parameters()) or [nn.Parameter(torch.zeros(1))]
            if not issubclass(kind, torch.optim.Optimizer):
                raise TypeError(f"optimizer: {kind.__name__} is no torch.optim.Optimizer")
            try:
                return build(parameters, lr=lr, **options)
            except (TypeError, ValueError) as error:
                raise ValueError(f"optimizer_options: {options!r} with lr {lr!r} is refused: {error}") from None

        return from_class, given.__name__.lower()
    if not callable(given):
        shown = f"a ready-made {type(given).__name__}" if isinstance(given, torch.optim.Optimizer) else repr(given)
        raise TypeError(f"optimizer: {shown} is not allowed; it takes a name, a class or a callable on the parameters")
    made = cast(Callable[..., torch.optim.Optimizer], given)

    def from_callable(model: nn.Module) -> torch.optim.Optimizer:
        parameters: Iterable[nn.Parameter] = model.parameters()
        return made(parameters)

    return from_callable, ""


def _penalty(penalty: Callable[[nn.Module], Tensor]) -> Penalty:
    def call(model: nn.Module, output: Output, step: int) -> Tensor:
        value = penalty(model)
        if not isinstance(value, Tensor):
            value = torch.as_tensor(float(value), device=output.reconstruction.device)
        return value if value.ndim == 0 else value.sum()

    return call


def _try(
    model: nn.Module, x: Tensor, y: Tensor, seed: int, batch_size: int, named: bool
) -> tuple[nn.Module, Output, int]:
    """Forward one batch through a copy, so that what can't run at all is said in one sentence.

    Returns the copy, its output, and the number of rows. A named loss compares entry by entry; a
    caller's own may bring output and target into one shape.
    """
    rows = min(len(x), batch_size or len(x))
    copy = clone(model).train()
    shape = f"[{rows}, {', '.join(map(str, x.shape[1:]))}]"
    try:
        with Randomness(seed, x.device).own():
            output = take_apart(copy(x[:rows].clone()), y[:rows].shape)
    except OutputError as error:
        raise ValueError(f"model: {error}") from None
    except Exception as error:
        raise ValueError(f"model: its forward can't take a batch of shape {shape}: {_said(error)}") from error
    made = output.reconstruction
    try:
        if named:
            torch.broadcast_shapes(made.shape, y[:rows].shape)
    except RuntimeError:
        raise ValueError(
            f"model: it returned shape {list(made.shape)} for targets of shape {list(y[:rows].shape)}, which no loss "
            "can compare; return the reconstruction in the shape of the data"
        ) from None
    return copy, output, rows


def _least(model: nn.Module, x: Tensor, seed: int, batch_size: int) -> int:
    """Rows of the smallest batch that the model takes in training.

    Raises:
        ValueError: the batches that were asked for are smaller.
    """
    least = least_rows(model)
    if least == 1 and (batch_size == 1 or (batch_size and len(x) % batch_size == 1)):
        try:
            with Randomness(seed, x.device).own():
                clone(model).train()(x[:1].clone())
        except ValueError as error:
            # Batch normalization that a forward calls as a function.
            least = 2 if "more than 1 value per channel" in str(error) else 1
    if 0 < batch_size < least:
        raise ValueError(
            f"batch_size: {batch_size} is not allowed; batch normalization takes batches of at least {least} rows"
        )
    return least


def _try_loss(subject: Subject, copy: nn.Module, output: Output, rows: int) -> None:
    """Compute loss and penalties once; values outside a loss's domain are left to the diagnosis."""
    bound, target = Bound(subject, copy), subject.targets[:rows]
    inside = output.reconstruction.sigmoid()
    with quiet(), Randomness(subject.seed, subject.device).own():
        try:
            value = bound.loss_of(output.raw if bound.takes_raw else output.reconstruction, target)
        except _ERRORS as error:
            try:
                value = bound.loss(Output(inside, inside), target.clamp(0, 1))
            except _ERRORS:
                raise ValueError(f"loss: it can't be computed of a batch: {_said(error)}") from error
        if not isinstance(value, Tensor):
            raise TypeError(f"loss: it returned {value!r}; it has to return a tensor")
        for name, penalty in bound.penalties.items():
            try:
                penalty(copy, output, 0)
            except _ERRORS as error:
                raise ValueError(f"{name}: it can't be computed: {_said(error)}") from error


def _said(error: Exception) -> str:
    first = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
