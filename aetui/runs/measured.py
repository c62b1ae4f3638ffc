"""The explained variance along the branches of a run, each with the step that it was measured at."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Sequence

from aetui.runs.lineage import Stretch

_Measurement = tuple[int, float]


class Measured:
    """Measurements by branch, in the order of their steps; may be read while another thread adds."""

    def __init__(self, rows: Iterable[tuple[int, int, float]]) -> None:
        """`rows`: branch, step and explained variance."""
        self._of: dict[int, list[_Measurement]] = {}
        for row in rows:
            self.add(*row)

    def add(self, branch: int, step: int, explained: float) -> None:
        insort(self._of.setdefault(branch, []), (step, explained), key=lambda one: one[0])

    def last(self, path: Sequence[Stretch]) -> _Measurement | None:
        """Step and explained variance of the newest measurement on a path, None where there is none."""
        for stretch in reversed(path):
            found = self._of.get(stretch.branch, [])
            at = bisect_right(found, stretch.end, key=lambda one: one[0])
            if at and found[at - 1][0] >= stretch.start:
                return found[at - 1]
        return None
