"""What every pane does that has more lines than rows."""

from textual.binding import Binding, BindingType

from aetui.tui.pane import Pane

FAR = 1_000_000_000
"""Lines by which the first and the last are reached from anywhere."""
_WHEEL = 3
"""Lines for a turn of the mouse's wheel."""


def scroll_bindings(pane: str, first: str = "first", last: str = "last") -> list[BindingType]:
    """The keys that scroll a pane by lines and pages, with ids of its name; first, last: words of the help screen."""
    keys = (
        ("up", "scroll_by(-1)", "up", "up"), ("down", "scroll_by(1)", "down", "down"),
        ("pageup", "page(-1)", "page up", "page-up"), ("pagedown", "page(1)", "page down", "page-down"),
        ("home", f"scroll_by(-{FAR})", first, "first"), ("end", f"scroll_by({FAR})", last, "last"),
    )  # fmt: skip
    return [Binding(key, action, words, show=False, id=f"{pane}.{name}") for key, action, words, name in keys]


class ScrolledPane(Pane):
    """Drawing sets `length` and `rows`, the lines that there are and those that fit; `top` is the first one shown."""

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.top = 0
        self.rows = 1
        self.length = 0

    def kept_in(self, top: int) -> int:
        """The first line on the screen, as near to `top` as there are lines for all rows."""
        return max(0, min(top, self.length - self.rows))

    def action_scroll_by(self, lines: int) -> None:
        self.top = self.kept_in(self.top + lines)
        self.redraw()

    def action_page(self, pages: int) -> None:
        self.action_scroll_by(pages * max(1, self.rows - 1))

    def on_mouse_scroll_down(self) -> None:
        self.action_scroll_by(_WHEEL)

    def on_mouse_scroll_up(self) -> None:
        self.action_scroll_by(-_WHEEL)
