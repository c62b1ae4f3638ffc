"""Learning-rate schedules: the rate in force is optim.lr times a factor.

Because the schedule is a factor, a manual change of optim.lr rescales what is left of it and is
never overwritten.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aetui.spec import sections as s
from aetui.spec.fields import fields_of
from aetui.training.kinds import complete, takes


@dataclass(frozen=True)
class ScheduleKind:
    """The factor of a schedule; an exported script has the source of what is here."""

    factor: Callable[..., float] | None
    """(step, and the section's settings by name) after `step` completed steps; None where the losses decide it."""
    uses: tuple[Callable[..., Any], ...] = ()
    """What else its source needs."""


@dataclass
class PlateauState:
    """The rate drops when the loss, averaged over a window, has not improved for a number of readings."""

    factor: float = 1.0
    best: float = math.inf
    waited: int = 0
    total: float = 0.0
    count: int = 0

    def observe(self, loss: float, window: int, patience: int, factor: float, threshold: float, floor: float) -> None:
        """Take note of the loss of a step."""
        self.total += loss
        self.count += 1
        if self.count < window:
            return
        reading = self.total / self.count
        self.total, self.count = 0.0, 0
        if reading < self.best * (1 - threshold) or self.best == math.inf:
            self.best, self.waited = reading, 0
            return
        self.waited += 1
        if self.waited >= patience:
            self.factor = max(floor, self.factor * factor)
            self.waited = 0


def half_cosine(start: float, end: float, share: float) -> float:
    """From `start` to `end` along half a cosine; flat after the end."""
    return end + (start - end) * (1 + math.cos(math.pi * min(max(share, 0.0), 1.0))) / 2


def constant(step: int) -> float:
    return 1.0


def step_decay(step: int, every: int, factor: float) -> float:
    return factor ** (step // every)


def exponential(step: int, decay: float) -> float:
    return decay**step


def cosine(step: int, steps: int, floor: float) -> float:
    return half_cosine(1.0, floor, step / steps)


def warmup_linear(step: int, warmup: int) -> float:
    return min(1.0, (step + 1) / (warmup + 1))


def one_cycle(step: int, steps: int, rise: float, start: float, floor: float) -> float:
    peak = rise * steps
    if step < peak:
        return half_cosine(start, 1.0, step / peak)
    return half_cosine(1.0, floor, (step - peak) / max(steps - peak, 1e-12))


SCHEDULES: dict[type, ScheduleKind] = complete(
    {
        s.Constant: ScheduleKind(constant),
        s.StepDecay: ScheduleKind(step_decay),
        s.Exponential: ScheduleKind(exponential),
        s.Cosine: ScheduleKind(cosine, uses=(half_cosine,)),
        s.WarmupLinear: ScheduleKind(warmup_linear),
        s.OneCycle: ScheduleKind(one_cycle, uses=(half_cosine,)),
        s.Plateau: ScheduleKind(None, uses=(PlateauState,)),
    },
    s.Schedule,
)
"""The factor of each kind of a spec. One with a setting `steps` takes the run's own length where that is 0."""

for _section, _kind in SCHEDULES.items():
    takes(_kind.factor or PlateauState.observe, fields_of(_section))


class RateSchedule:
    """The factor on optim.lr, step by step.

    A new kind of schedule starts at its own first step; changed numbers within a kind leave the
    origin where it was.
    """

    def __init__(self, section: s.Schedule) -> None:
        self._take(section)
        self.origin = 0
        self.plateau = PlateauState()

    def change(self, section: s.Schedule, step: int) -> None:
        """Put `section` in force for the step after `step` completed ones."""
        if type(section) is not type(self.section):
            self.origin = step
            self.plateau = PlateauState()
        self._take(section)

    def _take(self, section: s.Schedule) -> None:
        self.section = section
        self.needs_loss = SCHEDULES[type(section)].factor is None
        self.moves = not isinstance(section, s.Constant)
        """Whether the factor is ever another than 1."""

    def factor(self, step: int, goal: int | None = None) -> float:
        """Factor for the step after `step` completed ones of a run that ends at `goal`."""
        if self.needs_loss:
            return self.plateau.factor
        return factor_at(self.section, step - self.origin, None if goal is None else goal - self.origin)

    def observe(self, loss: float) -> None:
        """Tell a schedule that needs it the loss of a step."""
        self.plateau.observe(loss, **settings_of(self.section))


def factor_at(section: s.Schedule, step: int, length: int | None = None) -> float:
    """Factor after `step` completed steps of a schedule that depends on nothing else.

    Args:
        length: steps that a schedule of 0 steps takes; None, for a run without an end, leaves the
            rate at its peak.
    """
    factor, settings = SCHEDULES[type(section)].factor, settings_of(section)
    if factor is None:
        return 1.0
    if settings.get("steps") == 0:
        if not length or length < 1:
            return 1.0
        settings["steps"] = length
    return factor(step, **settings)


def settings_of(section: s.Schedule) -> dict[str, Any]:
    return {name: getattr(section, name) for name in section.__struct_fields__}
