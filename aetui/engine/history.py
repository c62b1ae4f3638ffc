"""Loss and gradient norm of every step of a run, at full resolution."""

from __future__ import annotations

import threading
from collections.abc import Iterable

import numpy as np

from aetui import protocol as p
from aetui.training.records import Records

_PAGE = 65_536
"""Steps in one message at most; a screen that lacks more asks again."""


class History:
    """Grows by whole drains of the recorder; read from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._columns = np.empty((3, 4096), dtype=np.float32)
        self._length = 0
        self._has_total = False
        self._parts: dict[str, np.ndarray] = {}
        """As wide as the columns."""
        self.last_bad: int | None = None
        """The last step whose loss or gradient norm is known not to be finite."""
        self.points: list[p.Point] = []

    def __len__(self) -> int:
        return self._length

    def append(self, records: Records) -> None:
        count = len(records)
        with self._lock:
            needed = self._length + count
            if needed > self._columns.shape[1]:
                grown = np.empty((3, max(needed, 2 * self._columns.shape[1])), dtype=np.float32)
                grown[:, : self._length] = self._columns[:, : self._length]
                self._columns = grown
                self._parts = {name: self._widened(values) for name, values in self._parts.items()}
            for name in records.parts:
                if name not in self._parts:
                    self._parts[name] = self._widened(np.empty(0, np.float32))
            for name, values in self._parts.items():
                values[self._length : needed] = records.parts.get(name, np.nan)
            part = self._columns[:, self._length : needed]
            if (bad := records.bad).any():
                self.last_bad = self._length + int(np.flatnonzero(bad)[-1]) + 1
            part[0], part[1], part[2] = records.loss, records.total, records.grad_norm
            self._has_total = self._has_total or not np.array_equal(records.loss, records.total, equal_nan=True)
            self._length = needed

    def _widened(self, values: np.ndarray) -> np.ndarray:
        """What is known so far, in an array as wide as the columns."""
        wide = np.full(self._columns.shape[1], np.nan, dtype=np.float32)
        wide[: min(self._length, len(values))] = values[: self._length]
        return wide

    @staticmethod
    def of(columns: Records, points: Iterable[p.Point]) -> History:
        """The history that a record has."""
        history = History()
        count = len(columns)
        history._columns = np.empty((3, max(4096, count)), dtype=np.float32)
        history._columns[:, :count] = columns.loss, columns.total, columns.grad_norm
        history._has_total = not np.array_equal(columns.loss, columns.total, equal_nan=True)
        history._length = count
        # A record does not tell a loss that is no number from one that nobody told; with the first, no gradient is one.
        bad = ~np.isfinite(columns.grad_norm) | np.isinf(columns.total)
        history.last_bad = int(np.flatnonzero(bad)[-1]) + 1 if bad.any() else None
        history._parts = {name: history._widened(values) for name, values in columns.parts.items()}
        for point in points:
            history.add_point(point)
        return history

    def add_point(self, point: p.Point) -> bool:
        """Keep a measurement, unless it is so close to the last that no chart could tell; whether it was kept."""
        if self.points and point.step <= self.points[-1].step * 1.002:
            return False
        self.points.append(point)
        return True

    def since(self, start: int) -> p.History | None:
        """The steps after the first `start` ones, a page at most."""
        with self._lock:
            if start >= self._length:
                return None
            part = self._columns[:, start : min(self._length, start + _PAGE)]
            return p.History(
                start=start,
                loss=p.Array.of(part[0]),
                total=p.Array.of(part[1]) if self._has_total else None,
                grad_norm=p.Array.of(part[2]),
                end=self._length,
                parts={name: p.Array.of(values[start : start + part.shape[1]]) for name, values in self._parts.items()},
            )

    def sampled(self, most: int = 4000) -> tuple[list[float], list[float]]:
        """Loss and gradient norm of up to `most` steps whose loss is known, evenly spread, with the last of them."""
        with self._lock:
            told = self._columns[:, : self._length]
            unknown = np.isnan(told[0]) & np.isfinite(told[2])
            steps = np.arange(self._length) if unknown.all() or not unknown.any() else np.flatnonzero(~unknown)
            chosen = np.unique(np.linspace(0, max(0, len(steps) - 1), min(len(steps), most)).round().astype(np.int64))
            part = told[:, steps[chosen]]
            return part[0].tolist(), part[2].tolist()

    def last_finite(self, before: int | None = None) -> tuple[int, float, float] | None:
        """Step, loss and gradient norm of the newest step where both were finite, of those before `before` if given."""
        with self._lock:
            for index in range(min(self._length, (before or self._length + 1) - 1) - 1, -1, -1):
                total, norm = self._columns[1:, index]
                if np.isfinite(total) and np.isfinite(norm):
                    return index + 1, float(total), float(norm)
        return None
