"""The caller's data as tensors of the model's kind, and the rows that are held out."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

_HELD_OUT = 10
"""One row in so many is held out where the caller gives none."""
_FEWEST = 40
"""Rows below which none are held out."""


def pairs(values: Any) -> tuple[Any, Any]:
    """Inputs and targets of a data set or loader of pairs; no targets where the second of each pair is a label.

    A label is a single value per row, or whole numbers.
    """
    if isinstance(values, torch.utils.data.DataLoader):
        values = values.dataset
    if isinstance(values, torch.utils.data.TensorDataset):
        second = values.tensors[1] if len(values.tensors) > 1 else None
        first: Any = values.tensors
        return first[0], second if second is not None and _no_label(second[0]) else None
    if not isinstance(values, torch.utils.data.Dataset):
        return values, None
    rows: Any = values
    items = [rows[number] for number in range(len(rows))]
    if not items or not isinstance(items[0], tuple | list):
        return items, None
    paired = len(items[0]) > 1 and _no_label(items[0][1])
    return [item[0] for item in items], [item[1] for item in items] if paired else None


def _no_label(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return np.issubdtype(value.dtype, np.floating) and value.size > 1
    return isinstance(value, Tensor) and value.is_floating_point() and value.numel() > 1


def tensor(values: Any, name: str, device: torch.device, dtype: torch.dtype) -> Tensor:
    """`values` as a tensor of the model's kind, [rows, ...]; the caller's own memory is never written to.

    Raises:
        ValueError: they are no numbers, or there are fewer than two rows.
    """
    values = pairs(values)[0]
    if isinstance(values, list | tuple) and values and isinstance(values[0], Tensor):
        values = torch.stack([value.detach() for value in values])
    try:
        if np.iscomplexobj(values) if isinstance(values, np.ndarray) else getattr(values, "is_complex", bool)():
            raise TypeError("they are complex")
        if not isinstance(values, Tensor):
            values = torch.from_numpy(np.array(values, dtype=np.float64, order="C"))
        made = values.detach()
        made = made.to(device=device, dtype=dtype, copy=True)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: {type(values).__name__} can't be read as numbers: {error}") from None
    if made.ndim < 1 or len(made) < 2:
        raise ValueError(f"{name}: shape {list(made.shape)} is not allowed; it takes at least two rows, [rows, ...]")
    if not made.numel():
        raise ValueError(f"{name}: shape {list(made.shape)} is not allowed; its rows hold no values")
    return made


def split(x: Tensor, y: Tensor, validation: Tensor | None) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor] | None]:
    if validation is not None:
        return x, y, (validation, validation)
    if len(x) < _FEWEST or not bool(torch.isfinite(x).all()):
        return x, y, None
    held = _held(x)
    if y is x:
        kept, out = x[~held], x[held]
        return kept, kept, (out, out)
    return x[~held], y[~held], (x[held], y[held])


def held_rows(numbers: Tensor) -> tuple[Tensor, Tensor | None]:
    """Numbers of the rows that are trained on and of those held out, None where they are too few."""
    if len(numbers) < _FEWEST:
        return numbers, None
    held = _held(numbers)
    return numbers[~held], numbers[held]


def _held(rows: Tensor) -> Tensor:
    return torch.arange(len(rows), device=rows.device) % _HELD_OUT == _HELD_OUT // 2
