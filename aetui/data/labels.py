"""Labels as class numbers: they color the code and are never trained on."""

from itertools import pairwise

import numpy as np

from aetui.data.errors import DataError

MOST_CLASSES = 1000
MOST_NUMBERS = 50
"""Numeric labels with more different values than this are cut into ten ranges."""

_MISSING = "missing"


def encode(raw: np.ndarray, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Class numbers, int64 [rows], and the class names of raw labels [rows].

    Raises:
        DataError: the labels are neither numbers nor text, or there are too many classes.
    """
    if raw.dtype.kind in "biuf":
        return _numeric(raw)
    if raw.dtype.kind not in "OUS":
        raise DataError("data.label", f"{name}: the labels are {raw.dtype}; they must be numbers or text")
    words = np.array([_word(value) for value in raw.tolist()])
    classes, codes = np.unique(words, return_inverse=True)
    if len(classes) > MOST_CLASSES:
        raise DataError(
            "data.label",
            f"{name}: the labels have {len(classes):,} different values; they must have {MOST_CLASSES:,} at most",
        )
    return codes.astype(np.int64).reshape(-1), tuple(map(str, classes))


def _word(value: object) -> str:
    if value is None:
        return _MISSING
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value) or _MISSING


def _numeric(raw: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    known = ~np.isnan(raw) if raw.dtype.kind == "f" else np.ones(len(raw), bool)
    values, codes = np.unique(raw[known], return_inverse=True)
    names = [_number(value) for value in values]
    if len(values) > MOST_NUMBERS:
        edges = np.unique(np.quantile(raw[known].astype(np.float64), np.linspace(0, 1, 11)))
        codes = np.searchsorted(edges[1:-1], raw[known], side="right")
        names = [f"{_number(low)} to {_number(high)}" for low, high in pairwise(edges)]
    result = np.full(len(raw), len(names), np.int64)
    result[known] = codes.reshape(-1)
    return result, (*names, *([] if known.all() else [_MISSING]))


def _number(value: np.generic) -> str:
    item = value.item()
    return f"{item:.6g}" if isinstance(item, float) else str(item)
