"""The loss of training that the run has left, for the chart: one dotted trace each."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aetui import protocol as p
from aetui.tui import plot

MOST = 32
"""Branches drawn; of more, the newest."""

Floats = NDArray[np.float64]


class LeftBranches:
    """Traces of branches, kept while the branches and the columns of the chart stay the same."""

    def __init__(self) -> None:
        self._branches: Sequence[p.Branch] = ()
        self._place = (0, 0, 0)
        self._traces: list[tuple[Floats, Floats, Floats]] = []

    def bands(
        self, branches: Sequence[p.Branch], first: int, last: int, columns: int, limits: tuple[float, float]
    ) -> tuple[list[plot.Band], bool]:
        """Traces over steps first < step <= last, in every other column, and whether some of them is cut.

        limits: values outside are cut, so that training which went wrong does not flatten what goes on.
        """
        if branches is not self._branches or (first, last, columns) != self._place:
            self._branches, self._place = branches, (first, last, columns)
            self._traces = [_trace(branch, first, last, columns) for branch in branches[-MOST:]]
        found: list[plot.Band] = []
        cut = False
        for x, low, high in self._traces:
            inside = (low >= limits[0]) & (high <= limits[1])
            cut |= bool((~inside).any())
            if inside.any():
                found.append(plot.Band(x[inside], low[inside], high[inside], "muted"))
        return found, cut


def _trace(branch: p.Branch, first: int, last: int, columns: int) -> tuple[Floats, Floats, Floats]:
    """Center, low and high of every other column that the branch crosses; none where it is not finite."""
    edges = first + (last - first) * np.arange(columns + 1) / max(columns, 1)
    cells, steps, loss = _means(branch, edges)
    center = (edges[:-1] + edges[1:]) / 2
    sides = np.full((4, columns), np.nan)
    if len(steps):
        # Between two points one of which is not finite the interpolation is not finite either: a gap.
        for side, at in enumerate((edges[:-1], center, edges[1:])):
            sides[side] = np.interp(at, steps, loss, left=np.nan, right=np.nan)
        inside = (cells >= 1) & (cells <= columns)
        sides[3, cells[inside] - 1] = loss[inside]
    low = np.where(np.isfinite(sides), sides, np.inf).min(0)
    high = np.where(np.isfinite(sides), sides, -np.inf).max(0)
    held = np.flatnonzero(low <= high)
    dots = held[(held - held[:1].sum()) % 2 == 0]
    return center[dots] + 0.5, low[dots], high[dots]


def _means(branch: p.Branch, edges: Floats) -> tuple[NDArray[np.int64], Floats, Floats]:
    """For each column with points its number, from 1 on, with the mean step and the mean of the finite losses."""
    steps, loss = branch.steps.numpy().astype(np.float64), branch.loss.numpy().astype(np.float64)
    near = slice(max(0, int(np.searchsorted(steps, edges[0])) - 1), int(np.searchsorted(steps, edges[-1])) + 1)
    steps, loss = steps[near], loss[near]
    if not len(steps):
        return np.empty(0, np.int64), np.empty(0), np.empty(0)
    cells, starts, sizes = np.unique(np.searchsorted(edges, steps), return_index=True, return_counts=True)
    finite = np.isfinite(loss)
    counts = np.add.reduceat(finite.astype(np.int64), starts)
    sums = np.add.reduceat(np.where(finite, loss, 0.0), starts)
    means = np.divide(sums, counts, out=np.full(len(cells), np.nan), where=counts > 0)
    return cells, np.add.reduceat(steps, starts) / sizes, means
