"""What the readers hand over: numbers as the source has them, before selection and scaling."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from aetui.data.errors import DataError, count

CHANNELS = (1, 3, 4)


@dataclass(frozen=True, eq=False)
class Source:
    """Rows of a source.

    `values` is [rows, columns] of a real dtype and may be memory-mapped. `labels` is one raw
    label a row. `label_column` is the column that holds the labels and is never trained on.
    `texts` says of each column that is not numeric what it holds instead.
    """

    name: str
    values: np.ndarray
    names: tuple[str, ...] = ()
    labels: np.ndarray | None = None
    label_column: int | None = None
    image_shape: tuple[int, ...] = ()
    texts: Mapping[int, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def from_array(name: str, array: np.ndarray, labels: np.ndarray | None = None) -> Source:
    """A source from an array [rows, ...]; the other axes become the columns.

    (n, h, w) is read as n grey images; (n, c, h, w) and (n, h, w, c) with 1, 3 or 4 channels
    as images, stored channels first.

    Raises:
        DataError: the array is not numeric, is empty, or has no rows and columns.
    """
    if array.dtype.kind == "c":
        raise DataError("data.path", f"{name}: holds complex numbers ({array.dtype}); save the real or absolute part")
    if array.dtype.names:
        raise DataError(
            "data.path",
            f"{name}: holds records with {count(len(array.dtype.names), 'field')}; save a plain array of numbers",
        )
    if array.dtype.kind not in "biuf":
        raise DataError("data.path", f"{name}: holds {array.dtype} entries, not numbers; save a plain array of numbers")
    shape = " x ".join(map(str, array.shape))
    if array.ndim < 2:
        raise DataError(
            "data.path",
            f"{name}: has {count(array.ndim, 'axis', 'axes')} ({shape or 'one number'}); it takes rows x features",
        )
    if array.size == 0:
        raise DataError("data.path", f"{name}: is empty ({shape})")
    image_shape, warnings = (), ()
    if array.ndim == 3:
        image_shape = (1, *array.shape[1:])
    elif array.ndim == 4:
        _, first, middle, last = array.shape
        channels_last = last in CHANNELS and (first not in CHANNELS or first == middle)
        if channels_last:
            array = np.moveaxis(array, 3, 1)
        if channels_last or first in CHANNELS:
            image_shape = array.shape[1:]
    if array.ndim > 3 and not image_shape:
        warnings = (
            f"{name}: {shape} is not recognized as images; each row is flattened, data.image_shape says how to read it",
        )
    return Source(
        name, array.reshape(len(array), -1), labels=labels, image_shape=tuple(map(int, image_shape)), warnings=warnings
    )
