"""What a run has recorded, cut to the columns of a chart."""

from bisect import bisect_right

import numpy as np
from numpy.typing import NDArray

from aetui import protocol as p
from aetui.tui.model import RunModel
from aetui.tui.trace import Trace


class Points:
    """Validation losses as arrays; only new points are read on each frame."""

    def __init__(self) -> None:
        self._source: list[p.Point] | None = None
        self._steps: list[int] = []
        self._values: list[float] = []
        self._read = 0

    def within(
        self, model: RunModel, first: int, last: int, columns: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Steps and losses in the range, at most two for each column: its minimum and maximum."""
        if model.points is not self._source:
            self._source, self._steps, self._values, self._read = model.points, [], [], 0
        for point in model.points[self._read :]:
            if point.validation is not None:
                self._steps.append(point.step)
                self._values.append(point.validation)
        self._read = len(model.points)
        start, stop = bisect_right(self._steps, first), bisect_right(self._steps, last)
        steps = np.array(self._steps[start:stop], np.float64)
        values = np.array(self._values[start:stop], np.float64)
        if len(steps) <= 2 * columns:
            return steps, values
        column = ((steps - first - 1) * columns // (last - first)).astype(int)
        edges = np.flatnonzero(np.r_[True, np.diff(column) > 0])
        finite = np.isfinite(values)
        low = np.minimum.reduceat(np.where(finite, values, np.inf), edges)
        high = np.maximum.reduceat(np.where(finite, values, -np.inf), edges)
        ends = np.stack((low, high), 1)
        ends[1::2] = ends[1::2, ::-1]
        return np.repeat(steps[edges], 2), ends.ravel()


def limits(loss: Trace, log: bool) -> tuple[float, float]:
    """How far what the run has left may stretch the axis: a decade, or twice what the present loss spans."""
    low, high = loss.columns.low, loss.columns.high
    shown = np.isfinite(low) & ((low > 0) | (not log))
    if not shown.any():
        return -np.inf, np.inf
    least, most = float(low[shown].min()), float(high[shown].max())
    reach = 2 * max(most - least, abs(most))
    return (least / 10, most * 10) if log else (least - reach, most + reach)
