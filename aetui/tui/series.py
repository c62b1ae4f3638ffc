"""A per-step record of any length that can be drawn at any width in the same short time.

Values are summed up in a pyramid: a bucket of level k holds minimum, maximum, sum and count of
`FACTOR ** k` consecutive values. Each level keeps its most recent part only, so memory stays
below 20 MB however long the run (about 8 MB for 10 million values): single values for the last
`RAW` steps at least, older ones in buckets no wider than 1/8192 of the whole record.

What is kept, and so every answer, depends on the values alone, never on how they were split
over calls of `append`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

FACTOR = 8
RAW = 2**17
"""Single values kept at least."""
BUCKETS = 2**16
"""Buckets of each level kept at least."""

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Columns:
    """A record summed up in columns, all arrays of shape (n,).

    x: step number at the center of the column, 1-based. low, high, mean: over the finite values,
    NaN where there are none. broken: some value is not finite. count: finite values.
    """

    x: Floats
    low: Floats
    high: Floats
    mean: Floats
    broken: NDArray[np.bool_]
    count: Ints

    def __len__(self) -> int:
        return len(self.x)


class Series:
    """Values of consecutive steps, from step 1 on; NaN and infinities are kept apart as broken."""

    def __init__(self) -> None:
        self._levels = [_Level(RAW, raw=True)]
        self._last: float | None = None

    def __len__(self) -> int:
        return self._levels[0].count

    def last(self) -> float | None:
        """The latest value, as it came; None if there is none yet."""
        return self._last

    def append(self, values: ArrayLike) -> None:
        """Add the values of the next steps, any shape, taken as float32."""
        flat = np.asarray(values, dtype=np.float32).ravel()
        if not flat.size:
            return
        self._last = float(flat[-1])
        for start in range(0, flat.size, BUCKETS // 2):
            self._append(flat[start : start + BUCKETS // 2])

    def columns(self, start: int, stop: int, n: int) -> Columns:
        """The values with indices `start` <= i < `stop` (steps start + 1 to stop) in at most `n` columns.

        The columns part the range as evenly as whole steps allow; with fewer values than `n`
        there is one column for each. The range is cut to what there is.
        """
        stop = min(stop, len(self))
        start = max(0, min(start, stop))
        n = max(0, min(n, stop - start))
        edges = start + (stop - start) * np.arange(n + 1, dtype=np.int64) // max(n, 1)
        return self.spans(edges[:-1], edges[1:])

    def spans(self, starts: ArrayLike, stops: ArrayLike) -> Columns:
        """One column for each range of indices `starts[j]` <= i < `stops[j]`; ranges may overlap.

        Takes O(n log length). Exact for the steps whose single values are kept; an edge among
        older steps moves outward to the edge of its bucket.
        """
        lo = np.clip(np.asarray(starts, np.int64), 0, len(self))
        hi = np.clip(np.asarray(stops, np.int64), lo, len(self))
        x = (lo + 1 + hi) / 2
        n = len(lo)
        low, high = np.full(n, np.inf), np.full(n, -np.inf)
        total, count, size = np.zeros(n), np.zeros(n, np.int64), np.zeros(n, np.int64)
        width = 1
        for level in self._levels:
            if not (lo < hi).any():
                break
            left, right, lo, hi = level.parts(lo, hi)
            for first, end in (left, right):
                index = first[:, None] + np.arange(FACTOR)
                inside = index < end[:, None]
                if not inside.any():
                    continue
                part = level.at(np.where(inside, index, first[:, None]))
                low = np.minimum(low, np.where(inside, part[0], np.inf).min(1))
                high = np.maximum(high, np.where(inside, part[1], -np.inf).max(1))
                total += np.where(inside, part[2], 0.0).sum(1)
                count += np.where(inside, part[3], 0).sum(1)
                size += width * inside.sum(1)
            width *= FACTOR
        empty = count == 0
        low[empty], high[empty] = np.nan, np.nan
        mean = np.divide(total, count, out=np.full(n, np.nan), where=~empty)
        return Columns(x, low, high, mean, count < size, count)

    def _append(self, values: NDArray[np.float32]) -> None:
        finite = np.isfinite(values)
        low = np.where(finite, values, np.float32(np.inf))
        high = np.where(finite, values, np.float32(-np.inf))
        self._levels[0].append(low, high, np.where(finite, values, 0).astype(np.float64), finite.astype(np.int64))
        depth = 0
        while self._levels[depth].count >= FACTOR:
            if depth + 1 == len(self._levels):
                self._levels.append(_Level(BUCKETS))
            below, level = self._levels[depth], self._levels[depth + 1]
            if not level.take(below):
                break
            depth += 1
        for level in self._levels:
            level.forget()


class _Level:
    """The buckets of one width: arrays that start at bucket `first`, a multiple of FACTOR.

    The raw level is a level of buckets of one value; it stores the value once.
    """

    def __init__(self, keep: int, raw: bool = False) -> None:
        self.keep = keep
        self.first = 0
        self.count = 0
        self.raw = raw
        kinds = (np.float32,) if self.raw else (np.float32, np.float32, np.float64, np.int64)
        self._arrays: list[NDArray[Any]] = [np.empty(256, kind) for kind in kinds]

    def append(self, low: NDArray[Any], high: NDArray[Any], total: NDArray[Any], count: NDArray[Any]) -> None:
        """Add buckets; a single value that is not finite is stored as NaN."""
        columns = (np.where(count > 0, low, np.float32(np.nan)),) if self.raw else (low, high, total, count)
        used = self.count - self.first
        end = used + len(low)
        for i, (array, column) in enumerate(zip(self._arrays, columns, strict=True)):
            if end > len(array):
                grown = np.empty(max(end, 2 * len(array)), array.dtype)
                grown[:used] = array[:used]
                self._arrays[i] = array = grown
            array[used:end] = column
        self.count += len(low)

    def at(self, index: Ints) -> tuple[NDArray[Any], ...]:
        """Low, high, total and count of the buckets at absolute `index`; any shape."""
        index = np.clip(index - self.first, 0, self.count - self.first - 1)
        if not self.raw:
            return tuple(array[index] for array in self._arrays)
        value = self._arrays[0][index]
        good = ~np.isnan(value)
        return np.where(good, value, np.inf), np.where(good, value, -np.inf), np.where(good, value, 0.0), good

    def take(self, below: "_Level") -> bool:
        """Sum up the groups that are complete in the level below; False if there is no new one."""
        new = below.count // FACTOR - self.count
        if new <= 0:
            return False
        index = (self.count + np.arange(new))[:, None] * FACTOR + np.arange(FACTOR)
        low, high, total, count = below.at(index)
        # Added one by one, since the order of a numpy sum, and so its rounding, may depend on the shape.
        sums = total[:, 0].astype(np.float64)
        for j in range(1, FACTOR):
            sums = sums + total[:, j]
        self.append(low.min(1), high.max(1), sums, count.sum(1))
        return True

    def forget(self) -> None:
        """Drop the oldest buckets beyond `keep`, in strides, so that what is left depends on the count alone."""
        stride = self.keep // 2
        first = max(0, (self.count - self.keep) // stride * stride)
        if first == self.first:
            return
        used = self.count - first
        for array in self._arrays:
            array[:used] = array[first - self.first : self.count - self.first].copy()
        self.first = first

    def parts(self, lo: Ints, hi: Ints) -> tuple[tuple[Ints, Ints], tuple[Ints, Ints], Ints, Ints]:
        """Split ranges of buckets into two ends for this level and a middle for the next one.

        Ends whose buckets are forgotten go to the next level whole.
        """
        up_lo, up_hi = -(-lo // FACTOR), hi // FACTOR
        one = up_lo > up_hi
        left_end = np.where(one, hi, np.minimum(up_lo * FACTOR, hi))
        right_start = np.where(one, hi, up_hi * FACTOR)
        lost_left, lost_right = lo < self.first, right_start < self.first
        up_lo = np.where(lost_left, lo // FACTOR, up_lo)
        up_hi = np.where(np.where(one, lost_left, lost_right), -(-hi // FACTOR), np.where(one, up_lo, up_hi))
        left = (lo, np.where(lost_left, lo, left_end))
        right = (right_start, np.where(lost_right, right_start, hi))
        return left, right, up_lo, np.maximum(up_lo, up_hi)
