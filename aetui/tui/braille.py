"""Lines in braille, drawn by plotext: the one module that knows it.

plotext gets whole dots inside the canvas and nothing else, since a NaN aborts its process and an
infinity raises, and as few points as the line needs, since its cost grows with them. Its figure is
one per process: it is used here only, from one thread, and cleared after every use. It is
imported on the first line drawn.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

BLANK, FIRST = 0x20, 0x2800
"""Code points of an empty cell, and of the first of the 256 braille patterns."""

Codes = NDArray[np.uint32]
"""Characters as code points, shape (rows, columns)."""
Dots = NDArray[np.int64]

_size: tuple[int, int] | None = None


def _figure(columns: int, rows: int) -> Any:
    """plotext's figure as a bare canvas on which (i + 0.5, j + 0.5) is dot i from the left, j from below."""
    global _size
    import plotext

    figure = plotext.figure
    if (columns, rows) != _size:
        figure.clear()
        plotext.terminal.limit(False, False)
        figure.plot_size(columns, rows)
        figure.axes(False)
        figure.legend(False)
        figure.canvas("default")
        for axis, dots in enumerate((2 * columns, 4 * rows)):
            for side in (0, 1):
                figure.ruler(axis, side).ticks([], [])
            figure.ruler(axis, 0).alignment(lim="edge")
            figure.ruler(axis, 0).lim(0, dots)
        _size = (columns, rows)
    return figure


def polyline(columns: int, rows: int, x: Dots, y: Dots, breaks: NDArray[np.bool_]) -> Codes:
    """A line through dots as characters on a canvas of `columns` x `rows` cells, shape (rows, columns).

    x: dots from the left, 0 to 2 * columns - 1. y: dots from below, 0 to 4 * rows - 1. breaks: no
    line leads to this point from the one before. All of shape (n,).
    """
    if not (columns and rows and len(x)):
        return np.full((rows, columns), BLANK, np.uint32)
    x, y, breaks = _thin(x, y, breaks)
    figure = _figure(columns, rows)
    signal = figure.signal((x + 0.5).tolist(), (y + 0.5).tolist(), marker="braille").lines(True)
    for index in np.flatnonzero(breaks).tolist():
        signal.line(index, False)
    text = figure.draw(signal).build().string(colorless=True)
    figure.clear.data()
    codes = np.frombuffer(text.encode("utf-32-le"), "<u4").reshape(rows, columns + 1)
    return codes[:, :columns].astype(np.uint32)


def _thin(x: Dots, y: Dots, breaks: NDArray[np.bool_]) -> tuple[Dots, Dots, NDArray[np.bool_]]:
    """Without the points that repeat the one before or lie on the way between their neighbors."""
    repeats = np.r_[False, (np.diff(x) == 0) & (np.diff(y) == 0)] & ~breaks
    x, y, breaks = x[~repeats], y[~repeats], breaks[~repeats]
    if len(x) < 3:
        return x, y, breaks
    dx, dy = np.diff(x), np.diff(y)
    straight = (dx[:-1] * dy[1:] == dx[1:] * dy[:-1]) & (dx[:-1] * dx[1:] + dy[:-1] * dy[1:] > 0)
    keep = np.r_[True, ~(straight & ~breaks[1:-1] & ~breaks[2:]), True]
    return x[keep], y[keep], breaks[keep]
