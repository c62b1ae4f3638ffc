"""Subsets of rows and columns, written as slices or lists."""

import re
from collections.abc import Sequence

import numpy as np

from aetui.data.errors import DataError, count, hint

_SLICE = re.compile(r"\s*([+-]?\d+)?\s*:\s*([+-]?\d+)?\s*(?::\s*([+-]?\d+)?\s*)?")
_INDEX = re.compile(r"[+-]?\d+")


def select(text: str, size: int, path: str, source: str, names: Sequence[str] = ()) -> np.ndarray | slice:
    """What `text` selects of `size` rows or columns: a slice, or int64 indices in the order written.

    Parts are separated by commas; each is a name, an index counted from 0 (from the end where
    negative) or a slice start:stop:step as Python has it. A name is looked for before an index.

    Raises:
        DataError: an unknown name, an index out of range, one named twice, or nothing selected.
    """
    noun = path.rpartition(".")[2].removesuffix("s")
    whole = text.strip()
    if not whole:
        return slice(0, size, 1)
    parts = [whole] if whole in names else [part.strip() for part in whole.split(",") if part.strip()]
    if len(parts) == 1 and parts[0] not in names:
        span = _span(parts[0], size, path)
        if span is not None and span.step > 0:
            if not len(range(size)[span]):
                raise DataError(path, f"{source}: {whole!r} selects none of its {count(size, noun)}")
            return span
    chosen = [index for part in parts for index in _indices(part, size, path, source, noun, names)]
    if not chosen:
        raise DataError(path, f"{source}: {whole!r} selects none of its {count(size, noun)}")
    values, counts = np.unique(chosen, return_counts=True)
    if len(values) < len(chosen):
        twice = int(values[counts > 1][0])
        shown = repr(names[twice]) if names else str(twice)
        raise DataError(path, f"{source}: {noun} {shown} is selected {counts.max()} times; name each {noun} once")
    return np.array(chosen, np.int64)


def numbers(selection: np.ndarray | slice, size: int) -> np.ndarray:
    """The indices that a selection of `size` entries stands for, int64."""
    return np.arange(size, dtype=np.int64)[selection]


def written(indices: Sequence[int]) -> str:
    """Ascending indices as text that `select` reads, runs as start:stop."""
    runs: list[list[int]] = []
    for index in indices:
        if runs and index == runs[-1][1]:
            runs[-1][1] += 1
        else:
            runs.append([index, index + 1])
    return ",".join(f"{start}:{stop}" if stop - start > 1 else str(start) for start, stop in runs)


def _span(part: str, size: int, path: str) -> slice | None:
    match = _SLICE.fullmatch(part)
    if match is None:
        return None
    start, stop, step = (int(group) if group else None for group in match.groups())
    if step == 0:
        raise DataError(path, f"{part!r} is not allowed; the step of start:stop:step can't be 0")
    whole = slice(start, stop, step)
    return slice(*whole.indices(size)) if (step or 1) > 0 else whole


def _indices(part: str, size: int, path: str, source: str, noun: str, names: Sequence[str]) -> Sequence[int]:
    if part in names:
        if names.count(part) > 1:
            raise DataError(path, f"{source}: {names.count(part)} columns are named {part!r}; select them by number")
        return [names.index(part)]
    span = _span(part, size, path)
    if span is not None:
        return range(size)[span]
    if _INDEX.fullmatch(part):
        index = int(part)
        if not -size <= index < size:
            raise DataError(path, f"{source}: there is no {noun} {index}; it has {count(size, noun)}, 0 to {size - 1}")
        return [index % size]
    if names:
        raise DataError(path, f"{source}: there is no column {part!r}; {hint(part, names)}")
    takes = f"{noun}s are selected as start:stop:step or a list like 0,3,7"
    raise DataError(path, f"{source}: {part!r} is not allowed; {takes}")
