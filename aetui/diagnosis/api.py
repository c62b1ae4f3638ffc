"""`aetui.diagnose`: any module and any array, from Python."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor, nn

from aetui.diagnosis import losses
from aetui.diagnosis.arrays import pairs, split, tensor
from aetui.diagnosis.budget import Budget, checked_seconds
from aetui.diagnosis.change import affine
from aetui.diagnosis.examine import examine, finish, preflight_findings, quiet
from aetui.diagnosis.isolate import Randomness, clone, rebound
from aetui.diagnosis.loop import Loop
from aetui.diagnosis.losses import hint
from aetui.diagnosis.optimizing import builder
from aetui.diagnosis.outputs import Output, OutputError, take_apart
from aetui.diagnosis.probing import Progress
from aetui.diagnosis.seen import seen
from aetui.diagnosis.stepping import Follow, subject_of_step
from aetui.diagnosis.subject import Bound, Penalty, Subject, takes_raw
from aetui.diagnosis.width import find_code
from aetui.models.errors import first_line
from aetui.report import Finding, Report, Taken
from aetui.spec import sections as s
from aetui.training.batches import least_rows

_SCALINGS = ("none", "standardize", "minmax", "max", "center", "unit", "symmetric")
_ERRORS = (RuntimeError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError, AssertionError)
"""What a caller's loss or penalty may raise."""


def diagnose(
    model: nn.Module,
    data: Any,
    *,
    step: Callable[[nn.Module, Any], Any] | None = None,
    loss: str | Callable[..., Tensor] = "mse",
    optimizer: str | type[torch.optim.Optimizer] | torch.optim.Optimizer | Callable[..., Any] = "adam",
    lr: float = 1e-3,
    batch_size: int | None = None,
    steps: int | None = None,
    seed: int = 0,
    optimizer_options: dict[str, Any] | None = None,
    scheduler: Any = None,
    scheduler_each: str | None = None,
    penalty: Callable[[nn.Module], Tensor] | None = None,
    scaling: str | None = None,
    clip: float | Callable[[list[Tensor]], Any] | None = None,
    amp: Any = None,
    reconstruct: Callable[[nn.Module, Any], Tensor] | None = None,
    target: Callable[[Any], Tensor] | None = None,
    code: Callable[[nn.Module, Any], Tensor] | None = None,
    kl: Callable[[nn.Module, Any], Tensor] | None = None,
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
            first or under a usual name; what a loss of your own compares is seen at its calls. With `step`
            it may be any module.
        data: array or tensor, [rows, ...], or a data set or loader, whose pairs are input and target; `targets` are
            the inputs unless given. With `step` anything that yields the step's batches.
        step: your own training step, `(model, batch)` -> the loss, a tuple with it first, or a mapping with it as
            `loss`; a method of the model such as `training_step` too. Loss, batches and targets are then all its own.
        loss: a name of `aetui.diagnosis.losses.NAMES` (averaged over the batch, and averaged or, with
            `_sum`, summed over the features), or a callable `(output, target)`. A callable that can
            use the forward's whole return value gets it.
        optimizer: a name, a `torch.optim` class (called with `lr` and `optimizer_options`), an optimizer over the
            model's parameters, of which a copy is used with its groups, or a callable on the parameters or on nothing.
        batch_size: 64, or with `step` what the loader has; 0 for all rows at once.
        steps: the length of the caller's own training, for which `under-trained` is judged; None
            lets the diagnosis decide how long to look.
        scheduler: a `torch.optim.lr_scheduler`, or a callable on the optimizer that returns one. It takes a step after
            each `scheduler_each`, "step" or "epoch"; by default each epoch, and each step for those made for it.
        penalty: called with the model after each forward, added to the loss.
        scaling: standardize, minmax, center (per feature), max, unit or symmetric (all values alike), applied before
            the model; the report is then on the scaled data.
        clip: joint gradient norm to clip at, or a callable on the list of parameters.
        amp: torch.float16 or torch.bfloat16 that autocast computes the step in; float16 with a scaled loss.
        reconstruct, code: with `step`, `(model, batch)` -> [rows, ...]; target: `(batch)` -> [rows, ...]; kl:
            `(model, batch)` -> the KL as it is in the loss. Needed only where the step does not show them.
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
        model, data, step=step, loss=loss, optimizer=optimizer, lr=lr, batch_size=batch_size, seed=seed,
        optimizer_options=optimizer_options, scheduler=scheduler, scheduler_each=scheduler_each, penalty=penalty,
        scaling=scaling, clip=clip, amp=amp, reconstruct=reconstruct, target=target, code=code, kl=kl, targets=targets,
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
    step: Any = None,
    loss: Any = "mse",
    optimizer: Any = "adam",
    lr: float = 1e-3,
    batch_size: int | None = None,
    seed: int = 0,
    optimizer_options: dict[str, Any] | None = None,
    scheduler: Any = None,
    scheduler_each: str | None = None,
    penalty: Callable[[nn.Module], Tensor] | None = None,
    scaling: str | None = None,
    clip: Any = None,
    amp: Any = None,
    reconstruct: Any = None,
    target: Any = None,
    code: Any = None,
    kl: Any = None,
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
    clip_call = clip if callable(clip) else None
    clip = None if callable(clip) else clip
    size = 64 if batch_size is None else batch_size
    _check(lr=lr, batch_size=size, steps=steps, clip=clip, seed=seed)
    if scheduler_each not in (None, "step", "epoch"):
        raise ValueError(f"scheduler_each: {scheduler_each!r} is not allowed; it takes 'step', 'epoch' or None")
    if penalty is not None and not callable(penalty):
        raise TypeError(f"penalty: {penalty!r} is not allowed; it takes a callable on the model")
    lr, size, seed = float(lr), int(size), int(seed)
    steps = None if steps is None else int(steps)
    build, name = builder(optimizer, lr, optimizer_options or {}, model)
    name = name or _name_of(build, model)
    follow = None if scheduler is None else Follow(scheduler)
    section = s.NoClip() if clip is None else s.GlobalNorm(threshold=clip)
    own = {"reconstruct": reconstruct, "target": target, "code": code, "kl": kl}
    if step is not None:
        given = {"loss": loss != "mse", "penalty": penalty, "scaling": scaling, "targets": targets,
                 "validation": validation}  # fmt: skip
        if extra := [key for key, value in given.items() if value is not None and value is not False]:
            raise ValueError(f"{extra[0]}: it is not allowed together with step, which has its own loss and data")
        return subject_of_step(
            step, model, data, build=build, optimizer=name, clip=section, clip_call=clip_call, follow=follow,
            each=scheduler_each, batch_size=None if batch_size is None else size, steps=steps, seed=seed, amp=amp,
            own=own,
        )  # fmt: skip
    for key, value in (*own.items(), ("amp", amp)):
        if value is not None:
            raise ValueError(f"{key}: it is allowed together with step only; give your training step as step=")
    _refuse_step_as_loss(loss, model)
    first = next(iter(model.parameters()), None)
    device = torch.device("cpu") if first is None else first.device
    dtype = torch.float32 if first is None or not first.is_floating_point() else first.dtype
    data, second = pairs(data)
    targets = second if targets is None else targets
    x = tensor(data, "data", device, dtype)
    y = x if targets is None else tensor(targets, "targets", device, dtype)
    if len(y) != len(x):
        raise ValueError(f"targets: {len(y):,} rows, and data has {len(x):,}; they have to be as many")
    rest = None if validation is None else tensor(validation, "validation", device, dtype)
    if rest is not None and rest.shape[1:] != x.shape[1:]:
        shapes = f"{list(rest.shape[1:])}, and those of data {list(x.shape[1:])}"
        raise ValueError(f"validation: its rows have shape {shapes}; they have to be alike")
    x, y, held = split(x, y, rest)
    kind = scaling or "none"
    if kind not in _SCALINGS:
        raise ValueError(f"scaling: {scaling!r} is not known; {hint(scaling, _SCALINGS)}")
    if (scaled := affine(kind, x)) is not None:
        same = y is x
        x = scaled.apply(x)
        y = x if same else scaled.apply(y)
        held = None if held is None else (scaled.apply(held[0]), scaled.apply(held[1]))
    resolved = losses.resolve(loss)
    penalties: dict[str, Penalty] = {} if penalty is None else {"penalty": _penalty(penalty)}
    least = _least(model, x, seed, size)
    tried = _try(model, x, y, seed, size, resolved.named)
    raw = not resolved.named and takes_raw(rebound(resolved.call, model, tried[0]), tried[1], y[: tried[2]])
    subject = Subject(
        model=model, inputs=x, targets=y, held_out=held, loss=resolved, build_optimizer=build, optimizer=name,
        batch_size=size, least=least, clip=section, horizon=steps, seed=seed, order_seed=seed, penalties=penalties,
        takes_raw=raw, clip_call=clip_call, follow=follow,
    )  # fmt: skip
    _try_loss(subject, *tried)
    subject = seen(subject)
    if subject.masked and scaling is None and penalty is None and validation is None:
        # Only a step that is watched each time tells which entries count.
        rows = torch.utils.data.TensorDataset(*(torch.cat([kept, held[place]]) if held else kept
                                                for place, kept in enumerate((x, y))))  # fmt: skip
        return subject_of_step(
            _step_of(loss, raw), model, rows, build=build, optimizer=name, clip=section, clip_call=clip_call,
            follow=follow, each=scheduler_each, batch_size=size, steps=steps, seed=seed, amp=None, own=own,
        )  # fmt: skip
    epoch = scheduler_each == "epoch" or (scheduler_each is None and follow and not follow.each_step(build, model))
    return replace(_with_code(subject), steps_per_turn=max(1, len(x) // (min(size, len(x)) or len(x))) if epoch else 1)


def _step_of(loss: Callable[..., Tensor], raw: bool) -> Callable[[nn.Module, Any], Tensor]:
    """Forward and loss as one step."""

    def step(model: nn.Module, batch: Any) -> Tensor:
        output = take_apart(model(batch[0]), batch[1].shape)
        return loss(output.raw if raw else output.reconstruction, batch[1])

    return step


def _with_code(subject: Subject) -> Subject:
    rows = subject.inputs[: min(8, subject.rows)].clone()
    shape = subject.targets[: len(rows)].shape

    def run(copy: nn.Module) -> Output:
        return take_apart(copy(rows), shape, subject.places)

    code = find_code(subject.model, len(rows), subject.device, run, subject.seed)
    if code is None:
        return subject
    stated = Taken(role="code", shape=code.shape, source=code.where)
    return replace(subject, code_width=code.width, taken=(*subject.taken, stated))


def _name_of(build: Callable[[nn.Module], Any], model: nn.Module) -> str:
    """The lower-case name of the class of what a callable returns.

    Raises:
        TypeError: it is no optimizer.
    """
    copy = clone(model)
    made = rebound(build, model, copy)(copy)
    if not isinstance(made, torch.optim.Optimizer):
        raise TypeError(f"optimizer: the callable returned {made!r}; it has to return a torch.optim.Optimizer")
    return type(made).__name__.lower()


def _refuse_step_as_loss(loss: Any, model: nn.Module) -> None:
    """A step takes a batch, a loss output and target; the two are easily taken for each other."""
    if not isinstance(loss, str) and not callable(loss):
        raise TypeError(f"loss: {loss!r} is not allowed; it takes a name, or a callable (output, target)")
    owner, name = getattr(loss, "__self__", None), getattr(loss, "__name__", "")
    if (
        callable(loss)
        and isinstance(owner, nn.Module)
        and ("step" in name or "batch" in inspect.signature(loss).parameters)
    ):
        raise TypeError(f"loss: {name} takes a batch, and a loss takes output and target; give it as step=model.{name}")


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
        raise ValueError(f"model: its forward can't take a batch of shape {shape}: {first_line(error)}") from error
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
                raise ValueError(f"loss: it can't be computed of a batch: {first_line(error)}") from error
        if not isinstance(value, Tensor):
            raise TypeError(f"loss: it returned {value!r}; it has to return a tensor")
        for name, penalty in bound.penalties.items():
            try:
                penalty(copy, output, 0)
            except _ERRORS as error:
                raise ValueError(f"{name}: it can't be computed: {first_line(error)}") from error
