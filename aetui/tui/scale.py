"""Axes of charts: the range that values need, and ticks that people can read."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aetui.tui import figures

Array = NDArray[Any]

_LARGEST = 8e307
"""Ends of an axis, so that their difference is still a number."""


@dataclass(frozen=True)
class Scale:
    """A vertical axis from `low` to `high`, linear or logarithmic."""

    low: float
    high: float
    log: bool = False

    def unit(self, values: Array) -> Array:
        """Heights of values, 0 at `low`, 1 at `high`, cut to 0..1."""
        low, high = self.low, self.high
        values = np.clip(np.asarray(values, np.float64), low, high)
        if self.log:
            values, low, high = np.log10(values), log10(low), log10(high)
        return np.clip((values - low) / (high - low), 0, 1)

    def shows(self, values: Array) -> Array:
        """Which values can be drawn: finite, and above 0 on a log axis."""
        values = np.asarray(values, np.float64)
        return np.isfinite(values) & (values > 0) if self.log else np.isfinite(values)

    def side(self, value: float) -> str:
        """`above` or `below` for a value outside, '' inside."""
        if value > self.high:
            return "above"
        return "below" if value < self.low else ""


def fit(
    values: Sequence[Array], references: Sequence[float], log: bool, notes: list[str], close: bool = False
) -> Scale:
    """An axis that holds all finite values, and the references that are near them.

    A reference is near within twice the size of the values, on a log axis within a decade. With
    `close` only what the values span counts: for a look at details.

    On a log axis values at or below 0 are left out, with a note; where there is nothing else the
    axis is linear, with a note. Constant values get room around them.
    """
    finite = np.concatenate([array[np.isfinite(array)] for array in values]) if values else np.empty(0)
    if log:
        positive = finite[finite > 0]
        if not positive.size and finite.size:
            log = False
            notes.append("no value above 0: linear axis")
        elif positive.size < finite.size:
            notes.append("log axis: values at or below 0 are cut")
            finite = positive
    references = [y for y in references if np.isfinite(y) and (y > 0 or not log)]
    if not finite.size:
        finite = np.array(references or ([0.1, 1.0] if log else [0.0, 1.0]))
    # Below the smallest normal number logarithms and steps lose their digits.
    finite = np.clip(finite, 1e-300 if log else -_LARGEST, _LARGEST)
    return _log(finite, references, close) if log else _linear(finite, references, close)


def _linear(values: Array, references: Sequence[float], close: bool) -> Scale:
    low, high = float(values.min()), float(values.max())
    largest = max(abs(low), abs(high))
    reach = min(max(high - low, (0.05 if close else 2) * largest), _LARGEST)
    near = [y for y in references if low - reach <= y <= high + reach]
    low, high = min([low, *near]), max([high, *near])
    if high - low <= 1e-12 * max(abs(low), abs(high)) or high - low < 1e-290:
        pad = max(abs(high) * 0.1, 1e-290) if high else 0.5
        return Scale(max(low - pad, -_LARGEST), min(high + pad, _LARGEST))
    pad = 0.04 * (high - low)
    bottom = 0.0 if 0 <= low < 0.25 * high or 0 <= low < pad else low - pad
    return Scale(max(bottom, -_LARGEST), min(high + pad, _LARGEST))


def _log(values: Array, references: Sequence[float], close: bool) -> Scale:
    low, high = log10(float(values.min())), log10(float(values.max()))
    reach = max(0.5 * (high - low), 0.05 if close else 1.0)
    near = [log10(y) for y in references if y >= 1e-300 and low - reach <= log10(y) <= high + reach]
    low, high = min([low, *near]), max([high, *near])
    pad = max(0.04 * (high - low), 0.02 if high - low > 1e-9 else 0.15)
    return Scale(10 ** max(low - pad, -305.0), 10 ** min(high + pad, 307.9), log=True)


def steps(low: float, high: float, most: int, whole: bool = False) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten between `low` and `high`, at most `most`."""
    span = high - low
    if span <= 0 or most < 1:
        return []
    exponent = floor(log10(span / most)) - 1
    for power in range(exponent, exponent + 5):
        for digit in (1, 2, 5):
            step = digit * 10.0**power
            if step <= 0 or (whole and step < 1):
                continue
            first, last = ceil(low / step - 1e-9), floor(high / step + 1e-9)
            if last - first + 1 <= most:
                return [_multiple(index, digit, power) for index in range(first, last + 1)]
    return []


def _multiple(index: int, digit: int, power: int) -> float:
    """`index * digit * 10 ** power` with no rounding error of its own."""
    return index * digit * 10.0**power if power >= 0 else index * digit / 10.0**-power


def y_ticks(scale: Scale, rows: int) -> list[tuple[float, str]]:
    """Ticks of a vertical axis that is `rows` cells high, two rows apart or more where that gives two ticks."""
    most = max(2, min((rows + 2) // 3, 8))
    ticks: list[tuple[float, str]] = []
    for more in range(3 if rows > 1 else 0):
        ticks = _at_most(most + more, scale)
        if len(ticks) >= 2:
            break
    return ticks


def _at_most(most: int, scale: Scale) -> list[tuple[float, str]]:
    if not scale.log:
        values = steps(scale.low, scale.high, most)
        return list(zip(values, figures.tick_labels(values), strict=True))
    low, high = log10(scale.low), log10(scale.high)
    for digits in ((1, 2, 5), (1, 3), (1,)):
        values = [d * 10.0**e for e in range(floor(low), ceil(high) + 1) for d in digits]
        values = [v for v in values if scale.low <= v <= scale.high]
        if len(values) <= most and (len(values) >= 2 or high - low >= 1):
            if len(values) < 2:
                break
            return list(zip(values, figures.log_labels(values), strict=True))
    if high - low < 1:
        values = steps(scale.low, scale.high, most)
        return list(zip(values, figures.tick_labels(values), strict=True))
    decades = steps(low, high, most, whole=True)
    values = [10.0**d for d in decades if -307 < d < 308]
    return list(zip(values, figures.log_labels(values), strict=True))


def x_ticks(low: float, high: float, columns: int) -> list[tuple[float, str]]:
    """Ticks of an axis of step numbers, so far apart that their labels don't touch."""
    for most in range(min(12, columns // 3), 0, -1):
        values = [round(value) for value in steps(max(low, 0), high, most, whole=True)]
        labels = figures.step_labels(values)
        widest = max(map(len, labels), default=0)
        if len(values) < 2 or (values[1] - values[0]) / (high - low) * columns >= widest + 2:
            return list(zip(map(float, values), labels, strict=True))
    return []
