"""Reconstructions: inputs beside outputs, as pictures for images and as bars for vectors."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np
from rich.segment import Segment
from textual.binding import Binding
from textual.message import Message
from textual.strip import Strip

from aetui import protocol as p
from aetui.tui import figures, shades, texts
from aetui.tui.model import RunModel
from aetui.tui.pane import Pane

ENOUGH = 6
"""Pairs to have on the screen at once, so that equal outputs catch the eye, before pictures grow."""
_GAP = 3
_LABEL = 4


@dataclass(frozen=True)
class Grid:
    """Pairs as blocks of `width` x `height` cells, `across` in a row and `down` rows of them."""

    across: int
    down: int
    width: int
    height: int
    picture: shades.Frame

    @property
    def count(self) -> int:
        return self.across * self.down


class PairsPane(Pane):
    """Samples with their reconstructions on one common scale."""

    TITLE = "Reconstructions"
    TOPICS = ("run", "pairs")
    GAUGES = ("pairs",)
    WAITING = "waiting for the first reconstructions"
    SMALLEST = (24, 5)
    BINDINGS: ClassVar = [
        Binding("right,full_stop", "turn(1)", "next sample", id="pairs.next", tooltip="next sample"),
        Binding("left,comma", "turn(-1)", "previous sample", id="pairs.previous", tooltip="previous sample"),
        Binding("pagedown", "leaf(1)", "next samples", show=False, id="pairs.next-page"),
        Binding("pageup", "leaf(-1)", "previous samples", show=False, id="pairs.previous-page"),
        Binding("home", "turn(-1000000000)", "first sample", show=False, id="pairs.first"),
    ]

    class Turned(Message):
        """Another sample is wanted first: time to look again."""

        def __init__(self, pane: "PairsPane") -> None:
            self.sample = pane.sample
            super().__init__()

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.sample = 0
        """First sample to show, for `Look.sample`."""
        self._shown = 1

    def view_state(self) -> object:
        return self.sample, shades.needs_shades(self.app)

    def ready(self, model: RunModel) -> bool:
        return model.pairs is not None

    def action_turn(self, by: int) -> None:
        pairs = self.model.pairs if self.model else None
        sample = max(0, min(self.sample + by, pairs.count - 1 if pairs else 0))
        if sample != self.sample:
            self.sample = sample
            self.redraw()
            self.post_message(self.Turned(self))

    def action_leaf(self, pages: int) -> None:
        self.action_turn(pages * self._shown)

    def draw(self, model: RunModel, width: int, height: int) -> list[Strip]:
        measured, info = model.pairs, model.info
        assert measured is not None
        if not measured.pairs:
            return [self.line(("no samples to reconstruct", "muted"))]
        skip = self.sample - measured.first
        held = measured.pairs[skip:] if 0 <= skip < len(measured.pairs) else measured.pairs
        first = self.sample if held is not measured.pairs or not skip else measured.first
        shape = info.image_shape if info else ()
        size = prod(held[0].input.shape)
        room = height - 2
        if len(shape) == 3 and prod(shape) == size and min(shape) > 0:
            body, shown, remark = self._pictures(held, measured, shape, width, room)
        else:
            body, shown, remark = self._curves(held, measured, width, room)
        self._shown = shown
        spread, spread_short = _spread_texts(measured)
        spare = height - len(body) - 2
        head = self._header(measured, first, shown, "" if spare else spread_short, width)
        lines = [head, *body, *[Strip.blank(width)] * (spare - 1)]
        if spare:
            lines.append(self.line((spread if len(spread) <= width else spread_short)[:width]))
        return [*lines, self._scale(measured, held[:shown], remark, width)]

    def _header(self, measured: p.Pairs, first: int, shown: int, spread: str, width: int) -> Strip:
        text = f"samples {first + 1:,}-{first + shown:,}" if shown > 1 else f"sample {first + 1:,}"
        text += f" of {measured.count:,}"
        if first != self.sample:
            text += f", fetching {self.sample + 1:,}"
        rest = filter(None, (spread, f"step {figures.count(measured.step)}", "left input, right output, loss above"))
        return self.line(texts.joined((text[:width], *rest), width))

    def _scale(self, measured: p.Pairs, shown: tuple[p.Pair, ...], remark: str, width: int) -> Strip:
        """The common scale, how much of what is drawn lies beyond it, and how the drawing simplifies."""
        low, high = figures.number(measured.low), figures.number(measured.high)
        bar = shades.scale_bar(min(12, max(5, width // 10)), shades.needs_shades(self.app), self.role("text"))
        if remark.startswith("bars"):
            bar = Strip([Segment("".join(shades.BLOCKS[1:]), self.role("text"))])
        parts = [Strip([Segment(f"{low} ", self.role("muted"))]), bar, Strip([Segment(f" {high}", self.role("muted"))])]
        room = width - sum(part.cell_length for part in parts)
        notes = [(note, role) for note, role in (*_beyond(shown, measured), (remark, "muted")) if note]
        for note, role in notes:
            if len(note) + 3 <= room:
                parts.append(Strip([Segment(f"   {note}", self.role(role))]))
                room -= len(note) + 3
        return Strip.join(parts)

    # --- pictures

    def _pictures(
        self, held: tuple[p.Pair, ...], measured: p.Pairs, shape: tuple[int, ...], width: int, height: int
    ) -> tuple[list[Strip], int, str]:
        plain = shades.needs_shades(self.app)
        grid = _grid(shape[1], shape[2], width, height, len(held), plain)
        shown = held[: grid.count]
        lines = _beside([self._picture_block(pair, measured, shape, grid, plain) for pair in shown], grid.across)
        layout = grid.picture
        smaller = layout.height < shape[1] or layout.width < shape[2]
        remark = f"{shape[1]} x {shape[2]} averaged to {layout.height} x {layout.width}" if smaller else ""
        return lines, len(shown), remark

    def _picture_block(
        self, pair: p.Pair, measured: p.Pairs, shape: tuple[int, ...], grid: Grid, plain: bool
    ) -> list[Strip]:
        ink = self.role("text")
        pictures = [
            shades.picture(array.numpy().reshape(shape), measured.low, measured.high, grid.picture, plain, ink)
            for array in (pair.input, pair.output)
        ]
        gap = Strip([Segment(" ")])
        rows = [
            Strip.join([left, gap, right]).adjust_cell_length(grid.width) for left, right in zip(*pictures, strict=True)
        ]
        rows += [Strip.blank(grid.width)] * (grid.height - 1 - len(rows))
        return [self._title(pair, grid.width), *rows]

    def _title(self, pair: p.Pair, width: int) -> Strip:
        error = figures.number(pair.error)
        title = texts.cut(texts.plain(pair.title), width - len(error) - 1)
        return self.line(texts.pad(title, width - len(error)), (error[:width], "muted")).adjust_cell_length(width)

    # --- bars

    def _curves(
        self, held: tuple[p.Pair, ...], measured: p.Pairs, width: int, height: int
    ) -> tuple[list[Strip], int, str]:
        size = prod(held[0].input.shape)
        across = 2 if width >= 2 * (_LABEL + 70) + _GAP and size <= (width - _GAP) // 2 - _LABEL else 1
        block = (width - (across - 1) * _GAP) // across
        room = block - _LABEL
        stride = -(-size // room)
        columns = -(-size // stride)
        each = min(10, room // columns)
        numbers = each >= 7 and height >= 15
        down = max(1, min(height // (5 if numbers else 3), -(-len(held) // across)))
        rows = max(1, min(4, (height // down - 1 - 2 * numbers) // 2))
        shown = held[: across * down]
        blocks = [
            [self._title(pair, block), *self._bars(pair, measured, stride, each, rows, numbers, block)]
            for pair in shown
        ]
        lines = _beside(blocks, across)
        remark = f"bars of every {_ordinal(stride)} feature" if stride > 1 else "bars of every feature"
        return lines[:height], len(shown), remark

    def _bars(
        self, pair: p.Pair, measured: p.Pairs, stride: int, each: int, rows: int, numbers: bool, width: int
    ) -> list[Strip]:
        lines: list[Strip] = []
        for label, array, role in (("in", pair.input, "data"), ("out", pair.output, "output")):
            values = array.numpy().ravel()[::stride]
            for y, row in enumerate(shades.bars(values, measured.low, measured.high, rows)):
                name = label if y == rows - 1 else ""
                lines.append(
                    self.line((name.ljust(_LABEL), "muted"), (shades.widened(row, each), role)).adjust_cell_length(
                        width
                    )
                )
            if numbers:
                text = "".join(figures.number(float(value), 7)[: each - 1].ljust(each) for value in values)
                lines.append(self.line((" " * _LABEL, "muted"), (text, "muted")).adjust_cell_length(width))
        return lines


def _beside(blocks: Sequence[Sequence[Strip]], across: int) -> list[Strip]:
    """Blocks of equally many lines, `across` of them in a row."""
    gap = Strip([Segment(" " * _GAP)])
    rows = [blocks[start : start + across] for start in range(0, len(blocks), across)]
    return [
        Strip.join([part for one in line for part in (one, gap)]) for row in rows for line in zip(*row, strict=True)
    ]


def _grid(height: int, width: int, columns: int, rows: int, pairs: int, plain: bool) -> Grid:
    """The largest pictures with which enough pairs fit; shrunk ones only where few whole ones fit."""
    whole = [_grid_of(height * k, width * k, columns, rows, plain) for k in range(16, 0, -1)]
    shrunk: list[Grid] = []
    factor = 0.85
    while max(height, width) * factor >= 5:
        shrunk.append(_grid_of(max(1, round(height * factor)), max(1, round(width * factor)), columns, rows, plain))
        factor *= 0.85
    for grids, wanted in ((whole, ENOUGH), (whole, 4), (whole, 3), (shrunk, 4), (shrunk, 2), (whole, 1), (shrunk, 1)):
        for grid in grids:
            if grid.count >= min(wanted, pairs):
                return grid
    layout = shades.frame(height, width, max(1, rows - 1), max(2, (columns - 1) // 2), plain)
    return Grid(1, 1, columns, rows, layout)


def _grid_of(height: int, width: int, columns: int, rows: int, plain: bool) -> Grid:
    cells = (height, width * 2) if plain else ((height + 1) // 2, width)
    layout = shades.Frame(height, width, *cells)
    block_width = max(2 * layout.columns + 1, 11)
    across = (columns + _GAP) // (block_width + _GAP)
    return Grid(across, rows // (layout.rows + 1), block_width, layout.rows + 1, layout)


def _beyond(shown: tuple[p.Pair, ...], measured: p.Pairs) -> list[tuple[str, str]]:
    """Notes on values that the scale cuts and on values that are not finite."""
    values = np.concatenate([array.numpy().ravel() for pair in shown for array in (pair.input, pair.output)])
    finite = values[np.isfinite(values)]
    missing = len(values) - len(finite)
    slack = 1e-6 * max(abs(measured.low), abs(measured.high))
    cut = np.mean((finite < measured.low - slack) | (finite > measured.high + slack)) if len(finite) else 0.0
    notes = [(f"{missing:,} values not finite ({shades.NOT_FINITE})", "warning")] if missing else []
    return notes + ([(f"{figures.share(float(cut))} beyond the scale, cut", "muted")] if cut else [])


def _spread_texts(measured: p.Pairs) -> tuple[str, str]:
    """How much the outputs held here differ from each other, against the inputs, in full and in short."""
    if len(measured.pairs) < 2:
        return "", ""
    inputs, outputs = (
        np.stack([getattr(pair, side).numpy().ravel() for pair in measured.pairs]).astype(np.float64)
        for side in ("input", "output")
    )
    base = inputs.var(axis=0).sum()
    with np.errstate(invalid="ignore", over="ignore"):
        ratio = float(outputs.var(axis=0).sum() / base) if base > 0 else np.nan
    if not np.isfinite(ratio):
        return "", ""
    share = figures.share(ratio)
    count = len(measured.pairs)
    return f"outputs of these {count} vary {share} as much as their inputs", f"outputs vary {share} of inputs"


def _ordinal(n: int) -> str:
    ending = "th" if n % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n:,}{ending}"
