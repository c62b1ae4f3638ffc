"""The chart of trainings side by side: all curves by step, each with its marker, and a cursor along the steps."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

import numpy as np

from aetui.tui import figures, plot, texts
from aetui.tui.compare.sides import MOST, Side, Sides
from aetui.tui.panes import legend
from aetui.tui.picture import Picture
from aetui.tui.trace import Trace, round_end

_APART = 16
"""Columns between two markers of a curve."""
_WORST = -1.0
"""Explained variance below which it hardly matters how far."""
_FEW, _TALL = 5, 12
"""Curves whose values fit in a line, and rows from which there are two lines for more."""


class CompareChart(Picture):
    """Loss or explained variance of those that are shown."""

    def __init__(self, sides: Sides, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self._sides = sides
        self.forked_at: int | None = None
        """The step that forks left the run at."""

    @property
    def column_steps(self) -> int:
        """Steps that a column of the chart stands for, 1 at least."""
        first, last = self._range()
        return max(1, (last - first) // max(1, plot.layout(self.content_size.width, self.content_size.height).columns))

    def on_resize(self) -> None:
        self.show()

    def show(self) -> None:
        """Draw the curves as they are now."""
        width, height = self.content_size
        if not (width and height):
            return
        self.border_title, self.border_subtitle = self._titles()
        if width < 24 or height < 5:
            self.paint([self.line(("needs 24 x 5"[:width], "muted"))])
            return
        drawn = [side for side in self._sides.drawn if self._has_curve(side)]
        if not drawn:
            self.paint([self.line((self._waiting()[:width], "muted"))])
            return
        named = 2 if len(drawn) > _FEW and height >= _TALL else 1
        chart = self._drawn(drawn, width, height - named)
        least = self._least(drawn)
        low = self._sides.curve != "loss" and any((side.row.explained < least).any() for side in drawn)
        notes = [*chart.notes, f"below {figures.number(least)} cut"] if low else chart.notes
        head = legend.flowed(self._legend(drawn, notes), width, named)
        head += [[]] * (named - len(head))
        self.paint([*(self.line(*parts) for parts in head), *(self.line(*parts) for parts in chart.rows)])

    # --- what is drawn --------------------------------------------------------------------------

    def _titles(self) -> tuple[str, str]:
        sides = self._sides
        loss = sides.curve == "loss"
        axis = ("log y" if sides.logarithmic else "linear y") if loss else "linear y"
        count = len(sides.shown)
        title = sides.curve.capitalize() + (f", {MOST} of {count} drawn" if count > MOST else "")
        return title, f"{axis} · {'all' if sides.at is None else 'step ' + figures.count(sides.at)}"

    def _waiting(self) -> str:
        return "no steps yet" if self._sides.curve == "loss" else "no explained variance was measured; v shows the loss"

    def _has_curve(self, side: Side) -> bool:
        return len(side.row.loss if self._sides.curve == "loss" else side.row.explained) > 0

    def _range(self) -> tuple[int, int]:
        first, last = self._sides.first, self._sides.last
        return first, max(first + 1, first + round_end(max(1, last - first)))

    def _drawn(self, drawn: Sequence[Side], width: int, rows: int) -> plot.Chart:
        first, last = self._range()
        columns = plot.layout(width, rows).columns
        lines: list[plot.Line] = []
        bands: list[plot.Band] = []
        gaps: list[float] = []
        order = [side for side in drawn if side is not self._sides.marked]
        order += [side for side in drawn if side is self._sides.marked]
        for side in order:
            line, band, broken = self._curve(side, first, last, columns, drawn.index(side))
            lines.append(line)
            if side is self._sides.marked:
                bands, gaps = band, broken
        marks = [] if self._sides.at is None else [plot.Mark(self._sides.at, "", "mark")]
        if self.forked_at:
            marks.insert(0, plot.Mark(self.forked_at + 0.5, "fork", "muted"))
        return plot.render(
            width,
            rows,
            lines=lines,
            bands=bands,
            references=self._floors(drawn),
            marks=marks,
            gaps=gaps,
            log=self._sides.logarithmic and self._sides.curve == "loss",
            # Before the first step there is no loss, and the explained variance is measured.
            x_range=(first + (0.5 if self._sides.curve == "loss" else -0.5), last + 0.5),
        )

    def _curve(
        self, side: Side, first: int, last: int, columns: int, place: int
    ) -> tuple[plot.Line, list[plot.Band], list[float]]:
        """A side's line, and the band and the gaps of its loss."""
        row = side.row
        offset = 2 + place * (_APART // 4) % _APART
        bands: list[plot.Band] = []
        gaps: list[float] = []
        if self._sides.curve != "loss":
            x, y = row.measured_at.astype(np.float64), np.maximum(row.explained, self._least(self._sides.drawn))
        elif row.recorded_at is not None:
            x, y = row.recorded_at.astype(np.float64), row.loss
            gaps = x[~np.isfinite(y)].tolist()
        else:
            trace = Trace(side.loss, first - row.start, last - row.start, columns, 0)
            x, y = trace.columns.x + row.start, trace.mean
            bands = [plot.Band(band.x + row.start, band.low, band.high, band.role) for band in trace.bands()]
            gaps = [gap + row.start for gap in trace.gaps()]
        label = f"{side.marker} {texts.plain(row.name)}"[: plot.END_LABELS - 1]
        return plot.Line(x, y, side.role, label, side.marker, _APART, offset), bands, gaps

    @staticmethod
    def _least(drawn: Sequence[Side]) -> float:
        """What is drawn at least of the explained variance: one wild step must not flatten all curves."""
        ends = [float(side.row.explained[-1]) for side in drawn if len(side.row.explained)]
        return min([_WORST, *filter(isfinite, ends)])

    def _floors(self, drawn: Sequence[Side]) -> list[plot.Reference]:
        """What needs no training: of all where it is the same for all, else of the marked one, with its marker."""
        marked = self._sides.marked
        found = {_yardsticks(side, self._sides.curve) for side in drawn}
        if len(found) == 1:
            (common,) = found
            return [plot.Reference(y, f"{name} {figures.number(y)}") for name, y in common]
        own = _yardsticks(marked, self._sides.curve) if marked is not None else ()
        return [plot.Reference(y, f"{marked.marker}: {name} {figures.number(y)}") for name, y in own if marked]

    def _legend(self, drawn: Sequence[Side], notes: Sequence[str]) -> list[legend.Part]:
        """The value of each at the cursor, then remarks."""
        sides = self._sides
        parts: list[legend.Part] = []
        for side in drawn:
            loss = sides.curve == "loss"
            found = side.row.loss_at(sides.at) if loss else side.row.explained_at(sides.at)
            value = (figures.number if loss else figures.explained)(found[1] if found else None)
            parts.append((f"{side.marker} {value}", side.role))
        return parts + [(note, "muted") for note in notes]


def _yardsticks(side: Side, curve: str) -> tuple[tuple[str, float], ...]:
    """Names and heights of the reference lines of a training, to the digits that are shown."""
    row = side.row
    if curve != "loss":
        named = [("PCA", row.linear_explained)]
    else:
        floors = row.floors
        named = [
            ("predict the mean", floors.get("mean")),
            (f"PCA with {row.settings['model.code']}" if "model.code" in row.settings else "PCA", floors.get("linear")),
            ("entropy floor", floors.get("entropy")),
        ]
    return tuple((name, float(f"{y:.4g}")) for name, y in named if y is not None)
