"""Scaling per feature, fitted on the training part."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from aetui.data.errors import DataError

KINDS = ("none", "standardize", "minmax", "max", "center")

# Rows are worked on in blocks, so that float64 intermediates stay small beside the data.
_BLOCK = 1 << 22


def blocks(values: np.ndarray) -> Iterator[slice]:
    """Slices of rows that hold about four million numbers each."""
    step = max(1, _BLOCK // max(1, int(np.prod(values.shape[1:]))))
    for start in range(0, len(values), step):
        yield slice(start, start + step)


def _none() -> np.ndarray:
    return np.zeros(0)


@dataclass(frozen=True, eq=False)
class Scaler:
    """x -> (x - shift) / scale per feature; shift and scale are float64 [features].

    `standardize` takes mean and standard deviation (over n, not n - 1), `minmax` the least
    value and the range, `center` the mean and 1, `max` 0 and the largest value of all. A
    constant feature has scale 1, so it becomes 0 and never divides by zero. Entries that are not finite
    stay so, and do not count for the others of their column.
    """

    kind: str = "none"
    shift: np.ndarray = field(default_factory=_none)
    scale: np.ndarray = field(default_factory=_none)

    @classmethod
    def fit(cls, kind: str, train: np.ndarray, name: str = "data") -> "Scaler":
        """The scaler of `kind` for the rows of `train` [n, features]; `name` is for error texts.

        Raises:
            DataError: `max` on data whose largest value is not above 0.
        """
        if kind == "none":
            return cls()
        if kind not in KINDS:
            raise DataError("data.scaling", f"{kind!r} is not allowed; it takes one of {', '.join(KINDS)}")
        features = train.shape[1]
        if not all(np.isfinite(train[part]).all() for part in blocks(train)):
            return cls._fit_finite(kind, train, name)
        if kind == "max":
            largest = float(train.max())
            if largest <= 0:
                raise DataError(
                    "data.scaling",
                    f"{name}: the largest value of the {len(train):,} training rows is {largest:g}, and max divides "
                    "by it; take standardize, minmax or center",
                )
            return cls(kind, np.zeros(features), np.full(features, largest))
        low = train.min(axis=0).astype(np.float64)
        spread = train.max(axis=0).astype(np.float64) - low
        constant = spread == 0
        if kind == "minmax":
            return cls(kind, low, np.where(constant, 1.0, spread))
        mean = sum((train[part].sum(axis=0, dtype=np.float64) for part in blocks(train)), np.zeros(features))
        mean = np.where(constant, low, mean / len(train))
        if kind == "center":
            return cls(kind, mean, np.ones(features))
        square = sum((np.square(train[part] - mean).sum(axis=0) for part in blocks(train)), np.zeros(features))
        return cls(kind, mean, np.where(constant, 1.0, np.sqrt(square / len(train))))

    @classmethod
    def _fit_finite(cls, kind: str, train: np.ndarray, name: str) -> "Scaler":
        """The scaler of `kind` for the finite entries of each column; a column without any is left as it is."""
        columns = [column[np.isfinite(column)][:, None] for column in train.T]
        if kind == "max":
            finite = [column for column in columns if len(column)] or [np.zeros((1, 1), np.float32)]
            one = cls.fit(kind, np.concatenate(finite), name)
            return cls(kind, np.zeros(len(columns)), np.full(len(columns), one.scale[0]))
        fitted = [cls.fit(kind, column, name) if len(column) else None for column in columns]
        return cls(
            kind,
            np.array([one.shift[0] if one else 0.0 for one in fitted]),
            np.array([one.scale[0] if one else 1.0 for one in fitted]),
        )

    def transform(self, values: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """`values` [..., features] in the model's scale, float32; `out` may be `values` itself."""
        return self._apply(values, out, inverse=False)

    def inverse(self, values: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """`values` [..., features] of the model back in the data's scale, float32."""
        return self._apply(values, out, inverse=True)

    def _apply(self, values: np.ndarray, out: np.ndarray | None, *, inverse: bool) -> np.ndarray:
        target = np.empty(values.shape, np.float32) if out is None else out
        if self.kind == "none":
            if target is not values:
                target[...] = values
            return target
        source, result = np.atleast_2d(values), np.atleast_2d(target)
        for part in blocks(source):
            result[part] = (
                source[part] * self.scale + self.shift if inverse else (source[part] - self.shift) / self.scale
            )
        return target
