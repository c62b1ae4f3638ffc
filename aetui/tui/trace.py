"""A per-step record as a chart draws it: the line, and the band of minimum and maximum around it."""

import numpy as np

from aetui.tui import plot
from aetui.tui.series import Columns, Series

_ROUND = (10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100)


def round_end(whole: int) -> int:
    """The right end of an axis for so many steps, which moves in jumps, so that the columns stay while they grow."""
    power = 10 ** max(0, len(str(whole)) - 2)
    return next((n * power for n in _ROUND if n * power >= whole), 10 * power * 10)


class Trace:
    """A series cut to the columns of a chart: its line, and the band of minimum and maximum."""

    def __init__(self, series: Series, first: int, last: int, columns: int, smoothing: int) -> None:
        # Two dots fit in a cell: with few steps each step gets its own place and needs no band.
        self.single = last - first <= 2 * columns
        count = last - first if self.single else columns
        edges = first + (last - first) * np.arange(count + 1, dtype=np.int64) // max(count, 1)
        spans = series.spans(edges[:-1], edges[1:])
        held = (spans.count > 0) | spans.broken
        self.columns = Columns(*(getattr(spans, name)[held] for name in Columns.__dataclass_fields__))
        self.mean = self.columns.mean
        if smoothing:
            stops = np.minimum(edges[1:], len(series))[held]
            starts = np.minimum(edges[:-1][held], np.maximum(first, stops - smoothing))
            smooth = series.spans(starts, stops).mean
            self.mean = np.where(self.columns.count > 0, smooth, np.nan)
        self.smoothing = smoothing

    def line(self, role: str, name: str) -> plot.Line:
        return plot.Line(self.columns.x, self.mean, role, name)

    def bands(self) -> list[plot.Band]:
        if self.single and not self.smoothing:
            return []
        return [plot.Band(self.columns.x, self.columns.low, self.columns.high, "muted")]

    def gaps(self) -> list[float]:
        return self.columns.x[self.columns.broken].tolist()
