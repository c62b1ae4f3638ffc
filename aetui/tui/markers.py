"""What a chart's lines are drawn in: braille, or coarser characters that some fonts show better."""

from functools import lru_cache
from typing import Literal, get_args

import numpy as np

from aetui.tui.braille import FIRST, Codes
from aetui.tui.characters import half_block, stroke

Marker = Literal["braille", "quadrants", "blocks", "ascii"]
MARKERS: tuple[Marker, ...] = get_args(Marker)

_QUADRANTS = " ▘▝▀▖▌▞▛▗▚▐▜▄▙▟█"
"""By the quarters that are filled: upper left 1, upper right 2, lower left 4, lower right 8."""
_QUARTERS = (0x03, 0x18, 0x44, 0xA0)
"""The dots of a braille pattern in each quarter of its cell."""


def drawn_in(codes: Codes, marker: Marker) -> Codes:
    """Characters with each braille pattern as `marker` draws it, of the same shape."""
    if marker == "braille":
        return codes
    patterns = (codes >= FIRST) & (codes < FIRST + 256)
    return np.where(patterns, _table(marker)[np.where(patterns, codes - FIRST, 0)], codes).astype(np.uint32)


@lru_cache
def _table(marker: Marker) -> Codes:
    """The character of each of the 256 patterns, shape (256,)."""
    draw = {"quadrants": _quadrant, "blocks": half_block, "ascii": stroke}[marker]
    return np.array([ord(draw(dots)) for dots in range(256)], np.uint32)


def _quadrant(dots: int) -> str:
    return _QUADRANTS[sum(1 << quarter for quarter, part in enumerate(_QUARTERS) if dots & part)]
