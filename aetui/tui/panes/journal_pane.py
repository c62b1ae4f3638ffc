"""Everything that happened to the run, with its step and the time of day."""

import time
from bisect import bisect_right
from typing import ClassVar

from textual.strip import Strip

from aetui.tui import figures, texts
from aetui.tui.model import Entry, RunModel
from aetui.tui.scrolled_pane import ScrolledPane, scroll_bindings
from aetui.tui.tweak_effect import comparison

_ROLES = {"state": "muted", "tweak": "mark", "note": "text", "warning": "warning", "error": "warning"}
_WIDE = 60
"""Columns from which an entry's step, time and kind stand beside its text instead of above."""

Line = tuple[tuple[str, str], ...]
"""Texts with their roles."""


class JournalPane(ScrolledPane):
    """The journal, newest at the bottom; it follows what happens unless scrolled back."""

    TITLE = "Journal"
    TOPICS = ("journal", "points")
    WAITING = "nothing has happened yet: every tweak, pause and warning will be listed here"
    SMALLEST = (24, 2)
    BINDINGS: ClassVar = scroll_bindings("journal", "oldest", "newest")

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.following = True
        """Whether the newest line stays on the screen."""
        self._wrapped: list[Line] = []
        self._starts: list[int] = []
        self._last: Entry | None = None
        self._tweak: int | None = None
        """Index of the entry of the last tweak, whose figures change as the run goes on."""
        self._width = 0
        self._source: RunModel | None = None
        self._rewrites = 0

    def view_state(self) -> object:
        return None if self.following else self.top

    def ready(self, model: RunModel) -> bool:
        return bool(model.journal)

    @property
    def _newest(self) -> int:
        """The first line on the screen while the newest one is on it; else a row says how many there are below."""
        return max(0, self.length - self.rows - 1)

    def action_scroll_by(self, lines: int) -> None:
        top = (self._newest if self.following else self.top) + lines
        self.following, self.top = top >= self._newest, max(0, top)
        self.redraw()

    def copied(self) -> str:
        """The entries on the screen, each in one line."""
        top = self._newest if self.following else self.top
        first = max(0, bisect_right(self._starts, top) - 1)
        last = bisect_right(self._starts, top + self.rows - (not self.following))
        entries = self.model.journal[first:last] if self.model else ()
        return "\n".join(
            f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(entry.time))}  step {entry.step}  {entry.kind}  "
            + ("(left) " if entry.left else "")
            + texts.plain(entry.text)
            for entry in entries
        )

    def draw(self, model: RunModel, width: int, height: int) -> list[Strip]:
        self._wrap(model, width)
        self.length, self.rows = len(self._wrapped), height - 1
        self.following |= self.top >= self._newest
        if self.following:
            return [self.line(*line) for line in self._wrapped[self._newest :]]
        below = f"{self.length - self.top - self.rows:,} newer lines below, End shows them"
        shown = self._wrapped[self.top : self.top + self.rows]
        return [*(self.line(*line) for line in shown), self.line((texts.cut(below, width), "muted"))]

    def _wrap(self, model: RunModel, width: int) -> None:
        """Wrap the entries that came since the last time, or all where the width changed."""
        if model is not self._source or len(model.journal) < len(self._starts):
            self.following, self._source = True, model
            self._wrapped, self._starts, self._tweak = [], [], None
        elif width != self._width or model.entries.rewrites != self._rewrites:
            reading = max(0, bisect_right(self._starts, self.top) - 1)
            self._wrapped, self._starts, self._tweak = [], [], None
            self._extend(model, width)
            self.top = self._starts[min(reading, len(self._starts) - 1)]
        self._width, self._rewrites = width, model.entries.rewrites
        self._extend(model, width)

    def _extend(self, model: RunModel, width: int) -> None:
        # The newest entry may have been replaced: a setting moved again at the same step.
        if self._starts and self._last is not model.journal[len(self._starts) - 1]:
            del self._wrapped[self._starts.pop() :]
        if self._tweak is not None and self._tweak < len(self._starts):
            del self._wrapped[self._starts[self._tweak] :]
            del self._starts[self._tweak :]
        self._last = model.journal[-1] if model.journal else None
        for index in range(len(self._starts), len(model.journal)):
            entry = model.journal[index]
            if entry.kind == "tweak" and not entry.left:
                self._tweak = index
            self._starts.append(len(self._wrapped))
            self._wrapped += _lines(entry, width, comparison(model, model.journal, index))


def _lines(entry: Entry, width: int, compared: str = "") -> list[Line]:
    """`compared` says what became of a tweak."""
    clock = time.strftime("%H:%M:%S", time.localtime(entry.time))
    role = _ROLES.get(entry.kind, "text")
    ink = "warning" if role == "warning" else "text"
    text = entry.text
    if entry.left:
        role, ink, text = "muted", "muted", f"(left) {text}"
    if width < _WIDE:
        head = ((f"{clock}  step {figures.count(entry.step)}  ", "muted"), (entry.kind, role))
        return [
            head,
            *((("  ", "muted"), (line, ink)) for line in texts.wrap(text, width - 2)),
            *((("  ", "muted"), (line, "muted")) for line in texts.wrap(compared, width - 2) if line),
        ]
    margin = f"{clock}  {f'step {figures.count(entry.step)}':<15}  "
    kind = f"{entry.kind:<8}  "
    first, *rest = texts.wrap(text, width - len(margin) - len(kind))
    blank = " " * (len(margin) + len(kind))
    below = [line for line in texts.wrap(compared, width - len(blank)) if line]
    return [
        ((margin, "muted"), (kind, role), (first, ink)),
        *(((blank, "muted"), (line, ink)) for line in rest),
        *(((blank, "muted"), (line, "muted")) for line in below),
    ]
