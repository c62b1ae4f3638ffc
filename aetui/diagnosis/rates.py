"""The learning rate over the length of a run, from a spec's schedule or the caller's own scheduler."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from aetui.diagnosis.following import turn
from aetui.diagnosis.subject import Subject
from aetui.spec import sections as s
from aetui.training.schedules import factor_at

SPENT = 0.003
"""Share of its largest rate below which an optimizer all but stands still: three drops of a usual step schedule by ten
leave 0.001 for a short end, and half a cosine down to zero is below for its last 4 %."""
POINTS = 400
"""Places of a schedule that are looked at."""
TURNS = 100_000
"""Turns of a scheduler that are taken at most."""


@dataclass(frozen=True)
class Rates:
    """Learning rates of the first parameter group at some steps, evenly spread over a run of `length` steps.

    own: the optimizer's rate without a schedule.
    """

    steps: tuple[int, ...]
    values: tuple[float, ...]
    length: int
    own: float

    @property
    def peak(self) -> float:
        return max(self.values)

    @property
    def spent_from(self) -> int:
        """Step from which on the rate stays below SPENT of its peak; `length` where it does not."""
        last = max((n for n, value in enumerate(self.values) if value >= SPENT * self.peak), default=0)
        return self.length if last + 1 >= len(self.steps) else self.steps[last + 1]

    @property
    def spent(self) -> float:
        """Share of the run that the rate is spent for."""
        return 1 - self.spent_from / self.length

    @property
    def growth(self) -> float:
        """How many times the last rate is the first above zero, where it is about the largest then; else 1."""
        first = next((value for value in self.values if value > 0), 0.0)
        return self.values[-1] / first if first and self.values[-1] > 0.5 * self.peak else 1.0

    @property
    def reached(self) -> float:
        """The largest rate over the optimizer's own."""
        return self.peak / self.own if self.own else math.inf

    @property
    def passing(self) -> bool:
        """Whether the rate rises and comes down again, so that its peak is only passed, as in a cycle."""
        high = sum(value > 0.9 * self.peak for value in self.values) / len(self.values)
        return high < 0.5 and self.values[0] < 0.5 * self.peak and self.values[-1] < 0.5 * self.peak

    @property
    def working(self) -> float:
        """The rate to judge a run by: the largest, in a cycle the average, or where it grows and grows, or hardly comes
        up, the optimizer's own."""
        if self.reached < 0.1 or self.growth >= 100:
            return self.own
        return sum(self.values) / len(self.values) if self.passing else self.peak


def planned(subject: Subject, length: int | None) -> Rates | None:
    """The rates of a run of so many steps; None where nothing changes them, or where the losses decide.

    Nothing of the caller's is touched: a scheduler is copied onto an optimizer of its own.
    """
    if not length or length < 2:
        return None
    places = sorted({round(place * (length - 1) / (POINTS - 1)) for place in range(POINTS)})
    if subject.follow is not None:
        return _followed(subject, places, length)
    if isinstance(subject.schedule, s.Constant | s.Plateau):
        return None
    own = float(subject.build_optimizer(subject.copy()).param_groups[0]["lr"])
    values = tuple(own * factor_at(subject.schedule, step, subject.horizon or length) for step in places)
    return Rates(tuple(places), values, length, own)


def _followed(subject: Subject, places: Sequence[int], length: int) -> Rates | None:
    copy = subject.copy()
    groups = subject.bound(subject.build_optimizer, copy)(copy).param_groups
    own = float(groups[0].get("initial_lr", groups[0]["lr"]))
    each, turns = subject.steps_per_turn, length // subject.steps_per_turn
    if turns > TURNS or subject.follow is None:
        return None
    # Schedulers look at momentum and betas too.
    kept = [{key: value for key, value in group.items() if key != "params"} for group in groups]
    stand_in = torch.optim.SGD([{**group, "params": [nn.Parameter(torch.zeros(1))]} for group in kept], lr=own)
    rates: list[float] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scheduler = subject.follow(stand_in)
            if isinstance(scheduler, ReduceLROnPlateau):
                return None
            for _ in range(turns + 1):
                rates.append(float(stand_in.param_groups[0]["lr"]))
                turn(scheduler, 0.0)
    except Exception:  # noqa: BLE001 - a scheduler may end, as OneCycleLR does, or need what only a training has
        if len(rates) < turns:
            return None
    values = tuple(rates[min(step // each, len(rates) - 1)] for step in places)
    return Rates(tuple(places), values, length, own)


def measured(rates: Sequence[float], own: float) -> Rates | None:
    """The rates that the steps of a training had, the first of them step 0; None where they never changed."""
    if len(rates) < 2 or min(rates) == max(rates):
        return None
    stride = max(1, len(rates) // POINTS)
    places = range(0, len(rates), stride)
    return Rates(tuple(places), tuple(rates[place] for place in places), len(rates), own)
