"""The screen of trainings side by side: head, table, chart, the marked one in full, keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from rich.cells import cell_len
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input

from aetui.comparison import Row, difference_text, differing, short_names, yardsticks
from aetui.tui import figures, texts
from aetui.tui.compare.chart import CompareChart
from aetui.tui.compare.keys import ScreenKeys
from aetui.tui.compare.sides import Sides
from aetui.tui.compare.table import CompareTable
from aetui.tui.dialogs import Dialog, ShowText
from aetui.tui.help import binding_rows
from aetui.tui.line_input import LineInput
from aetui.tui.picture import Picture

_DETAILS = 3
"""Lines about the marked one."""
_LOW = 20
"""Rows below which it has one line less."""


class AskFilter(Dialog[str | None]):
    """Which trainings to show; None if the user would rather leave it."""

    HINT = "Enter takes it, Esc leaves it"

    def __init__(self, wanted: str, **kwargs: Any) -> None:
        text = (
            "Words that have to fit: part of a name, or a setting such as lr<0.01, optim.kind=adam. Nothing shows all."
        )
        super().__init__("Filter", text, **kwargs)
        self._wanted = wanted

    def controls(self) -> Sequence[Widget]:
        return [LineInput(self._wanted, compact=True)]

    def rows_below(self) -> int:
        return 3

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        self.dismiss(event.value)

    def action_cancel(self) -> None:
        self.dismiss(None)


class Line(Picture):
    """Plain lines without a border."""

    DEFAULT_CSS = """
    Line { border: none; height: 1; padding: 0 1; }
    """

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self._parts: tuple[Sequence[tuple[str, str]], ...] = ()

    def show(self, *lines: Sequence[tuple[str, str]]) -> None:
        """Draw lines of texts with their roles."""
        self._parts = lines
        self.paint([self.line(*parts) for parts in lines])

    def on_resize(self) -> None:
        self.show(*self._parts)


class SidesScreen(Screen[None]):
    """A table and a chart of the same trainings, under the same keys; what else is there is the subclass's."""

    AUTO_FOCUS: ClassVar[str | None] = ""
    DEFAULT_CSS = """
    SidesScreen { layout: vertical; }
    """
    BINDINGS: ClassVar = [
        Binding("up,k", "mark(-1)", "mark", show=False, tooltip="mark the one above"),
        Binding("down,j", "mark(1)", "mark", show=False, tooltip="mark the one below"),
        Binding("left", "cursor(-1)", "step", key_display="←→", tooltip="cursor one column back"),
        Binding("right", "cursor(1)", "cursor", show=False, tooltip="cursor one column on"),
        Binding("comma,shift+left", "cursor_step(-1)", "one step", show=False, tooltip="cursor one step back"),
        Binding("full_stop,shift+right", "cursor_step(1)", "one step", show=False, tooltip="cursor one step on"),
        Binding("home", "cursor_end(0)", "first", show=False, tooltip="cursor on the first step"),
        Binding("end", "cursor_end(1)", "last", show=False, tooltip="cursor on the last step"),
        Binding("v", "turn_curve", "curve", tooltip="loss, or explained variance"),
        Binding("l", "turn_axis", "log", tooltip="loss axis linear or logarithmic"),
        Binding("space,p", "pin", "pin", tooltip="pin the marked one to the top, whatever the filter, or let go of it"),
        Binding("slash", "filter", "filter", tooltip="show those whose name or settings fit"),
        Binding("enter", "settings", "details", tooltip="the settings that differ, in full"),
    ]

    def __init__(self, sides: Sides) -> None:
        super().__init__()
        self.sides = sides
        self.head = Line()
        self.table = CompareTable(sides)
        self.chart = CompareChart(sides)
        self.details = Line()
        self._drawn: object = None

    def compose(self) -> ComposeResult:
        yield self.head
        yield self.table
        yield self.chart
        yield self.details
        yield ScreenKeys(self.keys())

    def on_mount(self) -> None:
        self.chart.styles.height = "1fr"

    def on_resize(self) -> None:
        self.show()

    def follow(self, rows: Sequence[Row]) -> None:
        """Take the rows as they are now."""
        self.sides.follow(rows)
        self.show()

    def show(self) -> None:
        """Draw what has changed."""
        if not self.is_mounted or not self.size.height:
            return
        table, details = self._heights()
        self.table.styles.height, self.details.styles.height = table, details
        state = (self.sides.changes, self.size, self.app.theme)
        if state == self._drawn:
            return
        # What gets another size by this draws again by itself.
        self._drawn = state
        width = self.size.width - 2
        head = self.head_lines()
        self.head.styles.height = len(head)
        self.head.show(*(_cut(parts, width) for parts in head))
        self.table.show()
        self.chart.show()
        self.details.show(*([part] for part in self._details(width, details)))

    def _heights(self) -> tuple[int, int]:
        """Of the table and of the lines about the marked one; the chart has the rest."""
        rows = self.size.height
        details = _DETAILS if rows >= _LOW else _DETAILS - 1
        return min(max(1, len(self.sides.shown)) + 3, max(4, 2 * (rows - details - 2) // 5)), details

    def keys(self) -> Sequence[Any]:
        """The bindings that the last line names, as many as fit."""
        return SidesScreen.BINDINGS

    def head_lines(self) -> list[list[tuple[str, str]]]:
        """The lines above the table, always as many."""
        raise NotImplementedError

    def warning(self) -> str:
        """Why losses can't be compared, where they can't."""
        paths = yardsticks(self.sides.rows) if self.sides.curve == "loss" else []
        return f"losses not comparable: {', '.join(paths[:2])}" if paths else ""

    def _details(self, width: int, rows: int) -> list[tuple[str, str]]:
        side = self.sides.marked
        if side is None:
            return []
        row = side.row
        goal = f" of {figures.count(row.goal)}" if row.goal and row.goal > row.step else ""
        about = f"{side.marker} {row.name}  {row.state} at step {figures.count(row.step)}{goal}"
        if row.kind == "own loop":
            about += ", own loop"
        if row.source:
            about += f", {row.source}"
        lines = [(texts.cut(texts.plain(about), width), side.role)]
        change = difference_text(row, self.sides.differing)
        rest = [(texts.plain(text), role) for text, role in ((row.told, "text"), (change, "muted")) if text]
        return [*lines, *((texts.cut(text, width), role) for text, role in rest[: rows - 1])]

    # --- actions --------------------------------------------------------------------------------

    def action_mark(self, by: int) -> None:
        self.sides.mark(by)
        self.show()

    def action_cursor(self, by: int) -> None:
        self.sides.move(by * self.chart.column_steps)
        self.show()

    def action_cursor_step(self, by: int) -> None:
        self.sides.move(by)
        self.show()

    def action_cursor_end(self, last: int) -> None:
        self.sides.go(self.sides.last if last else self.sides.first + 1)
        self.show()

    def action_turn_curve(self) -> None:
        self.sides.turn_curve()
        self.show()

    def action_turn_axis(self) -> None:
        self.sides.turn_axis()
        self.show()

    def action_pin(self) -> None:
        self.sides.pin()
        self.show()

    def action_filter(self) -> None:
        def chosen(wanted: str | None) -> None:
            if wanted is not None:
                self.sides.filter(wanted)
                self.show()

        self.app.push_screen(AskFilter(self.sides.wanted), chosen)

    def action_settings(self) -> None:
        self.app.push_screen(ShowText("Settings that differ", settings_text(self.sides)))


def _cut(parts: Sequence[tuple[str, str]], width: int) -> list[tuple[str, str]]:
    """The parts of a line of `width` cells, the last one that has room cut."""
    found: list[tuple[str, str]] = []
    for text, role in parts:
        found.append((texts.cut(text, width), role))
        width -= cell_len(text)
        if width <= 0:
            break
    return found


class CompareScreen(SidesScreen):
    """Stored runs side by side."""

    BINDINGS: ClassVar = [
        Binding("escape", "let_go", "let go", show=False, tooltip="take the cursor away, then the filter"),
        Binding("t", "app.next_theme", "theme", show=False, tooltip="next color theme"),
        Binding("f1,question_mark", "help", "help", tooltip="these keys"),
        Binding("q,ctrl+q", "app.quit", "quit", tooltip="leave"),
    ]

    def keys(self) -> Sequence[Any]:
        return [*SidesScreen.BINDINGS, *CompareScreen.BINDINGS]

    def head_lines(self) -> list[list[tuple[str, str]]]:
        """How many there are, and which step the figures are of."""
        sides = self.sides
        count, shown = len(sides.sides), len(sides.shown)
        many = f"{count} run{'' if count == 1 else 's'}"
        if sides.wanted:
            many += f", {shown} shown by the filter {sides.wanted!r}"
        of = "each at its last step" if sides.at is None else f"at step {figures.count(sides.at)}"
        warned = self.warning()
        parts = [(" aetui compare  ", "data"), (f"{many}  {of}", "text")]
        return [[*parts, (f"  {warned}", "warning")] if warned else parts]

    def action_let_go(self) -> None:
        if self.sides.at is not None:
            self.sides.go(None)
        else:
            self.sides.filter("")
        self.show()

    def action_help(self) -> None:
        self.app.push_screen(ShowText("Keys", keys_text(self.keys())))


def keys_text(bindings: Sequence[Any]) -> str:
    """Keys and what they do, a line each."""
    return "\n".join(f"{keys}: {text}" for keys, text in binding_rows(bindings, {}))


def settings_text(sides: Sides) -> str:
    """Every setting in which those shown differ, with the value of each."""
    shown = sides.shown
    paths = differing([side.row for side in shown])
    if not paths:
        return "All settings are the same." if len(shown) > 1 else "There is nothing to compare it with."
    names = short_names(paths)
    lines: list[str] = []
    for path in paths:
        lines.append(path if names[path] == path else f"{names[path]} ({path})")
        lines += [f"  {side.marker} {side.row.name}: {side.row.settings.get(path) or '-'}" for side in shown]
    return "\n".join(lines)
