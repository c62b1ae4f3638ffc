"""Numbers as text: three significant digits, thousands separated, columns that keep their width.

With a `width` the text is right-aligned in that many cells, so that a column does not move as its
digits change. `NUMBER` and `SHARE` are widths that hold the usual values.
"""

import re
import time
from collections.abc import Iterable
from itertools import pairwise
from math import isfinite, isnan
from numbers import Integral

NUMBER = 8
"""Cells of a number: `12,300`, `0.00316`, `3.16e-10`."""
SHARE = 7
"""Cells of a share from `<0.1 %` to `>99.9 %` and `-100 %`."""

MISSING = "-"
_FIXED_LOW, _FIXED_HIGH = -3, 6


def number(x: float | None, width: int | None = None) -> str:
    """`x` with three significant digits: `0.241`, `12.3`, `12,300`, `3.16e-4`, `NaN`, `inf`; `-` for None.

    Integers are given in full, thousands separated. With a `width` of at least 7 the text has
    exactly that width; a value too wide for it gives up digits, never its size.
    """
    text = _special(x)
    if text is None and isinstance(x, Integral):
        text = f"{int(x):,}"
        if width is not None and len(text) > width:
            text = None
    if text is None:
        assert x is not None
        texts = (_significant(x, digits) for digits in (3, 2, 1))
        text = next((t for t in texts if width is None or len(t) <= width), _exponent(float(x), 1))
    return text if width is None else text.rjust(width)


def count(n: float | None) -> str:
    """A whole number, thousands separated: `12,345`; `-` for None."""
    text = _special(n)
    if text is None:
        assert n is not None
        text = f"{round(n):,}"
    return text


def explained(value: float | None) -> str:
    """Explained variance to three decimals: `0.812`, `-12.3`; `-` for None."""
    return f"{value:.3f}" if value is not None and abs(value) < 10 else number(value)


def role(value: float | None) -> str:
    """The role of a figure's color: one that is not finite warns."""
    return "text" if value is None or isfinite(value) else "warning"


def as_of(text: str, measured: int | None, here: int) -> str:
    """A figure that stands beside step `here`, with the step that it was measured at where that is another.

    `0.812 as of 300`; `-` where that is not known.
    """
    if measured is None or text == MISSING:
        return MISSING
    return text if measured == here else f"{text} as of {count(measured)}"


def short(n: float) -> str:
    """A count in few cells, for axes: `950`, `2k`, `12.5k`, `3M`. Exact to four digits."""
    text = _special(n)
    if text is not None:
        return text
    for limit, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(n) >= limit:
            return f"{n / limit:.4g}{unit}" if abs(n) < 1e15 else _significant(n, 3)
    return f"{n:.4g}"


def share(x: float | None, width: int | None = None) -> str:
    """A share of 1 in per cent: `12 %`, `0.4 %`; only exactly 0 and 1 are `0 %` and `100 %`."""
    text = _special(x)
    if text is None:
        assert x is not None
        text = f"{_percent(100 * max(-1e306, min(float(x), 1e306)))} %"
    return text if width is None else text.rjust(width)


def bytes_text(n: float) -> str:
    """A number of bytes in decimal units: `512 B`, `1.20 MB`, `24.0 GB`."""
    value, unit = float(n), "B"
    for larger in ("kB", "MB", "GB", "TB", "PB"):
        if abs(value) < 999.5:
            break
        value, unit = value / 1000, larger
    return f"{round(value)} {unit}" if unit == "B" else f"{_significant(value, 3)} {unit}"


def duration(seconds: float) -> str:
    """In one unit: `90 s`, `15 min`, `30 h`, `3 d`."""
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"


def clock(at: float, now: float) -> str:
    """The local time of `at`, with as much of its date as tells it from today's: `14:32`, `Tue 14:32`, `3 Dec 14:32`.

    at, now: seconds since the epoch.
    """
    then, today = time.localtime(at), time.localtime(now)
    minute = time.strftime("%H:%M", then)
    if (then.tm_year, then.tm_yday) == (today.tm_year, today.tm_yday):
        return minute
    if abs(at - now) < 6 * 86_400:
        return f"{time.strftime('%a', then)} {minute}"
    year = "" if then.tm_year == today.tm_year else f" {then.tm_year}"
    return f"{then.tm_mday} {time.strftime('%b', then)}{year} {minute}"


def step_labels(steps: Iterable[int]) -> list[str]:
    """Step numbers for an axis: short (`2k`, `2.5k`) where that is exact for all of them, else in full."""
    steps = list(steps)
    largest = max(map(abs, steps), default=0)
    unit = next((unit for unit in (10**9, 10**6, 10**3) if largest >= unit), 1)
    exact = all(10 * n % unit == 0 for n in steps)
    return [short(n) if exact else count(n) for n in steps]


def tick_labels(values: Iterable[float]) -> list[str]:
    """Labels of an axis with even ticks: all with the same decimals, as many as tell them apart exactly."""
    values = [float(value) for value in values]
    largest = max(map(abs, values), default=0.0)
    gaps = [abs(b - a) for a, b in pairwise(sorted(values)) if a != b]
    near = min(gaps, default=largest) / 100
    if largest < 1e8 and (near >= 1e-6 or largest == 0):
        for decimals in range(10):
            texts = [f"{value:,.{decimals}f}" for value in values]
            if all(abs(round(value, decimals) - value) <= near for value in values):
                return [text if float(text.replace(",", "")) else "0" for text in texts]
    for digits in range(1, 17):
        texts = [_exponent(value, digits) if value else "0" for value in values]
        if all(abs(float(text) - value) <= near for text, value in zip(texts, values, strict=True)):
            return texts
    return [f"{value:g}" for value in values]


def log_labels(values: Iterable[float]) -> list[str]:
    """Labels of a log axis, each as short as it is exact to two digits: `0.05`, `1`, `200`, `1e-4`."""
    return [f"{v:,.10g}" if 1e-3 <= v < 1e5 else re.sub(r"\.0e|e", "e", _exponent(v, 2)) for v in values]


def _special(x: float | None) -> str | None:
    if x is None:
        return MISSING
    if isinstance(x, Integral) or isfinite(x):
        return None
    if isnan(x):
        return "NaN"
    return "inf" if x > 0 else "-inf"


def _significant(x: float, digits: int) -> str:
    """`x` rounded to `digits` significant digits; whether in fixed or exponent form is decided after rounding."""
    x = float(x)
    if x == 0:
        return "0"
    exponent = int(f"{x:.{digits - 1}e}".split("e")[1])
    if not _FIXED_LOW <= exponent < _FIXED_HIGH:
        return _exponent(x, digits)
    rounded = round(x, digits - 1 - exponent)
    return f"{rounded:,.{max(0, digits - 1 - exponent)}f}"


def _exponent(x: float, digits: int) -> str:
    mantissa, exponent = f"{x:.{digits - 1}e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def _percent(p: float) -> str:
    if p == 0:
        return "0"
    if abs(p) < 0.05:
        return "<0.1"
    if abs(p) >= 9999.5:
        return _significant(p, 3)
    if 99.5 <= p < 100:
        return f"{p:.1f}" if p < 99.95 else ">99.9"
    return f"{p:,.1f}" if abs(p) < 9.95 else f"{p:,.0f}"
