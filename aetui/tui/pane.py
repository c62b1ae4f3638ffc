"""What every pane of the workbench is: a titled box that draws a run as lines of text."""

from typing import ClassVar

from textual.strip import Strip

from aetui.tui import figures, texts
from aetui.tui.model import RunModel
from aetui.tui.picture import Picture


class Pane(Picture, can_focus=True):
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

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.border_title = self.TITLE
        self.model: RunModel | None = None
        self._drawn: tuple[object, ...] = ()

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
        self.paint(self._draw_checked(model, size.width, size.height))

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

    def _draw_checked(self, model: RunModel, width: int, height: int) -> list[Strip]:
        least_width, least_height = self.SMALLEST
        if width < least_width or height < least_height:
            return [self.line((f"needs {least_width} x {least_height}"[:width], "muted"))]
        if not self.ready(model):
            return [self.line((self.WAITING[:width], "muted"))]
        return self.draw(model, width, height)
