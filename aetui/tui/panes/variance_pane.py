"""Output variance against data variance, per feature: the pane that shows a collapse."""

from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding
from textual.strip import Strip

from aetui import protocol as p
from aetui.tui import figures, heat, shades, texts
from aetui.tui.model import RunModel
from aetui.tui.scrolled_pane import FAR, ScrolledPane

LOW, FULL = 0.1, 1.0
"""Ratios with a mark of their own: below the first a feature counts as low, at the second it varies as the data do."""
REACH = 1.25
"""Ratio at the right end of a bar."""
_GUIDE = "┊"


@dataclass(frozen=True)
class _Table:
    """Variances by row: a row is a feature, or a group of neighbors. Arrays of shape (rows,)."""

    ratio: NDArray[np.float64]
    """NaN for rows that are constant in the data, and where the output's variance is not finite."""
    constant: NDArray[np.bool_]
    output: NDArray[np.float32]
    data: NDArray[np.float32]


class VariancePane(ScrolledPane):
    """How much of each feature's variance the output keeps, as bars or as a picture."""

    TITLE = "Output variance / data variance"
    TOPICS = ("run", "variance")
    GAUGES = ("variance",)
    WAITING = "waiting for the first measurement of the output variance"
    SMALLEST = (24, 5)
    BINDINGS: ClassVar = [
        Binding("v", "switch_view", "bars/picture", id="variance.view", tooltip="bars, or a picture of images"),
        Binding("o", "switch_order", "order", id="variance.order", tooltip="by ratio, or in feature order"),
        Binding("down", "scroll_by(1)", "down", show=False, id="variance.down"),
        Binding("up", "scroll_by(-1)", "up", show=False, id="variance.up"),
        Binding("pagedown", "page(1)", "next page", show=False, id="variance.next-page"),
        Binding("pageup", "page(-1)", "previous page", show=False, id="variance.previous-page"),
        Binding("home", f"scroll_by(-{FAR})", "first", show=False, id="variance.first"),
        Binding("end", f"scroll_by({FAR})", "last", show=False, id="variance.last"),
    ]

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.bars = False
        """Bars also where a picture could be drawn."""
        self.by_ratio = True
        self._order: NDArray[np.int64] = np.empty(0, np.int64)
        self._sorted: tuple[int, int] = (0, -1)
        """Run and step of the measurement that the order was made from."""

    def view_state(self) -> object:
        running = self.model is not None and self.model.status.state == "running"
        return self.bars, self.by_ratio, self.top, self._sorted, running, shades.needs_shades(self.app)

    def ready(self, model: RunModel) -> bool:
        return model.variance is not None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """The view can only be switched where the data has an image shape."""
        if action == "switch_view" and self.model is not None and not _image_shape(self.model):
            return None
        return True

    def action_switch_view(self) -> None:
        self.bars = not self.bars
        self.redraw()

    def action_switch_order(self) -> None:
        """Sort again where a newer measurement is at hand, else change between ratio and feature order."""
        measured = self.model.variance if self.model else None
        stale = self.by_ratio and measured is not None and self._sorted[1] != measured.step
        if not stale:
            self.by_ratio = not self.by_ratio
        self._sorted = (0, -1)
        self.top = 0
        self.redraw()

    def action_scroll_by(self, lines: int) -> None:
        if self.model and self._shows_bars(self.model):
            super().action_scroll_by(lines)

    def draw(self, model: RunModel, width: int, height: int) -> list[Strip]:
        measured = model.variance
        assert measured is not None
        table = _table(measured)
        self._sort(model, measured, table)
        lines = self._header(measured, width, height)
        if self._shows_bars(model):
            lines += self._bars(model, measured, table, width, height - len(lines))
        else:
            lines += self._picture(model, table, width, height - len(lines))
            self._say("picture")
        return lines

    def _shows_bars(self, model: RunModel) -> bool:
        return self.bars or not _image_shape(model)

    def _say(self, text: str) -> None:
        if self.border_subtitle != text:
            self.border_subtitle = text

    def _header(self, measured: p.Variance, width: int, height: int) -> list[Strip]:
        low = measured.low
        counts: list[tuple[str, str]] = [
            (f"{measured.features - measured.constant:,} features", "text"),
            (f"{low:,} below 10 %", "warning" if low else "good"),
        ]
        if measured.constant:
            counts.append((f"{measured.constant:,} constant", "muted"))
        if measured.group > 1:
            counts.append((f"each row is {measured.group:,} features", "text"))
        quantiles = [figures.share(q) for q in measured.quantiles or (None,) * 5]
        least, tenth, median, ninth, most = quantiles
        spread: list[tuple[str, str]] = [
            (f"median {median}", "text"),
            (f"min {least}", "text"),
            (f"max {most}", "text"),
            (f"p10 {tenth}", "muted"),
            (f"p90 {ninth}", "muted"),
        ]
        step = (f"step {measured.step:,}", "muted")
        if width >= 110 or height < 8:
            return [self._fitting([*counts, *spread, step], width)]
        return [self._fitting([*counts, step], width), self._fitting(spread, width)]

    def _fitting(self, parts: list[tuple[str, str]], width: int) -> Strip:
        """The parts, three cells apart, as many as fit whole."""
        line: list[tuple[str, str]] = []
        used = 0
        for text, role in parts:
            gap = "   " if line else ""
            if used + len(gap) + len(text) > width:
                break
            line.append((gap + text, role))
            used += len(gap) + len(text)
        return self.line(*line) if line else self.line((parts[0][0][:width], parts[0][1]))

    # --- bars

    def _sort(self, model: RunModel, measured: p.Variance, table: _Table) -> None:
        """Keep the order under the reader's eyes while the run goes on."""
        run = model.info.run if model.info else 0
        frozen = self.by_ratio and model.status.state == "running" and self._sorted[0] == run and self._sorted[1] >= 0
        if frozen and len(self._order) == len(table.ratio):
            return
        if self._sorted[0] not in (0, run):
            self.top = 0
        rank = np.where(table.constant, np.inf, np.where(np.isfinite(table.ratio), table.ratio, -np.inf))
        if not self.by_ratio:
            rank = table.constant.astype(np.float64)
        self._order = np.argsort(rank, kind="stable")
        self._sorted = (run, measured.step)

    def _bars(self, model: RunModel, measured: p.Variance, table: _Table, width: int, height: int) -> list[Strip]:
        self.length, self.rows = len(self._order), max(1, height - 1)
        self.top = self.kept_in(self.top)
        rows = self._order[self.top : self.top + self.rows]
        last = self.top + len(rows)
        unit = "groups" if measured.group > 1 else "features"
        self._say(f"{self._order_text(measured)} · {self.top + 1:,}-{last:,} of {self.length:,} {unit}")
        names = [_name(model, measured, int(row)) for row in (rows if len(rows) else [0])]
        longest = _name(model, measured, max(0, self.length - 1))
        name_width = min(max(map(cell_len, [longest, *names])), max(8, width // 3))
        with_numbers = width - name_width - figures.SHARE - 2 >= 50
        numbers = 2 * (figures.NUMBER + 2) if with_numbers else 0
        room = max(4, width - name_width - figures.SHARE - 2 - numbers)
        lines = [self._scale(name_width + figures.SHARE + 2, room, bool(numbers))]
        for row, name in zip(rows.tolist(), names, strict=False):
            head = texts.pad(name, name_width) + " "
            tail = ""
            if numbers:
                both = float(table.output[row]), float(table.data[row])
                tail = "".join(figures.number(x, figures.NUMBER + 2) for x in both)
            lines.append(self._bar(head, table, row, room, tail))
        return lines

    def _order_text(self, measured: p.Variance) -> str:
        if not self.by_ratio:
            return "feature order"
        if self._sorted[1] != measured.step:
            return f"sorted at step {self._sorted[1]:,}, o sorts again"
        return "by ratio"

    def _scale(self, indent: int, room: int, numbers: bool) -> Strip:
        """The marks above the bars, and the names of the columns."""
        line = [" "] * room
        for at, text in ((0.0, "0"), (FULL, "100 %"), (LOW, "10 %"), (0.5, "50 %")):
            column = min(_column(at, room), room - len(text))
            if column >= 0 and not "".join(line[max(0, column - 1) : column + len(text) + 1]).strip():
                line[column : column + len(text)] = text
        names = "output".rjust(figures.NUMBER + 2) + "data".rjust(figures.NUMBER + 2) if numbers else ""
        return self.line((" " * indent + "".join(line) + names, "muted"))

    def _bar(self, head: str, table: _Table, row: int, room: int, tail: str) -> Strip:
        if table.constant[row]:
            text = "constant in the data"[: room + figures.SHARE]
            return self.line((head + text.ljust(figures.SHARE + 1 + room) + tail, "muted"))
        ratio = float(table.ratio[row])
        share = figures.share(ratio, figures.SHARE) + " "
        if not np.isfinite(ratio):
            return self.line(head, ("not finite".ljust(figures.SHARE + 1 + room) + tail, "warning"))
        bar = shades.level_bar(min(room * ratio / REACH, room))
        if ratio > REACH:
            bar = bar[:-1] + ">"
        empty = [" "] * (room - len(bar))
        for at in (LOW, FULL):
            column = _column(at, room) - len(bar)
            if 0 <= column < len(empty):
                empty[column] = _GUIDE
        role = "warning" if ratio < LOW else "output"
        return self.line(head, (share, role if ratio < LOW else "text"), (bar, role), ("".join(empty), "muted"), tail)

    # --- picture

    def _picture(self, model: RunModel, table: _Table, width: int, height: int) -> list[Strip]:
        shape = _image_shape(model)
        plain = shades.needs_shades(self.app)
        image = np.where(table.constant, np.nan, table.ratio).reshape(shape)
        paint = heat.Paint(self.role("text"), self.role("warning"), self.role("muted"), plain)
        key = Strip([Segment(text, style) for text, style in heat.key(paint)])
        room = max(1, height - 1)
        picture = heat.draw(image, table.constant.reshape(shape), LOW, width, room, paint)
        foot = [key]
        if picture.remark and key.cell_length + 3 + len(picture.remark) <= width:
            foot = [Strip.join([key, self.line((f"   {picture.remark}", "muted"))])]
        elif picture.remark:
            room = max(1, height - 2)
            picture = heat.draw(image, table.constant.reshape(shape), LOW, width, room, paint)
            foot = [self.line((texts.cut(picture.remark, width), "muted")), key]
        lines = [self._centered(strip, width) for strip in picture.lines]
        lines += [Strip.blank(width)] * (room - len(lines))
        return [*lines, *foot]

    def _centered(self, strip: Strip, width: int) -> Strip:
        return Strip.join([Strip([Segment(" " * ((width - strip.cell_length) // 2), Style())]), strip])


def _table(measured: p.Variance) -> _Table:
    output, data = measured.output.numpy().ravel(), measured.data.numpy().ravel()
    constant = data <= 0
    with np.errstate(all="ignore"):
        ratio = np.where(constant, np.nan, output.astype(np.float64) / np.where(constant, 1, data))
    ratio[~np.isfinite(ratio)] = np.nan
    return _Table(ratio, constant, output, data)


def _image_shape(model: RunModel) -> tuple[int, ...]:
    """(channels, height, width) where the measurement can be drawn as a picture, else ()."""
    shape = model.info.image_shape if model.info else ()
    size = model.variance.output.shape[0] if model.variance else 0
    return tuple(shape) if len(shape) == 3 and size and prod(shape) == size else ()


def _name(model: RunModel, measured: p.Variance, row: int) -> str:
    """A feature's own name or its number from 0 on, or the numbers of a group."""
    if measured.group > 1:
        first = row * measured.group
        return f"{first:,}-{min(first + measured.group, measured.features) - 1:,}"
    names = model.info.feature_names if model.info else ()
    return texts.plain(names[row]) if row < len(names) else f"feature {row}"


def _column(ratio: float, room: int) -> int:
    return min(round(room * ratio / REACH), room - 1)
