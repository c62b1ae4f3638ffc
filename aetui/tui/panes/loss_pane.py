"""The loss chart: training and validation loss between the floors that judge them."""

from bisect import bisect_right
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from textual.binding import Binding
from textual.strip import Strip

from aetui import protocol as p
from aetui.tui import figures, plot, texts
from aetui.tui.model import RunModel
from aetui.tui.pane import Pane
from aetui.tui.panes import legend, marks
from aetui.tui.panes.left_traces import MOST, LeftBranches
from aetui.tui.trace import Trace, round_end

WINDOWS = (0, 100_000, 10_000, 1000, 100)
"""Steps shown; 0 for all."""
SMOOTHINGS = (0, 10, 100, 1000)
"""Steps that the line averages over; 0 for those of its own column."""
_TALL = 10
"""Rows from which the legend may take two."""


class LossPane(Pane):
    """Loss per step with minimum and maximum of every column, validation, floors and tweaks."""

    TITLE = "Loss"
    TOPICS = ("run", "history", "points", "journal")
    SMALLEST = (24, 5)
    BINDINGS: ClassVar = [
        Binding("l", "toggle_log", "log y", id="loss.log", tooltip="linear or logarithmic loss axis"),
        Binding("w", "cycle_window", "window", id="loss.window", tooltip="all steps, or the last 100,000 to 100"),
        Binding("v", "cycle_curve", "curve", id="loss.curve", tooltip="the loss, or a part that your own loop logs"),
        Binding("m", "cycle_smoothing", "smooth", id="loss.smoothing", tooltip="average the line over more steps"),
    ]

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.logarithmic = True
        self.latest = 0
        self.smoothing = 0
        self.curve = ""
        """The part of the loss that is drawn, '' for the loss itself."""
        self._points = _Points()
        self._left = LeftBranches()
        self._head_of: tuple[int, int, int] = (0, 0, 0)
        self._head_rows = 1
        self._say_view()

    def view_state(self) -> object:
        return self.logarithmic, self.latest, self.smoothing, self.curve

    def action_toggle_log(self) -> None:
        self.logarithmic = not self.logarithmic
        self._changed()

    def action_cycle_window(self) -> None:
        """The next shorter window that cuts anything off, then all again."""
        length = len(self.model.loss) if self.model else 0
        shorter = [window for window in WINDOWS if 0 < window < (self.latest or length)]
        self.latest = shorter[0] if shorter else 0
        self._changed()

    def action_cycle_smoothing(self) -> None:
        self.smoothing = SMOOTHINGS[(SMOOTHINGS.index(self.smoothing) + 1) % len(SMOOTHINGS)]
        self._changed()

    def action_cycle_curve(self) -> None:
        """The next of what a loop of the user's own logs by name, then the loss again."""
        names = ["", *self.model.parts] if self.model else [""]
        at = names.index(self.curve) if self.curve in names else 0
        self.curve = names[(at + 1) % len(names)]
        self._changed()

    def _changed(self) -> None:
        self._say_view()
        self.redraw()

    def _say_view(self) -> None:
        axis = "log y" if self.logarithmic else "linear y"
        window = f"last {self.latest:,}" if self.latest else "all"
        curve = f"{texts.plain(self.curve)} · " if self.curve else ""
        self.border_subtitle = f"{curve}{axis} · {window} · smooth {self.smoothing}"

    def ready(self, model: RunModel) -> bool:
        return len(model.loss) > 0 or bool(model.info and (model.info.text or model.info.branches))

    def draw(self, model: RunModel, width: int, height: int) -> list[Strip]:
        branches = model.info.branches if model.info else ()
        if not len(model.loss) and not branches:
            return self._introduction(model, width, height)
        shape = (model.loads, width, height)
        if shape != self._head_of:
            self._head_of, self._head_rows = shape, 1
        # A legend that once needed a second line keeps it, so that the chart does not jump with its figures.
        head, chart = self._drawn_with(model, width, height - self._head_rows)
        if len(head) > self._head_rows and self._head_rows < _most_head(height):
            self._head_rows = min(len(head), _most_head(height))
            head, chart = self._drawn_with(model, width, height - self._head_rows)
        head += [[]] * (self._head_rows - len(head))
        return [*(self.line(*parts) for parts in head), *(self.line(*parts) for parts in chart)]

    def _drawn_with(
        self, model: RunModel, width: int, rows: int
    ) -> tuple[list[list[legend.Part]], list[list[tuple[str, str]]]]:
        """The legend, and the chart in so many rows."""
        if self.curve in model.parts:
            return self._part_with(model, width, rows)
        branches = model.info.branches if model.info else ()
        first, last = self._range(model)
        place = plot.layout(width, rows)
        loss = Trace(model.loss, first, last, place.columns, self.smoothing)
        bands = loss.bands()
        left, cut = self._left.bands(branches, first, last, place.columns, _limits(loss, self.logarithmic))
        bands = [*left, *bands]
        # Later lines lie above earlier ones: the training loss above all.
        lines: list[plot.Line] = []
        steps, values = self._points.within(model, first, last, place.columns)
        if len(steps):
            lines.append(plot.Line(steps, values, "validation", "val", glyph="o"))
        if len(model.total):
            total = Trace(model.total, first, last, place.columns, self.smoothing)
            lines.append(total.line("text", "total"))
            bands += total.bands()
        lines.append(loss.line("train", "train"))
        marked, thinned = marks.drawn(model.marks, first, last, place.columns)
        chart = plot.render(
            width,
            rows,
            lines=lines,
            bands=bands,
            references=_floors(model),
            marks=marked,
            gaps=loss.gaps(),
            log=self.logarithmic,
            x_range=(first + 0.5, last + 0.5),
            close=bool(self.latest),
        )
        notes = [*filter(None, (thinned,)), *chart.notes]
        if cut:
            notes.append("left cut where far off")
        if left:
            notes.insert(0, _legend(len(branches)))
        if len(loss.gaps()):
            notes.insert(0, f"{plot.GAP} not finite")
        most = _most_head(rows + self._head_rows)
        return legend.flowed(_named(model, notes), width, most), chart.rows

    def _part_with(
        self, model: RunModel, width: int, rows: int
    ) -> tuple[list[list[legend.Part]], list[list[tuple[str, str]]]]:
        """The same of one part alone, which neither floors nor validation are of."""
        first, last = self._range(model)
        place = plot.layout(width, rows)
        series, name = model.parts[self.curve], texts.plain(self.curve)
        trace = Trace(series, first, last, place.columns, self.smoothing)
        marked, thinned = marks.drawn(model.marks, first, last, place.columns)
        chart = plot.render(
            width,
            rows,
            lines=[trace.line("train", name)],
            bands=trace.bands(),
            references=[],
            marks=marked,
            gaps=[],
            log=self.logarithmic,
            x_range=(first + 0.5, last + 0.5),
            close=bool(self.latest),
        )
        parts: list[legend.Part] = [(f"⠒ {name} {figures.number(series.last())}", "train")]
        parts += [(note, "muted") for note in (*filter(None, (thinned,)), *chart.notes)]
        return legend.flowed(parts, width, _most_head(rows + self._head_rows)), chart.rows

    def _introduction(self, model: RunModel, width: int, height: int) -> list[Strip]:
        """What the run shows and what to change in it, in the room that the chart will take."""
        info = model.info
        assert info is not None
        wide = min(width, 76)
        lines = [self.line((texts.cut(info.title, width), "data")), Strip.blank(width)]
        lines += [self.line(line) for line in texts.wrap(info.text, wide)]
        if info.knobs:
            lines.append(Strip.blank(width))
            lines += [
                self.line((line, "muted")) for line in texts.wrap("Settings to try: " + ", ".join(info.knobs), wide)
            ]
        if len(lines) > height:
            lines = [*lines[: height - 1], self.line(("… a shows the rest", "muted"))]
        return lines

    def _range(self, model: RunModel) -> tuple[int, int]:
        """Steps shown, `first` < step <= `last`; the ends move in jumps, so that the columns between stay."""
        length = len(model.loss)
        ends = [branch.end for branch in model.info.branches] if model.info else []
        whole = max([length, *ends])
        if self.latest and self.latest < length:
            jump = max(1, self.latest // 10)
            last = -(-length // jump) * jump
            return max(0, last - self.latest - jump), last
        goal = model.info.goal if model.info else None
        if goal and whole <= goal <= 2 * whole:
            return 0, goal
        return 0, round_end(whole)


def _most_head(height: int) -> int:
    """Lines that the legend may take."""
    return 2 if height >= _TALL else 1


def _named(model: RunModel, notes: list[str]) -> list[legend.Part]:
    """Names with their latest values, then remarks."""
    parts: list[legend.Part] = [(f"⠒ train {figures.number(model.loss.last())}", "train")]
    if model.points and model.points[-1].validation is not None:
        point = model.points[-1]
        held_out = figures.as_of(figures.number(point.validation), point.step, len(model.loss))
        parts.append((f"o val {held_out}", "validation"))
    if len(model.total):
        parts.append((f"total {figures.number(model.total.last())}", "text"))
    return parts + [(note, "warning" if note.startswith(plot.GAP) else "muted") for note in notes]


class _Points:
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


def _limits(loss: Trace, log: bool) -> tuple[float, float]:
    """How far what the run has left may stretch the axis: a decade, or twice what the present loss spans."""
    low, high = loss.columns.low, loss.columns.high
    shown = np.isfinite(low) & ((low > 0) | (not log))
    if not shown.any():
        return -np.inf, np.inf
    least, most = float(low[shown].min()), float(high[shown].max())
    reach = 2 * max(most - least, abs(most))
    return (least / 10, most * 10) if log else (least - reach, most + reach)


def _legend(count: int) -> str:
    """What the dotted traces are."""
    drawn = f", the newest {MOST} drawn" if count > MOST else ""
    return "⠒ ⠒ left" + (f" ({figures.count(count)} branches{drawn})" if count > 1 else "")


def _floors(model: RunModel) -> list[plot.Reference]:
    if model.info is None:
        return []
    floors = model.info.floors
    names = (
        (floors.mean, "predict the mean"),
        (floors.linear, f"PCA with {model.code_width}"),
        (floors.entropy, "entropy floor"),
    )
    return [plot.Reference(y, f"{name} {figures.number(y)}") for y, name in names if y is not None]
