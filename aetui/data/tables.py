"""What all tables have in common, and tables from .parquet files, read with polars."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aetui.data.arrays import refuse
from aetui.data.errors import DAMAGED, DataError, count, first_sentence, hint
from aetui.data.source import Source
from aetui.data.words import Words
from aetui.spec.sections import File

if TYPE_CHECKING:
    import polars


def read_parquet(path: Path, section: File) -> Source:
    """The table in a .parquet file."""
    pl = _polars(path)
    refuse(section, path.name, "key")
    try:
        frame = pl.read_parquet(path)
    except (*DAMAGED, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise _unreadable(path, error) from None
    names, label = tuple(frame.columns), section.label
    label_column = label_index(path.name, names, frame.width, label) if label else None
    values = np.full(frame.shape, np.nan)
    texts: dict[int, str] = {}
    for index, column in enumerate(frame.iter_columns()):
        if index != label_column:
            values[:, index], problem = _numbers(column)
            if problem:
                texts[index] = problem
    labels = None if label_column is None else _label_values(frame[:, label_column])
    return table(Source(path.name, values, names, labels, label_column, texts=texts))


def _polars(path: Path) -> Any:
    try:
        import polars
    except ImportError:
        raise DataError(
            "data.path", f"{path.name}: reading {path.suffix.lower()} files needs polars; pip install aetui[tables]"
        ) from None
    return polars


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError("data.path", f"{path.name}: can't be read as {path.suffix.lower()}: {first_sentence(error)}")


def table(source: Source) -> Source:
    """The source, with a warning where its first column only counts the rows.

    Raises:
        DataError: it has no rows or no columns.
    """
    rows, width = source.values.shape
    if not source.values.size:
        raise DataError(
            "data.path", f"{source.name}: is empty, it has {count(rows, 'row')} of {count(width, 'column')}"
        )
    if width > 1 and source.names[:1] == ("",) and np.array_equal(source.values[:, 0], np.arange(rows)):
        counts = f"{source.name}: column 0 has no name and counts the rows; data.columns=1: leaves it out"
        return replace(source, warnings=(*source.warnings, counts))
    return source


def label_index(name: str, names: tuple[str, ...], width: int, label: str) -> int:
    """The column that `data.label` names.

    Raises:
        DataError: there is no such column.
    """
    if label in names:
        return names.index(label)
    if label.lstrip("-").isdigit() and -width <= int(label) < width:
        return int(label) % width
    known = names or [f"0 to {width - 1}"]
    raise DataError("data.label", f"{name}: there is no column {label!r}; {hint(label, known)}")


def _label_values(column: "polars.Series") -> np.ndarray:
    if column.dtype.is_numeric():
        return _numbers(column)[0] if column.null_count() or column.dtype.is_decimal() else column.to_numpy()
    return np.array([None if value is None else str(value) for value in column.to_list()], dtype=object)


def _numbers(column: "polars.Series") -> tuple[np.ndarray, str]:
    """A column as float64 with NaN for missing values, and what it holds where that is not numbers."""
    import polars as pl

    if column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.Null):
        return column.cast(pl.Float64).fill_null(float("nan")).to_numpy(), ""
    nothing = np.full(len(column), np.nan)
    if column.dtype not in (pl.String, pl.Categorical, pl.Enum):
        return nothing, f"it holds {str(column.dtype).lower()} entries"
    words = Words()
    numbers = words.numbers(column.cast(pl.String).fill_null("").to_list())
    return numbers, words.problem
