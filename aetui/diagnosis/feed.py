"""The caller's data as batches that a step takes: arrays, data sets, loaders, any iterable of batches."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset, default_collate

from aetui.diagnosis.isolate import Randomness
from aetui.diagnosis.touched import tensors_in
from aetui.models.errors import first_line

MOST = 20_000
"""Rows of a data set that are read; a diagnosis takes no more steps than these fill."""
MOST_BYTES = 2**29
"""Bytes of rows that are kept."""


@dataclass(frozen=True)
class Feed:
    """Rows of the caller's data, and how some of them become a batch.

    rows: how many. make: from their numbers to a batch as the step takes it. size: rows of a batch, where the
    caller's loader sets it. whole: whether the rows are the caller's batches, which can't be cut or joined.
    stacked: tensors of all rows, in a batch's own nest, where the rows are alike; else None. left: rows of the data
    set that are not read.
    """

    rows: int
    make: Callable[[list[int]], Any]
    size: int | None = None
    least: int = 1
    whole: bool = False
    stacked: Any = None
    left: int = 0

    def batch(self, rows: list[int]) -> Any:
        return self.make(rows)


def feed_of(data: Any, device: torch.device, dtype: torch.dtype, seed: int, steps: int | None = None) -> Feed:
    """What the caller handed over, as a feed.

    Args:
        dtype: of arrays that are no tensors.
        steps: length of the training, where the caller said it; no more rows are read than it takes.

    Raises:
        ValueError: there are no batches in it, or fewer than two rows.
    """
    try:
        with Randomness(seed, torch.device("cpu")).own():
            feed = _feed(data, device, dtype, steps)
    except (TypeError, IndexError, KeyError, RuntimeError, AttributeError, StopIteration) as error:
        raise ValueError(f"data: {type(data).__name__} can't be read as batches: {first_line(error)}") from error
    if feed.rows < 2:
        raise ValueError(f"data: {feed.rows} rows are not allowed; it takes at least two rows, or two batches")
    return feed


def _feed(data: Any, device: torch.device, dtype: torch.dtype, steps: int | None) -> Feed:
    if isinstance(data, DataLoader):
        return _of_loader(data, device, steps)
    if isinstance(data, np.ndarray):
        data = torch.from_numpy(np.ascontiguousarray(data))
        data = data.to(dtype) if data.is_floating_point() else data
    if isinstance(data, Tensor):
        return _stacked(data.detach(), device)
    if isinstance(data, Dataset) and not isinstance(data, IterableDataset):
        return _of_items(cast(Any, data), default_collate, None, device, MOST)
    if isinstance(data, Mapping) and data and all(isinstance(one, Tensor | np.ndarray) for one in data.values()):
        return _stacked({key: torch.as_tensor(one) for key, one in data.items()}, device)
    if isinstance(data, Iterable):
        return _of_batches(data, device)
    raise TypeError("it is no array, data set, loader or iterable of batches")


def _of_loader(loader: DataLoader[Any], device: torch.device, steps: int | None) -> Feed:
    dataset: Any = loader.dataset
    own_batches = type(loader.batch_sampler) is not torch.utils.data.BatchSampler
    if isinstance(dataset, IterableDataset) or loader.batch_size is None or own_batches:
        return _of_batches(loader, device)
    most = MOST if steps is None else min(MOST, max(2048, steps * loader.batch_size))
    return _of_items(dataset, loader.collate_fn, loader, device, most)


def _of_items(
    dataset: Any, collate: Callable[[list[Any]], Any], loader: DataLoader[Any] | None, device: torch.device, most: int
) -> Feed:
    size = None if loader is None else loader.batch_size
    least = (size or 1) if loader is not None and loader.drop_last else 1
    if isinstance(dataset, TensorDataset) and collate is default_collate:
        return _stacked(list(dataset.tensors), device, size, least)
    total = len(dataset)
    numbers = torch.linspace(0, total - 1, min(total, most)).round().long().unique().tolist()
    items: list[Any] = []
    room = MOST_BYTES
    for number in numbers:
        items.append(dataset[number])
        room -= sum(one.nbytes for one in tensors_in(items[-1]))
        if room < 0:
            break
    left = total - len(items)
    if collate is default_collate:
        try:
            together = default_collate(items)
        except (RuntimeError, TypeError):
            together = None
        if together is not None and _alike(together, len(items)):
            return _stacked(together, device, size, least, left)

    def make(rows: list[int]) -> Any:
        return to_device(collate([copy.copy(items[row]) for row in rows]), device)

    return Feed(len(items), make, size, least, left=left)


def _of_batches(data: Iterable[Any], device: torch.device) -> Feed:
    """The batches as they come; those whose tensors all have a row for a row are cut into rows."""
    batches: list[Any] = []
    room, rows = MOST_BYTES, 0
    for batch in islice(data, MOST):
        batches.append(batch)
        room -= sum(one.nbytes for one in tensors_in(batch))
        rows += length(batch)
        if room < 0 or rows > MOST:
            break
    if not batches:
        raise TypeError("it yields no batch")
    if all(_alike(batch, length(batch)) for batch in batches):
        try:
            together = _joined(batches)
        except (RuntimeError, TypeError):
            together = None
        if together is not None:
            return _stacked(together, device, length(batches[0]))
    return Feed(len(batches), lambda rows: to_device(copy.deepcopy(batches[rows[0]]), device), 1, whole=True)


def _stacked(values: Any, device: torch.device, size: int | None = None, least: int = 1, left: int = 0) -> Feed:
    values = to_device(values, device)
    lengths = {len(one) for one in tensors_in(values) if one.ndim}
    if len(lengths) != 1:
        raise TypeError(f"its tensors have {', '.join(map(str, sorted(lengths)))} rows; they have to be as many")
    return Feed(lengths.pop(), lambda rows: taken_rows(values, rows), size, least, stacked=values, left=left)


def taken_rows(values: Any, rows: list[int]) -> Any:
    """The batch of some rows of tensors that hold all of them."""
    chosen = torch.as_tensor(rows)
    return mapped(values, lambda one: one[chosen.to(one.device)])


def to_device(values: Any, device: torch.device) -> Any:
    return mapped(values, lambda one: one.detach().to(device))


def mapped(values: Any, change: Callable[[Tensor], Any]) -> Any:
    """A nest of the same kind, with its tensors changed."""
    if isinstance(values, Tensor):
        return change(values)
    if isinstance(values, Mapping):
        found = {key: mapped(one, change) for key, one in values.items()}
        if type(values) is dict:
            return found
        try:
            return cast(Any, type(values))(found)
        except TypeError:
            return found
    if isinstance(values, tuple) and hasattr(values, "_fields"):
        return cast(Any, type(values))(*(mapped(one, change) for one in values))
    if isinstance(values, list | tuple):
        return type(values)(mapped(one, change) for one in values)
    if hasattr(values, "__dict__") and any(isinstance(one, Tensor) for one in vars(values).values()):
        other = copy.copy(values)
        vars(other).update({key: mapped(one, change) for key, one in vars(values).items()})
        return other
    return values


def _alike(batch: Any, rows: int) -> bool:
    """Whether a batch is nothing but tensors of that many rows."""
    return rows > 0 and _only_tensors(batch) and all(one.ndim and len(one) == rows for one in tensors_in(batch))


def _only_tensors(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(map(_only_tensors, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_only_tensors, value))
    return isinstance(value, Tensor)


def length(batch: Any) -> int:
    return next((len(one) for one in tensors_in(batch) if one.ndim), 0)


def _joined(batches: Sequence[Any]) -> Any:
    first = batches[0]
    if isinstance(first, Tensor):
        return torch.cat(list(batches))
    if isinstance(first, Mapping):
        return {key: _joined([batch[key] for batch in batches]) for key in first}
    parts = [_joined(list(group)) for group in zip(*batches, strict=True)]
    return type(first)(*parts) if hasattr(first, "_fields") else type(first)(parts)
