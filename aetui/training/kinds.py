"""What every kind of a section of a spec needs, one entry each; an entry that is missing is refused at import."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import UnionType
from typing import Any, TypeVar, get_args

Entry = TypeVar("Entry")


def complete(table: dict[type, Entry], union: UnionType) -> dict[type, Entry]:
    """A table with an entry for each struct of a union, in the union's order.

    Raises:
        TypeError: one is missing, or stands for nothing.
    """
    kinds = get_args(union)
    odd = [kind.__name__ for kind in (*kinds, *table) if kind not in table or kind not in kinds]
    if odd:
        raise TypeError(f"{', '.join(odd)}: a kind and its entry have to come together")
    return {kind: table[kind] for kind in kinds}


def takes(function: Callable[..., Any], names: Mapping[str, Any]) -> None:
    """Refuse a function that does not take these keywords.

    Raises:
        TypeError: it does not.
    """
    known = inspect.signature(function).parameters
    missing = [name for name in names if name not in known]
    if missing:
        raise TypeError(f"{getattr(function, '__name__', function)} takes no {', '.join(missing)}")
