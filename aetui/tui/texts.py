"""Texts from elsewhere made fit for cells: no control characters, cut or wrapped to a width."""

import re
import unicodedata
from collections.abc import Iterable

from rich.cells import cell_len, chop_cells, set_cell_size


def plain(text: str) -> str:
    """`text` on one line: control and formatting characters become spaces, runs of spaces one."""
    return " ".join("".join(" " if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") else c for c in text).split())


def cut(text: str, width: int) -> str:
    """`text` in at most `width` cells, with an ellipsis where it was longer."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1).rstrip() + "…" if width > 0 else ""


def pad(text: str, width: int) -> str:
    """`text` in exactly `width` cells."""
    return set_cell_size(cut(text, width), width)


def first_fitting(forms: Iterable[str], width: int) -> str:
    """The first of the forms of a text, fullest first, that fits in `width` cells; the last one cut where none does."""
    form = ""
    for form in forms:
        if cell_len(form) <= width:
            return form
    return cut(form, width)


def joined(parts: Iterable[str], width: int, gap: str = "   ") -> str:
    """The parts in a row, without those for which `width` cells have no room."""
    row = ""
    for part in parts:
        longer = f"{row}{gap}{part}" if row else part
        row = longer if cell_len(longer) <= width else row
    return row


def wrap(text: str, width: int) -> list[str]:
    """`text` as lines of at most `width` cells, broken at spaces.

    A word longer than a line is broken after a `.`, `_`, `/`, `-` or `,` in it, and within a name only where that
    alone is too long.
    """
    width = max(1, width)
    lines: list[str] = []
    line = ""
    for word in plain(text).split(" "):
        joined = f"{line} {word}" if line else word
        if cell_len(joined) <= width:
            line = joined
            continue
        if line:
            lines.append(line)
        *full, line = _broken(word, width)
        lines += full
    return [*lines, line]


_JOINTS = re.compile(r"[^._/,\-]*[._/,\-]+|[^._/,\-]+")
"""The parts of a long name, each with the signs that end it."""


def longest_part(text: str) -> int:
    """Cells that `wrap` needs to break no name of `text` within."""
    return max((cell_len(part) for word in text.split() for part in _JOINTS.findall(word)), default=0)


def _broken(word: str, width: int) -> list[str]:
    """A word as pieces of at most `width` cells."""
    if cell_len(word) <= width:
        return [word]
    pieces: list[str] = []
    piece = ""
    for part in _JOINTS.findall(word):
        if cell_len(piece + part) <= width:
            piece += part
            continue
        if piece:
            pieces.append(piece)
        *full, piece = chop_cells(part, width) or [""]
        pieces += full
    return [*pieces, piece]
