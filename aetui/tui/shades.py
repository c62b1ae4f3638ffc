"""Small pictures, bars and scatter plots drawn in character cells.

Pictures take half blocks and 24 greys where the terminal has them, and shade characters
otherwise. Everything here is a pure function of its arguments; NaN and infinities are drawn as a
mark of their own, never passed on.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from rich.color import Color, ColorType
from rich.segment import Segment
from rich.style import Style
from textual.app import App
from textual.strip import Strip

CLASS_COLORS = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
)  # fmt: skip
"""Ten colors told apart with any color vision (Petroff 2021, "Accessible color sequences")."""

SHADES = " ░▒▓█"
BLOCKS = " ▁▂▃▄▅▆▇█"
GREYS = 24
NOT_FINITE = "x"
"""What stands where a value is NaN or infinite."""

_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])


def needs_shades(app: App[object]) -> bool:
    """Whether pictures must do without greys: no color at all, or 16 of them, or no half blocks."""
    terminal = getattr(app, "terminal", None)
    return (
        (terminal is not None and not terminal.half_blocks)
        or app.no_color
        or app.console.color_system in (None, "standard", "windows")
    )


# --- pictures -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Frame:
    """How an image is laid out in cells: `height` x `width` pixels take `rows` x `columns` cells."""

    height: int
    width: int
    rows: int
    columns: int


def frame(height: int, width: int, rows: int, columns: int, shades: bool) -> Frame:
    """The largest layout of a `height` x `width` image in a box of `rows` x `columns` cells.

    Images grow by whole factors and shrink to any size, keeping their proportions. With half
    blocks a cell is one pixel wide and two high; with shades a pixel is two cells wide.
    """
    room_height, room_width = (rows, columns // 2) if shades else (rows * 2, columns)
    scale = min(room_height / height, room_width / width)
    if scale >= 1:
        scale = int(scale)
    pixel_height = max(1, min(room_height, round(height * scale)))
    pixel_width = max(1, min(room_width, round(width * scale)))
    cells = (pixel_height, pixel_width * 2) if shades else ((pixel_height + 1) // 2, pixel_width)
    return Frame(pixel_height, pixel_width, *cells)


def resample(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """`image` (..., h, w) at another size, each new pixel the average of the area that it covers."""
    if image.shape[-2:] == (height, width):
        return image
    return _coverage(image.shape[-2], height) @ image @ _coverage(image.shape[-1], width).T


@lru_cache(64)
def _coverage(old: int, new: int) -> np.ndarray:
    """Share of each of `new` cells that each of `old` cells covers, shape (new, old)."""
    edges = np.arange(new + 1) * (old / new)
    cells = np.arange(old)
    overlap = np.minimum(edges[1:, None], cells + 1) - np.maximum(edges[:-1, None], cells)
    overlap = np.clip(overlap, 0, None)
    return overlap / overlap.sum(axis=1, keepdims=True)


def picture(image: np.ndarray, low: float, high: float, layout: Frame, shades: bool, ink: Style) -> list[Strip]:
    """An image of shape (channels, h, w) as `layout.rows` strips of `layout.columns` cells.

    Three channels are red, green and blue; any other number is averaged to grey. `low` is black
    (or blank), `high` is white (or the full `ink`); values beyond are cut.
    """
    if image.shape[0] != 3 or shades:
        image = image.mean(axis=0, keepdims=True)
    with np.errstate(invalid="ignore"):
        pixels = resample(image.astype(np.float64), layout.height, layout.width)
    level = _unit(pixels, low, high)
    return _shaded(level[0], ink) if shades else _half_blocks(level, ink)


def scale_bar(columns: int, shades: bool, ink: Style) -> Strip:
    """The scale of pictures from low to high, `columns` cells wide."""
    level = np.linspace(0, 1, max(2, columns))[None, :columns]
    if shades:
        return Strip([Segment("".join(SHADES[i] for i in _steps(level[0], len(SHADES))), ink)])
    return _half_blocks(np.repeat(level, 2, axis=0)[None], ink)[0]


def _unit(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Values on 0..1 between `low` and `high`, cut beyond, NaN where not finite."""
    span = high - low
    values = np.where(np.isfinite(values), values, np.nan)
    return np.clip((values - low) / span, 0, 1) if span > 0 else np.where(np.isnan(values), np.nan, 0.5)


def _steps(level: np.ndarray, count: int) -> np.ndarray:
    """Index of each level among `count` equal steps, -1 where it is NaN."""
    return np.where(np.isnan(level), -1, np.minimum(np.nan_to_num(level) * count, count - 1).astype(int))


def _shaded(level: np.ndarray, ink: Style) -> list[Strip]:
    steps = _steps(level, len(SHADES))
    return [Strip([Segment("".join((NOT_FINITE if i < 0 else SHADES[i]) * 2 for i in row), ink)]) for row in steps]


def _half_blocks(level: np.ndarray, ink: Style) -> list[Strip]:
    """Two pixel rows a line: the upper one as the color of a half block, the lower one behind it."""
    codes = _codes(level)
    if codes.shape[0] % 2:
        codes = np.concatenate([codes, np.full((1, codes.shape[1]), -2)])
    return [Strip(_runs(codes[y], codes[y + 1], ink)) for y in range(0, codes.shape[0], 2)]


def _codes(level: np.ndarray) -> np.ndarray:
    """One number a pixel: a grey step, or GREYS + red, green and blue packed; -1 where not finite."""
    if level.shape[0] == 1:
        return _steps(level[0], GREYS)
    red, green, blue = (_steps(channel, 32) * 8 for channel in level)
    packed = GREYS + (red << 16) + (green << 8) + blue
    return np.where(np.isnan(level).any(axis=0), -1, packed)


def _runs(upper: np.ndarray, lower: np.ndarray, ink: Style) -> list[Segment]:
    """Equal neighbors as one segment: fewer escape sequences to send."""
    change = np.flatnonzero((np.diff(upper) != 0) | (np.diff(lower) != 0)) + 1
    starts = [0, *change.tolist()]
    segments = []
    for start, end in zip(starts, [*starts[1:], len(upper)], strict=True):
        above, below = int(upper[start]), int(lower[start])
        if -1 in (above, below):
            segments.append(Segment(NOT_FINITE * (end - start), ink))
        else:
            segments.append(Segment((" " if above == below else "▀") * (end - start), _paint(above, below)))
    return segments


@lru_cache(4096)
def _paint(above: int, below: int) -> Style:
    behind = None if below == -2 else _color(below)
    return Style(bgcolor=behind) if above == below else Style(color=_color(above), bgcolor=behind)


@lru_cache(4096)
def _color(code: int) -> Color:
    if code >= GREYS:
        return Color.from_rgb((code - GREYS) >> 16 & 255, (code - GREYS) >> 8 & 255, (code - GREYS) & 255)
    # A palette color that carries its triplet stays one on its way out: half the bytes of true color.
    grey = 8 + 10 * code
    return Color(f"grey{grey}", ColorType.EIGHT_BIT, 232 + code, Color.from_rgb(grey, grey, grey).triplet)


# --- bars ---------------------------------------------------------------------------------------


def bars(values: np.ndarray, low: float, high: float, rows: int = 1) -> list[str]:
    """One column of blocks a value, `rows` lines high, from `low` (least ink) to `high` (full).

    Every finite value leaves at least an eighth of ink at the bottom, so that it shows.
    """
    level = _unit(np.asarray(values, dtype=np.float64), low, high)
    eighths = np.maximum(1, np.round(np.nan_to_num(level) * rows * 8)).astype(int)
    lines = []
    for row in reversed(range(rows)):
        ink = np.clip(eighths - row * 8, 0, 8)
        missing = NOT_FINITE if row == 0 else " "
        lines.append("".join(missing if np.isnan(t) else BLOCKS[i] for t, i in zip(level, ink, strict=True)))
    return lines


def widened(line: str, cells: int) -> str:
    """A line of columns with so many cells for each, the last of them left free where it has more than two."""
    return "".join(c * (cells - 1) + " " if cells > 2 else c * cells for c in line)


def level_bar(cells: float) -> str:
    """A bar from the left, as long as so many cells to an eighth of one."""
    full, rest = divmod(round(8 * cells), 8)
    return "█" * full + ("▏▎▍▌▋▊▉"[rest - 1] if rest else "")


def condense(values: np.ndarray, columns: int) -> np.ndarray:
    """At most `columns` values, each the average of its neighbors; NaN where any of them is not finite."""
    values = np.asarray(values, dtype=np.float64)
    if len(values) <= columns:
        return values
    edges = np.linspace(0, len(values), columns + 1).astype(int)
    with np.errstate(invalid="ignore"):
        return np.add.reduceat(values, edges[:-1]) / np.diff(edges)


# --- scatter ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scatter:
    """Points in cells. chars, classes: shape (rows, columns); class -1 where there is none.

    x, y: the value ranges of the plot.
    """

    chars: np.ndarray
    classes: np.ndarray
    x: tuple[float, float]
    y: tuple[float, float]


def scatter(points: np.ndarray, classes: np.ndarray, rows: int, columns: int, letters: dict[int, str]) -> Scatter:
    """Finite points of shape (n, 2) as braille dots, both axes in the same units.

    A cell takes the class with most points in it. `letters` are drawn at the mean of their
    class's points; where two fall together the second moves to the nearest free cell.
    """
    keep = np.isfinite(points).all(axis=1)
    points, classes = points[keep].astype(np.float64), classes[keep]
    chars = np.full((rows, columns), " ", dtype="<U1")
    owner = np.full((rows, columns), -1)
    if not len(points):
        return Scatter(chars, owner, (0.0, 0.0), (0.0, 0.0))
    low, high = points.min(axis=0), points.max(axis=0)
    center = low / 2 + high / 2
    # A dot of braille is about as wide as it is high, so that one unit fits both axes.
    dots = np.array([columns * 2, rows * 4])
    unit = float(np.max((high - low) / np.maximum(dots - 1, 1)))
    at = np.zeros_like(points) if unit <= 0 else (points - center) / unit
    at = np.clip(np.round(at * [1, -1] + (dots - 1) / 2), 0, dots - 1).astype(int)
    x, y = at[:, 0], at[:, 1]
    bits = np.zeros((rows, columns), dtype=int)
    np.bitwise_or.at(bits, (y // 4, x // 2), _DOTS[y % 4, x % 2])
    chars[bits > 0] = [chr(0x2800 + bit) for bit in bits[bits > 0]]
    _claim(owner, y // 4, x // 2, classes)
    _place_letters(chars, owner, y // 4, x // 2, classes, letters)
    half = unit * (dots - 1) / 2
    return Scatter(
        chars,
        owner,
        (float(center[0] - half[0]), float(center[0] + half[0])),
        (float(center[1] - half[1]), float(center[1] + half[1])),
    )


def _claim(owner: np.ndarray, row: np.ndarray, column: np.ndarray, classes: np.ndarray) -> None:
    """Give each cell to the class with most points in it, the lowest of equals."""
    kinds = np.unique(classes)
    counts = np.zeros((len(kinds), *owner.shape), dtype=int)
    np.add.at(counts, (np.searchsorted(kinds, classes), row, column), 1)
    taken = counts.any(axis=0)
    owner[taken] = kinds[counts.argmax(axis=0)][taken]


def _place_letters(
    chars: np.ndarray,
    owner: np.ndarray,
    row: np.ndarray,
    column: np.ndarray,
    classes: np.ndarray,
    letters: dict[int, str],
) -> None:
    free = np.ones(chars.shape, dtype=bool)
    rows, columns = np.indices(chars.shape)
    for kind, letter in letters.items():
        mine = classes == kind
        if not mine.any() or not free.any():
            continue
        # Rows are twice as far apart as columns.
        distance = ((rows - row[mine].mean()) * 2) ** 2 + (columns - column[mine].mean()) ** 2
        spot = np.unravel_index(np.argmin(np.where(free, distance, np.inf)), chars.shape)
        chars[spot], owner[spot], free[spot] = letter, kind, False
