"""The two editors that open over a row of the form: a line of text, or a list of choices."""

from typing import ClassVar

from textual import events
from textual.binding import Binding
from textual.geometry import Region
from textual.message import Message
from textual.widget import Widget
from textual.widgets.input import Selection

from aetui.tui.line_input import LineInput
from aetui.tui.pick import PickList

EDITING = ("enter", "escape", "backspace", "up", "down", "left", "right", "home", "end", "delete")
"""Keys besides characters that belong to an editor once it is being opened."""


class EditorMessage(Message):
    """A message of an editor about itself."""

    def __init__(self, editor: Widget) -> None:
        super().__init__()
        self.editor = editor


def still_here(editor: Widget) -> bool:
    """Whether an editor that lost the focus did so to nothing: another window, or a dialog above."""
    return not editor.app.app_focus or editor.app.screen is not editor.screen


class TextEditor(LineInput):
    """One line of text over the value of a row; Enter accepts, Escape restores."""

    BINDINGS: ClassVar = [
        Binding("escape", "cancel", "Restore", show=False),
        Binding("down", "leave(1)", "Accept, next row", show=False),
        Binding("up", "leave(-1)", "Accept, previous row", show=False),
    ]

    DEFAULT_CSS = """
    TextEditor, TextEditor:focus {
        layer: editor;
        position: absolute;
        height: 1;
        border: none;
        padding: 0;
        background: $surface;
        color: $foreground;
        text-style: underline;
        &.-refused { color: $series-warning; }
    }
    """

    class Done(EditorMessage):
        """The text is to be taken over, and the cursor moved by so many rows."""

        def __init__(self, editor: "TextEditor", move: int) -> None:
            super().__init__(editor)
            self.move = move

    class Left(EditorMessage):
        """The focus went elsewhere."""

    class Canceled(EditorMessage):
        """The value is to stay as it was."""

    def __init__(self, path: str, value: str, replacement: str | None = None) -> None:
        """Edit `value`, selected; or start with `replacement` typed over it."""
        start = value if replacement is None else replacement
        super().__init__(value=start, select_on_focus=False, compact=True)
        self.path = path
        self.original = value
        self.selection = Selection(0 if replacement is None else len(start), len(start))

    def place(self, value: Region, height: int) -> None:
        """Cover the `value` of a row, a region of the form."""
        self.styles.offset = value.offset
        self.styles.width = max(1, value.width)

    def take_key(self, key: str, character: str | None) -> None:
        """Obey a key that was pressed before the focus was here."""
        if key == "enter":
            self.action_leave(1)
        elif key == "escape":
            self.action_cancel()
        elif key == "backspace":
            self.action_delete_left()
        elif character and character.isprintable():
            self.replace(character, *self.selection)

    async def action_submit(self) -> None:
        self.action_leave(1)

    def action_leave(self, move: int) -> None:
        self.post_message(self.Done(self, move))

    def action_cancel(self) -> None:
        self.post_message(self.Canceled(self))

    def on_blur(self) -> None:
        if not still_here(self):
            self.post_message(self.Left(self))


class ChoiceList(PickList):
    """The choices of a row, below or above it; Enter takes one, letters jump, Escape restores."""

    BINDINGS: ClassVar = [Binding("escape", "cancel", "Restore", show=False)]

    DEFAULT_CSS = """
    ChoiceList, ChoiceList:focus {
        layer: editor;
        position: absolute;
        border: round $border;
        padding: 0;
        background: $surface;
    }
    """

    class Canceled(EditorMessage):
        """The value is to stay as it was."""

    def __init__(self, path: str, choices: tuple[str, ...], value: str) -> None:
        super().__init__(choices, choices.index(value) if value in choices else 0)
        self.path = path
        self.choices = choices

    def place(self, value: Region, height: int) -> None:
        """Open where there is more room, below or above the `value` of a row."""
        below, above = height - value.bottom, value.y
        wanted = len(self.choices) + 2
        rows = min(wanted, max(3, below if below >= wanted else max(below, above)))
        y = value.bottom if below >= min(wanted, above) else value.y - rows
        width = min(value.right, max(map(len, self.choices)) + 6)
        self.styles.offset = (max(0, min(value.x - 1, value.right - width)), max(0, y))
        self.styles.width, self.styles.height = width, rows

    def take_key(self, key: str, character: str | None) -> None:
        """Obey a key that was pressed before the focus was here."""
        if key == "enter":
            self.action_pick()
        elif key == "escape":
            self.action_cancel()
        elif key in ("up", "down"):
            self.action_move(1 if key == "down" else -1)
        elif character and character.isprintable():
            self.jump(character)

    def jump(self, character: str) -> None:
        """Mark the next choice that starts with `character`."""
        order = [(self.cursor + step) % len(self.choices) for step in range(1, len(self.choices) + 1)]
        self.mark(next((i for i in order if self.choices[i].startswith(character.lower())), self.cursor))

    def action_cancel(self) -> None:
        self.post_message(self.Canceled(self))

    def on_key(self, event: events.Key) -> None:
        if event.is_printable and event.character:
            event.stop()
            event.prevent_default()
            self.jump(event.character)

    def on_blur(self) -> None:
        if not still_here(self):
            self.post_message(self.Canceled(self))
