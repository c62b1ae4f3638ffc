"""Trainings side by side as the screen has them: their markers, and what of them is looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from string import ascii_letters
from typing import Literal

import numpy as np

from aetui.comparison import Row, differing, matches
from aetui.tui.picture import CURVES
from aetui.tui.series import Series

MOST = 12
"""Curves on one chart; more can't be told apart."""
_MARKERS = ascii_letters.swapcase()
Curve = Literal["loss", "explained variance"]


@dataclass
class Side:
    """One row with its marker and its color, which it keeps."""

    marker: str
    role: str
    row: Row
    loss: Series = field(default_factory=Series)
    """Of the steps after `row.start`, where every step is recorded."""

    def follow(self, row: Row) -> None:
        """Take a newer row of the same training; only what it went on is added to the series."""
        if row.recorded_at is not None:
            self.row = row
            return
        had, new = len(self.loss), row.loss
        same = self.row.start == row.start and had <= len(new)
        if not (same and np.array_equal(self.row.loss[:had], new[:had], equal_nan=True)):
            self.loss, had = Series(), 0
        self.loss.append(new[had:])
        self.row = row


class Sides:
    """All trainings of a comparison, and what the user chose to see of them."""

    def __init__(self, rows: Sequence[Row] = (), wanted: str = "", at: int | None = None) -> None:
        """wanted: the filter; at: the step that figures are of, the last of each without."""
        self.sides: list[Side] = []
        self.pinned: set[str] = set()
        self.wanted = wanted
        self.curve: Curve = "loss"
        self.logarithmic = True
        self._at = at
        self._marked = ""
        self.changes = 0
        """Counts everything that a picture of them may show."""
        self.follow(rows)

    def follow(self, rows: Sequence[Row]) -> None:
        """Take the rows as they are now; one of a known name keeps its marker."""
        known = {side.row.name: side for side in self.sides}
        for row in rows:
            side = known.get(row.name)
            if side is None:
                index = len(self.sides)
                marker = _MARKERS[index] if index < len(_MARKERS) else "·"
                side = Side(marker, CURVES[index % len(CURVES)], row)
                self.sides.append(side)
            elif side.row is row:
                continue
            side.follow(row)
            self.changes += 1

    # --- what is seen ---------------------------------------------------------------------------

    @property
    def shown(self) -> list[Side]:
        """Those pinned, then the others that fit the filter."""
        pinned = [side for side in self.sides if side.row.name in self.pinned]
        return pinned + [side for side in self.sides if side not in pinned and matches(side.row, self.wanted)]

    @property
    def drawn(self) -> list[Side]:
        """Those that the chart has: the first of those shown, and the marked one."""
        shown = self.shown
        first = shown[:MOST]
        marked = self.marked
        return first if marked is None or marked in first else [*first[:-1], marked]

    @property
    def rows(self) -> list[Row]:
        return [side.row for side in self.shown]

    @property
    def differing(self) -> list[str]:
        """The settings in which those shown differ."""
        return differing(self.rows)

    @property
    def marked(self) -> Side | None:
        """The one under the cursor of the table."""
        shown = self.shown
        return next((side for side in shown if side.row.name == self._marked), shown[0] if shown else None)

    @property
    def first(self) -> int:
        """Steps before the first that is shown."""
        return min((row.start for row in self.rows), default=0)

    @property
    def last(self) -> int:
        return max((row.step for row in self.rows), default=0)

    @property
    def at(self) -> int | None:
        """The step under the cursor of the chart, None while figures are of the last step of each."""
        return None if self._at is None else max(self.first, min(self.last, self._at))

    # --- what is chosen -------------------------------------------------------------------------

    def mark(self, by: int) -> None:
        shown = self.shown
        if shown and self.marked is not None:
            index = shown.index(self.marked) + by
            self._marked = shown[max(0, min(len(shown) - 1, index))].row.name
            self.changes += 1

    def mark_name(self, name: str) -> None:
        """Put the cursor of the table on a training, if it is there."""
        self._marked = name
        self.changes += 1

    def pin(self) -> None:
        """Pin the marked one, or let go of it."""
        if self.marked is not None:
            self._marked = self.marked.row.name
            self.pinned ^= {self._marked}
            self.changes += 1

    def filter(self, wanted: str) -> None:
        self.wanted = " ".join(wanted.split())
        self.changes += 1

    def go(self, step: int | None) -> None:
        """Put the cursor of the chart on a step, or take it away."""
        self._at = step
        self._at = self.at
        self.changes += 1

    def move(self, by: int) -> None:
        """Move the cursor of the chart so many steps; the first time it comes at the end that it moves away from."""
        if self.at is None:
            self.go(self.last + by if by < 0 else self.first + by)
        else:
            self.go(self.at + by)

    def turn_curve(self) -> None:
        self.curve = "explained variance" if self.curve == "loss" else "loss"
        self.changes += 1

    def turn_axis(self) -> None:
        self.logarithmic = not self.logarithmic
        self.changes += 1
