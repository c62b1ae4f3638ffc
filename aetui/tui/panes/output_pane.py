"""What a script of the user's own prints: the last lines of the file that gets it, from Python and from C alike."""

import os
import re
import unicodedata
from typing import ClassVar

from rich.cells import chop_cells
from textual.strip import Strip

from aetui.tui import texts
from aetui.tui.model import RunModel
from aetui.tui.scrolled_pane import ScrolledPane, scroll_bindings

_MOST = 1 << 17
"""Bytes of its end that are looked at."""
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
"""Colors and movements of the cursor, which mean nothing in a pane."""


class OutputPane(ScrolledPane):
    """The end of what the script has printed; it follows what comes unless scrolled back.

    It reads the file itself: an engine that is busy with a step, or gone with its script, could not answer.
    """

    TITLE = "Output"
    TOPICS = ("run",)
    WAITING = "no output here: aetui watch SCRIPT keeps what a script prints"
    SMALLEST = (10, 2)
    BINDINGS: ClassVar = scroll_bindings("output", "oldest", "newest")

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.following = True
        self._file = ""
        self._read: tuple[object, ...] = ()
        self._wrapped: list[str] = []

    def follow(self, model: RunModel) -> None:
        super().follow(model)
        self._file = model.info.output if model.info is not None else ""

    def view_state(self) -> object:
        return None if self.following else self.top, self._bytes()

    def ready(self, model: RunModel) -> bool:
        return bool(self._file)

    def _bytes(self) -> int:
        try:
            return os.stat(self._file).st_size if self._file else 0
        except OSError:
            return -1

    @property
    def _newest(self) -> int:
        return max(0, self.length - self.rows)

    def action_scroll_by(self, lines: int) -> None:
        top = (self._newest if self.following else self.top) + lines
        self.following, self.top = top >= self._newest, max(0, top)
        self.redraw()

    def draw(self, model: RunModel, width: int, height: int) -> list[Strip]:
        state = (self._file, self._bytes(), width)
        if state != self._read:
            self._read, self._wrapped = state, self._lines_of(width)
        self.length, self.rows = len(self._wrapped), height
        self.top = self._newest if self.following else min(self.top, self._newest)
        if not self._wrapped:
            return [self.line((texts.cut("it has not printed anything yet", width), "muted"))]
        shown = [self.line(line) for line in self._wrapped[self.top : self.top + height]]
        below = self.length - self.top - height
        if below > 0:
            shown[-1] = self.line((texts.cut(f"{below + 1:,} newer lines below, End shows them", width), "muted"))
        return shown

    def copied(self) -> str:
        """The lines on the screen."""
        return "\n".join(self._wrapped[self.top : self.top + self.rows])

    def _lines_of(self, width: int) -> list[str]:
        try:
            with open(self._file, "rb") as file:
                start = max(0, file.seek(0, os.SEEK_END) - _MOST)
                file.seek(start)
                data = file.read(_MOST)
        except OSError as error:
            return chop_cells(f"{self._file} can't be read: {error.strerror}", width)
        lines = data.decode("utf-8", "replace").removesuffix("\n").split("\n") if data else []
        if start:
            lines[0] = f"what came before is in {self._file}"
        return [piece for line in lines for piece in (chop_cells(_shown(line), width) or [""])]


def _shown(line: str) -> str:
    """A line as a terminal would show it in the end: a progress bar's last state, no colors, no control characters."""
    line = next((part for part in reversed(_ESCAPES.sub("", line).split("\r")) if part), "")
    return "".join(" " if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") else c for c in line.expandtabs())
