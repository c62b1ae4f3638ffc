"""Why the run is as it is: the verdict, its figures, the findings with their evidence, and what to change."""

from collections.abc import Mapping
from typing import ClassVar

from rich.segment import Segment
from textual import events
from textual.binding import Binding
from textual.message import Message
from textual.strip import Strip

from aetui import protocol as p
from aetui.report import Finding, Remedy, Report, options
from aetui.tui import remedies, texts, told, verdict_line
from aetui.tui.actions import key_text, shown
from aetui.tui.late_remedy import late_settings
from aetui.tui.model import RunModel
from aetui.tui.panes import why_text
from aetui.tui.panes.why_text import Line, Piece
from aetui.tui.scrolled_pane import ScrolledPane

_DETAIL = 4
"""Rows of the selected finding that the list leaves."""
_ROOMY = 8
"""Rows of the selected finding with which the figures stand above the list."""


class WhyPane(ScrolledPane):
    """The verdict and the list of findings stay in place; the finding that is selected scrolls below."""

    TITLE = "Why"
    TOPICS = ("run", "diagnosis")
    GAUGES = ("diagnosis",)
    SMALLEST = (34, 5)
    BINDINGS: ClassVar = [
        Binding("up,k", "select(-1)", "previous finding", show=False, id="why.previous"),
        Binding("down,j", "select(1)", "next finding", show=False, id="why.next"),
        Binding("r,right", "turn(1)", "next remedy", show=False, id="why.next-remedy"),
        Binding("left", "turn(-1)", "previous remedy", show=False, id="why.previous-remedy"),
        Binding("f,enter", "take", "put the remedy into the form", show=False, id="why.take"),
        Binding("pageup", "page(-1)", "page up", show=False, id="why.page-up"),
        Binding("pagedown", "page(1)", "page down", show=False, id="why.page-down"),
        Binding("home", "scroll_by(-1000000)", "top of the finding", show=False, id="why.top"),
        Binding("end", "scroll_by(1000000)", "end of the finding", show=False, id="why.end"),
    ]

    class Taken(Message):
        """A remedy is to be put into the form."""

        def __init__(self, remedy: Remedy) -> None:
            self.remedy = remedy
            super().__init__()

    def __init__(self, keymap: Mapping[str, str] | None = None, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self._keymap = keymap or {}
        self.cause = ""
        """Cause of the finding that the reader selected, '' while it is the best one."""
        self._remedy: dict[str, str] = {}
        self._place = 0
        self._run = 0
        self._list_at = range(0)
        self._first = 0

    # --- what is selected -----------------------------------------------------------------------

    @property
    def findings(self) -> tuple[Finding, ...]:
        found = self.model.diagnosis if self.model else None
        return found.report.findings if found else ()

    @property
    def selected(self) -> int:
        """Index of the selected finding; where its cause is gone, the one in its place."""
        causes = [finding.cause for finding in self.findings]
        if self.cause in causes:
            return causes.index(self.cause)
        return max(0, min(self._place if self.cause else 0, len(causes) - 1))

    @property
    def finding(self) -> Finding | None:
        """The selected finding."""
        return self.findings[self.selected] if self.findings else None

    @property
    def remedy(self) -> int:
        """Index of the chosen remedy of the selected finding."""
        finding = self.finding
        ids = [remedy.id for remedy in finding.remedies] if finding else []
        chosen = self._remedy.get(finding.cause, "") if finding else ""
        return ids.index(chosen) if chosen in ids else 0

    def view_state(self) -> object:
        empty = self.model is None or self.model.diagnosis is None
        return (
            self.cause,
            tuple(self._remedy.items()),
            self.top,
            verdict_line.waiting(self.model) if empty and self.model else "",
        )

    # --- keys and mouse -------------------------------------------------------------------------

    def action_select(self, by: int) -> None:
        if not self.findings:
            self.action_scroll_by(by)
            return
        self._choose(max(0, min(self.selected + by, len(self.findings) - 1)))

    def _choose(self, index: int) -> None:
        before, self._place = self.selected, index
        self.cause = self.findings[index].cause
        if index != before:
            self.top = 0
        self.redraw()

    def action_turn(self, by: int) -> None:
        finding = self.finding
        if finding is not None and finding.remedies:
            self._remedy[finding.cause] = finding.remedies[(self.remedy + by) % len(finding.remedies)].id
            self.redraw()

    def action_take(self) -> None:
        finding = self.finding
        if finding is not None and finding.remedies:
            self._choose(self.selected)
            self.post_message(self.Taken(finding.remedies[self.remedy]))

    def copied(self) -> str:
        """The chosen remedy as options of the command line, or in words where it is a change in the code."""
        finding = self.finding
        if finding is None or not finding.remedies:
            return finding.text if finding is not None else ""
        remedy = finding.remedies[self.remedy]
        return " ".join(options(remedy)) or remedy.line or remedy.text

    def on_focus(self) -> None:
        self._keep_selected()

    def on_click(self, event: events.Click) -> None:
        row = event.y - self.gutter.top
        if row in self._list_at:
            self._choose(self._first + row - self._list_at.start)

    # --- drawing --------------------------------------------------------------------------------

    def follow(self, model: RunModel) -> None:
        super().follow(model)
        run = model.info.run if model.info else 0
        if run != self._run:
            self._run, self.cause, self._place, self.top = run, "", 0, 0
            self._remedy.clear()

    def draw(self, model: RunModel, width: int, height: int) -> list[Strip]:
        found = model.diagnosis
        if found is None:
            self.length, self._list_at = 0, range(0)
            lines = why_text.waiting_lines(verdict_line.waiting(model), key_text("examine", self._keymap), width)
            return [self._strip(line) for line in lines]
        self._keep_selected()
        return [self._strip(line) for line in self._lines_of(model, found, width, height)]

    def _keep_selected(self) -> None:
        """Keep to the selected cause, or where it is gone to the one that stands in its place."""
        if self.findings and (self.cause or self.has_focus):
            index = self.selected
            if self.cause != self.findings[index].cause:
                self.top = 0
            self.cause, self._place = self.findings[index].cause, index

    def _lines_of(self, model: RunModel, found: p.Diagnosis, width: int, height: int) -> list[Line]:
        report, findings = found.report, self.findings
        foot = height >= 8
        room = height - foot
        head = self._head(found, width, 2 if room >= 14 else 1)
        numbers = why_text.figure_lines(report, model.code_width, width)
        listed = why_text.finding_lines(findings, self.selected, width)
        roomy = room - len(head) - len(numbers) - len(listed) - 3 >= _ROOMY
        lines = [*head, (), *numbers, ()] if roomy else head
        count = min(len(listed), max(1, room - len(lines) - _DETAIL)) if listed else 0
        self._first = max(0, min(self.selected - count // 2, len(listed) - count))
        self._list_at = range(len(lines), len(lines) + count)
        lines = [*lines, *listed[self._first : self._first + count], *([()] if roomy and listed else [])]
        parts = [
            *why_text.detail(report, self.finding, model.spec, self.remedy, width, told.settable(model.info)),
            [] if roomy else numbers,
            why_text.remarks(report, width),
        ]
        self.rows = max(1, room - len(lines))
        body = why_text.stacked(parts, self.rows)
        self.length = len(body)
        self.top = self.kept_in(self.top)
        lines += body[self.top : self.top + self.rows]
        if foot:
            lines += [()] * (height - 1 - len(lines))
            lines.append((Piece(self._foot(report, width), "muted"),))
        return lines

    def _head(self, found: p.Diagnosis, width: int, rows: int) -> list[Line]:
        """Verdict and headline in at most `rows` lines, and what they rest on."""
        lead, color = verdict_line.word(found.report.verdict), verdict_line.role(found.report.verdict)
        indent = " " * (len(lead) + 2)
        said = texts.wrap(found.report.headline, max(1, width - len(indent)))
        if len(said) > rows:
            said[rows - 1 :] = [verdict_line.at_word(" ".join(said[rows - 1 :]), width - len(indent))]
        state = why_text.state_line(found, key_text("examine", self._keymap))
        return [
            (Piece(lead, color, bold=True), Piece(f"  {said[0]}")),
            *((Piece(indent), Piece(line)) for line in said[1:]),
            (Piece(texts.cut(state.text, width), state.role),),
        ]

    def _foot(self, report: Report, width: int) -> str:
        """Place and keys, as many as fit."""
        finding = self.finding
        parts: list[str] = []
        if len(self.findings) > 1:
            parts.append(f"finding {self.selected + 1} of {len(self.findings)}")
        if self.length > self.rows:
            parts.append(f"lines {self.top + 1}-{min(self.top + self.rows, self.length)} of {self.length}")
        if report.findings and self.model is not None and not told.is_told(self.model.info):
            parts.append(f"{key_text('what-if', self._keymap)} what-if")
        if finding is not None and finding.remedies:
            chosen, settable = finding.remedies[self.remedy], told.settable(self.model.info if self.model else None)
            late = self.model and late_settings(self.model.spec, report, chosen, settable)
            if not remedies.in_code(chosen, settable):
                parts.append(f"{self._key('why.take')} {'go back and apply' if late else 'into the form'}")
            if len(finding.remedies) > 1:
                parts.append(f"{self._key('why.next-remedy')} next remedy")
        return texts.joined(parts, width)

    def _key(self, name: str) -> str:
        default = next(binding.key for binding in Binding.make_bindings(self.BINDINGS) if binding.id == name)
        return shown(self._keymap.get(name, default).split(",")[0].strip())

    def _strip(self, line: Line) -> Strip:
        return Strip([Segment(piece.text, self.role(piece.role, bold=piece.bold)) for piece in line])
