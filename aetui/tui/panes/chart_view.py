"""What of a run its chart shows: a window or a range that was zoomed to, and the cursor on it."""

from __future__ import annotations

from dataclasses import dataclass, field

from aetui.tui.model import RunModel
from aetui.tui.trace import round_end

WINDOWS = (0, 100_000, 10_000, 1000, 100)
"""Steps shown; 0 for all."""
_LEAST = 4
"""Steps of a range, at least."""


@dataclass
class ChartView:
    """Moved by keys; steps are counted from 1."""

    latest: int = 0
    """The last so many steps, 0 for all."""
    cursor: int | None = None
    """Step that the cursor is on."""
    mark: int | None = None
    """Step at which the range that is being chosen begins."""
    zooms: list[tuple[int, int]] = field(default_factory=list)
    """Ranges first < step <= last, each within the one before it."""

    def state(self) -> object:
        return self.latest, self.cursor, self.mark, tuple(self.zooms)

    def range(self, model: RunModel) -> tuple[int, int]:
        """Steps shown, `first` < step <= `last`; the ends move in jumps, so that the columns between stay."""
        if self.zooms:
            return self.zooms[-1]
        length = len(model.loss)
        ends = [branch.end for branch in model.info.branches] if model.info else []
        whole = max([length, *ends])
        if self.latest and self.latest < length:
            jump = max(1, self.latest // 10)
            last = -(-length // jump) * jump
            return max(0, last - self.latest - jump), last
        goal = model.info.goal if model.info else None
        if goal and whole <= goal <= 2 * whole:
            return 0, goal
        return 0, round_end(whole)

    def cycle_window(self, length: int) -> None:
        """The next shorter window that cuts anything off, then all again. length: of the run."""
        self.zooms.clear()
        shorter = [window for window in WINDOWS if 0 < window < (self.latest or length)]
        self.latest = shorter[0] if shorter else 0

    def move(self, by: int, model: RunModel, columns: int) -> None:
        """Move the cursor by so many columns; a range that was zoomed to goes along at its edges."""
        length = len(model.loss)
        if not length:
            return
        first, last = self.range(model)
        if self.cursor is None:
            self.cursor = min(last, length)
            return
        cursor = self.cursor + by * max(1, -(-(last - first) // max(columns, 1)))
        self.cursor = max(1, min(cursor, length))
        self._follow(length)

    def jump(self, end: bool, model: RunModel) -> None:
        """Put the cursor on the first or the last step that is shown."""
        if len(model.loss):
            first, last = self.range(model)
            self.cursor = min(last, len(model.loss)) if end else first + 1

    def _follow(self, length: int) -> None:
        if not self.zooms or self.cursor is None:
            return
        first, last = self.zooms[-1]
        shift = min(0, self.cursor - 1 - first) or max(0, min(self.cursor, length) - last)
        self.zooms[-1] = (first + shift, last + shift)

    def choose(self) -> str:
        """The cursor is one end of a range: the first, or the second, which zooms to it; why not, else ''."""
        if self.cursor is None:
            return "left and right put the cursor on the chart first"
        if self.mark is None:
            self.mark = self.cursor
            return ""
        first, last = sorted((self.mark, self.cursor))
        if last - first + 1 < _LEAST:
            return f"a range has {_LEAST} steps at least: move the cursor away from step {self.mark:,}"
        self.mark = None
        self.zooms.append((first - 1, last))
        return ""

    def back(self) -> None:
        """Take back the last of: the beginning of a range, a range, the cursor."""
        if self.mark is not None:
            self.mark = None
        elif self.zooms:
            self.zooms.pop()
        else:
            self.cursor = None

    def keep_to(self, length: int) -> None:
        """A run that moved back has no steps beyond `length`."""
        self.zooms = [(first, last) for first, last in self.zooms if first + _LEAST <= length]
        if self.cursor is not None and self.cursor > length:
            self.cursor = length or None
        if self.mark is not None and self.mark > length:
            self.mark = None
