"""Tables from .csv and .tsv files, read with the standard library."""

import csv
import re
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from aetui.data.arrays import refuse
from aetui.data.errors import DataError, count
from aetui.data.source import Source
from aetui.data.tables import label_index, table
from aetui.data.words import MISSING, NUMBER, TRUTH, Words
from aetui.spec.sections import File

if TYPE_CHECKING:
    from _csv import Reader

_BLOCK = 2**18
"""Cells that are held as text at a time."""
_WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)

Record = tuple[int, list[str]]
"""The number of a record's last line, and its cells."""


def read_csv(path: Path, section: File) -> Source:
    """The table in a .csv or .tsv file.

    The first line holds the names unless all its cells are numbers; 0,1,2,... counts as names.
    Empty cells, NA, nan, null, none, ? and - are missing values. Empty lines are left out with a warning.

    Raises:
        DataError: the file is empty, no UTF-8 text, or has lines of different length or broken quotes.
    """
    refuse(section, path.name, "key")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = next((line for line in file if line.strip()), "")
            if not first:
                raise DataError("data.path", f"{path.name}: is empty")
            separator = "\t" if path.suffix.lower() == ".tsv" else _separator(first)
            file.seek(0)
            return _table(path.name, csv.reader(file, delimiter=separator, strict=True), section.label)
    except UnicodeDecodeError:
        raise DataError("data.path", f"{path.name}: is not UTF-8 text; save it as UTF-8") from None


def _table(name: str, reader: "Reader", label: str) -> Source:
    records = _records(name, reader)
    start = next(record for record in records if len(record[1]) > 1 or "".join(record[1]).strip())
    width = len(start[1])
    header = not _all_numbers(start[1])
    names = tuple(" ".join(cell.split()) for cell in start[1]) if header else ()
    label_column = label_index(name, names, width, label) if label else None
    columns = [Words() for _ in range(width)]
    parts: list[np.ndarray] = []
    labels: list[str] = []
    empty = 0
    ragged: list[Record] = []
    for block in _blocks(records if header else chain([start], records), max(1, _BLOCK // width)):
        whole: list[Record] = []
        for line, cells in block:
            if width > 1 and not any(cells):
                empty += 1
            elif len(cells) != width and cells:
                ragged.append((line, cells))
            else:
                whole.append((line, cells or [""]))
        if not whole:
            continue
        lines = [line for line, _ in whole]
        part = np.full((len(whole), width), np.nan)
        for index, cells in enumerate(zip(*(cells for _, cells in whole), strict=True)):
            if index == label_column:
                labels += cells
            else:
                part[:, index] = columns[index].numbers(cells, lines)
        parts.append(part)
    if ragged:
        raise DataError(
            "data.path",
            f"{name}: {count(len(ragged), 'line')} {'does' if len(ragged) == 1 else 'do'} not have "
            f"{count(width, 'cell')} like the first; line {ragged[0][0]} has {len(ragged[0][1])}",
        )
    warnings = (f"{name}: {count(empty, 'empty line')} left out",) if empty else ()
    values = np.concatenate(parts) if parts else np.empty((0, width))
    known = None if label_column is None else _label_values(labels)
    texts = {index: column.problem for index, column in enumerate(columns) if column.problem}
    return table(Source(name, values, names, known, label_column, texts=texts, warnings=warnings))


def _records(name: str, reader: "Reader") -> Iterator[Record]:
    """Every record of a file with the number of its last line."""
    try:
        for cells in reader:
            yield reader.line_num, cells
    except csv.Error as error:
        raise DataError("data.path", f"{name}: can't be read: {error} in line {reader.line_num}") from None


def _blocks(records: Iterable[Record], size: int) -> Iterator[list[Record]]:
    records = iter(records)
    while block := list(islice(records, size)):
        yield block


def _separator(first: str) -> str:
    return next((mark for mark in ",;\t" if mark in first), ",")


def _all_numbers(cells: list[str]) -> bool:
    words = [cell.strip() for cell in cells]
    counted = [str(index) for index in range(len(words))]
    if len(words) > 1 and (words == counted or (words[0] == "" and words[1:] == counted[:-1])):
        return False
    return all(NUMBER.fullmatch(word) or word.lower() in MISSING for word in words)


def _label_values(cells: list[str]) -> np.ndarray:
    """Labels as whole numbers, as numbers, or as text with None for empty cells."""
    given = {cell for cell in cells if cell}
    if given and all(map(NUMBER.fullmatch, given)):
        whole = "" not in cells and all(map(_WHOLE.fullmatch, given))
        return np.array(cells, np.int64) if whole else np.array([float(cell or "nan") for cell in cells])
    if all(cell.lower() in TRUTH for cell in given):
        cells = [cell.capitalize() for cell in cells]
    return np.array([cell or None for cell in cells], dtype=object)
