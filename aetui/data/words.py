"""A column of text as numbers, block by block."""

import re
from collections.abc import Sequence

import numpy as np

from aetui.data.errors import count

MISSING = frozenset(("", "na", "n/a", "nan", "null", "none", "?", "-"))
"""Cells that hold no value, in lower case."""
NUMBER = re.compile(r"[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|nan|inf(inity)?)", re.IGNORECASE | re.ASCII)
TRUTH = {"true": 1.0, "false": 0.0}


class Words:
    """Reads the cells of a column and knows what is no number in it; nothing but true and false is 1 and 0."""

    def __init__(self) -> None:
        self._cells = 0
        self._empty = 0
        self._truths = 0
        self._bad = 0
        self._first = ""

    def numbers(self, cells: Sequence[str], lines: Sequence[int] = ()) -> np.ndarray:
        """The next cells as float64, NaN where there is no number; `lines` says where they stand in the file."""
        before = self._cells
        self._cells += len(cells)
        together = "\n".join(cells)
        if together.isascii() and "_" not in together:  # Python takes 1_000 for a number
            try:
                return np.array(list(map(float, cells)))
            except ValueError:
                pass
        values = np.full(len(cells), np.nan)
        for index, cell in enumerate(cells):
            word = cell.strip()
            if NUMBER.fullmatch(word):
                values[index] = float(word)
            elif (low := word.lower()) not in MISSING:
                values[index] = TRUTH.get(low, np.nan)
                self._truths += low in TRUTH
                if not self._bad:
                    place = f" (line {lines[index]})" if lines else ""
                    self._first = f"{word!r} in row {before + index}{place}"
                self._bad += 1
            else:
                self._empty += not cell
        return values

    @property
    def problem(self) -> str:
        """What the column holds where that is not numbers, else ''."""
        if not self._bad or self._truths + self._empty == self._cells:
            return ""
        are = "is not a number" if self._bad == 1 else "are not numbers"
        return f"{self._bad:,} of {count(self._cells, 'entry', 'entries')} {are}, the first is {self._first}"
