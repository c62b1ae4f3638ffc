"""The rows of the form, drawn line by line; no row is a widget of its own."""

from typing import ClassVar, Protocol, cast

from rich.segment import Segment
from textual import events
from textual.binding import Binding
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from aetui.tui.form_editors import EDITING
from aetui.tui.form_fields import Row
from aetui.tui.texts import pad, plain

_NAMES = 17
"""Columns of the longest name."""
_VALUES = 26
"""Columns of values and markers where there is room for help beside them."""
_HELP = 24
"""Columns of help that make it worth showing."""


class Editor(Protocol):
    """What the rows ask of the form around them."""

    @property
    def editing(self) -> bool: ...
    def edit(self, text: str | None = None) -> None: ...
    def cycle(self, by: int) -> None: ...
    def restore(self) -> None: ...
    def relay(self, key: str, character: str | None) -> None: ...


class FormRows(ScrollView, can_focus=True):
    """A list of settings with a cursor. It knows rows, not specs; its form does the editing."""

    BINDINGS: ClassVar = [
        Binding("up,k", "move(-1)", "previous setting", show=False),
        Binding("down,j", "move(1)", "next setting", show=False),
        Binding("pageup", "page(-1)", "page up", show=False),
        Binding("pagedown", "page(1)", "page down", show=False),
        Binding("home", "move(-1000)", "first setting", show=False),
        Binding("end", "move(1000)", "last setting", show=False),
        Binding("enter,f2", "edit", "edit, or list the choices", show=False),
        Binding("left", "cycle(-1)", "previous choice", show=False),
        Binding("right", "cycle(1)", "next choice", show=False),
        Binding("backspace,delete", "restore", "back to the value in force", show=False),
    ]

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "form--heading", "form--name", "form--value", "form--marker", "form--changed", "form--cursor",
    }  # fmt: skip

    DEFAULT_CSS = """
    FormRows {
        overflow-x: hidden;
        scrollbar-size-vertical: 1;
        & > .form--heading { color: $series-text; text-style: bold; }
        & > .form--name { color: $series-text; }
        & > .form--value { color: $series-data; }
        & > .form--marker { color: $series-muted; }
        & > .form--changed { color: $series-warning; text-style: bold; }
        & > .form--cursor {
            color: $block-cursor-foreground;
            background: $block-cursor-background;
            text-style: $block-cursor-text-style;
        }
    }
    """

    class Moved(Message):
        """The cursor is on another row."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[Row] = []
        self.changed: set[str] = set()
        self.cursor = 0
        self._just_focused = False

    @property
    def form(self) -> Editor:
        return cast("Editor", self.parent)

    @property
    def current(self) -> Row:
        """The row in focus."""
        return self.rows[self.cursor] if self.rows else Row("", "", heading=True)

    def show_rows(self, rows: list[Row], changed: set[str]) -> None:
        """Draw other rows; the cursor stays on its setting, or goes to the section's first."""
        before = self.current
        if len(rows) != len(self.rows):
            self.virtual_size = Size(0, len(rows))
        self.rows, self.changed = rows, changed
        paths = [row.path for row in rows]
        if before.path in paths and not before.heading:
            self.cursor = paths.index(before.path)
        else:
            self.cursor = next((i for i, row in enumerate(rows) if row.section == before.section), 0)
            self.cursor = next(i for i in range(self.cursor, len(rows)) if not rows[i].heading)
        self.refresh()

    def select(self, path: str) -> None:
        """Move the cursor to the row of `path`."""
        for index, row in enumerate(self.rows):
            if row.path == path and not row.heading:
                self._go(index)

    def move(self, by: int) -> None:
        """Move the cursor by so many settings, headings not counted, as far as there are any."""
        stops = [index for index, row in enumerate(self.rows) if not row.heading]
        at = stops.index(self.cursor) if self.cursor in stops else 0
        self._go(stops[max(0, min(len(stops) - 1, at + by))])

    def _go(self, index: int) -> None:
        before, self.cursor = self.cursor, index
        self._just_focused = False
        self._show_cursor()
        if index != before:
            self.refresh_lines(before)
            self.refresh_lines(index)
            self.post_message(self.Moved())

    def _show_cursor(self) -> None:
        top, bottom = max(0, self.cursor - 1), min(len(self.rows), self.cursor + 2)
        self.scroll_to_region(Region(0, top, 1, bottom - top), animate=False, force=True)

    def on_resize(self) -> None:
        self._show_cursor()
        self.refresh()

    def on_focus(self) -> None:
        self._just_focused = True
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    def _columns(self) -> tuple[int, int, int]:
        """Widths of the lines, of their names, and of values with their markers; help fills the rest."""
        width = self.scrollable_content_region.width
        names = max(6, min(_NAMES, (width - 2) // 2))
        values = width - names - 3
        return width, names, _VALUES if values >= _VALUES + _HELP else max(1, values)

    def value_region(self) -> Region:
        """Where the value of the row in focus is, in the form."""
        _, names, values = self._columns()
        return Region(3 + names, self.cursor - self.scroll_offset.y, values, 1)

    def render_line(self, y: int) -> Strip:
        width, names, values = self._columns()
        index = y + self.scroll_offset.y
        if index >= len(self.rows):
            return Strip.blank(width, self.rich_style)
        row = self.rows[index]
        marker = f" {row.marker}" if row.marker else ""
        rest = width - names - 3 - values
        if row.heading:
            parts = [(pad(row.name, names + 3 + values - len(marker)), "heading"), (marker + " " * rest, "marker")]
        else:
            here, touched = index == self.cursor, row.path in self.changed
            parts = [
                ("›" if here else " ", "name"),
                ("*" if touched else " ", "changed"),
                (pad(row.name, names) + " ", "name"),
                (pad(plain(row.value), values - len(marker)), "changed" if touched else "value"),
                (marker, "marker"),
                (pad(f"  {row.help}", rest), "marker"),
            ]
            if here and (self.has_focus or self.form.editing):
                parts = [(text, "cursor") for text, _ in parts]
        return Strip([Segment(text, self.get_component_rich_style(f"form--{role}")) for text, role in parts], width)

    # --- keys and mouse --------------------------------------------------------------------

    def action_move(self, by: int) -> None:
        self.move(by)

    def action_page(self, by: int) -> None:
        self.move(by * max(1, self.size.height - 2))

    def action_edit(self) -> None:
        self.form.edit()

    def action_cycle(self, by: int) -> None:
        self.form.cycle(by)

    def action_restore(self) -> None:
        self.form.restore()

    def on_key(self, event: events.Key) -> None:
        # A key with a meaning of its own, such as the one that applies the form, is not for the editor.
        if self.form.editing and (event.is_printable or event.key in EDITING):
            event.stop()
            event.prevent_default()
            self.form.relay(event.key, event.character)
        elif event.character and self.current.starts_with(event.character):
            event.stop()
            event.prevent_default()
            self.form.edit(event.character)

    def on_click(self, event: events.Click) -> None:
        event.stop()
        index = event.y + self.scroll_offset.y
        if index < len(self.rows) and not self.rows[index].heading:
            if index == self.cursor and not self._just_focused:
                self.form.edit()
            else:
                self._go(index)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._hold_while_editing(event)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._hold_while_editing(event)

    def _hold_while_editing(self, event: events.MouseEvent) -> None:
        if self.form.editing:
            event.stop()
            event.prevent_default()
