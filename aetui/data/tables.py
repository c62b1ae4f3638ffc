"""Tables from .csv, .tsv and .parquet files, read with polars."""

import csv
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aetui.data.arrays import refuse
from aetui.data.errors import DAMAGED, DataError, count, first_sentence, hint
from aetui.data.source import Source
from aetui.spec.sections import File

if TYPE_CHECKING:
    import polars

_MISSING = ["", "na", "n/a", "nan", "null", "none", "?", "-"]
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|nan|[+-]?inf(inity)?", re.IGNORECASE)


def read_csv(path: Path, section: File) -> Source:
    """The table in a .csv or .tsv file.

    The first line holds the names unless all its cells are numbers; 0,1,2,... counts as names.
    Empty cells, NA, nan, null, none, ? and - are missing values.
    """
    pl = _polars(path)
    refuse(section, path.name, "key")
    first = _header(path)
    separator = "\t" if path.suffix.lower() == ".tsv" else _separator(first)
    cells = next(csv.reader([first], delimiter=separator))
    header = not _all_numbers(cells)
    options: dict[str, Any] = {"separator": separator, "has_header": header, "infer_schema_length": None}
    try:
        frame = pl.read_csv(path, **options)
    except (*DAMAGED, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        _refuse_ragged(path, separator)
        raise _unreadable(path, error) from None
    warnings: tuple[str, ...] = ()
    if frame.height and frame.width > 1 and frame[:, -1].null_count():
        _refuse_ragged(path, separator)
        full = frame.filter(~pl.all_horizontal(pl.all().is_null()))
        if full.height < frame.height:
            warnings = (f"{path.name}: {count(frame.height - full.height, 'empty line')} left out",)
            frame = full
    if len(cells) != frame.width:  # a quoted name with a line break in it
        cells = frame.columns
    names = tuple(" ".join(cell.split()) for cell in cells) if header else ()
    return _source(path.name, frame, names, section.label, warnings)


def read_parquet(path: Path, section: File) -> Source:
    """The table in a .parquet file."""
    pl = _polars(path)
    refuse(section, path.name, "key")
    try:
        frame = pl.read_parquet(path)
    except (*DAMAGED, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise _unreadable(path, error) from None
    return _source(path.name, frame, tuple(frame.columns), section.label, ())


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


def _header(path: Path) -> str:
    try:
        with path.open(encoding="utf-8-sig") as lines:
            line = next((line.rstrip("\r\n") for line in lines if line.strip()), "")
    except UnicodeDecodeError:
        raise DataError("data.path", f"{path.name}: is not UTF-8 text; save it as UTF-8") from None
    if not line:
        raise DataError("data.path", f"{path.name}: is empty")
    return line


def _separator(first: str) -> str:
    return next((mark for mark in ",;\t" if mark in first), ",")


def _all_numbers(cells: list[str]) -> bool:
    words = [cell.strip() for cell in cells]
    counted = [str(index) for index in range(len(words))]
    if len(words) > 1 and (words == counted or (words[0] == "" and words[1:] == counted[:-1])):
        return False
    return all(_NUMBER.fullmatch(word) or word.lower() in _MISSING for word in words)


def _refuse_ragged(path: Path, separator: str) -> None:
    """Raise a DataError that names the first line with more or fewer cells than the first one."""
    width, ragged, place = 0, 0, ""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as lines:
        reader = csv.reader(lines, delimiter=separator)
        for cells in reader:
            width = width or len(cells)
            if cells and len(cells) != width:
                ragged += 1
                place = place or f"line {reader.line_num} has {len(cells)}"
    if ragged:
        raise DataError(
            "data.path",
            f"{path.name}: {count(ragged, 'line')} {'does' if ragged == 1 else 'do'} not have "
            f"{count(width, 'cell')} like the first; {place}",
        )


def _source(
    name: str, frame: "polars.DataFrame", names: tuple[str, ...], label: str, warnings: tuple[str, ...]
) -> Source:
    if frame.width == 0 or frame.height == 0:
        raise DataError(
            "data.path", f"{name}: is empty, it has {count(frame.height, 'row')} of {count(frame.width, 'column')}"
        )
    label_column = _label_column(name, names, frame.width, label) if label else None
    values = np.empty((frame.height, frame.width), np.float64)
    texts: dict[int, str] = {}
    for index, column in enumerate(frame.iter_columns()):
        if index != label_column:
            values[:, index], problem = _numbers(column)
            if problem:
                texts[index] = problem
    if values.shape[1] > 1 and names and names[0] == "" and np.array_equal(values[:, 0], np.arange(len(values))):
        warnings += (f"{name}: column 0 has no name and counts the rows; data.columns=1: leaves it out",)
    labels = None if label_column is None else _label_values(frame[:, label_column])
    return Source(name, values, names, labels, label_column, texts=texts, warnings=warnings)


def _label_column(name: str, names: tuple[str, ...], width: int, label: str) -> int:
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
    words = column.cast(pl.String).str.strip_chars()
    words = words.set(words.str.to_lowercase().is_in(_MISSING), None)
    numbers = words.cast(pl.Float64, strict=False)
    bad = words.is_not_null() & numbers.is_null()
    if not bad.any():
        return numbers.fill_null(float("nan")).to_numpy(), ""
    row = bad.arg_max()
    assert row is not None
    are = "is not a number" if bad.sum() == 1 else "are not numbers"
    of = count(len(words), "entry", "entries")
    return nothing, f"{bad.sum():,} of {of} {are}, the first is {words[row]!r} in row {row}"
