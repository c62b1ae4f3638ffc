"""What the terminal shows and what it should show, cell by cell, and the fewest bytes from one to the other."""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from rich.cells import get_character_cell_size

Codes = NDArray[np.uint32]
Run = tuple[int, int, int]
"""A row, its first column, and the one after its last."""

_TOKEN = re.compile(
    r"\x1b\[(?P<row>\d+);(?P<column>\d+)H"
    r"|\x1b\[(?P<style>[\d;:]*)m"
    r"|(?P<link>\x1b\]8;[^\x07\x1b]*(?:\x07|\x1b\\))"
    r"|(?P<other>\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-Z\\-~]"
    r"|[\x00-\x09\x0b-\x1a\x7f]|\x1b)"
    r"|(?P<line>\n)"
    r"|(?P<text>[^\x00-\x1b\x7f]+)"
)
_ERASES = re.compile(r"\x1b\[[0-?]*[JKLMPSTX@]|\x1b\[\?1049[hl]|\x1bc")
_UNKNOWN = 0xFFFFFFFF
_SPACE = ord(" ")
_FIRST_CLUSTER = 0x110000
"""Codes from here on stand for characters with combining ones; 0 is the second cell of a wide character."""
_JOIN = 5
"""Equal cells between two changes that are sent again, being no longer than a movement of the cursor."""


class Cells:
    """The wanted and the shown content of a terminal of `columns` x `rows`."""

    def __init__(self, columns: int, rows: int, translate: Callable[[Codes], Codes], colors: bool = True) -> None:
        self.columns, self.rows = columns, rows
        self._translate, self._colors = translate, colors
        self._codes = np.full((rows, columns), _SPACE, np.uint32)
        self._styles = np.zeros((rows, columns), np.int32)
        self._shown_codes = np.full((rows, columns), _UNKNOWN, np.uint32)
        self._shown_styles = np.full((rows, columns), -1, np.int32)
        self._ids: dict[str, int] = {"": 0}
        self._names = [""]
        self._blank = [0]
        """By style: that of a blank in it, whose ink nobody sees."""
        self._clusters: list[str] = []
        self._at, self._style = (0, 0), 0

    @property
    def cursor(self) -> tuple[int, int]:
        """Row and column, from 0, where the cursor is wanted."""
        return self._at

    def forget(self) -> None:
        """Take everything that the terminal shows as unknown."""
        self._shown_codes[:] = _UNKNOWN

    # --- what is wanted -------------------------------------------------------------------------

    def write(self, data: str) -> str:
        """Take in what is drawn; gives back the sequences in it that draw nothing."""
        rest = []
        for found in _TOKEN.finditer(data):
            kind = found.lastgroup
            if kind == "text":
                self._put(found[0])
            elif kind == "style":
                self._style = self._id(found["style"])
            elif kind == "column":
                self._at = int(found["row"]) - 1, int(found["column"]) - 1
            elif kind == "line":
                self._at = self._at[0] + 1, 0
            elif kind == "other":
                if _ERASES.match(found[0]):
                    self.forget()
                rest.append(found[0])
        return "".join(rest)

    def _id(self, params: str) -> int:
        params = "" if params == "0" else params
        found = self._ids.get(params)
        if found is None:
            found = self._ids[params] = len(self._names)
            self._names.append(params)
            blank = blank_style(params)
            self._blank.append(found)
            self._blank[found] = found if blank == params else self._id(blank)
        return found

    def _put(self, text: str) -> None:
        row, column = self._at
        codes = self._cells(text)
        self._at = row, min(column + len(codes), self.columns - 1)
        codes = codes[: max(0, self.columns - column)]
        if not (0 <= row < self.rows and len(codes)):
            return
        codes = self._translate(codes)
        self._codes[row, column : column + len(codes)] = codes
        styles = np.full(len(codes), self._style, np.int32)
        styles[codes == _SPACE] = self._blank[self._style]
        self._styles[row, column : column + len(codes)] = styles

    def _cells(self, text: str) -> Codes:
        if text.isascii():
            return np.frombuffer(text.encode(), np.uint8).astype(np.uint32)
        codes: list[int] = []
        for character in text:
            width = get_character_cell_size(character)
            if width:
                codes += [ord(character), 0][:width]
            elif codes:
                lead = -2 if codes[-1] == 0 and len(codes) > 1 else -1
                codes[lead] = self._cluster(self._text(codes[lead]) + character)
        return np.array(codes, np.uint32)

    def _cluster(self, text: str) -> int:
        if text not in self._clusters:
            self._clusters.append(text)
        return _FIRST_CLUSTER + self._clusters.index(text)

    def _text(self, code: int) -> str:
        return self._clusters[code - _FIRST_CLUSTER] if code >= _FIRST_CLUSTER else chr(code)

    # --- what is to be sent ---------------------------------------------------------------------

    def changes(self, late: NDArray[np.bool_] | None = None) -> tuple[list[Run], list[Run]]:
        """Runs of cells that are shown otherwise than wanted: those to send first, and those in the `late` cells."""
        changed = (self._codes != self._shown_codes) | (self._styles != self._shown_styles)
        # A wide character is sent whole.
        tail = self._codes[:, 1:] == 0
        changed[:, :-1] |= changed[:, 1:] & tail
        changed[:, 1:] |= changed[:, :-1] & tail
        if late is None:
            return list(_runs(changed)), []
        return list(_runs(changed & ~late)), list(_runs(changed & late))

    def encode(self, runs: list[Run], room: float) -> str:
        """The sequences that draw runs, in order, until they fill `room` bytes; what is encoded counts as shown."""
        parts: list[str] = []
        used, style, at = 0, 0, (-1, -1)
        for row, first, last in runs:
            if used >= room:
                break
            part = "" if at == (row, first) else f"\x1b[{row + 1};{first + 1}H"
            styles = self._styles[row, first:last]
            edges = [0, *(np.flatnonzero(np.diff(styles)) + 1).tolist(), last - first]
            for start, end in pairwise(edges):
                new = int(styles[start])
                part += transition(self._names[style], self._names[new], self._colors)
                style = new
                codes = self._codes[row, first + start : first + end]
                part += "".join(map(self._text, codes[codes > 0].tolist()))
            at = row, last
            self._shown_codes[row, first:last] = self._codes[row, first:last]
            self._shown_styles[row, first:last] = styles
            parts.append(part)
            used += len(part.encode())
        return "".join(parts) + transition(self._names[style], "", self._colors)


def _runs(changed: NDArray[np.bool_]) -> Iterator[Run]:
    for row in np.flatnonzero(changed.any(axis=1)).tolist():
        columns = np.flatnonzero(changed[row])
        breaks = np.flatnonzero(np.diff(columns) > _JOIN) + 1
        for part in np.split(columns, breaks):
            yield row, int(part[0]), int(part[-1]) + 1


# --- styles -------------------------------------------------------------------------------------

_SHOWS_ON_BLANKS = frozenset(("4", "7", "9", "21", "53"))


@lru_cache(4096)
def _parsed(params: str) -> tuple[frozenset[str], str, str]:
    """Attributes, ink and ground of the parameters of a style."""
    attributes, ink, ground = [], "", ""
    numbers = params.split(";") if params else []
    while numbers:
        code = numbers.pop(0)
        if code in ("38", "48") and numbers:
            count = 3 if numbers[0] == "2" else 1
            color = ";".join((code, *numbers[: count + 1]))
            del numbers[: count + 1]
            ink, ground = (color, ground) if code == "38" else (ink, color)
        elif code.isdecimal() and (30 <= int(code) <= 37 or 90 <= int(code) <= 97):
            ink = code
        elif code.isdecimal() and (40 <= int(code) <= 47 or 100 <= int(code) <= 107):
            ground = code
        elif code not in ("39", "49", "0", ""):
            attributes.append(code)
    return frozenset(attributes), ink, ground


@lru_cache(4096)
def blank_style(params: str) -> str:
    """The style of a blank that looks the same."""
    attributes, ink, ground = _parsed(params)
    shown = attributes & _SHOWS_ON_BLANKS
    return ";".join(filter(None, (*sorted(shown), ink if shown else "", ground)))


@lru_cache(16384)
def transition(before: str, after: str, colors: bool) -> str:
    """The sequence that leads from one style to another."""
    old, new = _parsed(before), _parsed(after)
    if not colors:
        old, new = (old[0], "", ""), (new[0], "", "")
    if old == new:
        return ""
    if new == (frozenset(), "", ""):
        return "\x1b[0m"
    changed: list[str] = []
    if old[0] - new[0]:
        old = (frozenset(), "", "")
        changed.append("0")
    changed += sorted(new[0] - old[0])
    if new[1] != old[1]:
        changed.append(new[1] or "39")
    if new[2] != old[2]:
        changed.append(new[2] or "49")
    return f"\x1b[{';'.join(changed)}m"
