"""The loss chart: training and validation loss between the floors that judge them, and the other curves of a run."""

from dataclasses import replace
from typing import ClassVar

import numpy as np
from textual.binding import Binding
from textual.message import Message
from textual.strip import Strip

from aetui.tui import figures, plot, texts
from aetui.tui.markers import MARKERS, Marker
from aetui.tui.model import RunModel
from aetui.tui.pane import Pane
from aetui.tui.panes import chart_axis, curves, legend, marks, reading
from aetui.tui.panes.chart_view import ChartView
from aetui.tui.panes.curves import Curves, Range

SMOOTHINGS = (0, 10, 100, 1000)
"""Steps that the line averages over; 0 for those of its own column."""
_TALL, _TALLER = 10, 14
"""Rows from which the legend may take two lines, and from which three while it tells of a step."""

Legend = list[list[legend.Part]]
Rows = list[list[tuple[str, str]]]


class LossPane(Pane):
    """Loss per step with minimum and maximum of every column, validation, floors and tweaks; a cursor reads values."""

    TITLE = "Loss"
    TOPICS = ("run", "history", "points", "journal")
    SMALLEST = (24, 5)
    BINDINGS: ClassVar = [
        Binding("l", "toggle_log", "log y", id="loss.log", tooltip="linear or logarithmic loss axis"),
        Binding("w", "cycle_window", "window", id="loss.window", tooltip="all steps, or the last 100,000 to 100"),
        Binding("v", "cycle_curve", "curve", id="loss.curve", tooltip="the next curve: loss, gradient norm, rate, ..."),
        Binding("m", "cycle_smoothing", "smooth", id="loss.smoothing", tooltip="average the line over more steps"),
        Binding("h", "cycle_axis", "axis", id="loss.axis", tooltip="steps, epochs or time along the axis"),
        Binding("p", "cycle_marker", "marker", id="loss.marker", tooltip="what lines are drawn in"),
        Binding(
            "left", "cursor(-1)", show=False, id="loss.left", tooltip="cursor: what every curve was at a step; left"
        ),
        Binding("right", "cursor(1)", show=False, id="loss.right", tooltip="cursor to the right"),
        Binding("shift+left,pageup", "cursor(-10)", show=False, id="loss.far-left", tooltip="ten columns to the left"),
        Binding("shift+right,pagedown", "cursor(10)", show=False, id="loss.far-right", tooltip="ten to the right"),
        Binding("home", "jump(False)", show=False, id="loss.first", tooltip="cursor to the first step shown"),
        Binding("end", "jump(True)", show=False, id="loss.last", tooltip="cursor to the last step shown"),
        Binding("enter", "choose", show=False, id="loss.zoom", tooltip="one end of a range, then zoom to the other"),
        Binding("backspace", "back", show=False, id="loss.back", tooltip="take range, zoom or cursor back"),
    ]

    class Said(Message):
        """A sentence for the line of messages."""

        def __init__(self, text: str) -> None:
            self.text = text
            super().__init__()

    def __init__(self, marker: Marker = "braille", **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.logarithmic = True
        self.view = ChartView()
        self.smoothing = 0
        self.curve = curves.LOSS
        self.axis = chart_axis.KINDS[0]
        self.marker: Marker = marker
        self._curves = Curves()
        self._columns = 1
        self._loads: int | None = None
        self._head_of: tuple[object, ...] = ()
        self._head_rows = 1
        self._say_view()

    def view_state(self) -> object:
        return self.logarithmic, self.view.state(), self.smoothing, self.curve, self.axis, self.marker

    # --- keys -----------------------------------------------------------------------------------

    def action_toggle_log(self) -> None:
        self.logarithmic = not self.logarithmic
        self._changed()

    def action_cycle_window(self) -> None:
        self.view.cycle_window(len(self.model.loss) if self.model else 0)
        self._changed()

    def action_cycle_smoothing(self) -> None:
        self.smoothing = SMOOTHINGS[(SMOOTHINGS.index(self.smoothing) + 1) % len(SMOOTHINGS)]
        self._changed()

    def action_cycle_curve(self) -> None:
        """The next curve that the run has, in the end the loss again."""
        names = curves.names(self.model) if self.model else [curves.LOSS]
        at = names.index(self.curve) if self.curve in names else 0
        self.curve = names[(at + 1) % len(names)]
        self._changed()

    def action_cycle_axis(self) -> None:
        """The next axis that the run tells enough for."""
        at = chart_axis.KINDS.index(self.axis)
        later = [*chart_axis.KINDS[at + 1 :], *chart_axis.KINDS[:at]]
        known = [kind for kind in later if self.model and chart_axis.axis(kind, self.model) is not None]
        if known:
            self.axis = known[0]
        else:
            self.post_message(self.Said("there is one axis so far: epochs and times come with the first steps"))
        self._changed()

    def action_cycle_marker(self) -> None:
        self.marker = MARKERS[(MARKERS.index(self.marker) + 1) % len(MARKERS)]
        self._changed()

    def action_cursor(self, by: int) -> None:
        if self.model:
            self.view.move(by, self.model, self._columns)
            self._changed()

    def action_jump(self, end: bool) -> None:
        if self.model:
            self.view.jump(end, self.model)
            self._changed()

    def action_choose(self) -> None:
        why = self.view.choose()
        if why:
            self.post_message(self.Said(why))
        self._changed()

    def action_back(self) -> None:
        self.view.back()
        self._changed()

    def _changed(self) -> None:
        self._say_view()
        self.redraw()

    def _say_view(self) -> None:
        axis = "log y" if self.logarithmic and self.curve != curves.EXPLAINED else "linear y"
        window = f"last {self.view.latest:,}" if self.view.latest else "all"
        if self.view.zooms:
            first, last = self.view.zooms[-1]
            window = f"{first + 1:,} to {last:,} of {len(self.model.loss) if self.model else 0:,}"
        if self.view.mark is not None:
            window += f" · from {self.view.mark:,} to ..."
        curve = f"{texts.plain(self.curve)} · " if self.curve else ""
        self.border_subtitle = f"{curve}{axis} · {window} · smooth {self.smoothing}"

    def copied(self) -> str:
        """What every curve was at the cursor, one to a line."""
        if self.model is None or self.view.cursor is None:
            return ""
        return "\n".join(text for text, _ in self._read(self.model, self.view.cursor))

    # --- drawing --------------------------------------------------------------------------------

    def follow(self, model: RunModel) -> None:
        super().follow(model)
        if self._loads not in (None, model.loads):
            self.view = ChartView(latest=self.view.latest)
        self._loads = model.loads
        before = self.view.state()
        self.view.keep_to(len(model.loss))
        if self.view.state() != before:
            self._say_view()

    def ready(self, model: RunModel) -> bool:
        return len(model.loss) > 0 or bool(model.info and (model.info.text or model.info.branches))

    def draw(self, model: RunModel, width: int, height: int) -> list[Strip]:
        branches = model.info.branches if model.info else ()
        if not len(model.loss) and not branches:
            return self._introduction(model, width, height)
        shape = (model.loads, width, height, self.view.cursor is None, self.curve)
        if shape != self._head_of:
            self._head_of, self._head_rows = shape, 1
        # A legend that once needed a second line keeps it, so that the chart does not jump with its figures.
        head, chart = self._drawn_with(model, width, height - self._head_rows)
        if len(head) > self._head_rows and self._head_rows < self._most_head(height):
            self._head_rows = min(len(head), self._most_head(height))
            head, chart = self._drawn_with(model, width, height - self._head_rows)
        head += [[]] * (self._head_rows - len(head))
        return [*(self.line(*parts) for parts in head), *(self.line(*parts) for parts in chart)]

    def _most_head(self, height: int) -> int:
        """Lines that the legend may take."""
        more = self.view.cursor is not None and height >= _TALLER
        return (2 if height >= _TALL else 1) + more

    def _drawn_with(self, model: RunModel, width: int, rows: int) -> tuple[Legend, Rows]:
        """The legend, and the chart in so many rows."""
        first, last = self.view.range(model)
        columns = self._columns = max(1, plot.layout(width, rows).columns)
        content = self._curves.content(model, self.curve, Range(first, last, columns), self.smoothing, self.logarithmic)
        axis = chart_axis.axis(self.axis, model) or chart_axis.STEPS
        marked, thinned = marks.drawn(model.marks, first, last, columns)
        bands = [*(content.left if axis.name != "time" else []), *content.bands]
        chart = plot.render(
            width,
            rows,
            lines=[replace(line, x=axis.at(line.x)) for line in content.lines],
            bands=[replace(band, x=axis.at(band.x)) for band in bands],
            references=content.references,
            marks=[replace(mark, x=float(axis.at(mark.x))) for mark in [*marked, *self._cursor_marks()]],
            gaps=np.atleast_1d(axis.at(content.gaps)).tolist(),
            log=self.logarithmic and not content.linear,
            x_range=self._edges(axis, first, last),
            x_name=axis.name,
            x_ticks=axis.ticks,
            close=bool(self.view.latest or self.view.zooms),
            marker=self.marker,
        )
        notes = [*content.notes, *filter(None, (thinned,)), *chart.notes]
        if content.left and axis.name == "time":
            notes.append("what was left is on the axis of steps")
        named = content.named if self.view.cursor is None else self._read(model, self.view.cursor)
        parts = [*named, *((note, "muted") for note in notes)]
        return legend.flowed(parts, width, self._most_head(rows + self._head_rows)), chart.rows

    @staticmethod
    def _edges(axis: chart_axis.Axis, first: int, last: int) -> tuple[float, float]:
        low, high = (float(edge) for edge in axis.at([first + 0.5, last + 0.5]))
        return (low, high) if high > low else (low, low + 1.0)

    def _cursor_marks(self) -> list[plot.Mark]:
        found = []
        for step, label in ((self.view.mark, "from here"), (self.view.cursor, "")):
            if step is not None:
                found.append(plot.Mark(float(step), label, "text", plot.CURSOR))
        return found

    def _read(self, model: RunModel, step: int) -> list[legend.Part]:
        axis, place = chart_axis.axis(self.axis, model), ""
        if axis is not None and axis.name == "epoch":
            place = f"epoch {figures.number(float(axis.at(float(step))))}"
        elif axis is not None and axis.name == "time":
            place = f"after {figures.duration(float(axis.at(float(step))))}"
        return reading.parts(model, step, place)

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
