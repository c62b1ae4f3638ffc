"""What is refused or warned about before training: one sentence with file, column and count."""

from collections.abc import Sequence

import numpy as np

from aetui.data.errors import DataError, count, listed
from aetui.data.scaling import blocks
from aetui.data.selection import written
from aetui.data.source import Source


def refuse_texts(source: Source, columns: np.ndarray) -> None:
    """Raise a DataError where a chosen column is not numeric."""
    bad = [index for index in columns.tolist() if index in source.texts]
    if not bad:
        return
    others = [index for index in columns.tolist() if index not in source.texts]
    more = (
        f" (and {count(len(bad) - 1, 'other column')} like it: {listed(_shown(source, bad[1:]))})"
        if len(bad) > 1
        else ""
    )
    way = (
        f"leave it out with data.columns={_spelled(source, others)}"
        if others
        else "there is no numeric column left to train on"
    )
    label = source.names[bad[0]] if source.names and source.names[bad[0]] else bad[0]
    tail = f", or color the code by it with data.label={label}" if source.label_column is None and others else ""
    raise DataError(
        "data.columns",
        f"{source.name}: {_column(source, bad[0])} is not numeric: {source.texts[bad[0]]}{more}; {way}{tail}",
    )


def as_float32(
    source: Source, rows: np.ndarray | slice, columns: np.ndarray, *, allow: bool = False
) -> tuple[np.ndarray, bool]:
    """The chosen rows and columns as a float32 array of their own, C-contiguous, and whether all are finite.

    Raises:
        DataError: NaN or infinite entries, or numbers too large for float32; not with `allow`.
    """
    whole = len(columns) == source.values.shape[1] and np.array_equal(columns, np.arange(len(columns)))
    chosen = source.values[rows]
    result = np.empty((len(chosen), len(columns)), np.float32)
    finite = True
    for part in blocks(result):
        with np.errstate(over="ignore"):
            result[part] = chosen[part] if whole else chosen[part][:, columns]
        finite = finite and bool(np.isfinite(result[part]).all())
    if not (finite or allow):
        _refuse_not_finite(source, rows, columns, result)
    return result, finite


def put_means(source: Source, columns: np.ndarray, train: np.ndarray, others: np.ndarray | None) -> None:
    """Replace entries that are not finite by the mean of their column's finite training entries, in place.

    Raises:
        DataError: a column has no finite training entry.
    """
    total, known = np.zeros(train.shape[1]), np.zeros(train.shape[1], np.int64)
    for part in blocks(train):
        finite = np.isfinite(train[part])
        total += np.where(finite, train[part], 0).sum(axis=0, dtype=np.float64)
        known += finite.sum(axis=0)
    if not known.all():
        first = int(columns[np.flatnonzero(known == 0)[0]])
        raise DataError(
            "data.non_finite",
            f"{source.name}: {_column(source, first)} has no finite entry in the {count(len(train), 'training row')}, "
            "so it has no mean; leave it out with data.columns",
        )
    means = (total / known).astype(np.float32)
    for values in (train,) if others is None else (train, others):
        for part in blocks(values):
            values[part] = np.where(np.isfinite(values[part]), values[part], means)


def not_finite_warning(source: Source, values: np.ndarray, how: str) -> str:
    """A warning that counts the entries that are not finite and says what became of them."""
    wrong, columns = 0, np.zeros(values.shape[1], bool)
    for part in blocks(values):
        bad = ~np.isfinite(values[part])
        wrong += int(bad.sum())
        columns |= bad.any(axis=0)
    became = {
        "keep": "as they are; losses and gauges that meet them are not finite",
        "mean": "as the mean of their column",
    }
    entries = count(wrong, "entry is", "entries are")
    return f"{source.name}: {entries} not finite, in {count(int(columns.sum()), 'column')}, and taken {became[how]}"


def _refuse_not_finite(source: Source, rows: np.ndarray | slice, columns: np.ndarray, values: np.ndarray) -> None:
    per_column = np.zeros(len(columns), np.int64)
    for part in blocks(values):
        per_column += (~np.isfinite(values[part])).sum(axis=0)
    bad = np.flatnonzero(per_column)
    first = int(columns[bad[0]])
    raw = source.values[rows][:, first].astype(np.float64)
    with np.errstate(over="ignore"):
        wrong = ~np.isfinite(raw.astype(np.float32))
    missing, infinite = int(np.isnan(raw).sum()), int(np.isinf(raw).sum())
    large = int(wrong.sum()) - missing - infinite
    parts = [
        text
        for number, text in (
            (missing, f"{missing:,} NaN"),
            (infinite, f"{infinite:,} infinite"),
            (large, f"{large:,} too large for float32"),
        )
        if number
    ]
    row = int(np.arange(len(source.values))[rows][np.flatnonzero(wrong)[0]])
    kinds = f"{' and '.join(parts)} of {count(len(raw), 'entry', 'entries')}, the first in row {row}"
    every = ""
    if len(bad) > 1:
        every = f"; {count(int(per_column.sum()), 'entry', 'entries')} in {count(len(bad), 'column')} are not finite"
    where = "data.path" if large == 0 else "data.columns"
    raise DataError(
        where,
        f"{source.name}: {_column(source, first)} has {kinds}{every}; repair the file, choose others with "
        "data.rows or data.columns, or set data.non_finite to mean or keep",
    )


def constant_warning(source: Source, columns: np.ndarray, train: np.ndarray) -> tuple[str, ...]:
    """A warning that names the columns whose value never changes over the training rows."""
    constant = columns[train.min(axis=0) == train.max(axis=0)].tolist()
    if not constant:
        return ()
    shown = listed(_shown(source, constant))
    of = f"{len(constant):,} of {count(len(columns), 'column')} {'is' if len(constant) == 1 else 'are'} constant"
    return (f"{source.name}: {of} in the training rows: {shown}",)


def _column(source: Source, index: int) -> str:
    return f"column {_shown(source, [index])[0]}"


def _shown(source: Source, indices: Sequence[int]) -> list[str]:
    names = source.names
    return [repr(names[index]) if names and names[index] else str(index) for index in indices]


def _spelled(source: Source, indices: list[int]) -> str:
    """Columns as data.columns takes them, by name where that is short and clear."""
    names = [source.names[index] for index in indices] if source.names else []
    plain = all(name and "," not in name and source.names.count(name) == 1 for name in names)
    text = ",".join(names)
    return text if names and plain and len(text) <= 60 else written(sorted(indices))
