"""Line charts in braille, with axes, reference lines and marks.

plotext draws the lines (see `braille`), from whole dots inside the canvas; axes, labels and marks
are laid around them here. Call from one thread only.

Everything is drawn so that it reads without color: reference lines are dashed and labelled in
place, a series may carry a glyph at its points and its name at its right end.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len

from aetui.tui import braille
from aetui.tui import scale as scales
from aetui.tui.braille import Codes
from aetui.tui.markers import Marker, drawn_in

Parts = list[tuple[str, str]]
"""A row as (text, role) pairs."""
Array = NDArray[Any]

XTicks = Callable[[float, float, int], list[tuple[float, str]]]

REFERENCE, MARK, CURSOR, GAP = "┄", "╎", "┃", "×"
AXIS_LABELS = 7
"""Cells of the labels left of the axis, at least, so that the canvas does not move as they change."""
END_LABELS = 6
"""Cells for the series' names right of the canvas."""
_BLANK, _BRAILLE = braille.BLANK, braille.FIRST
_DOT_ROWS = np.array([0x09, 0x12, 0x24, 0xC0])
"""Both dots of each of the four rows of a braille cell, from above."""


@dataclass(frozen=True)
class Line:
    """A series; NaN and infinities break it. x ascends, arrays of shape (n,)."""

    x: Array
    y: Array
    role: str
    label: str = ""
    """Name at its right end, up to 5 cells."""
    glyph: str = ""
    """Character drawn at its points, thinned out where they are dense."""
    apart: int = 4
    """Columns between two such characters, at least."""
    first: int = 0
    """Column before which there is none, so that those of lines that coincide stand side by side."""


@dataclass(frozen=True)
class Band:
    """What lies between two series, drawn beneath the lines: minimum and maximum of each column."""

    x: Array
    low: Array
    high: Array
    role: str


@dataclass(frozen=True)
class Reference:
    """A horizontal dashed line with its label; it stretches the axis only where it is near."""

    y: float
    label: str
    role: str = "floor"


@dataclass(frozen=True)
class Mark:
    """A vertical dashed line at `x`, labelled where there is room."""

    x: float
    label: str
    role: str = "mark"
    glyph: str = MARK


@dataclass(frozen=True)
class Chart:
    """Rows of exactly the width asked for, and remarks on what the chart can't show."""

    rows: list[Parts]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Layout:
    """Where the canvas lies: `columns` x `rows` cells, right of `left` cells, left of `right` cells."""

    columns: int
    rows: int
    left: int
    right: int
    x_axis: bool


def layout(width: int, height: int, labels: int = AXIS_LABELS) -> Layout:
    """The parts of a chart of a size; with little room first the names, then the axes are left out."""
    labels = max(labels, AXIS_LABELS)
    left = labels + 1 if width >= labels + 13 else 0
    right = END_LABELS if width - left >= 40 else 0
    x_axis = height >= 4 and left > 0
    return Layout(max(width - left - right, 0), max(height - 2 * x_axis, 0), left, right, x_axis)


def render(
    width: int,
    height: int,
    *,
    lines: Sequence[Line] = (),
    bands: Sequence[Band] = (),
    references: Sequence[Reference] = (),
    marks: Sequence[Mark] = (),
    gaps: Sequence[float] = (),
    log: bool = False,
    x_range: tuple[float, float] | None = None,
    x_name: str = "step",
    x_ticks: XTicks = scales.x_ticks,
    close: bool = False,
    marker: Marker = "braille",
) -> Chart:
    """A chart of `width` x `height` cells.

    gaps: x of values that are not finite, marked at the foot of the canvas. log: logarithmic y
    axis; values at or below 0 are left out and said so, and with nothing above 0 the axis is
    linear. x_range: left and right edge of the canvas, default what the lines and bands span. x_ticks: ticks
    between two x for so many columns. close: only references right beside the values stretch the y
    axis. marker: what lines and bands are drawn in.
    """
    if width < 1 or height < 1:
        return Chart([[] for _ in range(max(height, 0))])
    notes: list[str] = []
    references = [reference for reference in references if isfinite(reference.y)]
    values = [np.asarray(line.y, np.float64) for line in lines]
    values += [np.asarray(side, np.float64) for band in bands for side in (band.low, band.high)]
    y = scales.fit(values, [reference.y for reference in references], log, notes, close)
    place = layout(width, height)
    ticks = scales.y_ticks(y, place.rows)
    widest = max((len(label) for _, label in ticks), default=0)
    if widest > AXIS_LABELS:
        place = layout(width, height, widest)
        if not place.left:
            notes.append(f"y axis from {ticks[0][1]} to {ticks[-1][1]}")
    x = x_range or _extent([line.x for line in lines] + [band.x for band in bands])
    canvas = _Canvas(place, x, y)
    for band in bands:
        canvas.band(band)
    for line in lines:
        canvas.line(line)
    for line in lines:
        canvas.glyphs(line)
    canvas.gaps(gaps)
    # Dashes before all labels, so that they don't fill the spaces between words.
    for reference in references:
        canvas.dashes(reference)
    columns = canvas.mark_lines(marks)
    for reference in references:
        canvas.reference_label(reference, notes)
    canvas.mark_labels(columns)
    canvas.codes = drawn_in(canvas.codes, marker)
    across = x_ticks(*canvas.x, place.columns) if place.x_axis else []
    return Chart(_frame(canvas, ticks, across, lines, x_name, width), notes)


class _Canvas:
    """The inside of a chart: a grid of characters with their roles, drawn to from back to front."""

    def __init__(self, place: Layout, x: tuple[float, float], y: scales.Scale) -> None:
        self.place, self.x, self.y = place, x, y
        self.codes: Codes = np.full((place.rows, place.columns), _BLANK, np.uint32)
        self.roles: list[str] = ["text"]
        self.inks = np.zeros((place.rows, place.columns), np.uint8)
        self.filled = np.zeros((place.rows, place.columns), bool)
        """Cells of bands: a line takes their place, or it would not be seen in them."""

    def ink(self, role: str) -> int:
        if role not in self.roles:
            self.roles.append(role)
        return self.roles.index(role)

    def x_dots(self, x: Array) -> Array:
        low, high = self.x
        unit = (np.asarray(x, np.float64) - low) / (high - low)
        return np.clip(np.floor(unit * 2 * self.place.columns), 0, 2 * self.place.columns - 1).astype(np.int64)

    def column(self, x: float) -> int | None:
        inside = self.x[0] <= x <= self.x[1] and self.place.columns
        return int(self.x_dots(np.array([x]))[0]) // 2 if inside else None

    def y_dots(self, y: Array) -> Array:
        return np.round(self.y.unit(y) * (4 * self.place.rows - 1)).astype(np.int64)

    def row(self, y: float) -> int:
        return self.place.rows - 1 - int(self.y_dots(np.array([y]))[0]) // 4

    def inside(self, x: Array) -> Array:
        return (np.asarray(x) >= self.x[0]) & (np.asarray(x) <= self.x[1])

    def band(self, band: Band) -> None:
        low, high = np.asarray(band.low, np.float64), np.asarray(band.high, np.float64)
        keep = self.y.shows(high) & self.inside(band.x)
        if not (self.place.columns and keep.any()):
            return
        # What reaches to 0 and below on a log axis is drawn down to the foot of the chart.
        low = np.where(self.y.shows(low), low, self.y.low)[keep]
        bottom, top = np.full(self.place.columns, 4 * self.place.rows), np.full(self.place.columns, -1)
        cells = self.x_dots(band.x)[keep] // 2
        np.minimum.at(bottom, cells, self.y_dots(low))
        np.maximum.at(top, cells, self.y_dots(high[keep]))
        dots = np.arange(4 * self.place.rows)[::-1, None]
        inside = ((dots >= bottom) & (dots <= top)).reshape(self.place.rows, 4, self.place.columns)
        drawn = np.einsum("rdc,d->rc", inside, _DOT_ROWS)
        self._lay(np.where(drawn > 0, drawn + _BRAILLE, _BLANK).astype(np.uint32), band.role)
        self.filled = self.codes != _BLANK

    def line(self, line: Line) -> None:
        values = np.asarray(line.y, np.float64)
        keep = self.y.shows(values) & self.inside(line.x)
        if not keep.any():
            return
        x, y = self.x_dots(line.x)[keep], self.y_dots(values[keep])
        breaks = np.r_[False, np.diff(np.flatnonzero(keep)) > 1]
        self._strokes(x, y, breaks, line.role)

    def glyphs(self, line: Line) -> None:
        """The line's character at its points, with room between."""
        values = np.asarray(line.y, np.float64)
        keep = self.y.shows(values) & self.inside(line.x)
        if not (line.glyph and self.place.rows and keep.any()):
            return
        columns = self.x_dots(line.x)[keep] // 2
        rows = self.place.rows - 1 - self.y_dots(values[keep]) // 4
        last = line.first - line.apart
        for column, row in zip(columns.tolist(), rows.tolist(), strict=True):
            if column - last >= line.apart:
                self.codes[row, column], self.inks[row, column] = ord(line.glyph), self.ink(line.role)
                last = column

    def _strokes(self, x: Array, y: Array, breaks: Array, role: str) -> None:
        self._lay(braille.polyline(self.place.columns, self.place.rows, x, y, breaks), role)

    def _lay(self, drawn: Codes, role: str) -> None:
        new = drawn != _BLANK
        both = new & ~self.filled & (self.codes >= _BRAILLE) & (self.codes < _BRAILLE + 256)
        self.codes[both] |= drawn[both]
        self.codes[new & ~both] = drawn[new & ~both]
        self.inks[new] = self.ink(role)
        self.filled &= ~new

    def gaps(self, gaps: Sequence[float]) -> None:
        for x in gaps:
            column = self.column(x)
            if column is not None and self.place.rows:
                self.codes[-1, column], self.inks[-1, column] = ord(GAP), self.ink("warning")

    def dashes(self, reference: Reference) -> None:
        if self.place.rows and not self.y.side(reference.y):
            row = self.row(reference.y)
            free = self.codes[row] == _BLANK
            self.codes[row, free], self.inks[row, free] = ord(REFERENCE), self.ink(reference.role)

    def reference_label(self, reference: Reference, notes: list[str]) -> None:
        """The label, where it hides no data: on the line, else next to it, else as a note."""
        where = self.y.side(reference.y)
        if where:
            text = f"{reference.label} {where} the chart"
            rows = [0, 1] if where == "above" else [self.place.rows - 1, self.place.rows - 2]
        else:
            text, row = reference.label, self.row(reference.y)
            rows = [row, row - 1, row + 1]
        if not self._write_right(text, rows, reference.role):
            notes.append(text if where else f"{REFERENCE} {text}")

    def mark_lines(self, marks: Sequence[Mark]) -> list[tuple[int, Mark]]:
        """Vertical lines behind the data; gives back the marks inside with their columns."""
        found = [(column, mark) for mark in marks if (column := self.column(mark.x)) is not None]
        for column, mark in found:
            codes = self.codes[:, column]
            free = (codes == _BLANK) | (codes == ord(REFERENCE)) | (mark.glyph != MARK)
            self.codes[free, column], self.inks[free, column] = ord(mark.glyph), self.ink(mark.role)
        return found

    def mark_labels(self, found: Sequence[tuple[int, Mark]]) -> None:
        """Labels where there is room, the last mark's first."""
        rows = [*range(min(4, self.place.rows)), *range(self.place.rows - 1, max(3, self.place.rows - 4), -1)]
        for column, mark in reversed(found):
            if mark.label:
                self._write_beside(mark.label, column, rows, mark.role)

    def _free(self, row: int) -> str:
        """The row with one character a cell: blank where text may go, also over a dashed line."""
        codes = self.codes[row]
        return "".join(" " if free else "#" for free in (codes == _BLANK) | (codes == ord(REFERENCE)))

    def _write(self, row: int, column: int, text: str, role: str) -> None:
        self.codes[row, column : column + len(text)] = _code_points(text)
        self.inks[row, column : column + len(text)] = self.ink(role)

    def _write_right(self, text: str, rows: Sequence[int], role: str) -> bool:
        """Write as far right as there is room in the first row that has some."""
        for row in rows:
            if 0 <= row < self.place.rows:
                at = self._free(row).rfind(" " * (len(text) + 2))
                if at >= 0:
                    self._write(row, at, f" {text} ", role)
                    return True
        return False

    def _write_beside(self, text: str, column: int, rows: Sequence[int], role: str) -> bool:
        for row in rows:
            free = self._free(row)
            if free[column + 1 : column + 2 + len(text)] == " " * (len(text) + 1):
                self._write(row, column + 1, text, role)
                return True
            start = column - len(text)
            if start > 0 and not free[start - 1 : column].strip():
                self._write(row, start, text, role)
                return True
        return False


def _frame(
    canvas: _Canvas,
    ticks: list[tuple[float, str]],
    across: list[tuple[float, str]],
    lines: Sequence[Line],
    x_name: str,
    width: int,
) -> list[Parts]:
    """The canvas with its axes and the series' names."""
    place = canvas.place
    labels = {canvas.row(value): label for value, label in reversed(ticks)} if place.rows and place.left else {}
    names = _end_labels(canvas, lines) if place.right else {}
    rows: list[Parts] = []
    for row in range(place.rows):
        parts: Parts = []
        if place.left:
            parts.append((labels.get(row, "").rjust(place.left - 1) + ("┤" if row in labels else "│"), "muted"))
        parts += _parts(canvas.codes[row], canvas.inks[row], canvas.roles)
        if place.right:
            text, role = names.get(row, ("", "text"))
            parts.append((f" {text}"[: place.right].ljust(place.right), role))
        rows.append(parts)
    if place.x_axis:
        line, text = _x_axis(canvas, across, x_name)
        rows.append([((" " * (place.left - 1) + line).ljust(width), "muted")])
        corner = "log y" if canvas.y.log else ""
        rows.append([((corner.ljust(place.left) + text).ljust(width), "muted")])
    return rows


def _x_axis(canvas: _Canvas, ticks: list[tuple[float, str]], name: str) -> tuple[str, str]:
    columns = canvas.place.columns
    line, text = list("─" * columns), list(" " * columns)
    inside = columns >= 24 and not canvas.place.right
    room = columns - len(name) - 2 if inside else columns
    for value, label in ticks:
        column = canvas.column(value)
        if column is None:
            continue
        line[column] = "┬"
        start = max(0, min(column - len(label) // 2, room - len(label)))
        if start + len(label) <= room and not "".join(text[max(0, start - 1) : start + len(label) + 1]).strip():
            text[start : start + len(label)] = label
    if inside:
        text[columns - len(name) :] = name
    elif canvas.place.right:
        text += f" {name}"[: canvas.place.right]
    return "└" + "".join(line), "".join(text)


def _end_labels(canvas: _Canvas, lines: Sequence[Line]) -> dict[int, tuple[str, str]]:
    """Names by row, each at its line's last value or next to it, in the order of the values."""
    ends: list[tuple[float, Line]] = []
    for line in lines:
        values = np.asarray(line.y, np.float64)
        shown = values[canvas.y.shows(values) & canvas.inside(line.x)]
        if line.label and shown.size:
            ends.append((float(shown[-1]), line))
    ends = sorted(ends, key=lambda end: -end[0])[: canvas.place.rows]
    rows: list[int] = []
    for value, _ in ends:
        rows.append(max(canvas.row(value), rows[-1] + 1 if rows else 0))
    bottom = canvas.place.rows
    for index in reversed(range(len(rows))):
        rows[index] = bottom = min(rows[index], bottom - 1)
    return {row: (line.label, line.role) for row, (_, line) in zip(rows, ends, strict=True)}


def _extent(arrays: Sequence[Array]) -> tuple[float, float]:
    joined = np.concatenate([np.asarray(array, np.float64) for array in arrays]) if arrays else np.empty(0)
    joined = joined[np.isfinite(joined)]
    if not joined.size:
        return 0.0, 1.0
    low, high = float(joined.min()), float(joined.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _parts(codes: Codes, inks: Array, roles: list[str]) -> Parts:
    """Equal neighbors as one part; blanks go with whatever is before them."""
    if not len(codes):
        return []
    inks = inks.copy()
    blank = codes == _BLANK
    last = np.maximum.accumulate(np.where(blank, 0, np.arange(len(codes))))
    inks = inks[last]
    edges = [0, *(np.flatnonzero(np.diff(inks)) + 1).tolist(), len(codes)]
    text = codes.astype("<u4").tobytes().decode("utf-32-le")
    return [(text[a:b], roles[inks[a]]) for a, b in pairwise(edges)]


@lru_cache(1024)
def _code_points(text: str) -> Codes:
    return np.array([ord(character) if cell_len(character) == 1 else ord("?") for character in text], np.uint32)
