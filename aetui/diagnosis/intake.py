"""A caller's own training step, taken as it is: their batches, their loss with its parts, their optimizer."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from aetui.diagnosis.change import Affine, Change, affine
from aetui.diagnosis.feed import Feed, mapped, taken_rows
from aetui.diagnosis.outputs import Output
from aetui.diagnosis.parted import KL, RECONSTRUCTION
from aetui.diagnosis.paths import Path, found_in, items_of
from aetui.diagnosis.taken import (
    Judged,
    Look,
    Step,
    batch_names,
    judged,
    look,
    loss_of,
    statement,
)
from aetui.diagnosis.touched import LOSSES, Comparison, tensors_in
from aetui.report import Taken

FEWEST_ROWS = 2048
"""Rows whose targets are gathered where they are no part of the batch."""


@dataclass(frozen=True)
class Stepped:
    """A training step and its batches.

    step: (model, batch) -> the loss, or a nest with it. reconstruct, code, kl: (model, batch), and target: (batch),
    in the caller's own words where they gave them. amp: the kind that autocast computes in.
    """

    step: Step
    feed: Feed
    device: torch.device
    reconstruct: Callable[[nn.Module, Any], Tensor] | None = None
    target: Callable[[Any], Tensor] | None = None
    code: Callable[[nn.Module, Any], Tensor] | None = None
    kl: Callable[[nn.Module, Any], Tensor] | None = None
    amp: torch.dtype | None = None
    target_path: Path | None = None
    """Where in a batch the target lies, unchanged; None where it is computed."""
    chunk: int = 64
    """Rows of a batch that is looked at, the training's own size."""

    def autocast(self) -> AbstractContextManager[Any]:
        return nullcontext() if self.amp is None else torch.autocast(self.device.type, self.amp)

    def scales(self) -> bool:
        """Whether the data can be brought into another form: the rows are alike and the target is one of them."""
        return self.feed.stacked is not None and self.target_path is not None

    def scaled(self, kind: str) -> tuple[Feed, Affine | None]:
        """The feed with its target, and all that has the target's shape, in another form; and the map to it."""
        if kind == "none" or not self.scales():
            return self.feed, None
        target: Tensor = found_in(self.feed.stacked, self.target_path or ())
        made = affine(kind, target)
        if made is None:
            return self.feed, None
        shape = target.shape

        def change(one: Tensor) -> Tensor:
            return made.apply(one) if one.is_floating_point() and one.shape == shape else one

        values = mapped(self.feed.stacked, change)
        return Feed(self.feed.rows, lambda rows: taken_rows(values, rows), self.feed.size, stacked=values), made

    def total(self, model: nn.Module, batch: Any, step: Step) -> Tensor:
        """The loss of a batch, 0-dim."""
        with self.autocast():
            return loss_of(step(model, batch))[0].float()

    def look(self, model: nn.Module, batch: Any, step: Step, bound: Callable[[Any], Any], change: Change) -> Look:
        """A step, watched; gradients are kept, since what a loss is made of shows in them."""
        instead = None
        if change.reshape:
            instead = (0, lambda made, wanted: made.reshape(wanted.shape) if made.numel() == wanted.numel() else made)
        with torch.enable_grad(), self.autocast():
            found = look(model, batch, step, instead)
            if self.reconstruct is not None or self.target is not None:
                found.main = self._said(found, model, batch, bound)
            if self.kl is not None:
                weighted = bound(self.kl)(model, batch)
                weighted = weighted if weighted.ndim == 0 else weighted.sum()
                found.parts = type(found.parts)({RECONSTRUCTION: found.loss - weighted, KL: weighted})
        return found

    def _said(self, found: Look, model: nn.Module, batch: Any, bound: Callable[[Any], Any]) -> Comparison:
        """The comparison that the caller's own words make."""
        with found.touch:
            if self.reconstruct is not None:
                made: Any = bound(self.reconstruct)(model, batch)
            else:
                made = None if found.main is None else found.main.made
            if self.target is not None:
                wanted: Any = self.target(batch)
            else:
                wanted = next((one for one in tensors_in(batch) if one.is_floating_point()), None)
        for name, value in (("reconstruct", made), ("target", wanted)):
            if not isinstance(value, Tensor):
                raise ValueError(f"{name}: {type(value).__name__} is not allowed; it has to return a tensor")
        function = "" if found.main is None else found.main.function
        if found.main is not None and self.reconstruct is None:
            return Comparison(found.main.number, function, made, wanted, False, made, found.main.mask)
        return Comparison(-1, "", made, wanted, False, made)


def output_of(found: Look) -> Output:
    """What a watched step came to, as the rules read it."""
    if found.main is None:
        raise ValueError(NOTHING_COMPARED)
    code = found.gaussian
    return Output(
        raw=found.raw,
        reconstruction=found.main.made,
        mean=None if code is None else code.mean,
        log_variance=None if code is None else code.log_variance,
        look=found,
    )


NOTHING_COMPARED = (
    "step: its loss compares no output of the model with the batch, so what is the reconstruction can't be told; say "
    "it with reconstruct=lambda model, batch: ... and target=lambda batch: ..."
)


def adapted(step: Any, model: nn.Module) -> Step:
    """A step as (model, batch): a method of the model takes the batch, and where it needs one a number.

    Raises:
        TypeError: it is no callable that takes a model and a batch.
    """
    if not callable(step):
        raise TypeError(f"step: {step!r} is not allowed; it takes a callable (model, batch) that returns the loss")
    own = getattr(step, "__self__", None)
    if isinstance(own, nn.Module) and any(own is one for one in model.modules()):
        name = step.__name__
        path = next(path for path, one in model.named_modules() if one is own)
        needed = 1 if required(step) < 2 else 2

        def method(copy: nn.Module, batch: Any) -> Any:
            return getattr(copy.get_submodule(path), name)(*(batch, 0)[:needed])

        return method
    if required(step) > 2 or (required(step) < 2 and not takes(step, 2)):
        raise TypeError(
            f"step: {getattr(step, '__name__', step)} takes {required(step)} arguments; it has to take (model, batch)"
        )
    return step


def required(function: Any) -> int:
    """Positional arguments that have to be given."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 2
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(one.kind in kinds and one.default is one.empty for one in parameters)


def takes(function: Any, count: int) -> bool:
    """Whether a callable can be given so many positional arguments; one that does not tell is taken to."""
    try:
        inspect.signature(function).bind(*range(count))
    except (TypeError, ValueError) as error:
        return isinstance(error, ValueError)
    return True


def joined(parts: Sequence[Judged]) -> Judged:
    """Several batches as one; where their rows have different lengths, entry by entry."""
    widths = {one.made.shape[1] for one in parts}
    if len(widths) > 1:
        parts = [Judged(*(None if t is None else t.reshape(-1, 1) for t in (p.made, p.wanted, p.mask)))  # pyright: ignore[reportArgumentType]
                 for p in parts]  # fmt: skip
    masks = [one.mask for one in parts]
    if any(mask is not None for mask in masks):
        masks = [torch.ones_like(one.wanted) if one.mask is None else one.mask for one in parts]
    return Judged(
        torch.cat([one.made for one in parts]),
        torch.cat([one.wanted for one in parts]),
        None if masks[0] is None else torch.cat([mask for mask in masks if mask is not None]),
    )


def target_path(found: Look, batch: Any, feed: Feed) -> Path | None:
    """Where in a batch the target lies as it is, changed in shape at most."""
    if found.main is None or feed.stacked is None:
        return None
    places = {id(one): path for path, one in items_of(batch)}
    for one, through in found.touch.chain(found.main.wanted):
        if through:
            return None
        if id(one) in places and one.is_floating_point():
            return places[id(one)]
    return None


def loss_kind(found: Look) -> str:
    """The name that `aetui.diagnosis.losses` has for the comparison, '' for none."""
    main = found.main
    if main is None:
        return ""
    if main.function == "log":
        return "bce"
    if main.function in ("sub", "rsub"):
        return _of_difference(found, main)
    return LOSSES.get(main.function, "")


def _of_difference(found: Look, main: Comparison) -> str:
    """What a difference goes into: its square, or its absolute value."""
    for record in found.touch.records.values():
        if record.args and record.args[0] is main.result:
            if record.name in ("square", "norm", "mse") or (record.name == "pow" and record.args[1:] == (2,)):
                return "mse"
            if record.name == "abs":
                return "mae"
    return ""


def stated(found: Look, batch: Any, stepped: Stepped) -> tuple[Taken, ...]:
    """What was taken as what, and which batches were made."""
    rows = list(statement(found, batch_names(batch)))
    if stepped.reconstruct is not None or stepped.target is not None:
        rows = [_in_own_words(one, stepped) for one in rows]
    names = [name for name in found.parts.terms if name != "constant"]
    if len(names) > 1:
        rows.append(Taken(role="parts of the loss", source=", ".join(names)))
    feed = stepped.feed
    source = f"{stepped.chunk:,} of {feed.rows:,} rows" if not feed.whole else f"{feed.rows:,} as they came, whole"
    if feed.left:
        source += f"; {feed.left:,} more rows of the data set were not read"
    rows.append(Taken(role="batches", source=source))
    return tuple(rows)


def _in_own_words(one: Taken, stepped: Stepped) -> Taken:
    given = {"reconstruction": stepped.reconstruct, "target": stepped.target}.get(one.role)
    return one if given is None else Taken(role=one.role, shape=one.shape, source=f"{one.role}, as it was given")


def judge_all(stepped: Stepped, looks: Sequence[tuple[Look, int]]) -> Judged:
    """What watched batches of so many rows came to, as one table."""
    return joined([judged(one.touch, one.main, rows) for one, rows in looks if one.main is not None])
