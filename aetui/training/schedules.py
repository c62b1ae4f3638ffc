"""Learning-rate schedules: the rate in force is optim.lr times a factor.

Because the schedule is a factor, a manual change of optim.lr rescales what is left of it and is
never overwritten.
"""

import math
from dataclasses import dataclass

from msgspec.structs import replace

from aetui.spec import sections as s


@dataclass
class PlateauState:
    """What reduce-on-plateau remembers between readings of the loss."""

    factor: float = 1.0
    best: float = math.inf
    waited: int = 0
    total: float = 0.0
    count: int = 0


class RateSchedule:
    """The factor on optim.lr, step by step.

    A new kind of schedule starts at its own first step; changed numbers within a kind leave the
    origin where it was.
    """

    def __init__(self, section: s.Schedule) -> None:
        self.section = section
        self.origin = 0
        self.plateau = PlateauState()

    def change(self, section: s.Schedule, step: int) -> None:
        """Put `section` in force for the step after `step` completed ones."""
        if type(section) is not type(self.section):
            self.origin = step
            self.plateau = PlateauState()
        self.section = section

    @property
    def needs_loss(self) -> bool:
        return isinstance(self.section, s.Plateau)

    def factor(self, step: int, goal: int | None = None) -> float:
        """Factor for the step after `step` completed ones of a run that ends at `goal`."""
        if isinstance(self.section, s.Plateau):
            return self.plateau.factor
        return factor_at(self.section, step - self.origin, None if goal is None else goal - self.origin)

    def observe(self, loss: float) -> None:
        """Tell the plateau schedule the loss of a step."""
        section, state = self.section, self.plateau
        assert isinstance(section, s.Plateau)
        state.total += loss
        state.count += 1
        if state.count < section.window:
            return
        reading = state.total / state.count
        state.total, state.count = 0.0, 0
        if reading < state.best * (1 - section.threshold) or state.best == math.inf:
            state.best, state.waited = reading, 0
            return
        state.waited += 1
        if state.waited >= section.patience:
            state.factor = max(section.floor, state.factor * section.factor)
            state.waited = 0


def factor_at(section: s.Schedule, step: int, length: int | None = None) -> float:
    """Factor after `step` completed steps of a schedule that depends on nothing else.

    Args:
        length: steps that a schedule of 0 steps takes; None, for a run without an end, leaves the
            rate at its peak.
    """
    if isinstance(section, s.Cosine | s.OneCycle) and section.steps == 0:
        if not length or length < 1:
            return 1.0
        section = replace(section, steps=length)
    match section:
        case s.StepDecay():
            return section.factor ** (step // section.every)
        case s.Exponential():
            return section.decay**step
        case s.Cosine():
            return _cosine(1.0, section.floor, step / section.steps)
        case s.WarmupLinear():
            return min(1.0, (step + 1) / (section.warmup + 1))
        case s.OneCycle():
            peak = section.rise * section.steps
            if step < peak:
                return _cosine(section.start, 1.0, step / peak)
            return _cosine(1.0, section.floor, (step - peak) / max(section.steps - peak, 1e-12))
        case _:
            return 1.0


def _cosine(start: float, end: float, share: float) -> float:
    """From `start` to `end` along half a cosine; flat after the end."""
    return end + (start - end) * (1 + math.cos(math.pi * min(max(share, 0.0), 1.0))) / 2
