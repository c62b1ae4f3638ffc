"""What every pane of the workbench is: a titled box that draws a run as lines of text."""

from typing import ClassVar

from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from aetui.tui import figures, texts
from aetui.tui.model import RunModel

ROLES = (
    "text", "muted", "data", "output", "train", "validation", "floor", "warning", "error", "good", "mark",
)  # fmt: skip
"""What a color means, everywhere on the screen; the theme gives each its color."""


class Pane(Widget, can_focus=True):
    """A box that draws the run; on every frame it follows the run, and while it is visible it is asked to `show` it.

    Subclasses name the topics of `RunModel.versions` that they draw and implement `draw`. Only
    lines that changed are painted again.
    """

    TITLE: ClassVar[str] = ""
    TOPICS: ClassVar[tuple[str, ...]] = ("run",)
    """What a change of makes the pane draw again."""
    GAUGES: ClassVar[tuple[str, ...]] = ()
    """Gauges that the engine should measure while the pane is visible."""
    WAITING: ClassVar[str] = "waiting for the first step"
    SMALLEST: ClassVar[tuple[int, int]] = (20, 4)
    """Columns and rows below which the pane says that it is too small."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"pane--{role}" for role in ROLES}
    DEFAULT_CSS = (
        """
    Pane {
        border: round $border-blurred;
        border-title-color: $foreground;
        border-subtitle-color: $text-muted;
        padding: 0 1;
        &:focus { border: round $border; }
    """
        + "\n".join(f"    & > .pane--{role} {{ color: $series-{role}; }}" for role in ROLES)
        + "\n}"
    )

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)  # pyright: ignore[reportArgumentType]
        self.border_title = self.TITLE
        self.model: RunModel | None = None
        self._drawn: tuple[object, ...] = ()
        self._lines: list[Strip] = []

    def follow(self, model: RunModel) -> None:
        """Take note of the run as it is now, on every frame, drawn or not: keys act on what is known here."""
        self.model = model

    def show(self, model: RunModel) -> None:
        """Draw `model`, unless nothing that this pane draws has changed since the last time."""
        self.follow(model)
        self._say_step(model)
        size = self.content_size
        state = (id(model), size, self.app.theme, self.view_state(), *(model.versions[topic] for topic in self.TOPICS))
        if state == self._drawn or not (size.width and size.height):
            return
        self._drawn = state
        lines = self._draw_checked(model, size.width, size.height)
        self._paint(lines, size.width, size.height)

    def _say_step(self, model: RunModel) -> None:
        """In the title, where what is drawn was measured at another step than the status line has."""
        of = figures.as_of("", model.step_of(self.GAUGES[0]), model.status.step) if self.GAUGES else ""
        of = of.replace(figures.MISSING, "")
        title = texts.cut(self.TITLE, max(1, self.content_size.width - 2 - len(of))) + of if of else self.TITLE
        if self.TITLE and title != str(self.border_title):
            self.border_title = title

    def redraw(self) -> None:
        """Draw again after a key changed what the pane shows."""
        if self.model is not None:
            self.show(self.model)

    def on_resize(self) -> None:
        self.redraw()

    def view_state(self) -> object:
        """What the user chose to see (axis, window, page, ...); a change draws again."""
        return None

    def copied(self) -> str:
        """What is under the cursor as text without frames, '' where there is nothing of the kind."""
        return ""

    def ready(self, model: RunModel) -> bool:
        """Whether there is anything to draw yet."""
        return True

    def draw(self, model: RunModel, width: int, height: int) -> list[Strip]:
        """The pane's lines, at most `height` strips of `width` cells."""
        raise NotImplementedError

    def role(self, name: str, *, bold: bool = False, reverse: bool = False) -> Style:
        """The text style of a role, from the theme."""
        style = self.get_component_rich_style(f"pane--{name}")
        return style + Style(bold=bold or None, reverse=reverse or None) if bold or reverse else style

    def line(self, *parts: tuple[str, str] | str) -> Strip:
        """A strip from texts, each plain or with its role."""
        from rich.segment import Segment

        pairs = [(part, "text") if isinstance(part, str) else part for part in parts]
        return Strip([Segment(text, self.role(role)) for text, role in pairs])

    def _draw_checked(self, model: RunModel, width: int, height: int) -> list[Strip]:
        least_width, least_height = self.SMALLEST
        if width < least_width or height < least_height:
            return [self.line((f"needs {least_width} x {least_height}"[:width], "muted"))]
        if not self.ready(model):
            return [self.line((self.WAITING[:width], "muted"))]
        return self.draw(model, width, height)

    def _paint(self, lines: list[Strip], width: int, height: int) -> None:
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
