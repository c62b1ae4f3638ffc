"""The verdict in one line across the screen: the word first, then what it rests on, then the best cause."""

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.strip import Strip

from aetui.report import FINE, LEARNING, Finding
from aetui.tui import figures, texts
from aetui.tui.model import RunModel
from aetui.tui.status import Bar
from aetui.tui.status_parts import GAP, Piece

MILD = ("partial", "under-trained", "trivial-data")
"""Verdicts that warn; those that are neither fine nor mild are errors."""
NONE_YET = "NO VERDICT YET"
_LEAST_SAID = 16
"""Cells of a headline below which it is left out rather than cut."""


def word(verdict: str) -> str:
    """A verdict as it stands on the screen."""
    return NONE_YET if verdict == LEARNING else texts.plain(verdict).upper()


def role(verdict: str) -> str:
    """The color of a verdict; its word says the same."""
    if verdict == LEARNING:
        return "muted"
    return "good" if verdict in FINE else "warning" if verdict in MILD else "error"


def waiting(model: RunModel) -> str:
    """What the first verdict waits for."""
    if model.info is None:
        return "there is no run" if model.error else "the run is being loaded"
    if model.status.state == "running":
        return "it comes with the first measurements"
    return "it comes once the run trains" if not model.status.step else "it comes with the next measurements"


def sure(finding: Finding) -> str:
    """A finding with its confidence."""
    return f"{texts.plain(finding.title)} ({finding.confidence:.2f})"


def verdict_line(model: RunModel, width: int, key: str) -> list[Piece]:
    """The line's texts in at most `width` cells, the verdict first. key: what opens the Why pane."""
    found = model.diagnosis
    if found is None:
        lead, said, causes = (NONE_YET, "muted"), waiting(model), ["", ""]
    else:
        report = found.report
        lead, said = (word(report.verdict), role(report.verdict)), texts.plain(found.stage or report.headline)
        best = report.findings[0] if report.wrong and report.findings else None
        causes = [f"Most likely: {sure(best)}", sure(best), texts.plain(best.title)] if best else []
        # A probe holds the training up, which is to be seen before what it looks into.
        causes += [""] if found.stage or not causes else []
    lead = (texts.cut(lead[0], width), lead[1])
    of = _as_of(model)
    heads = [lead, (of, "muted")] if of and cell_len(lead[0]) + cell_len(of) <= width else [lead]
    room = width - sum(cell_len(text) for text, _ in heads)
    hint = f"{key} why" if key else ""
    if not hint or room < len(GAP) + len(hint):
        return heads
    room -= len(hint) + len(GAP)
    middle = _middle(said, causes, room)
    used = sum(cell_len(text) for text, _ in middle)
    return [*heads, *middle, (" " * (room - used + len(GAP)), "text"), (hint, "muted")]


def _as_of(model: RunModel) -> str:
    """The step that the verdict is of, where that is another than the run's."""
    found = model.diagnosis
    return "" if found is None or found.stage else figures.as_of("", model.step_of("diagnosis"), model.status.step)


def _middle(said: str, causes: list[str], room: int) -> list[Piece]:
    """What was seen and the best cause in `room` cells, both in full if they fit, what was seen cut if not."""
    for cause in causes:
        rest = room - sum(cell_len(text) + len(GAP) for text in (said, cause) if text)
        if rest >= 0:
            return [(GAP + text, "text") for text in (said, cause) if text]
    cause = causes[1] if len(causes) > 1 else ""
    left = room - cell_len(cause) - len(GAP) * (2 if cause else 1)
    if left >= _LEAST_SAID:
        return [(GAP + text, "text") for text in (at_word(said, left), cause) if text]
    shortest = next((one for one in causes[1:] if cell_len(one) + len(GAP) <= room), causes[-1] or said)
    shown = at_word(shortest, room - len(GAP)) if room > len(GAP) else ""
    return [(GAP + shown, "text")] if shown else []


def at_word(text: str, width: int) -> str:
    """`text` in at most `width` cells, cut after a whole word where one fits."""
    if cell_len(text) <= width:
        return text
    whole = ""
    for part in text.split(" "):
        longer = f"{whole} {part}" if whole else part
        if cell_len(longer) >= width:
            break
        whole = longer
    return f"{whole}…" if whole else texts.cut(text, width)


class VerdictLine(Bar):
    """The verdict, always in sight; a click opens the Why pane."""

    TOPICS = ("run", "diagnosis")
    GAUGES = ("diagnosis",)

    def __init__(self, key: str, **kwargs: object) -> None:
        """key: how the key that opens the Why pane is shown."""
        super().__init__(**kwargs)
        self._key = key

    def view_state(self) -> object:
        if self.model is None:
            return None
        return waiting(self.model) if self.model.diagnosis is None else _as_of(self.model)

    def draw(self, model: RunModel, width: int, height: int) -> list[Strip]:
        (lead, color), *rest = verdict_line(model, width, self._key)
        return [Strip.join([Strip([Segment(lead, self.role(color, bold=True))]), self.line(*rest)])]

    async def on_click(self, event: events.Click) -> None:
        await self.app.run_action("show_pane('why')")
