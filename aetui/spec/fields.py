"""The settings of a spec as a list of fields, read off the section structs.

The form, `--set`, TOML files and the reference table all go through `Field`: it knows a
setting's path, help, bounds and default, parses text and refuses bad values in one sentence.
"""

import math
import re
from dataclasses import dataclass
from functools import cache
from inspect import get_annotations
from typing import Any, get_args

import msgspec
from msgspec import inspect

from aetui.spec import sections
from aetui.spec.errors import Problem, SpecError, nearest

SECTIONS: dict[str, Any] = {
    "data": sections.Data,
    "model": sections.Model,
    "init": sections.Init,
    "loss": sections.Loss,
    "optim": sections.Optim,
    "schedule": sections.Schedule,
    "clip": sections.Clip,
    "train": sections.Train,
    "about": sections.About,
}
FORM_SECTIONS = tuple(name for name in SECTIONS if name != "about")

# Structs list inherited settings first; people look for these before the others.
_FIRST = ("path", "features", "hidden", "code", "lr", "momentum")

_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


@dataclass(frozen=True)
class Field:
    """One setting of one kind of section."""

    path: str
    help: str
    live: bool
    default: Any
    type: inspect.Type

    @property
    def name(self) -> str:
        return self.path.partition(".")[2]

    @property
    def required(self) -> bool:
        return self.default is msgspec.NODEFAULT

    @property
    def choices(self) -> tuple[str, ...]:
        """The allowed words, or nothing where the setting is not a choice."""
        return tuple(map(str, self.type.values)) if isinstance(self.type, inspect.LiteralType) else ()

    @property
    def is_bool(self) -> bool:
        return isinstance(self.type, inspect.BoolType)

    @property
    def is_number(self) -> bool:
        return isinstance(self.type, inspect.IntType | inspect.FloatType)

    @property
    def allowed(self) -> str:
        """What the setting accepts, in words."""
        return _allowed(self.type)

    def parse(self, text: str) -> Any:
        """The value that `text` stands for, as typed in a form or after `--set`.

        Raises:
            SpecError: the text is not a value that the setting accepts.
        """
        return self.check(_from_text(self.type, text.strip()), shown=text.strip())

    def check(self, value: Any, shown: str | None = None) -> Any:
        """`value` as the setting's own type.

        Raises:
            SpecError: the value has the wrong type or is out of bounds.
        """
        try:
            return _check(self.type, value)
        except ValueError:
            text = repr(value) if shown is None else repr(shown)
            hint = ""
            if self.choices and isinstance(value, str):
                hint = f" ({nearest(value, self.choices)})" if "did you" in nearest(value, self.choices) else ""
            raise SpecError([Problem(self.path, f"{text} is not allowed; it takes {self.allowed}{hint}")]) from None

    def format(self, value: Any) -> str:
        """`value` as text that `parse` reads back."""
        return _to_text(value)


def _from_text(kind: inspect.Type, text: str) -> Any:
    if isinstance(kind, inspect.BoolType):
        return _WORDS.get(text.lower(), text)
    if isinstance(kind, inspect.IntType | inspect.FloatType):
        return _number(text)
    if isinstance(kind, inspect.LiteralType):
        return text.lower()
    if isinstance(kind, inspect.VarTupleType):
        body = text.removeprefix("[").removesuffix("]").removeprefix("(").removesuffix(")")
        if isinstance(kind.item_type, inspect.StrType):
            return tuple(part.strip().strip("\"'") for part in body.split(",") if part.strip())
        return tuple(_number(part) for part in body.replace(",", " ").replace("x", " ").split())
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    return text


def _number(text: str) -> Any:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        value = float(text)
    except ValueError:
        return text
    return int(value) if math.isfinite(value) and value.is_integer() and abs(value) < 2**53 else value


def _check(kind: inspect.Type, value: Any) -> Any:
    """`value` converted to `kind`; raises ValueError where it does not fit."""
    if isinstance(kind, inspect.FloatType):
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(value)
        return float(_bounded(kind, value))
    if isinstance(kind, inspect.IntType):
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(value)
        return _bounded(kind, value)
    if isinstance(kind, inspect.BoolType):
        if not isinstance(value, bool):
            raise ValueError(value)
        return value
    if isinstance(kind, inspect.LiteralType):
        if value not in kind.values:
            raise ValueError(value)
        return value
    if isinstance(kind, inspect.VarTupleType):
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = (value,)
        if not isinstance(value, list | tuple) or not _length_fits(kind, value):
            raise ValueError(value)
        return tuple(_check(_plain(kind.item_type), item) for item in value)
    assert isinstance(kind, inspect.StrType)
    if not isinstance(value, str) or len(value) < (kind.min_length or 0):
        raise ValueError(value)
    if kind.pattern is not None and not re.fullmatch(kind.pattern, value):
        raise ValueError(value)
    return value


def _bounded(kind: Any, value: Any) -> Any:
    fits = (
        (kind.ge is None or value >= kind.ge)
        and (kind.gt is None or value > kind.gt)
        and (kind.le is None or value <= kind.le)
        and (kind.lt is None or value < kind.lt)
    )
    if not fits:
        raise ValueError(value)
    return value


def _length_fits(kind: inspect.VarTupleType, value: Any) -> bool:
    return (kind.min_length or 0) <= len(value) <= (math.inf if kind.max_length is None else kind.max_length)


def _plain(kind: inspect.Type) -> inspect.Type:
    return kind.type if isinstance(kind, inspect.Metadata) else kind


def _to_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        text = repr(value)
        return text.removesuffix(".0").replace("e-0", "e-").replace("e+", "e")
    if isinstance(value, tuple):
        return ", ".join(map(_to_text, value))
    return str(value)


def _allowed(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.LiteralType):
        return "one of " + ", ".join(map(str, kind.values))
    if isinstance(kind, inspect.BoolType):
        return "true or false"
    if isinstance(kind, inspect.IntType | inspect.FloatType):
        noun = "a whole number" if isinstance(kind, inspect.IntType) else "a number"
        return f"{noun} {_bounds(kind)}".strip()
    if isinstance(kind, inspect.VarTupleType):
        count = ""
        if kind.max_length is not None:
            count = f"{kind.min_length} to {kind.max_length} " if kind.min_length else f"up to {kind.max_length} "
        item = _plain(kind.item_type)
        noun = "words" if isinstance(item, inspect.StrType) else "whole numbers"
        bounds = "" if isinstance(item, inspect.StrType) else f" {_bounds(item)}"
        return f"{count}{noun}{bounds}, separated by commas"
    if isinstance(kind, inspect.StrType) and kind.pattern is not None:
        return "auto, cpu, mps, cuda or cuda:N"
    return "some text" if getattr(kind, "min_length", None) else "text"


def _bounds(kind: Any) -> str:
    if kind.ge is not None and kind.le is not None:
        return f"from {_bound(kind.ge)} to {_bound(kind.le)}"
    words = [
        f"{word} {_bound(bound)}"
        for word, bound in (("above", kind.gt), ("of at least", kind.ge), ("below", kind.lt), ("up to", kind.le))
        if bound is not None
    ]
    return " and ".join(words)


def _bound(value: float) -> str:
    return f"{int(value):,}" if float(value).is_integer() and abs(value) < 1e15 else _to_text(value)


@cache
def variants(section: str) -> dict[str, type[msgspec.Struct]]:
    """The structs of a section by kind; a section without kinds has the one entry ''."""
    annotation = SECTIONS[section]
    members = get_args(annotation) or (annotation,)
    return {str(getattr(member.__struct_config__, "tag", None) or ""): member for member in members}


@cache
def fields_of(struct: type[msgspec.Struct]) -> dict[str, Field]:
    """The settings of one section variant by name, in the order people look for them."""
    section = next(name for name in SECTIONS if struct in variants(name).values())
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    found = []
    for item in info.fields:
        meta = item.type
        assert isinstance(meta, inspect.Metadata), f"{section}.{item.name} needs a description"
        found.append(
            Field(
                path=f"{section}.{item.name}",
                help=(meta.extra_json_schema or {})["description"],
                live=bool((meta.extra or {}).get("live")),
                default=item.default,
                type=_declared_order(struct, item.name, meta.type),
            )
        )
    found.sort(key=lambda field: _FIRST.index(field.name) if field.name in _FIRST else len(_FIRST))
    return {field.name: field for field in found}


def _declared_order(struct: type, name: str, kind: inspect.Type) -> inspect.Type:
    """msgspec sorts the words of a Literal; people expect the order in which they are declared."""
    if not isinstance(kind, inspect.LiteralType):
        return kind
    for base in struct.__mro__:
        annotations = get_annotations(base)
        if name in annotations:
            return inspect.LiteralType(get_args(get_args(annotations[name])[0]))
    return kind


def kind_of(part: msgspec.Struct) -> str:
    """The kind of a section variant, '' where the section has no kinds."""
    return str(part.__struct_config__.tag or "")
