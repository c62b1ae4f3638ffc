"""What the terminal can show: which characters, whether colors. Decided here once, from the locale and TERM.

`braille` is all of Unicode, `blocks` what the Linux console's font has (that of code page 437), `ascii` the rest.
The driver translates every cell that it sends, so nothing else needs to know; only pictures ask whether half blocks
will do.
"""

import os
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Repertoire = Literal["braille", "blocks", "ascii"]

DUMB = ("dumb", "unknown")
"""Values of TERM that mean a terminal that can't move its cursor."""
_VIDEO_TERMINALS = tuple(f"vt{number}" for number in range(1, 10))
_CONSOLE = frozenset(bytes(range(128, 255)).decode("cp437"))
_BRAILLE = range(0x2800, 0x2900)

_BLOCKS = dict(zip("▁▂▃▅▆▇▏▎▍▋▊▉▔▕╭╮╰╯┄╎┊›…×●○→", "__▄▄██││▌▌████┌┐└┘-::>~x*o>", strict=False))
_BLOCKS |= {"▔": "▀", "▕": "│"} | dict(zip("▘▝▖▗▚▞▛▜▙▟", "▀▀▄▄██████", strict=True))
_ASCII = dict(
    zip(
        "░▒▓█▀▄▌▐▁▂▃▅▆▇▏▎▍▋▊▉▔▕╎┊┆┇┋╏›‹…·•●○◌×÷→←↑↓▶◀▲▼►◄✓✔✗✘–—−‘’“”≤≥±µ²³°∙■□▪⭘√≈≠",
        ':+%#"_[]..:+*%|||###-|::::::><~.**oox/><^v><^v><vvxx---\'\'""<>+u23o.##*ov~!',
        strict=True,
    )
) | dict(zip("▘▝▖▗▚▞▛▜▙▟«»", "''..\\/####<>", strict=True))


@dataclass(frozen=True)
class Terminal:
    """What a terminal can show. queries: whether it knows the questions and modes of newer ones."""

    repertoire: Repertoire = "braille"
    colors: bool = True
    queries: bool = True

    @property
    def half_blocks(self) -> bool:
        return self.repertoire != "ascii" and self.colors

    def translate(self, codes: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Code points, one a cell, as those that the terminal can show."""
        if self.repertoire == "braille" or not (codes > 126).any():
            return codes
        return np.array([code if code < 127 else _shown(code, self.repertoire) for code in codes.tolist()], np.uint32)


def of_environment(wanted: str = "auto", environment: Mapping[str, str] = os.environ) -> Terminal:
    """The terminal of a process. wanted: a repertoire, or `auto`."""
    term = environment.get("TERM", "").lower()
    old = term.startswith(_VIDEO_TERMINALS)
    repertoire: Repertoire = "braille"
    if old or term in DUMB or not speaks_utf8(environment):
        repertoire = "ascii"
    elif term.startswith("linux"):
        repertoire = "blocks"
    if wanted in ("braille", "blocks", "ascii"):
        repertoire = wanted
    colors = not (old or term in DUMB or "NO_COLOR" in environment)
    return Terminal(repertoire, colors, not (old or term.startswith("linux")))


def speaks_utf8(environment: Mapping[str, str]) -> bool:
    """Whether the locale's characters are UTF-8; one that is not set at all is taken as such, as Python does."""
    name = environment.get("LC_ALL") or environment.get("LC_CTYPE") or environment.get("LANG") or "C.UTF-8"
    return "utf8" in name.lower().replace("-", "")


@lru_cache(4096)
def _shown(code: int, repertoire: Repertoire) -> int:
    """The nearest character of the repertoire; the second cell of a wide one is blank."""
    if not code:
        return ord(" ")
    if code in _BRAILLE:
        return ord((half_block if repertoire == "blocks" else stroke)(code - _BRAILLE.start))
    character = chr(code) if code <= 0x10FFFF else "?"
    if repertoire == "blocks":
        if character in _CONSOLE:
            return code
        if character in _BLOCKS:
            return ord(_BLOCKS[character])
    if character in _ASCII:
        return ord(_ASCII[character])
    if 0x2500 <= code < 0x2580:
        return ord(_box(character))
    base = unicodedata.normalize("NFKD", character)[0]
    return ord(base) if base.isascii() and base.isprintable() else ord("?")


def _box(character: str) -> str:
    """A line of a box: along, across, or where they meet."""
    name = unicodedata.name(character)
    along = any(word in name for word in ("HORIZONTAL", "LEFT", "RIGHT"))
    across = any(word in name for word in ("VERTICAL", "UP", "DOWN"))
    return "+" if along and across else "-" if along else "|"


def _rows(dots: int) -> tuple[list[int], list[int]]:
    """The rows, from above, of the dots in the left and in the right column of a braille pattern."""
    return [i for i, bit in enumerate((1, 2, 4, 64)) if dots & bit], [
        i for i, bit in enumerate((8, 16, 32, 128)) if dots & bit
    ]


def half_block(dots: int) -> str:
    """The half block that is nearest to a braille pattern, given by its bits."""
    left, right = _rows(dots)
    if len(left) + len(right) >= 7:
        return "▒"
    upper, lower = (any(row in half for row in (*left, *right)) for half in ((0, 1), (2, 3)))
    if upper and lower:
        return "█" if left and right else "▌" if left else "▐"
    return "▀" if upper else "▄" if lower else " "


def stroke(dots: int) -> str:
    """The ASCII character that is nearest to a braille pattern, given by its bits."""
    left, right = _rows(dots)
    rows = [*left, *right]
    if not rows:
        return " "
    if len(rows) >= 7:
        return ":"
    mean = sum(rows) / len(rows)
    if not (left and right):
        return "|" if len(rows) >= 3 else "'" if mean < 1.5 else "."
    fall = sum(right) / len(right) - sum(left) / len(left)
    if abs(fall) >= 1:
        return "\\" if fall > 0 else "/"
    return "'" if mean < 0.75 else "-" if mean <= 2.25 else "_"
