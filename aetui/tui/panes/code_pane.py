"""The code over the probe set: where samples fall, how many directions it uses, unit by unit."""

from typing import ClassVar

import numpy as np
from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding
from textual.strip import Strip

from aetui import protocol as p
from aetui.tui import figures, shades, texts
from aetui.tui.model import RunModel
from aetui.tui.pane import Pane

CARRYING = 0.01
"""Nats from which a unit's KL counts as carrying something (Burda et al. 2016 take the same number for variances)."""
_LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz"


class CodePane(Pane):
    """A scatter of the code's first two principal components, or bars of its units' variances."""

    TITLE = "Code"
    TOPICS = ("run", "code")
    GAUGES = ("code",)
    WAITING = "waiting for the first measurement of the code"
    SMALLEST = (24, 4)
    BINDINGS: ClassVar = [
        Binding("p", "switch", "scatter/units", id="code.toggle", tooltip="scatter or unit variances")
    ]

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.units = False
        self.border_subtitle = "p units"

    def action_switch(self) -> None:
        self.units = not self.units
        self.border_subtitle = "p scatter" if self.units else "p units"
        self.redraw()

    def view_state(self) -> object:
        return self.units

    def ready(self, model: RunModel) -> bool:
        return model.code is not None

    def draw(self, model: RunModel, width: int, height: int) -> list[Strip]:
        code = model.code
        assert code is not None
        points = code.points.numpy()
        lines = self._header(code, width)
        if self.units:
            return lines + self._unit_bars(code, width, height - len(lines))
        finite = np.asarray(np.isfinite(points).all(axis=1)) if len(points) else np.zeros(0, dtype=bool)
        trouble = self._trouble(code, points, finite)
        if trouble:
            return lines + [self.line((line, "warning")) for line in texts.wrap(trouble, width)]
        if not finite.all():
            skipped = int((~finite).sum())
            note = f"{skipped:,} of {len(points):,} codes are not finite and not drawn"
            lines.append(self.line((texts.cut(note, width), "warning")))
        foot = self._unit_row(code, width) if height - len(lines) >= 11 else []
        return lines + self._scatter(model, code, points, width, height - len(lines) - len(foot)) + foot

    def _header(self, code: p.Code, width: int) -> list[Strip]:
        rank, active = figures.number(code.effective_rank), f"active {code.active:,} of {code.width:,}"
        step = f"step {figures.count(code.step)}"
        whole, brief = f"effective rank {rank} of {code.width:,}", f"rank {rank} of {code.width:,}"
        least = f"rank {rank}/{code.width:,}   active {code.active:,}"
        kl = "" if code.kl is None else f"   KL {figures.number(code.kl)} nats{_carrying(code)}"
        brief_kl = "" if code.kl is None else f"   KL {figures.number(code.kl)}"
        forms = (f"{whole}   {active}{kl}   {step}", f"{whole}   {active}{kl}", f"{brief}   {active}{brief_kl}")
        forms = forms if kl else ()
        forms = (*forms, f"{whole}   {active}   {step}", f"{whole}   {active}", f"{brief}   {active}", least)
        few = code.width > 1 and (code.active < code.width / 2 or code.effective_rank < 1.5)
        return [self.line((texts.first_fitting(forms, width), "warning" if few else "text"))]

    @staticmethod
    def _trouble(code: p.Code, points: np.ndarray, finite: np.ndarray) -> str:
        """Why there is no scatter to draw, '' if there is."""
        if not len(points):
            return "no codes were measured"
        if not finite.any():
            return "every code is NaN or infinite"
        if not np.ptp(points[finite].astype(np.float64), axis=0).any():
            return "all codes are the same point: the encoder gives every input the same code"
        return ""

    def _scatter(self, model: RunModel, code: p.Code, points: np.ndarray, width: int, height: int) -> list[Strip]:
        classes = np.array(code.labels) if len(code.labels) == len(points) else np.zeros(len(points), dtype=int)
        kinds = [int(kind) for kind in np.unique(classes)] if len(code.labels) == len(points) else []
        letters = dict(zip(kinds, _letters([_name(model, kind) for kind in kinds]), strict=True))
        legend = self._legend(model, letters, width) if height >= 6 else []
        rows = height - 1 - len(legend)
        if code.width == 1:
            points = _spread(points, classes, rows * 2 / width)
        plot = shades.scatter(points, classes, rows, width, letters)
        lines = [Strip(self._cells(plot.chars[y], plot.classes[y], bool(kinds))) for y in range(rows)]
        return [*lines, self._axes(code, plot, width), *legend]

    def _cells(self, chars: np.ndarray, classes: np.ndarray, colored: bool) -> list[Segment]:
        segments: list[Segment] = []
        start = 0
        for end in range(1, len(chars) + 1):
            if end < len(chars) and classes[end] == classes[start] and _dotted(chars[end]) == _dotted(chars[start]):
                continue
            style = self._class_style(int(classes[start])) if colored else self.role("data")
            if not _dotted(chars[start]):
                style += Style(bold=True, reverse=True)
            segments.append(Segment("".join(chars[start:end]), style))
            start = end
        return segments

    def _class_style(self, kind: int) -> Style:
        if 0 <= kind < len(shades.CLASS_COLORS):
            return Style(color=shades.CLASS_COLORS[kind])
        return self.role("muted")

    def _axes(self, code: p.Code, plot: shades.Scatter, width: int) -> Strip:
        if code.width == 1:
            return self.line((texts.cut("one unit, across; height only separates the points", width), "muted"))
        first, second = (figures.share(share) for share in code.shares)
        low, high = (figures.number(edge) for edge in plot.x)
        forms = (
            f"PC1 {first} across ({low} to {high}), PC2 {second} up, same units",
            f"PC1 {first} across ({low} to {high}), PC2 {second} up",
            f"PC1 {first} across, PC2 {second} up",
            f"PC1 {first}, PC2 {second}",
        )
        return self.line((texts.first_fitting(forms, width), "muted"))

    def _legend(self, model: RunModel, letters: dict[int, str], width: int) -> list[Strip]:
        """One line: each class's letter in its color, and its name where that says more."""
        if not letters:
            return []
        parts = [Segment("class ", self.role("muted"))]
        room = width - 6
        for place, (kind, letter) in enumerate(letters.items()):
            name = texts.plain(_name(model, kind))
            text = letter if name == letter else f"{letter} {texts.cut(name, 16)}"
            rest = len(letters) - place
            if len(text) + 2 + (9 if rest > 1 else 0) > room:
                parts.append(Segment(texts.cut(f"+{rest} more", room), self.role("muted")))
                break
            parts += [Segment(text, self._class_style(kind)), Segment("  ")]
            room -= len(text) + 2
        return [Strip(parts)]

    def _unit_row(self, code: p.Code, width: int) -> list[Strip]:
        values = code.variances.numpy()
        if not len(values):
            return []
        label, top = "unit variance ", f" max {figures.number(_largest(values))}"
        bars = shades.condense(values, width - len(label) - len(top))
        return [self.line((label, "muted"), (shades.bars(bars, 0, _largest(values))[0], "data"), (top, "muted"))]

    def _unit_bars(self, code: p.Code, width: int, height: int) -> list[Strip]:
        """One bar a unit, as high as its variance; units that are not active are marked below."""
        values = code.variances.numpy().astype(np.float64)
        if not len(values):
            return [self.line(("no units were measured", "muted"))]
        top = _largest(values)
        bars = shades.condense(values, width)
        size = min(6, width // len(bars))
        group = "" if len(bars) == len(values) else f", a bar averages {len(values) / len(bars):.3g} units"
        sign = "( )" if size >= len(str(len(values))) + 2 else "!"
        idle = f", {sign} not active" if len(bars) == len(values) and code.active < len(values) else ""
        caption = texts.cut(f"variance of each unit, 0 to {figures.number(top)}{group}{idle}", width)
        rows = max(1, height - 1 - (size >= 2) - (size < 2 and len(bars) == len(values)))
        lines = [self.line((caption, "muted"))]
        for row in shades.bars(bars, 0, top, rows):
            lines.append(self.line((shades.widened(row, size), "data")))
        if len(bars) == len(values):
            marks = self._unit_marks(code, values, size)
            lines.append(self.line((marks, "muted")))
        return lines[:height]

    @staticmethod
    def _unit_marks(code: p.Code, values: np.ndarray, size: int) -> str:
        """Below each bar its number, in brackets where the unit is not active; `!` alone where that is too narrow."""
        order = np.argsort(np.nan_to_num(values, nan=-1.0), kind="stable")
        idle = set(order[: max(0, len(values) - code.active)].tolist())
        if size >= len(str(len(values))) + 2:
            return "".join((f"({i + 1})" if i in idle else f"{i + 1}").ljust(size) for i in range(len(values)))
        return "".join(("!" if i in idle else " ").ljust(size) for i in range(len(values)))


def _carrying(code: p.Code) -> str:
    """How many units have a KL to speak of, where that is known of each."""
    if code.unit_kl is None:
        return ""
    return f" in {int((code.unit_kl.numpy() > CARRYING).sum()):,} units"


def _dotted(char: str) -> bool:
    return char == " " or char >= "\u2800"


def _largest(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.max()) if len(finite) else float("nan")


def _name(model: RunModel, kind: int) -> str:
    names = model.info.labels if model.info else ()
    return names[kind] if 0 <= kind < len(names) else str(kind)


def _letters(names: list[str]) -> list[str]:
    """One character a class: its name if that is one, else its initial if all differ, else a digit or letter."""
    initials = [name[:1] for name in names]
    if len(set(initials)) == len(names) and all(c.isascii() and c.isalnum() for c in initials):
        return initials
    return [_LETTERS[i] if i < len(_LETTERS) else "+" for i in range(len(names))]


def _spread(points: np.ndarray, classes: np.ndarray, shape: float) -> np.ndarray:
    """Points of a one-unit code, moved apart in height by class, or by row where there is none."""
    kinds, place = np.unique(classes, return_inverse=True)
    if len(kinds) < 2:
        place = np.arange(len(points)) * 7 % 11
    finite = points[np.isfinite(points[:, 0]), 0]
    height = np.ptp(finite) * shape * 0.8
    return np.stack([points[:, 0], height * place / max(1, place.max())], axis=1)
