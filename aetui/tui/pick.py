"""A list to pick one line from, drawn line by line; the marked line has a sign besides its color."""

from collections.abc import Sequence
from typing import Any, ClassVar

from rich.segment import Segment
from textual import events
from textual.binding import Binding
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from aetui.tui.texts import pad, plain


class PickList(Widget, can_focus=True):
    """Lines of plain text with a cursor; Enter or a click on the marked line picks it."""

    BINDINGS: ClassVar = [
        Binding("up", "move(-1)", "Up", show=False),
        Binding("down", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home", "move(-1_000_000_000)", "First", show=False),
        Binding("end", "move(1_000_000_000)", "Last", show=False),
        Binding("enter", "pick", "Take", show=False),
    ]

    COMPONENT_CLASSES: ClassVar[set[str]] = {"pick--line", "pick--cursor"}

    DEFAULT_CSS = """
    PickList {
        height: auto;
        background: $surface;
        & > .pick--line { color: $series-text; background: $surface; }
        & > .pick--cursor {
            color: $block-cursor-foreground;
            background: $block-cursor-background;
            text-style: $block-cursor-text-style;
        }
    }
    """

    class Marked(Message):
        """Another line is marked."""

        def __init__(self, control: "PickList", index: int) -> None:
            super().__init__()
            self.list = control
            self.index = index

    class Picked(Marked):
        """A line was picked."""

    def __init__(self, lines: Sequence[str], cursor: int = 0, columns: bool = False, **kwargs: Any) -> None:
        """columns: the lines are plain already, and their runs of spaces stay."""
        super().__init__(**kwargs)
        self._columns = columns
        self.lines = tuple(lines)
        self.cursor = cursor
        self._top = 0

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(self.lines)

    def render_line(self, y: int) -> Strip:
        width, height = self.content_size
        self._top = max(self.cursor - height + 1, min(self._top, self.cursor, max(0, len(self.lines) - height)))
        index = y + self._top
        if index >= len(self.lines):
            return Strip.blank(width, self.rich_style)
        more = (y == 0 and index > 0) or (y == height - 1 and index < len(self.lines) - 1)
        shown = self.lines[index] if self._columns else plain(self.lines[index])
        text = f"{'›' if index == self.cursor else ' '} {pad(shown, width - 4)} {'…' if more else ' '}"
        role = "pick--cursor" if index == self.cursor else "pick--line"
        return Strip([Segment(text, self.get_component_rich_style(role))], width)

    def mark(self, index: int) -> None:
        """Move the cursor to a line, or as near to it as there are lines."""
        index = max(0, min(len(self.lines) - 1, index))
        if index != self.cursor:
            self.cursor = index
            self.refresh()
            self.post_message(self.Marked(self, index))

    def action_move(self, by: int) -> None:
        self.mark(self.cursor + by)

    def action_page(self, pages: int) -> None:
        self.action_move(pages * max(1, self.content_size.height - 1))

    def set_lines(self, lines: Sequence[str], cursor: int | None = None) -> None:
        """Other lines, with the cursor where it is or elsewhere."""
        taller = len(lines) != len(self.lines)
        self.lines = tuple(lines)
        self.cursor = max(0, min(len(self.lines) - 1, self.cursor if cursor is None else cursor))
        self.refresh(layout=taller)

    def action_pick(self) -> None:
        if self.lines:
            self.post_message(self.Picked(self, self.cursor))

    def on_click(self, event: events.Click) -> None:
        event.stop()
        offset = event.get_content_offset(self)
        if offset is not None and offset.y + self._top < len(self.lines):
            self.mark(offset.y + self._top)
            self.action_pick()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_move(1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_move(-1)
