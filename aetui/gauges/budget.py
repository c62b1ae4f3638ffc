"""Measuring takes a fixed share of the time, however large the model."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Budget:
    """Says when a gauge may run again, so that all of them together take `share` of the time.

    The gauges that somebody asked for within the last `FORGET` seconds divide the share evenly: of m
    such gauges, one whose last run took t seconds is due again t x m / share seconds after that run
    ended. It then takes less than share / m of the time, and all of them less than `share`, from
    the second run of each on. A cheap gauge stays frequent beside a costly one. A gauge that never
    ran is due at once.

    Args:
        share: of the wall clock, above 0 and up to 1.
        clock: seconds, from any zero.

    Raises:
        ValueError: the share is out of range.
    """

    FORGET = 5.0

    def __init__(self, share: float, clock: Callable[[], float] = time.perf_counter) -> None:
        if not 0 < share <= 1:
            raise ValueError(f"a share of {share} is not allowed; it is above 0 and up to 1")
        self.share = share
        self.clock = clock
        self._cost: dict[str, float] = {}
        self._ended: dict[str, float] = {}
        self._asked: dict[str, float] = {}

    def due(self, name: str, now: float | None = None) -> bool:
        """Whether the gauge `name` may run; `now` is a reading of the clock."""
        if now is None:
            now = self.clock()
        self._asked[name] = now
        if name not in self._ended:
            return True
        present = sum(now - asked <= self.FORGET for asked in self._asked.values())
        return now - self._ended[name] >= self._cost[name] * present / self.share

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Time a run of the gauge `name`; a run that fails counts too."""
        start = self.clock()
        try:
            yield
        finally:
            end = self.clock()
            self._cost[name] = end - start
            self._ended[name] = end
