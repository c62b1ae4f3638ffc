"""From a `data` section to a `Dataset`: read, select, check, split, scale."""

import math
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import numpy as np

from aetui.data import labels as labeling
from aetui.data.arrays import read_npy, read_npz, read_pt
from aetui.data.builtin import draw_gaussian, read_digits
from aetui.data.checks import as_float32, constant_warning, not_finite_warning, put_means, refuse_texts
from aetui.data.dataset import Dataset
from aetui.data.delimited import read_csv
from aetui.data.errors import DataError, count, hint
from aetui.data.images import read_images
from aetui.data.scaling import Scaler
from aetui.data.selection import numbers, select
from aetui.data.source import Source
from aetui.data.tables import read_parquet
from aetui.spec.change import PRESET
from aetui.spec.sections import Data, Digits, File, Gaussian

READERS: dict[str, Callable[[Path, File], Source]] = {
    ".npy": read_npy,
    ".npz": read_npz,
    ".csv": read_csv,
    ".tsv": read_csv,
    ".parquet": read_parquet,
    ".pt": read_pt,
}

LEAST_ROWS = 2
"""Fewer training rows have no variance to explain."""


def load(section: Data) -> Dataset:
    """The data that `section` describes, scaled and split.

    Raises:
        DataError: it can't be read or can't be trained on; one sentence says why.
    """
    try:
        return _prepared(section, _read(section))
    except MemoryError:
        name = Path(section.path).name if isinstance(section, File) else str(section.__struct_config__.tag)
        raise DataError("data.rows", f"{name}: does not fit into memory; take fewer rows or columns") from None


def _read(section: Data) -> Source:
    if isinstance(section, Digits):
        return read_digits()
    if isinstance(section, Gaussian):
        return draw_gaussian(section)
    path = located(section.path)
    try:
        if path.is_dir():
            return read_images(path.resolve(), section)
        if not path.exists():
            raise DataError("data.path", _missing(path))
        reader = READERS.get(path.suffix.lower())
        if reader is None:
            held = f"{path.suffix!r} files are" if path.suffix else "a file without a suffix is"
            raise DataError(
                "data.path", f"{path.name}: {held} not known; it takes {', '.join(READERS)} or a folder of images"
            )
        if path.stat().st_size == 0:
            raise DataError("data.path", f"{path.name}: is empty (0 bytes)")
        return reader(path, section)
    except OSError as error:
        raise DataError("data.path", f"{path.name}: can't be read: {error.strerror or error}") from None


def located(path: str) -> Path:
    """The file or folder that `data.path` names; after `preset:` it is one that comes with aetui."""
    if path.startswith(PRESET):
        return Path(str(files("aetui.presets").joinpath(path.removeprefix(PRESET))))
    return Path(path).expanduser()


def _missing(path: Path) -> str:
    if path.is_symlink():
        return f"{path}: is a link to {path.readlink()}, which is not there"
    text = f"{path}: there is no such file"
    if not path.parent.is_dir():
        return f"{text}; there is no folder {str(path.parent)!r} either"
    close = hint(path.name, [entry.name for entry in path.parent.iterdir() if entry.exists()])
    return f"{text}; {close}" if close.startswith("did you") else text


def _prepared(section: Data, source: Source) -> Dataset:
    size, width = source.values.shape
    wanted_rows, wanted_columns = ("", "") if isinstance(section, Gaussian) else (section.rows, section.columns)
    rows = select(wanted_rows, size, "data.rows", source.name)
    columns = numbers(select(wanted_columns, width, "data.columns", source.name, source.names), width)
    columns = columns[columns != source.label_column] if source.label_column is not None else columns
    if not len(columns):
        raise DataError("data.columns", f"{source.name}: no column is left to train on beside the label")
    refuse_texts(source, columns)
    image_shape = _image_shape(section, source, columns)
    chosen = len(numbers(rows, size))
    if chosen < LEAST_ROWS:
        path = "data.rows" if wanted_rows else "data.path"
        raise DataError(path, f"{source.name}: has {count(chosen, 'row')} to train on; it takes at least {LEAST_ROWS}")
    held = _held_out(section, source.name, chosen)
    codes, classes = None, ()
    if source.labels is not None:
        codes, classes = labeling.encode(source.labels[rows], source.name)
    how = section.non_finite if isinstance(section, File) else "refuse"
    values, finite = as_float32(source, rows, columns, allow=how != "refuse")
    warnings = source.warnings if finite else (*source.warnings, not_finite_warning(source, values, how))

    train, validation = values, None
    train_labels, validation_labels = codes, None
    if held.any():
        train, validation = values[~held], values[held]
        if codes is not None:
            train_labels, validation_labels = codes[~held], codes[held]
    del values
    if how == "mean" and not finite:
        put_means(source, columns, train, validation)
    warnings = (*warnings, *constant_warning(source, columns, train))
    scaler = Scaler.fit(section.scaling, train, source.name)
    scaler.transform(train, out=train)
    if validation is not None:
        scaler.transform(validation, out=validation)
    return Dataset(
        name=source.name,
        source=f"{source.name} {chosen} x {len(columns)}",
        train=train,
        validation=validation,
        train_labels=train_labels,
        validation_labels=validation_labels,
        classes=classes,
        image_shape=image_shape,
        feature_names=tuple(source.names[index] or f"column {index}" for index in columns.tolist())
        if source.names
        else (),
        scaler=scaler,
        warnings=warnings,
    )


def _image_shape(section: Data, source: Source, columns: np.ndarray) -> tuple[int, ...]:
    wanted = section.image_shape
    if not wanted:
        whole = np.array_equal(columns, np.arange(source.values.shape[1]))
        return source.image_shape if whole else ()
    shown = " x ".join(map(str, wanted))
    if len(wanted) not in (2, 3):
        raise DataError(
            "data.image_shape", f"{shown} is not allowed; it takes height, width or channels, height, width"
        )
    if math.prod(wanted) != len(columns):
        chosen = " chosen" if len(columns) != source.values.shape[1] else ""
        raise DataError(
            "data.image_shape",
            f"{source.name}: {shown} makes {math.prod(wanted):,} numbers, a row has {len(columns):,}{chosen}",
        )
    return (1, *wanted) if len(wanted) == 2 else tuple(wanted)


def _held_out(section: Data, name: str, size: int) -> np.ndarray:
    """Which of `size` rows are for validation, bool [size]."""
    held = np.zeros(size, bool)
    if section.validation == 0:
        return held
    share = max(1, math.floor(size * section.validation + 0.5))
    if size - share < LEAST_ROWS:
        raise DataError(
            "data.validation",
            f"{name}: {section.validation:g} of {count(size, 'row')} leaves {size - share} to train on; it takes "
            f"at least {LEAST_ROWS}, so take a smaller share or 0",
        )
    held[np.random.default_rng(section.split_seed).permutation(size)[:share]] = True
    return held
