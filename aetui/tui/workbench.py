"""The workbench's layout: every pane once, arranged by the size of the terminal."""

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.message import Message
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget

from aetui.tui.actions import PANES, footer_items, key_text
from aetui.tui.form import SpecForm
from aetui.tui.markers import Marker
from aetui.tui.model import RunModel
from aetui.tui.pane import Pane
from aetui.tui.panes.code_pane import CodePane
from aetui.tui.panes.journal_pane import JournalPane
from aetui.tui.panes.layers_pane import LayersPane
from aetui.tui.panes.loss_pane import LossPane
from aetui.tui.panes.output_pane import OutputPane
from aetui.tui.panes.pairs_pane import PairsPane
from aetui.tui.panes.variance_pane import VariancePane
from aetui.tui.panes.why_pane import WhyPane
from aetui.tui.status import HeaderLine, Notice, StatusBar
from aetui.tui.verdict_line import VerdictLine

_MEDIUM = 100, 30
_WIDE = 160, 40
_TABS = 10
"""Rows from which the panes are named above; below there is hardly one left for a pane."""
_SLOTS = {
    "medium": ("pairs", "code", "layers", "journal", "why", "output"),
    "wide": ("layers", "journal", "why", "output"),
}
"""Panes that share the last place of a layout; the one chosen last is shown."""
_COVERED = {"medium": "variance", "wide": "code"}
"""The pane before the last place, which a broad pane takes too."""
_BROAD = ("why", "output")
"""Panes that have whole sentences and lines to show."""


_PLAIN, _BOLD, _MARKED = Style(), Style(bold=True), Style(bold=True, reverse=True)


class ClickLine(Widget):
    """A line of texts that act on a click."""

    DEFAULT_CSS = """
    ClickLine { height: 1; color: $series-muted; padding: 0 1; }
    """

    def texts(self) -> Iterable[tuple[str, Style, str]]:
        """Texts from the left, each with what it adds to the line's style and with its command."""
        raise NotImplementedError

    def render_line(self, y: int) -> Strip:
        base = self.rich_style
        line = Strip([Segment(text, base + style) for text, style, _ in self.texts()])
        return line.adjust_cell_length(self.content_size.width, base)

    async def on_click(self, event: events.Click) -> None:
        at = event.x - self.gutter.left
        for text, _, command in self.texts():
            if 0 <= at < len(text):
                await self.app.run_action(command)
            at -= len(text)


class TabLine(ClickLine):
    """The panes by number, the visible ones marked; a click chooses."""

    def __init__(self) -> None:
        super().__init__()
        self._visible: set[str] = set()
        self.output = False
        """Whether the run has what the Output pane shows."""

    def mark(self, visible: set[str]) -> None:
        if visible != self._visible:
            self._visible = visible
            self.refresh()

    def show(self, model: RunModel) -> None:
        """Name the Output pane where the run has what it shows."""
        output = model.info is not None and bool(model.info.output)
        if output != self.output:
            self.output = output
            self.refresh()

    def texts(self) -> Iterable[tuple[str, Style, str]]:
        """Each tab: apart, close together, or the hidden ones by number only, as there is room."""
        named = [
            (name, f" {number} {title} ")
            for number, (name, title) in enumerate(PANES, start=1)
            if name != "output" or self.output or name in self._visible
        ]
        gap, room = " ", self.content_size.width
        if sum(len(text) + 1 for _, text in named) > room:
            gap = ""
            if sum(len(text) for _, text in named) > room:
                tight = [(name, text.strip()) for name, text in named]
                if sum(len(text) + 1 for _, text in tight) <= room + 1:
                    gap, named = " ", tight
                else:
                    named = [(name, text if name in self._visible else text[:3]) for name, text in named]
        for name, text in named:
            command = f"show_pane('{name}')"
            yield text, _MARKED if name in self._visible else _PLAIN, command
            yield gap, _PLAIN, command


class KeyLine(ClickLine):
    """The keys of the footer, as many as fit, and none that this screen refuses; a click on one acts."""

    def __init__(self, keymap: Mapping[str, str]) -> None:
        super().__init__()
        self._keymap = keymap
        self._training = self._read_only = False

    def show(self, model: RunModel) -> None:
        now = model.status.state == "running", model.read_only
        if now != (self._training, self._read_only):
            self._training, self._read_only = now
            self.refresh()

    def texts(self) -> Iterable[tuple[str, Style, str]]:
        room = self.content_size.width
        for key, label, command in footer_items(self._keymap, room):
            if self._read_only and _is_steering(self.app, command):
                continue
            if command == "run_pause":
                label = "pause" if self._training else "run"
            room -= len(key) + 1 + len(label)
            if room < 0:
                return
            yield key, _BOLD, command
            yield f" {label}  ", _PLAIN, command
            room -= 2


class WorkbenchScreen(Screen[None]):
    """Header, verdict, panes, status, notice and keys.

    Narrow terminals show one pane at a time; wider ones a grid with the form on the left, the
    loss on top and the last place shared by the panes that do not fit.
    """

    DEFAULT_CSS = """
    WorkbenchScreen {
        layout: vertical;
        #panes { height: 1fr; layout: vertical; }
        #panes > * { height: 1fr; width: 1fr; }
        &.-medium #panes { layout: grid; grid-size: 3 2; grid-columns: 41 1fr 1fr; grid-rows: 3fr 2fr; }
        &.-wide #panes { layout: grid; grid-size: 4 2; grid-columns: 42 1fr 1fr 1fr; grid-rows: 1fr 1fr; }
        &.-medium #settings, &.-wide #settings { row-span: 2; }
        &.-medium #loss, &.-wide #loss { column-span: 2; }
        &.-medium #why, &.-wide #why { column-span: 2; }
        &.-medium #output, &.-wide #output { column-span: 2; }
        &.-medium.-broad #panes { grid-rows: 1fr 1fr; }
    }
    """
    AUTO_FOCUS: ClassVar[str | None] = ""

    class Arranged(Message):
        """Other panes are on the screen than before."""

    def __init__(self, keymap: Mapping[str, str], *, marker: Marker = "braille") -> None:
        """keymap: the user's keys. marker: what the loss chart is drawn in."""
        super().__init__()
        self.form = SpecForm(id="settings")
        self.pairs = PairsPane(id="pairs")
        self.panes: dict[str, Pane | SpecForm] = {
            "settings": self.form,
            "loss": LossPane(marker, id="loss"),
            "variance": VariancePane(id="variance"),
            "pairs": self.pairs,
            "code": CodePane(id="code"),
            "layers": LayersPane(id="layers"),
            "journal": JournalPane(id="journal"),
            "why": WhyPane(keymap, id="why"),
            "output": OutputPane(id="output"),
        }
        self.header = HeaderLine(id="header")
        self.verdict = VerdictLine(key_text("pane-why", keymap), id="verdict")
        self.tabs = TabLine()
        self.status = StatusBar(id="status")
        self.notice = Notice(journal=key_text("pane-journal", keymap), id="notice")
        self.keys = KeyLine(keymap)
        self.active = "loss"
        """The pane that a narrow or maximized layout shows."""
        self.alone = False
        self._slot = {"medium": "pairs", "wide": "layers"}
        self._beside = dict(self._slot)
        """What the last place showed before a broad pane took it."""
        self._kind = ""
        self._visible: set[str] = set()

    def compose(self) -> ComposeResult:
        yield self.header
        yield self.verdict
        yield self.tabs
        with Container(id="panes"):
            yield from self.panes.values()
        yield self.status
        yield self.notice
        yield self.keys

    # --- layout ---------------------------------------------------------------------------------

    @property
    def arrangement(self) -> str:
        """`tabs`, `medium` or `wide`, from the terminal's size; `tabs` while a pane is alone on the screen."""
        width, height = self.app.size
        if self.alone or self.narrow:
            return "tabs"
        return "wide" if width >= _WIDE[0] and height >= _WIDE[1] else "medium"

    @property
    def narrow(self) -> bool:
        """Whether the terminal has room for one pane at a time only."""
        width, height = self.app.size
        return width < _MEDIUM[0] or height < _MEDIUM[1]

    def on_mount(self) -> None:
        self.lay_out()

    def on_resize(self) -> None:
        self.lay_out()

    def lay_out(self) -> None:
        """Show the panes that belong to the arrangement."""
        kind = self.arrangement
        if kind != self._kind:
            self._keep_in_sight(kind)
        for name in ("medium", "wide"):
            self.set_class(kind == name, f"-{name}")
        shared = _SLOTS.get(kind, ())
        broad = kind in _SLOTS and self._slot[kind] in _BROAD
        self.set_class(broad, "-broad")
        visible = (
            {self.active}
            if kind == "tabs"
            else {name for name in self.panes if name not in shared or name == self._slot[kind]}
        )
        if broad:
            visible.discard(_COVERED[kind])
        for name, pane in self.panes.items():
            pane.display = name in visible
        self.tabs.display = self.app.size.height >= _TABS
        self.tabs.mark(visible)
        if visible != self._visible:
            self._visible = visible
            self.post_message(self.Arranged())

    def _keep_in_sight(self, kind: str) -> None:
        """Another arrangement shows the pane in focus, or the one that had the screen alone."""
        kept = self.focused_pane or (self.active if self._kind == "tabs" else None)
        self._kind = kind
        if kept is None:
            return
        if kind == "tabs":
            self.active = kept
        else:
            self._make_room(kind, kept)

    def _make_room(self, kind: str, name: str) -> None:
        """Let an arrangement show a pane."""
        slot = self._slot[kind]
        if name in _SLOTS[kind]:
            if slot not in _BROAD:
                self._beside[kind] = slot
            self._slot[kind] = name
        elif slot in _BROAD and name == _COVERED[kind]:
            self._slot[kind] = self._beside[kind]

    def choose(self, name: str) -> None:
        """Bring a pane to the screen and give it the keys."""
        self.active = name
        kind = self.arrangement
        if kind in _SLOTS:
            self._make_room(kind, name)
        self.lay_out()
        self.panes[name].focus()

    def choose_beside(self, by: int) -> None:
        """Bring the pane so many numbers further to the screen, of those that the run has."""
        names = [name for name, _ in PANES if name != "output" or self.tabs.output]
        at = self.focused_pane or self.active
        self.choose(names[(names.index(at) + by) % len(names) if at in names else 0])

    def toggle_maximize(self) -> None:
        """The pane in focus alone, or all of them again."""
        self.alone = not self.alone
        self.lay_out()

    @property
    def focused_pane(self) -> str | None:
        node = self.focused
        while node is not None:
            if node.id in self.panes:
                return node.id
            node = node.parent if isinstance(node.parent, Widget) else None
        return None

    @property
    def pane_bindings(self) -> list[tuple[str, Sequence[BindingType]]]:
        """Titles of the panes that have keys of their own, with these."""
        return [(title, type(self.panes[name]).BINDINGS) for name, title in PANES if type(self.panes[name]).BINDINGS]

    # --- drawing --------------------------------------------------------------------------------

    @property
    def visible_panes(self) -> list[Pane | SpecForm]:
        return [pane for name, pane in self.panes.items() if name in self._visible]

    @property
    def gauges(self) -> list[str]:
        """Gauges that the verdict and the visible panes draw."""
        return list(dict.fromkeys(gauge for pane in (self.verdict, *self.visible_panes) for gauge in pane.GAUGES))

    def show(self, model: RunModel, panes: bool = True) -> None:
        """Follow the run everywhere; draw what has changed in the bars, and in the panes if they are wanted."""
        for pane in self.panes.values():
            pane.follow(model)
        self.header.show(model)
        self.verdict.show(model)
        self.tabs.show(model)
        self.status.show(model)
        self.notice.show(model)
        self.keys.show(model)
        if panes:
            for pane in self.visible_panes:
                pane.show(model)


def _is_steering(app: object, command: str) -> bool:
    """Whether an action of the app, by the name of its method, steers the run, as `read_only.steers` marks it."""
    return getattr(getattr(app, f"action_{command}", None), "steers", False)
