"""When the steps of a run were taken, as far as a screen knows: from its events and from what it saw itself."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_MOST = 8192
"""Pairs kept; of more, every other one of the screen's own is dropped."""
_PAUSE = 1e-6
"""Part of a step between the end of a pause and its beginning, which are at the same one."""

Floats = NDArray[np.floating[Any]]


class StepTimes:
    """Pairs of a step and the time at which it was the last one taken; both only grow."""

    def __init__(self) -> None:
        self._pairs: list[tuple[float, float]] = []
        """Time first, so that they sort by it."""

    def add(self, step: int, time: float) -> None:
        """The run stood at `step` at `time`, in seconds since the epoch; later ones that it has left are forgotten."""
        if time <= 0:
            return
        while self._pairs and self._pairs[-1][1] > step:
            self._pairs.pop()
        if self._pairs and time < self._pairs[-1][0]:
            return
        # Of three at one step the middle one says nothing.
        if len(self._pairs) > 1 and self._pairs[-1][1] == self._pairs[-2][1] == step:
            self._pairs.pop()
        self._pairs.append((time, step))
        if len(self._pairs) > _MOST:
            del self._pairs[1:-1:2]

    def add_past(self, pairs: list[tuple[int, float]]) -> None:
        """Steps and times of what happened before this screen came."""
        known, self._pairs = self._pairs, []
        for step, time in sorted([*pairs, *((int(step), time) for time, step in known)], key=lambda pair: pair[1]):
            self.add(step, time)

    def known(self) -> tuple[Floats, Floats] | None:
        """Steps, growing, and their times, each of shape (n,); None where fewer than two steps are known."""
        if len(self._pairs) < 2 or self._pairs[0][1] == self._pairs[-1][1]:
            return None
        times, steps = np.array(self._pairs, np.float64).T
        steps = steps + _PAUSE * np.r_[False, np.diff(steps) == 0]
        return steps, times
