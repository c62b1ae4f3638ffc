"""How long a diagnosis may take, and what it left out because of that."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from numbers import Real

clock: Callable[[], float] = time.perf_counter
"""Seconds; what every budget reads."""

TIMES = 3.0
"""Length of a diagnosis at most, in those of the plain training, where the caller sets no limit."""
BEYOND = 120.0
"""Seconds at most that it takes beyond the training then."""
BRIEF = 5.0
"""Seconds that it may take beyond a short training then: three times a moment is a moment."""
TRAINING = 0.6
"""Share of the caller's limit that the training takes at most, so that something is left for probes."""
SIGN = 0.25
"""Seconds between two signs of life, as far as single steps are not longer."""
SLICE = 25
"""Steps between two signs of life at most."""

INTERRUPTED = "it was interrupted"
"""Why a diagnosis ended that somebody stopped."""


@dataclass
class Budget:
    """The time of one diagnosis, from the moment it is made.

    seconds: for the whole, None for the default: three times the plain training, and at most two minutes
    beyond it. asked: whether the caller said how long to train; if not, the training has those two minutes.
    Whoever asks is told only between two slices of work, so the last one ends later.
    """

    seconds: float | None = None
    asked: bool = True
    left_out: list[str] = field(default_factory=list)
    """What there was no time for, in words."""
    unprobed: list[str] = field(default_factory=list)
    """Probes among it, by their labels."""
    stopped: str = ""
    """Why nothing more is done, '' while there is time."""
    _start: float = field(default_factory=lambda: clock())
    _trained: float | None = None
    """When the training was over."""
    _pace: float = 0.0
    """Seconds of a step, as the last slice had it."""

    @property
    def passed(self) -> float:
        """Seconds since the start."""
        return clock() - self._start

    def stop(self, reason: str = INTERRUPTED) -> None:
        """Let nothing more begin."""
        self.stopped = self.stopped or reason

    def trained(self) -> None:
        """The training is over, and what follows is measured by how long it took."""
        self._trained = self.passed

    @property
    def limit(self) -> float:
        """Seconds that the diagnosis may take up to now: those of the training while that goes on."""
        if self.seconds is not None:
            return self.seconds
        if self._trained is None:
            return math.inf if self.asked else BEYOND
        return self._trained + max(BRIEF, min((TIMES - 1) * self._trained, BEYOND))

    def over(self, *, probes: bool = False) -> bool:
        """Whether time is up; during a training that `probes` follow, whether its own share of it is."""
        if not self.stopped and self.passed >= self.limit:
            self.stop(f"its {self.limit:.3g} s were over")
        share = TRAINING if probes and self.seconds is not None and self._trained is None else 1.0
        return bool(self.stopped) or self.passed >= share * self.limit

    def steps(self, wanted: int) -> int:
        """Steps of the next slice of work, so that it is short however long a step takes."""
        fitting = SLICE if self._pace <= 0 else int(min(SLICE, SIGN / self._pace))
        return max(1, min(wanted, fitting))

    def took(self, steps: int, began: float) -> None:
        """A slice of `steps` that began at `began` on the clock is over."""
        self._pace = max(0.0, clock() - began) / max(1, steps)

    def note(self) -> str:
        """What was left out and why, as a sentence; '' for nothing."""
        probes = [f"probes ({', '.join(dict.fromkeys(self.unprobed))})"] if self.unprobed else []
        if not (what := [*self.left_out, *probes]):
            return ""
        reason = self.stopped or f"{self.limit:.3g} s are not enough for all of it"
        return f"Left out, since {reason}: {'; '.join(what)}."


def checked_seconds(seconds: object) -> float | None:
    """A caller's limit.

    Raises:
        ValueError: it is no number above 0.
    """
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, Real) or not float(seconds) > 0:
        raise ValueError(f"seconds: {seconds!r} is not allowed; it takes a number above 0, or None")
    return float(seconds)
