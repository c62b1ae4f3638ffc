"""The settings of a spec as a screen is told of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import inspect

from aetui import protocol as p
from aetui.spec import RunSpec
from aetui.spec.fields import FORM_SECTIONS, Field, fields_of, kind_of, variants
from aetui.spec.sections import LIVE_KINDS

_STANDARD = RunSpec()


def table(spec: RunSpec) -> tuple[p.Setting, ...]:
    """Every setting of a spec, section by section, the kind of each first."""
    return tuple(_settings(spec))


def _settings(spec: RunSpec) -> Iterator[p.Setting]:
    for section in FORM_SECTIONS:
        part = getattr(spec, section)
        if kind_of(part):
            yield of_kind(section, part)
        for field in fields_of(type(part)).values():
            yield of_field(field, field.format(getattr(part, field.name)))


def of_kind(section: str, part: Any) -> p.Setting:
    """The kind of a section that has several."""
    kinds = tuple(variants(section))
    return p.Setting(
        path=f"{section}.kind",
        value=kind_of(part),
        type="choice",
        allowed=f"one of {', '.join(kinds)}",
        choices=kinds,
        help=" ".join((type(part).__doc__ or "").split()),
        live=section in LIVE_KINDS,
        default=kind_of(getattr(_STANDARD, section)),
    )


def of_field(field: Field, value: str) -> p.Setting:
    """A field with a value in force, which its `format` wrote."""
    kind, low, high = field.type, None, None
    above = below = False
    match kind:
        case inspect.IntType() | inspect.FloatType():
            name = "integer" if isinstance(kind, inspect.IntType) else "number"
            above, below = kind.gt is not None, kind.lt is not None
            low, high = kind.gt if above else kind.ge, kind.lt if below else kind.le
        case inspect.BoolType():
            name = "switch"
        case inspect.LiteralType():
            name = "choice"
        case inspect.VarTupleType():
            name = "list"
        case _:
            name = "text"
    return p.Setting(
        path=field.path,
        value=value,
        type=name,
        allowed=field.allowed,
        low=low,
        high=high,
        above_low=above,
        below_high=below,
        choices=field.choices,
        help=field.help,
        live=field.live,
        default=None if field.required else field.format(field.default),
    )
