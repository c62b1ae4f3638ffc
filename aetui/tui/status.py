"""The lines above and below the panes: what runs, how it stands, and the latest message."""

import time
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual.geometry import Size
from textual.strip import Strip

from aetui.tui import texts
from aetui.tui.model import RunModel
from aetui.tui.pane import Pane
from aetui.tui.status_parts import GAP, age, flow, stage_age, stage_text, state_role, state_word, status_parts

NOT_SAVED = "NOT SAVED"
"""Said in the header while the store does not take the run."""
_RECENT = 20
"""Lines of the Journal among which the text of a notice is looked for."""
ONE_LINE, TWO_LINES = 190, 76
"""Columns from which the status takes one line, and from which two; below it takes three."""


def header_texts(model: RunModel, width: int) -> tuple[str, str]:
    """Left and right text of the header, with only what fits in `width` cells, most telling first."""
    info = model.info
    if info is None:
        return "aetui", ""
    plain = {name: texts.plain(value) for name, value in (
        ("source", info.source), ("architecture", info.architecture), ("name", info.name),
        ("device", info.device), ("dtype", info.dtype),
    )}  # fmt: skip
    model_kind, optimizer = _kind(model.spec.model), _kind(model.spec.optim)
    architecture = f"{model_kind} {plain['architecture']}"
    if not info.spec and info.settings:
        architecture, optimizer = plain["architecture"], "own loop"
    brief = plain["source"].partition(" ")[0]
    run = f"run {plain['name']}" if plain["name"] else ""
    alerts = header_alerts(model)
    for left, right in (
        ((plain["source"], architecture, optimizer), (plain["device"], plain["dtype"], run)),
        ((plain["source"], architecture, optimizer), (plain["device"], run)),
        ((brief, architecture, optimizer), (plain["device"], run)),
        ((brief, architecture, optimizer), (run,)),
        ((brief, architecture), (run,)),
        ((brief, architecture), ()),
        ((brief,), ()),
    ):
        before, after = GAP.join(("aetui", *filter(None, left))), GAP.join(filter(None, (*alerts, *right)))
        if cell_len(before) + cell_len(after) + 2 * len(GAP) <= width:
            return before, after
    after = GAP.join(alerts)
    return texts.cut(GAP.join(("aetui", brief, architecture)), max(5, width - len(after) - len(GAP))), after


def header_alerts(model: RunModel) -> tuple[str, ...]:
    """What has to be known at any width: that the run is not saved, that others watch it."""
    status = model.status
    return tuple(filter(None, (NOT_SAVED * bool(status.unsaved), f"{status.screens} screens" * (status.screens > 1))))


def _kind(section: object) -> str:
    """The section's `kind`, as in the spec."""
    return str(getattr(section, "__struct_config__").tag)  # noqa: B009


class Bar(Pane, can_focus=False):
    """A pane without a border: one or two lines across the screen."""

    SMALLEST = (1, 1)
    DEFAULT_CSS = """
    Bar { border: none; height: auto; width: 1fr; padding: 0 1; }
    """

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return 1


class HeaderLine(Bar):
    """Program, data, architecture and optimizer; what is wrong, device, number format and name of the run."""

    TOPICS = ("run",)

    def view_state(self) -> object:
        return header_alerts(self.model) if self.model else ()

    def draw(self, model: RunModel, width: int, height: int) -> list[Strip]:
        left, right = header_texts(model, width)
        name, _, rest = left.partition(GAP)
        gap = " " * (width - cell_len(left) - cell_len(right))
        alert = NOT_SAVED if right.startswith(NOT_SAVED) else ""
        return [
            Strip(
                [
                    Segment(name, self.role("text", bold=True)),
                    Segment((GAP + rest if rest else "") + gap, self.role("text")),
                    Segment(alert, self.role("warning", bold=True)),
                    Segment(right[len(alert) :], self.role("muted")),
                ]
            )
        ]


class StatusBar(Bar):
    """The figures of the run, each beside its yardstick."""

    TOPICS = ("run", "status", "history")

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self._seen: dict[tuple[str, int], int] = {}
        self._of: tuple[int, str] = (0, "")

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return 1 if width >= ONE_LINE else 2 if width >= TWO_LINES else 3

    def view_state(self) -> object:
        """The age of the figures, or of the stage of a load, in whole seconds."""
        if self.model is None:
            return None
        now = time.monotonic()
        old = stage_age(self.model, now) if self.model.info is None else age(self.model, now)
        return None if old is None else round(old)

    def draw(self, model: RunModel, width: int, height: int) -> list[Strip]:
        if model.info is None:
            return self._without_run(model, width, height)
        settings = (model.info.run, model.info.spec)
        if settings != self._of:
            self._seen, self._of = {}, settings
        rows = flow(status_parts(model, time.monotonic()), width, height, self._seen)
        lines = [self.line(*row) for row in rows]
        first = next(iter(rows[0]), None)
        if first is not None:
            bold = Strip([Segment(first[0], self.role(first[1], bold=True))])
            lines[0] = Strip.join([bold, self.line(*rows[0][1:])])
        return lines

    def _without_run(self, model: RunModel, width: int, height: int) -> list[Strip]:
        word = state_word(model)
        indent = len(word) + len(GAP)
        text = texts.wrap(model.error or stage_text(model, time.monotonic()), width - indent)
        if len(text) > height:
            text[height - 1] = texts.cut(" ".join(text[height - 1 :]), width - indent)
        bold = Strip([Segment(word, self.role(state_role(model), bold=True))])
        return [
            Strip.join([bold, self.line(GAP, text[0])]),
            *(self.line(" " * indent, rest) for rest in text[1:height]),
        ]


class Notice(Bar):
    """The latest message, in a place of its own: a newer one replaces it, nothing moves."""

    TOPICS = ("run", "status", "history")
    SEVERITIES: ClassVar = {"note": "text", "warning": "warning", "error": "warning"}

    def __init__(self, hint: str = "F5 starts training", journal: str = "", **kwargs: object) -> None:
        """hint: the quiet line while a run is paused at step 0 and there is nothing else to say.

        journal: the key of the Journal, which has what is too long for this line.
        """
        super().__init__(**kwargs)
        self.hint, self._journal = hint, journal
        self.text = ""
        self.severity = "note"
        self._trouble = ""

    def show_text(self, text: str, severity: str = "note") -> None:
        """Show one line until the next. severity: `note`, `warning` or `error`."""
        self.text, self.severity = texts.plain(text), severity
        self.redraw()

    def clear_text(self) -> None:
        self.show_text("")

    def view_state(self) -> object:
        return self.text, self.severity, self.hint

    def show(self, model: RunModel) -> None:
        bad = model.error or model.status.state in ("non-finite", "failed")
        trouble = (model.error or model.reason) if bad else ""
        if trouble != self._trouble:
            self._trouble = trouble
            if trouble:
                self.text, self.severity = texts.plain(trouble), "error"
        super().show(model)

    def draw(self, model: RunModel, width: int, height: int) -> list[Strip]:
        if self.text:
            word = "" if self.severity == "note" else f"{self.severity}: "
            role = self.SEVERITIES.get(self.severity, "text")
            return [self.line((self._cut(word + self.text, model, width), role))]
        status = model.status
        if model.info is not None and status.state == "paused" and status.step == 0:
            return [self.line((texts.cut(self.hint, width), "muted"))]
        return [Strip.blank(width)]

    def _cut(self, text: str, model: RunModel, width: int) -> str:
        """`text` in one line; where trouble is cut, with the key to the whole of it."""
        tail = f"… {self._journal} Journal has it whole"
        fits = cell_len(text) <= width or width < 2 * len(tail)
        if fits or self.severity == "note" or not self._journal or not _tells(model, self.text):
            return texts.cut(text, width)
        return texts.cut(text, width - len(tail)).removesuffix("…").rstrip() + tail


def _tells(model: RunModel, text: str) -> bool:
    """Whether the Journal has a text; the notice may say more, such as what to do about it."""
    return any(entry.text and texts.plain(entry.text) in text for entry in reversed(model.journal[-_RECENT:]))
