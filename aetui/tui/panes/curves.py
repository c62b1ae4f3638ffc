"""The curves that the loss chart can show: what is drawn of each, and its yardsticks."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from aetui.spec import sections
from aetui.tui import figures, plot, texts
from aetui.tui.model import RunModel
from aetui.tui.panes import legend
from aetui.tui.panes.left_traces import MOST, LeftBranches
from aetui.tui.panes.traces import Points, limits
from aetui.tui.series import Series
from aetui.tui.trace import Trace

LOSS, NORM, PENALTIES, RATE, EXPLAINED = "", "gradient norm", "penalties", "learning rate", "explained variance"

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Range:
    """Steps first < step <= last in so many columns of a chart."""

    first: int
    last: int
    columns: int


@dataclass
class Content:
    """What is drawn, with x in steps, and what the legend says of it."""

    lines: list[plot.Line] = field(default_factory=list)
    bands: list[plot.Band] = field(default_factory=list)
    left: list[plot.Band] = field(default_factory=list)
    """Traces of what the run has left, which has no place on an axis of time."""
    references: list[plot.Reference] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    named: list[legend.Part] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    linear: bool = False
    """Whether a logarithmic axis makes no sense."""


def names(model: RunModel) -> list[str]:
    """The curves that the run has, in the order of the key; '' is the loss."""
    own = [PENALTIES] if len(model.penalties) else []
    return [LOSS, NORM, *own, RATE, EXPLAINED, *(name for name in model.parts if name not in (NORM, RATE, EXPLAINED))]


class Curves:
    """Makes the content of the chart, with what it keeps from one frame to the next."""

    def __init__(self) -> None:
        self._points = Points()
        self._left = LeftBranches()

    def content(self, model: RunModel, name: str, shown: Range, smoothing: int, log: bool) -> Content:
        """The curve of that name, or the loss where the run has none."""
        if name == NORM:
            return _norm(model, shown, smoothing)
        if name == PENALTIES and len(model.penalties):
            return _of_series(model.penalties, name, shown, smoothing)
        if name == RATE:
            return _rate(model, shown)
        if name == EXPLAINED:
            return _explained(model, shown)
        if name in model.parts:
            return _of_series(model.parts[name], texts.plain(name), shown, smoothing)
        return self._loss(model, shown, smoothing, log)

    def _loss(self, model: RunModel, shown: Range, smoothing: int, log: bool) -> Content:
        first, last, columns = shown.first, shown.last, shown.columns
        branches = model.info.branches if model.info else ()
        loss = Trace(model.loss, first, last, columns, smoothing)
        left, cut = self._left.bands(branches, first, last, columns, limits(loss, log))
        found = Content(bands=loss.bands(), left=left, references=_floors(model), gaps=loss.gaps())
        # Later lines lie above earlier ones: the training loss above all.
        steps, values = self._points.within(model, first, last, columns)
        if len(steps):
            found.lines.append(plot.Line(steps, values, "validation", "val", glyph="o"))
        if len(model.total):
            total = Trace(model.total, first, last, columns, smoothing)
            found.lines.append(total.line("text", "total"))
            found.bands += total.bands()
        found.lines.append(loss.line("train", "train"))
        found.named = _named(model)
        if found.gaps:
            found.named.append((f"{plot.GAP} not finite", "warning"))
        if left:
            found.notes.append(_left_note(len(branches)))
        if cut:
            found.notes.append("left cut where far off")
        return found


def _of_series(series: Series, name: str, shown: Range, smoothing: int) -> Content:
    trace = Trace(series, shown.first, shown.last, shown.columns, smoothing)
    return Content(
        lines=[trace.line("train", name)],
        bands=trace.bands(),
        named=[(f"⠒ {name} {figures.number(series.last())}", "train")],
    )


def _norm(model: RunModel, shown: Range, smoothing: int) -> Content:
    found = _of_series(model.grad_norm, "grad", shown, smoothing)
    found.named = [(f"⠒ {NORM} {figures.number(model.grad_norm.last())}", "train")]
    clip = model.spec.clip
    if isinstance(clip, sections.GlobalNorm):
        threshold = clip.threshold if model.status.threshold is None else model.status.threshold
        found.references.append(plot.Reference(threshold, f"clipped to {figures.number(threshold)}"))
    elif not isinstance(clip, sections.NoClip):
        found.notes.append("what is clipped is not this joint norm")
    return found


def known_rates(model: RunModel) -> list[tuple[int, float]]:
    """Steps, and the learning rate of the one that follows, from the first step that it is known of."""
    found = list(model.rates)
    if not (found and isinstance(model.spec.schedule, sections.Constant)):
        return found
    # Without a schedule the tweaks on the way tell what was before this screen came.
    tweaks = [
        entry for entry in model.journal
        if entry.change is not None and not entry.left and entry.last < found[0][0]
    ]  # fmt: skip
    if any(entry.change is not None and entry.change.path.startswith("schedule.") for entry in model.journal):
        return found
    moves = [(entry.last, entry.change) for entry in tweaks if entry.change and entry.change.path == "optim.lr"]
    try:
        start = float(moves[0][1].old) if moves else found[0][1]
        return [(0, start), *((step, float(change.new)) for step, change in moves), *found]
    except ValueError:
        return found


def _rate(model: RunModel, shown: Range) -> Content:
    """The rate as steps of a staircase."""
    pairs = known_rates(model)
    found = Content(named=[(f"⠒ {RATE} {figures.number(pairs[-1][1] if pairs else None)}", "train")])
    if not pairs:
        return found
    steps, rates = np.array(pairs, np.float64).T
    constant = isinstance(model.spec.schedule, sections.Constant)
    if constant:
        # Each rate is in force from the step after its own on, until the next one is.
        steps, rates = np.repeat(steps, 2)[1:], np.repeat(rates, 2)[:-1]
        steps, rates = np.r_[steps, max(steps[-1], len(model.loss))], np.r_[rates, rates[-1]]
    inside = _within(steps, shown)
    found.lines.append(plot.Line(steps[inside] + 0.5, rates[inside], "train", "lr"))
    if pairs[0][0] > 0:
        found.notes.append(f"known from step {figures.count(pairs[0][0] + 1)} on")
    return found


def _explained(model: RunModel, shown: Range) -> Content:
    pairs = [(point.step, point.explained) for point in model.points if point.explained is not None]
    last = figures.as_of(figures.explained(pairs[-1][1]), pairs[-1][0], len(model.loss)) if pairs else figures.MISSING
    found = Content(named=[(f"⠒ {EXPLAINED} {last}", "train")], linear=True)
    if pairs:
        steps, values = np.array(pairs, np.float64).T
        inside = _within(steps, shown)
        found.lines.append(plot.Line(steps[inside], values[inside], "train", "expl."))
    linear = model.info.floors.linear_explained if model.info else None
    if linear is not None:
        found.references.append(plot.Reference(linear, f"PCA with {model.code_width} {figures.explained(linear)}"))
    return found


def _within(steps: Floats, shown: Range) -> slice:
    """What lies in the range, with the neighbors on both sides, so that lines go to its edges."""
    start, stop = np.searchsorted(steps, (shown.first, shown.last))
    return slice(max(0, int(start) - 1), int(stop) + 1)


def _named(model: RunModel) -> list[legend.Part]:
    """Names with their latest values."""
    parts: list[legend.Part] = [(f"⠒ train {figures.number(model.loss.last())}", "train")]
    if model.points and model.points[-1].validation is not None:
        point = model.points[-1]
        held_out = figures.as_of(figures.number(point.validation), point.step, len(model.loss))
        parts.append((f"o val {held_out}", "validation"))
    if len(model.total):
        parts.append((f"total {figures.number(model.total.last())}", "text"))
    return parts


def _left_note(count: int) -> str:
    """What the dotted traces are."""
    drawn = f", the newest {MOST} drawn" if count > MOST else ""
    return "⠒ ⠒ left" + (f" ({figures.count(count)} branches{drawn})" if count > 1 else "")


def _floors(model: RunModel) -> list[plot.Reference]:
    if model.info is None:
        return []
    floors = model.info.floors
    pairs = (
        (floors.mean, "predict the mean"),
        (floors.linear, f"PCA with {model.code_width}"),
        (floors.entropy, "entropy floor"),
    )
    return [plot.Reference(y, f"{name} {figures.number(y)}") for y, name in pairs if y is not None]
