"""Heat maps of ratios in character cells: grey half blocks, or shade characters without color."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from aetui.tui import shades

LEVELS = 12
"""Greys between `low` and 1."""
SHADES = "░▒▓█"
CONSTANT, BROKEN, LOW = -1, -2, -3
_SIGNS = {CONSTANT: "·", BROKEN: "x", LOW: "o"}
_GAP = 2


@dataclass(frozen=True)
class Paint:
    """Styles of a heat map: what is good, below the low mark, and constant. plain: no greys."""

    ink: Style
    low: Style
    constant: Style
    plain: bool


@dataclass(frozen=True)
class Picture:
    """Lines of equal width, and how the drawing simplifies, '' if it does not."""

    lines: list[Strip]
    remark: str


def draw(
    ratio: NDArray[np.float64], constant: NDArray[np.bool_], low: float, width: int, height: int, paint: Paint
) -> Picture:
    """A picture of ratios of shape (channels, h, w) in a box of `width` x `height` cells.

    Channels stand side by side where that costs no size, else they are averaged; pixels are
    averaged where the picture does not fit, over those that are not constant.
    """
    channels, rows, columns = ratio.shape
    layout = shades.frame(rows, columns, height, width, paint.plain)
    remarks = []
    if channels > 1:
        each = (width - _GAP * (channels - 1)) // channels
        beside = shades.frame(rows, columns, height, each, paint.plain) if each >= 2 else None
        if beside and (beside.height >= rows or beside.height == layout.height):
            layout = beside
            remarks.append(f"{channels} channels side by side")
        else:
            ratio, constant = _average(ratio, constant)
            remarks.append(f"mean of {channels} channels")
    if layout.height < rows or layout.width < columns:
        remarks.append(f"{rows} x {columns} pooled to {layout.height} x {layout.width}")
    panels = [_panel(_codes(image, still, low, layout), paint) for image, still in zip(ratio, constant, strict=True)]
    gap = Strip([Segment(" " * _GAP)])
    lines = []
    for parts in zip(*panels, strict=True):
        joined = [part for panel in parts for part in (gap, panel)][1:]
        lines.append(Strip.join(joined))
    return Picture(lines, ", ".join(remarks))


def key(paint: Paint) -> list[tuple[str, Style]]:
    """The scale of the picture, to stand below it."""
    constant = (" · constant", paint.constant)
    if paint.plain:
        low = (f"{_SIGNS[LOW]} <10 %  ", paint.low)
        return [low, ("10 ", paint.constant), (SHADES, paint.ink), (" 100 %", paint.constant), constant]
    greys = [("█", _grey(level)) for level in range(0, LEVELS, 2)]
    low = ("█ <10 %  ", paint.low)
    return [low, ("10 ", paint.constant), *greys, (" 100 %", paint.constant), constant]


def _average(ratio: NDArray[np.float64], constant: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Over the channels in which a pixel is not constant."""
    varies = ~constant
    count = varies.sum(0, keepdims=True)
    total = np.where(varies, ratio, 0).sum(0, keepdims=True)
    return total / np.maximum(count, 1), count == 0


def _codes(
    ratio: NDArray[np.float64], constant: NDArray[np.bool_], low: float, layout: shades.Frame
) -> NDArray[np.int64]:
    """One code a pixel of the layout: a level from 0 to LEVELS - 1, or CONSTANT, BROKEN, LOW."""
    size = (layout.height, layout.width)
    if layout.height >= ratio.shape[0] and layout.width >= ratio.shape[1]:
        rows = np.arange(layout.height) * ratio.shape[0] // layout.height
        columns = np.arange(layout.width) * ratio.shape[1] // layout.width
        value, still = ratio[np.ix_(rows, columns)], constant[np.ix_(rows, columns)]
    else:
        weight = shades.resample((~constant).astype(np.float64), *size)
        broken = ~np.isfinite(ratio) & ~constant
        total = shades.resample(np.where(np.isfinite(ratio) & ~constant, ratio, 0.0), *size)
        value = total / np.maximum(weight, 1e-12)
        value[shades.resample(broken.astype(np.float64), *size) > 0] = np.nan
        still = weight <= 1e-12
    level = (np.nan_to_num(value, posinf=1.0, neginf=0.0) - low) / (1 - low)
    codes = np.clip(level * LEVELS, 0, LEVELS - 1).astype(np.int64)
    codes[level < 0] = LOW
    codes[~np.isfinite(value)] = BROKEN
    codes[still] = CONSTANT
    return codes


def _panel(codes: NDArray[np.int64], paint: Paint) -> list[Strip]:
    if paint.plain:
        return [Strip([_plain(int(code), paint) for code in row]).simplify() for row in codes]
    if len(codes) % 2:
        codes = np.vstack((codes, np.full((1, codes.shape[1]), CONSTANT - 100)))
    pairs = zip(codes[::2].tolist(), codes[1::2].tolist(), strict=True)
    return [Strip([_half(a, b, paint) for a, b in zip(above, below, strict=True)]).simplify() for above, below in pairs]


def _plain(code: int, paint: Paint) -> Segment:
    if code >= 0:
        return Segment(SHADES[code * len(SHADES) // LEVELS] * 2, paint.ink)
    return Segment(_SIGNS[code] * 2, paint.constant if code == CONSTANT else paint.low)


def _half(above: int, below: int, paint: Paint) -> Segment:
    """Two pixels in a cell; a constant or missing one leaves its half empty."""
    top, bottom = _fill(above, paint), _fill(below, paint)
    if top and bottom:
        return Segment("▀", Style(color=top, bgcolor=bottom))
    if top or bottom:
        return Segment("▀" if top else "▄", Style(color=top or bottom))
    sign = BROKEN if BROKEN in (above, below) else CONSTANT
    return Segment(_SIGNS[sign], paint.low if sign == BROKEN else paint.constant)


def _fill(code: int, paint: Paint) -> Color | None:
    if code == LOW:
        return paint.low.color
    return _grey(code).color if code >= 0 else None


@lru_cache(64)
def _grey(level: int) -> Style:
    # Greys of the 256-color palette take half the bytes of true color.
    return Style(color=Color.from_ansi(236 + round(level * 19 / (LEVELS - 1))))
