"""What the number format of weights and computation does to the first step: overflow, and what is lost as too small."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor

from aetui.diagnosis.change import Change
from aetui.diagnosis.loop import HALVES, Loop
from aetui.diagnosis.rows import returned_by
from aetui.diagnosis.subject import Subject

ADAPTIVE = ("adam", "nadam", "radam", "adamax", "rmsprop", "adagrad", "adadelta")
"""Beginnings of the names of optimizers that divide by the gradient's size plus eps."""


@dataclass(frozen=True)
class Precision:
    """The number format, where it is one of 16 bits, and what it does.

    format: `float16` or `bfloat16`, '' for others. autocast: whether it is that of the computation only. eps: of the
    optimizer, where that is 0 in the format of the weights; else None. overflow: the module in which a value that is
    finite in float32 is not, `the loss` where it is that; '' for none. broken: share of the weights that are not finite
    after the first step, although gradients were. stalled: share of float32's first update, in squares, that belongs
    to weights which stay as they are in the format.
    """

    format: str = ""
    autocast: bool = False
    eps: float | None = None
    overflow: str = ""
    broken: float = 0.0
    stalled: float = 0.0


def measure_precision(subject: Subject) -> Precision:
    """Take the first step as it is and in float32, where the model or its computation is in 16 bits."""
    amp = None if subject.stepped is None else subject.stepped.amp
    kinds = Counter(one.dtype for one in subject.model.parameters() if one.dtype in HALVES)
    if not kinds and amp is None:
        return Precision()
    dtype = kinds.most_common(1)[0][0] if kinds else amp
    name = str(dtype).removeprefix("torch.")
    eps = None
    if kinds:
        groups = Loop(subject).optimizer.param_groups if subject.optimizer.startswith(ADAPTIVE) else []
        lost = [float(one["eps"]) for one in groups if one.get("eps") and not float(torch.tensor(one["eps"]).to(dtype))]
        eps = lost[0] if lost else None
    try:
        own, wide = Loop(subject), Loop(subject, Change(float32=True))
        overflow = _overflow(own, wide)
        broken, stalled = _first_step(own, wide) if kinds and not overflow else (0.0, 0.0)
    except Exception:  # noqa: BLE001 - a caller's step may cast to its format itself, and take no other
        overflow, broken, stalled = "", 0.0, 0.0
    return Precision(name, not kinds, eps, overflow, broken, stalled)


def _overflow(own: Loop, wide: Loop) -> str:
    """Where the first values that are not finite come from, '' where none are, or in float32 too."""
    found: list[tuple[list[tuple[str, Tensor]], Tensor]] = []
    for loop in (own, wide):
        rows = torch.arange(min(loop.chunk, loop.subject.rows, loop.subject.batch_size or loop.subject.rows))
        rows = rows.to(loop.inputs.device)
        with loop.looking(train=True), returned_by(loop.model) as outputs:
            target = loop.targets[rows]
            output = loop.forward(loop.inputs[rows].clone(), target)
            terms = loop.terms(output, target)
        found.append((list(outputs), sum(terms.values(), start=torch.zeros((), device=target.device))))
    (outputs, loss), (others, other_loss) = found
    for (name, one), (_, other) in zip(outputs, others, strict=False):
        if not bool(torch.isfinite(one).all()) and bool(torch.isfinite(other).all()):
            return name
    return "the loss" if not bool(torch.isfinite(loss)) and bool(torch.isfinite(other_loss)) else ""


def _first_step(own: Loop, wide: Loop) -> tuple[float, float]:
    """Share of the weights that are not finite after a step, and that of the update that is lost to rounding."""
    before, wide_before = ([one.detach().clone() for one in loop.trained] for loop in (own, wide))
    if not own.advance(1) or not wide.advance(1):
        return 0.0, 0.0
    total = sum(one.numel() for one in before)
    broken = sum(int((~torch.isfinite(one)).sum()) for one in own.trained)
    moved = lost = 0.0
    wide_after = [one.detach() for one in wide.trained]
    for one, old, other, former in zip(own.trained, before, wide_after, wide_before, strict=True):
        update = (other - former).double().square()
        moved += float(update.sum())
        lost += float(update[one == old].sum())
    return broken / max(1, total), lost / moved if moved else 0.0
