"""Specs as TOML text: every setting with its help, and back."""

import json
import textwrap
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from aetui.spec.change import from_mapping
from aetui.spec.errors import Problem, SpecError
from aetui.spec.fields import SECTIONS, Field, fields_of, kind_of, variants
from aetui.spec.sections import RunSpec


def loads(text: str, source: str = "spec") -> RunSpec:
    """The spec in a TOML text; what it leaves out takes the defaults.

    Raises:
        SpecError: the text is not TOML, or a setting is unknown or refused.
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SpecError([Problem(source, f"is not valid TOML: {error}")]) from None
    return from_mapping(raw)


def load(path: Path) -> RunSpec:
    """The spec in a TOML file.

    Raises:
        SpecError: the file can't be read, or its text is refused.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SpecError([Problem(str(path), f"can't be read: {reason}")]) from None
    return loads(text, source=str(path))


def dumps(spec: RunSpec) -> str:
    """`spec` as TOML, every setting with its help, bounds and whether it is live."""
    blocks = []
    for section in SECTIONS:
        part = getattr(spec, section)
        lines = [f"[{section}]"]
        kind = kind_of(part)
        if kind:
            lines.append(f"# {(type(part).__doc__ or '').strip()}")
            lines.extend(_comment(f"one of {', '.join(variants(section))}"))
            lines.append(f"kind = {_value(kind)}")
        for field in fields_of(type(part)).values():
            lines.extend(_comment(_note(field)))
            lines.append(f"{field.name} = {_value(getattr(part, field.name))}")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def _note(field: Field) -> str:
    parts = [field.help]
    if field.choices or field.is_number:
        parts.append(field.allowed)
    if field.live:
        parts.append("live")
    return "; ".join(parts)


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, width=100, initial_indent="# ", subsequent_indent="#   ", break_on_hyphens=False)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, tuple):
        return f"[{', '.join(map(_value, value))}]"
    return repr(value)


def reference() -> list[tuple[str, str, str, str, bool]]:
    """Every setting once, for the docs: path, kinds that have it, default, help with bounds, live."""
    rows: dict[tuple[str, str, str], tuple[list[str], Field]] = {}
    for section in SECTIONS:
        for kind, struct in variants(section).items():
            for field in fields_of(struct).values():
                default = "required" if field.default is msgspec.NODEFAULT else field.format(field.default)
                rows.setdefault((field.path, default, field.help), ([], field))[0].append(kind)
    return [
        (path, ", ".join(filter(None, kinds)), default, _note(field), field.live)
        for (path, default, _), (kinds, field) in rows.items()
    ]
