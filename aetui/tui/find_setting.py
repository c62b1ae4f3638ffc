"""Finding a setting by its name, from anywhere."""

from collections.abc import Sequence
from typing import Any, ClassVar

from textual import on
from textual.binding import Binding
from textual.content import Content
from textual.fuzzy import FuzzySearch
from textual.widget import Widget
from textual.widgets import Input, Static

from aetui.spec.fields import FORM_SECTIONS, fields_of, variants
from aetui.tui.dialogs import Dialog
from aetui.tui.form_fields import Row
from aetui.tui.line_input import LineInput
from aetui.tui.pick import PickList
from aetui.tui.texts import cut, pad

_SHOWN = 8
"""Settings that are listed at a time; the others scroll."""


class FindSetting(Dialog[str | None]):
    """The settings whose name, place or help fits what is typed; the path of the one that is taken."""

    BINDINGS: ClassVar = [
        Binding("up", "move(-1)", "Previous", show=False),
        Binding("down", "move(1)", "Next", show=False),
    ]
    HINT = "Enter edits it, Esc cancels"

    def __init__(self, rows: Sequence[Row], **kwargs: Any) -> None:
        """`rows` are those of the form."""
        super().__init__("Find a setting", "Type a part of its name:", id="find", **kwargs)
        self._rows = [row for row in rows if not row.heading]
        self._found = self._rows

    def controls(self) -> Sequence[Widget]:
        lines = PickList(self._lines(), columns=True)
        lines.can_focus = False
        lines.styles.height = _SHOWN
        return [LineInput(compact=True), lines, Static(classes="dialog-problem")]

    def rows_below(self) -> int:
        return _SHOWN + 6

    def _lines(self) -> list[str]:
        return [
            f"{pad(row.path, 24)} {pad(cut(row.value, 22), 22)} {'live' if row.live else 'new run'}"
            for row in self._found
        ]

    def action_move(self, by: int) -> None:
        self.query_one(PickList).action_move(by)

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self._found = matches(event.value, self._rows)
        self.query_one(PickList).set_lines(self._lines(), 0)
        problem = "" if self._found else missing(event.value)
        self.query_one(".dialog-problem", Static).update(Content(problem))

    @on(Input.Submitted)
    @on(PickList.Picked)
    def _taken(self) -> None:
        if self._found:
            self.dismiss(self._found[self.query_one(PickList).cursor].path)

    def action_cancel(self) -> None:
        self.dismiss(None)


def matches(query: str, rows: Sequence[Row]) -> list[Row]:
    """The rows that a query may mean, the likeliest first; all for an empty one.

    A name that begins with it comes before one that has it anywhere, then its letters in order in the path, then the
    words of the help.
    """
    words = query.strip().lower()
    if not words:
        return list(rows)
    fuzzy = FuzzySearch()
    ranked: list[tuple[float, int, Row]] = []
    for index, row in enumerate(rows):
        place = row.path.replace("_", " ").replace(".", " ")
        if row.name == words or row.path == words:
            rank = 0.0
        elif row.name.startswith(words) or row.path.startswith(words):
            rank = 1.0
        elif words in row.path or words in place:
            rank = 2.0
        elif (score := fuzzy.match(words, place)[0]) > 0:
            rank = 4.0 - min(score, 100.0) / 100.0
        elif words in row.help.lower():
            rank = 5.0
        else:
            continue
        ranked.append((rank, index, row))
    return [row for _, _, row in sorted(ranked, key=lambda one: one[:2])]


def missing(query: str) -> str:
    """Why no setting is found: it is one of another kind, or there is none."""
    name = query.strip().lower().replace(" ", "_").rpartition(".")[2]
    for section in FORM_SECTIONS:
        kinds = [kind for kind, struct in variants(section).items() if name in fields_of(struct)]
        if name and kinds:
            return f"{section}.{name} goes with {section}.kind {', '.join(kinds[:4])}"
    return f"no setting fits {query.strip()!r}"
