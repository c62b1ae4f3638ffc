"""Layer by layer: weights, gradients, how far an update moves the weights, dead units."""

from dataclasses import dataclass
from math import isfinite
from typing import ClassVar

from rich.segment import Segment
from textual.strip import Strip

from aetui import protocol as p
from aetui.tui import figures, texts
from aetui.tui.model import RunModel
from aetui.tui.scrolled_pane import ScrolledPane, scroll_bindings

UPDATE_LOW, UPDATE_HIGH = 1e-4, 1e-1
"""Usual update ratios; about 1e-3 is the rule of thumb of Stanford's CS231n ("Neural Networks 3",
ratio of weights to updates), and this band leaves room for what Adam does early on."""


@dataclass(frozen=True)
class Column:
    name: str
    width: int
    left: bool = True


DROPPED_FIRST = ("shape", "weight norm", "grad norm")
"""Columns that a narrow pane goes without, in this order."""


class LayersPane(ScrolledPane):
    """A table of the layers that scrolls by line and by page."""

    TITLE = "Layers"
    TOPICS = ("run", "layers")
    GAUGES = ("layers",)
    WAITING = "waiting for the first measurement of the layers"
    SMALLEST = (34, 4)
    BINDINGS: ClassVar = scroll_bindings("layers")

    def view_state(self) -> object:
        return self.top

    def ready(self, model: RunModel) -> bool:
        return model.layers is not None

    def draw(self, model: RunModel, width: int, height: int) -> list[Strip]:
        measured = model.layers
        assert measured is not None
        layers = measured.layers
        if not layers:
            return [self.line(("the model has no layers with weights", "muted"))]
        columns = _columns(layers, width)
        self.length, self.rows = len(layers), height - 1 - (height >= 4)
        self.top = self.kept_in(self.top)
        shown = layers[self.top : self.top + self.rows]
        head = "  ".join(c.name.ljust(c.width) if c.left else c.name.rjust(c.width) for c in columns)
        lines = [self.line((head.rstrip(), "muted")), *(self._row(layer, columns) for layer in shown)]
        if height >= 4:
            lines += [Strip.blank(width)] * (height - 1 - len(lines))
            lines.append(self.line((self._foot(measured, len(shown), width), "muted")))
        return lines

    def _row(self, layer: p.Layer, columns: list[Column]) -> Strip:
        segments: list[Segment] = []
        for column in columns:
            text, role = _cell(layer, column.name)
            text = texts.pad(text, column.width) if column.left else text.rjust(column.width)
            segments += [Segment(text, self.role(role)), Segment("  ")]
        return Strip(segments)

    def _foot(self, measured: p.Layers, shown: int, width: int) -> str:
        count = len(measured.layers)
        place = f"layers {self.top + 1}-{self.top + shown} of {count}   " if shown < count else ""
        step = f"step {figures.count(measured.step)}"
        if measured.updated not in (None, measured.step):
            of = figures.as_of("update", measured.updated, measured.step)
            return texts.first_fitting((f"{place}update / weights: 1e-4 to 1e-1 is usual   {of}", place + of), width)
        forms = (
            f"{place}update = norm of the last update / norm of the weights, 1e-4 to 1e-1 is usual   {step}",
            f"{place}update / weights: 1e-4 to 1e-1 is usual   {step}",
            f"{place}update: 1e-4 to 1e-1 is usual",
            *((place,) if place else ("usual update: 1e-4 to 1e-1", step)),
        )
        return texts.first_fitting(forms, width)


def _columns(layers: tuple[p.Layer, ...], width: int) -> list[Column]:
    """The columns that fit; their widths depend on the model only, so they stay where they are."""
    named = max(5, *(len(texts.plain(layer.name)) for layer in layers))
    shaped = max(5, *(len(_shape(layer)) for layer in layers))
    dead = max(4, *(len(f"{layer.units:,} of {layer.units:,}") for layer in layers if layer.units is not None), 0)
    columns = [
        Column("shape", shaped),
        Column("weight norm", 11, left=False),
        Column("grad norm", 9, left=False),
        Column("update", 11),
        Column("dead", dead),
    ]
    room = width - sum(column.width + 2 for column in columns)
    for dropped in DROPPED_FIRST:
        if room >= min(named, 16):
            break
        columns = [column for column in columns if column.name != dropped]
        room = width - sum(column.width + 2 for column in columns)
    return [Column("layer", max(4, min(named, room))), *columns]


def _cell(layer: p.Layer, column: str) -> tuple[str, str]:
    """A cell's text and its role."""
    match column:
        case "layer":
            return texts.plain(layer.name), "text"
        case "shape":
            return _shape(layer), "muted"
        case "weight norm":
            return figures.number(layer.weight_norm), figures.role(layer.weight_norm)
        case "grad norm":
            return figures.number(layer.grad_norm), figures.role(layer.grad_norm)
        case "update":
            return _update(layer.update_ratio)
        case _:
            return _dead(layer)


def _shape(layer: p.Layer) -> str:
    return " x ".join(map(str, layer.shape))


def _update(ratio: float | None) -> tuple[str, str]:
    """The ratio to two digits, and a word where it is out of its usual range."""
    if ratio is None:
        return figures.MISSING, "muted"
    if not isfinite(ratio):
        return figures.number(ratio), "warning"
    mantissa, exponent = f"{ratio:.1e}".split("e")
    text = "0" if ratio == 0 else f"{mantissa}e{int(exponent)}"
    word = "low" if ratio < UPDATE_LOW else "high" if ratio > UPDATE_HIGH else ""
    return f"{text:<6} {word}", "warning" if word else "text"


def _dead(layer: p.Layer) -> tuple[str, str]:
    if layer.dead is None or layer.units is None:
        return figures.MISSING, "muted"
    return f"{layer.dead:,} of {layer.units:,}", "warning" if layer.dead else "text"
