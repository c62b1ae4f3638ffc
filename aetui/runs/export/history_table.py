"""The history of a run as a table: .csv or .parquet."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from aetui.runs.export.errors import ExportError

_ROWS = 50_000
"""Rows that are turned into text at a time."""


def _none() -> np.ndarray:
    return np.zeros(0)


@dataclass(frozen=True)
class Points:
    """What was measured now and then, each array of shape (m,); `steps` ascend, NaN where there is no figure."""

    steps: np.ndarray = field(default_factory=_none)
    validation_loss: np.ndarray = field(default_factory=_none)
    explained_variance: np.ndarray = field(default_factory=_none)


@dataclass(frozen=True)
class Table:
    """The history of a run on the path to where it stands.

    steps: completed steps, ascending, (n,), integers. loss: reconstruction term, (n,). total: loss with
    penalties, (n,). grad_norm: joint norm before clipping, (n,). clipped: whether clipping changed the
    gradient, (n,). lr: learning rate of the step, (n,), or None where it is not known.
    tweaks: (step, text) of what was changed after so many steps.
    """

    steps: np.ndarray
    loss: np.ndarray
    total: np.ndarray
    grad_norm: np.ndarray
    clipped: np.ndarray
    lr: np.ndarray | None = None
    points: Points = field(default_factory=Points)
    tweaks: Sequence[tuple[int, str]] = ()


@dataclass(frozen=True)
class _Columns:
    """One row per step of the history, and of what lies between: a point or a tweak at a step of its own."""

    steps: np.ndarray
    numbers: dict[str, np.ndarray]
    """float32 or float64, anything where `given` is false."""
    given: dict[str, np.ndarray]
    clipped: np.ndarray
    tweak: list[str]


COLUMNS = ("step", "loss", "total", "grad_norm", "clipped", "lr", "validation_loss", "explained_variance", "tweak")


def write_csv(path: Path, table: Table) -> Path:
    """Write COLUMNS, one row per step; cells are empty where nothing was measured or changed.

    A tweak is in the row of the last step before it, one made before the first step in a row for step 0.
    Numbers have as many digits as their type holds; what is not finite is `NaN`, `inf` or `-inf`.

    Raises:
        ExportError: the file can't be written.
    """
    columns = _columns(table)
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(_rows(columns))
    except OSError as error:
        raise _unwritable(path, error) from error
    return path


def write_parquet(path: Path, table: Table) -> Path:
    """Write COLUMNS, one row per step, null where nothing was measured or changed.

    Raises:
        ExportError: polars is missing, or the file can't be written.
    """
    try:
        import polars
    except ImportError:
        raise ExportError("writing .parquet needs polars; pip install aetui[tables]") from None
    columns = _columns(table)
    recorded = columns.given["loss"]
    series: dict[str, Any] = {"step": columns.steps}
    for name, numbers in columns.numbers.items():
        given = polars.Series(columns.given[name])
        series[name] = polars.Series(numbers).set(~given, None)
    series["clipped"] = polars.Series(columns.clipped).set(~polars.Series(recorded), None)
    series["tweak"] = polars.Series([text or None for text in columns.tweak], dtype=polars.String)
    try:
        polars.DataFrame({name: series[name] for name in COLUMNS}).write_parquet(path)
    except OSError as error:
        raise _unwritable(path, error) from error
    return path


def _unwritable(path: Path, error: OSError) -> ExportError:
    return ExportError(f"{path}: can't be written: {error.strerror or error}")


def _columns(table: Table) -> _Columns:
    points = table.points
    tweaked = np.array([step for step, _ in table.tweaks], np.int64)
    steps = np.union1d(np.union1d(table.steps, points.steps), tweaked).astype(np.int64)
    numbers: dict[str, np.ndarray] = {}
    given: dict[str, np.ndarray] = {}

    def put(name: str, at: np.ndarray, values: np.ndarray | None, *, measured: bool = False) -> None:
        kept = np.zeros(0) if values is None else values
        numbers[name] = np.zeros(len(steps), np.float32 if kept.dtype == np.float32 else np.float64)
        given[name] = np.zeros(len(steps), bool)
        if len(kept):
            places = np.searchsorted(steps, at)
            numbers[name][places] = kept
            given[name][places] = ~np.isnan(kept) if measured else True

    put("loss", table.steps, table.loss)
    put("total", table.steps, table.total)
    put("grad_norm", table.steps, table.grad_norm)
    put("lr", table.steps, table.lr)
    put("validation_loss", points.steps, points.validation_loss, measured=True)
    put("explained_variance", points.steps, points.explained_variance, measured=True)
    clipped = np.zeros(len(steps), bool)
    clipped[np.searchsorted(steps, table.steps)] = table.clipped.astype(bool)
    texts = [""] * len(steps)
    for place, (_, text) in zip(np.searchsorted(steps, tweaked).tolist(), table.tweaks, strict=True):
        texts[place] = f"{texts[place]}; {text}" if texts[place] else text
    return _Columns(steps, numbers, given, clipped, texts)


def _rows(columns: _Columns) -> Iterator[tuple[Any, ...]]:
    for start in range(0, len(columns.steps), _ROWS):
        part = slice(start, start + _ROWS)
        cells: dict[str, list[Any]] = {"step": columns.steps[part].tolist(), "tweak": columns.tweak[part]}
        for name, numbers in columns.numbers.items():
            cells[name] = _texts(numbers[part], columns.given[name][part])
        recorded = columns.given["loss"][part]
        cells["clipped"] = np.where(recorded, np.where(columns.clipped[part], "1", "0"), "").tolist()
        yield from zip(*(cells[name] for name in COLUMNS), strict=True)


def _texts(numbers: np.ndarray, given: np.ndarray) -> list[str]:
    """Each number with the digits that its type holds, '' where none is given."""
    texts = np.full(len(numbers), "", dtype="U24")
    known = numbers[given]
    texts[given] = known.astype("U16" if known.dtype == np.float32 else "U24")
    texts[given & np.isnan(numbers)] = "NaN"
    return texts.tolist()
