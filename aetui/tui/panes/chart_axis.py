"""The horizontal axis of the loss chart: steps, epochs or the time of day that passed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aetui.tui import figures
from aetui.tui import scale as scales
from aetui.tui.model import RunModel

KINDS = ("step", "epoch", "time")

Floats = NDArray[np.floating[Any]]
Ticks = list[tuple[float, str]]

_TICKS = (
    *(n for n in (1, 2, 5, 10, 15, 30)),
    *(60 * n for n in (1, 2, 5, 10, 15, 30)),
    *(3600 * n for n in (1, 2, 3, 6, 12)),
    *(86_400 * n for n in (1, 2, 5, 10, 20, 50, 100, 200)),
)
"""Seconds between two ticks of time."""
_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


@dataclass(frozen=True)
class Axis:
    """Where steps lie on the axis, and its ticks."""

    name: str
    at: Callable[[ArrayLike], Floats]
    """Positions of steps, shape as given."""
    ticks: Callable[[float, float, int], Ticks]
    """Values with their labels between two positions, for so many columns."""


def axis(kind: str, model: RunModel) -> Axis | None:
    """The axis of a kind, None where the run does not tell enough for it."""
    if kind == "epoch":
        status = model.status
        if not status.epoch or not status.step:
            return None
        share = status.epoch / status.step
        return Axis("epoch", lambda steps: np.asarray(steps, np.float64) * share, _number_ticks)
    if kind == "time":
        known = model.times.known()
        return None if known is None else Axis("time", lambda steps: _times(steps, *known), _time_ticks)
    return STEPS


STEPS = Axis("step", lambda steps: np.asarray(steps, np.float64), scales.x_ticks)


def _times(steps: ArrayLike, known: Floats, times: Floats) -> Floats:
    """Seconds from the first known time, on a straight line between two known ones and beyond the last."""
    wanted = np.asarray(steps, np.float64)
    found = np.interp(wanted, known, times)
    half = len(known) // 2
    pace = (times[-1] - times[half]) / (known[-1] - known[half]) if known[-1] > known[half] else 0.0
    return np.where(wanted > known[-1], times[-1] + (wanted - known[-1]) * pace, found) - times[0]


def _number_ticks(low: float, high: float, columns: int) -> Ticks:
    for most in range(min(12, columns // 3), 0, -1):
        values = scales.steps(max(low, 0.0), high, most)
        labels = figures.tick_labels(values)
        if _apart(values, labels, (high - low) / max(columns, 1)):
            return list(zip(values, labels, strict=True))
    return []


def _time_ticks(low: float, high: float, columns: int) -> Ticks:
    for gap in _TICKS:
        if (high - low) / gap > 12:
            continue
        size, unit = next(pair for pair in _UNITS if gap >= pair[0])
        values = [gap * n for n in range(int(np.ceil(max(low, 0.0) / gap)), int(high // gap) + 1)]
        labels = [f"{value / size:.4g} {unit}" for value in values]
        if _apart(values, labels, (high - low) / max(columns, 1)):
            return list(zip(map(float, values), labels, strict=True))
    return []


def _apart(values: list[float] | list[int], labels: list[str], cell: float) -> bool:
    """Whether labels don't touch. cell: what a column spans."""
    widest = max(map(len, labels), default=0)
    return len(values) < 2 or (values[1] - values[0]) / cell >= widest + 2
