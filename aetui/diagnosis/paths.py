"""Ways into a nest of tensors, as a forward returns it or a batch is, and their names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

Path = tuple[Any, ...]
"""Keys, numbers and, in a tuple, names of attributes that lead to an item; () for the whole."""
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")


def found_in(raw: Any, path: Path) -> Any:
    """What lies at a path; None where nothing does."""
    for key in path:
        try:
            raw = getattr(raw, key[1]) if isinstance(key, tuple) else raw[key]
        except (AttributeError, KeyError, IndexError, TypeError):
            return None
    return raw


def items_of(raw: Any, path: Path = ()) -> Iterator[tuple[Path, Tensor]]:
    """All tensors in what a forward returned or a batch holds, with the way to each."""
    if isinstance(raw, Tensor):
        yield path, raw
    elif isinstance(raw, Mapping):
        for key, part in raw.items():
            yield from items_of(part, (*path, key))
    elif isinstance(raw, list | tuple):
        for place, part in enumerate(raw):
            yield from items_of(part, (*path, place))
    elif hasattr(raw, "__dict__") and not isinstance(raw, nn.Module | type):
        for name, part in vars(raw).items():
            yield from items_of(part, (*path, (".", name)))


def item_text(path: Path, whole: str) -> str:
    """`second item of forward's tuple`."""
    if not path:
        return whole
    key, rest = path[-1], path[:-1]
    inside = item_text(rest, whole)
    if isinstance(key, tuple):
        return f"{key[1]} of {inside}"
    if isinstance(key, int):
        return f"{_ORDINALS[key] if key < len(_ORDINALS) else f'{key + 1}th'} item of {inside}"
    return f"{key!r} of {inside}"


def values_at(raw: Any, path: Path | None) -> Tensor | None:
    """The tensor at a path into what forward returned; None where there is none."""
    found = None if path is None else found_in(raw, path)
    return found if isinstance(found, Tensor) else None
