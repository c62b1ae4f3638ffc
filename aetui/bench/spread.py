"""A figure that was measured several times."""

import statistics
from collections.abc import Sequence
from typing import Any

import msgspec


class Figure(msgspec.Struct, frozen=True):
    """Median, lowest and highest of several measurements."""

    median: float
    low: float
    high: float

    @staticmethod
    def of(values: Sequence[float]) -> "Figure":
        return Figure(statistics.median(values), min(values), max(values))

    def text(self, digits: int = 0) -> str:
        """`1,372 (1,290-1,401)`, or the median alone where it was measured once."""
        median, low, high = (f"{value:,.{digits}f}" for value in (self.median, self.low, self.high))
        return median if low == high else f"{median} ({low}-{high})"


def ratios(over: Sequence[float], under: Sequence[float]) -> Figure:
    """The ratio of two loops that were measured in turns."""
    return Figure.of([one / other for one, other in zip(over, under, strict=True)])


def percentiles(values: Sequence[float]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=20, method="inclusive")
    return {"p50": statistics.median(values), "p95": cuts[-1]}


def median(runs: Sequence[dict[str, Any]], name: str) -> float | None:
    """Over the runs that have the figure."""
    values = [run[name] for run in runs if run[name] is not None]
    return statistics.median(values) if values else None
