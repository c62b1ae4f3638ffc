"""Arrays from .npy, .npz and .pt files; nothing in them is ever executed."""

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from aetui.data.errors import DAMAGED, DataError, first_sentence, hint, listed
from aetui.data.source import Source, from_array
from aetui.spec.sections import File


def read_npy(path: Path, section: File) -> Source:
    """The array of a .npy file, memory-mapped."""
    refuse(section, path.name, "key", "label")
    array = _opened(path, mmap_mode="r")
    if isinstance(array, Mapping):
        raise DataError("data.path", f"{path.name}: is an .npz archive; give it that suffix")
    return from_array(path.name, array)


def read_npz(path: Path, section: File) -> Source:
    """One array of a .npz file, with another as its labels."""
    archive = _opened(path)
    if not isinstance(archive, Mapping):
        raise DataError("data.path", f"{path.name}: is a plain .npy array; give it that suffix")
    with archive:  # pyright: ignore[reportGeneralTypeIssues]
        return _from_entries(path.name, section, tuple(archive), lambda key: _entry(path.name, archive, key))


def read_pt(path: Path, section: File) -> Source:
    """A tensor, or one of a dict of tensors, of a .pt file."""
    import torch

    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise DataError(
            "data.path",
            f"{path.name}: holds more than tensors or is damaged, so it is not loaded; "
            "save a tensor or a dict of tensors",
        ) from None
    except DAMAGED as error:
        raise DataError("data.path", f"{path.name}: can't be read as .pt: {first_sentence(error)}") from None

    def numbers(tensor: Any, named: str) -> np.ndarray:
        if tensor.layout is not torch.strided or tensor.is_quantized:
            raise DataError("data.path", f"{path.name}: {named} is sparse or quantized; save it dense")
        tensor = tensor.detach()
        known = not tensor.is_floating_point() or tensor.dtype in (torch.float16, torch.float32, torch.float64)
        return (tensor if known else tensor.float()).resolve_conj().resolve_neg().numpy()

    if isinstance(held, torch.Tensor):
        refuse(section, path.name, "key", "label", why="the file holds one tensor without a name")
        return from_array(path.name, numbers(held, "the tensor"))
    if not isinstance(held, Mapping):
        kind = type(held).__name__
        raise DataError("data.path", f"{path.name}: holds a {kind}; it takes a tensor or a dict of tensors")
    tensors = {str(key): value for key, value in held.items() if isinstance(value, torch.Tensor)}
    return _from_entries(path.name, section, tuple(tensors), lambda key: numbers(tensors[key], repr(key)))


def refuse(section: File, name: str, *settings: str, why: str = "") -> None:
    """Refuse settings that a file of this type has no use for.

    Raises:
        DataError: one of them is not empty.
    """
    reasons = {
        "key": "it names an array in an .npz or .pt file; leave it empty",
        "label": "it names a column (csv, tsv, parquet) or an array (npz, pt); leave it empty",
    }
    for setting in settings:
        value = getattr(section, setting)
        if value:
            raise DataError(f"data.{setting}", f"{name}: {value!r} does not apply; {why or reasons[setting]}")


def _opened(path: Path, mmap_mode: Any = None) -> Any:
    with path.open("rb") as file:
        magic = file.read(6)
    if not magic.startswith((b"\x93NUMPY", b"PK")):
        raise DataError("data.path", f"{path.name}: is not an {path.suffix} file, whatever its name says")
    try:
        return np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
    except DAMAGED as error:
        raise _unreadable(path.name, path.suffix, error) from None


def _unreadable(name: str, suffix: str, error: Exception) -> DataError:
    reason = first_sentence(error)
    if "object" in reason.lower():
        return DataError(
            "data.path", f"{name}: holds Python objects, which are not loaded; save a plain array of numbers"
        )
    return DataError("data.path", f"{name}: can't be read as {suffix}: {reason}")


def _entry(name: str, archive: Any, key: str) -> np.ndarray:
    try:
        return archive[key]
    except DAMAGED as error:
        raise _unreadable(f"{name}: array {key!r}", ".npz", error) from None


def _from_entries(name: str, section: File, keys: tuple[str, ...], get: Callable[[str], np.ndarray]) -> Source:
    if not keys:
        raise DataError("data.path", f"{name}: holds no arrays")
    if section.label and section.label not in keys:
        raise DataError("data.label", f"{name}: there is no array {section.label!r}; {hint(section.label, keys)}")
    candidates = [key for key in keys if key != section.label]
    if section.key:
        if section.key not in keys:
            raise DataError("data.key", f"{name}: there is no array {section.key!r}; {hint(section.key, keys)}")
        key = section.key
    elif len(candidates) != 1:
        raise DataError(
            "data.key", f"{name}: holds {len(keys)} arrays ({listed(keys)}); name the one to train on in data.key"
        )
    else:
        key = candidates[0]
    labels = None
    if section.label:
        labels = get(section.label)
        labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    array = get(key)
    if labels is not None and labels.shape != array.shape[:1]:
        raise DataError(
            "data.label",
            f"{name}: array {section.label!r} has shape {labels.shape}; it takes one label for each of the "
            f"{array.shape[0] if array.ndim else 0:,} rows of {key!r}",
        )
    return from_array(name, array, labels)
