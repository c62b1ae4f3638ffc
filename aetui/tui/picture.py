"""A titled box that draws lines of text in the roles of the theme, and paints only those that changed."""

from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

CURVES = tuple(f"curve-{number}" for number in range(1, 7))
"""The colors of trainings side by side; a marker and a name say which is which too."""
ROLES = (
    "text", "muted", "data", "output", "train", "validation", "floor", "warning", "error", "good", "mark", *CURVES,
)  # fmt: skip
"""What a color means, everywhere on the screen; the theme gives each its color."""


class Picture(Widget):
    """A box of lines; subclasses make the lines and hand them to `paint`."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"picture--{role}" for role in ROLES}
    DEFAULT_CSS = (
        """
    Picture {
        border: round $border-blurred;
        border-title-color: $foreground;
        border-subtitle-color: $text-muted;
        padding: 0 1;
        &:focus { border: round $border; }
    """
        + "\n".join(f"    & > .picture--{role} {{ color: $series-{role}; }}" for role in ROLES)
        + "\n}"
    )

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)  # pyright: ignore[reportArgumentType]
        self._lines: list[Strip] = []

    def role(self, name: str, *, bold: bool = False, reverse: bool = False) -> Style:
        """The text style of a role, from the theme."""
        style = self.get_component_rich_style(f"picture--{name}")
        return style + Style(bold=bold or None, reverse=reverse or None) if bold or reverse else style

    def line(self, *parts: tuple[str, str] | str, reverse: bool = False) -> Strip:
        """A strip from texts, each plain or with its role."""
        pairs = [(part, "text") if isinstance(part, str) else part for part in parts]
        return Strip([Segment(text, self.role(role, reverse=reverse)) for text, role in pairs])

    def paint(self, lines: list[Strip]) -> None:
        """Show these lines; the terminal gets those that differ from what is shown."""
        width, height = self.content_size
        before = self._lines
        self._lines = [line.adjust_cell_length(width) for line in lines[:height]]
        self._lines += [Strip.blank(width)] * (height - len(self._lines))
        if len(before) != len(self._lines):
            self.refresh()
            return
        changed = [Region(0, y, width, 1) for y, line in enumerate(self._lines) if line != before[y]]
        if changed:
            self.refresh(*changed)

    def render_line(self, y: int) -> Strip:
        line = self._lines[y] if y < len(self._lines) else Strip.blank(self.content_size.width)
        return line.apply_style(self.rich_style)
