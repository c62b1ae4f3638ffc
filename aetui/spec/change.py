"""Building and changing specs from flat `section.key` values, all or nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from aetui.spec.errors import Problem, SpecError, nearest
from aetui.spec.fields import SECTIONS, Field, fields_of, kind_of, variants
from aetui.spec.naming import arguments
from aetui.spec.sections import LIVE_KINDS, OwnModel, RunSpec, Sgd

PRESET = "preset:"
"""Begins the path of a model file that comes with aetui, beside the presets."""


@dataclass(frozen=True)
class Difference:
    """One setting that differs between two specs, its values as text ('' where it does not exist)."""

    path: str
    old: str
    new: str
    live: bool

    def __str__(self) -> str:
        return f"{self.path} {self.old or '-'} -> {self.new or '-'}"


def moves_text(path: str, old: str, new: str, moves: int, first: int, last: int) -> str:
    """Several moves of one setting as one tweak, made after `first` to `last` steps.

    `optim.lr 0.001 -> 0.0001 in 4 moves up to step 1,250`; no value leads to itself.
    """
    text = f"{path} moved and back to {new}" if new == old else f"{path} {old} -> {new}"
    return text if first == last else f"{text} in {moves} moves up to step {last:,}"


def changed(spec: RunSpec, changes: Mapping[str, Any], *, text: bool = False) -> RunSpec:
    """`spec` with the settings in `changes` (by path) replaced.

    A new kind keeps the values of the old one that were set away from their defaults and that
    the new kind has too; the others take the new kind's defaults. With `text`, values are text
    as typed.

    Raises:
        SpecError: any path or value is refused; nothing is changed in part.
    """
    problems: list[Problem] = []
    wanted: dict[str, dict[str, Any]] = {}
    for path, value in changes.items():
        section, _, name = path.partition(".")
        if section not in SECTIONS:
            problems.append(Problem(path, f"there is no section {section!r}; {nearest(section, SECTIONS)}"))
        elif not name:
            problems.append(Problem(path, f"a setting is written {section}.key; {_known_keys(spec, section)}"))
        else:
            wanted.setdefault(section, {})[name] = value
    parts: dict[str, Any] = {}
    for section, values in wanted.items():
        try:
            parts[section] = _changed_section(section, getattr(spec, section), values, text)
        except SpecError as error:
            problems.extend(error.problems)
    if problems:
        raise SpecError(problems)
    result = msgspec.structs.replace(spec, **parts)
    check_together(result)
    return result


def _known_keys(spec: RunSpec, section: str) -> str:
    return "known: " + ", ".join(fields_of(type(getattr(spec, section))))


def _changed_section(section: str, part: msgspec.Struct, values: dict[str, Any], text: bool) -> msgspec.Struct:
    values = dict(values)
    struct = type(part)
    kept = {name: getattr(part, name) for name in fields_of(struct)}
    kinds = variants(section)
    if "kind" in values and "" not in kinds:
        kind = values.pop("kind")
        if not isinstance(kind, str) or kind.strip().lower() not in kinds:
            hint = nearest(str(kind), kinds)
            raise SpecError([Problem(f"{section}.kind", f"{kind!r} is not allowed; it takes one of "
                                     f"{', '.join(kinds)}" + (f" ({hint})" if "did you" in hint else ""))])  # fmt: skip
        target = kinds[kind.strip().lower()]
        if target is not struct:
            own = {name: value for name, value in kept.items() if value != fields_of(struct)[name].default}
            struct = target
            kept = {name: value for name, value in own.items() if _fits(fields_of(struct).get(name), value)}
    known = fields_of(struct)
    problems: list[Problem] = []
    for name, value in values.items():
        field = known.get(name)
        if field is None:
            problems.append(_unknown(section, struct, name))
            continue
        try:
            kept[name] = field.parse(value) if text and isinstance(value, str) else field.check(value)
        except SpecError as error:
            problems.extend(error.problems)
    problems.extend(
        Problem(field.path, f"missing; it takes {field.allowed} ({field.help})")
        for field in known.values()
        if field.required and field.name not in kept
    )
    if problems:
        raise SpecError(problems)
    return struct(**kept)


def _fits(field: Field | None, value: Any) -> bool:
    """Whether a value of another kind's setting can be carried over to this one."""
    if field is None:
        return False
    try:
        return field.check(value) == value
    except SpecError:
        return False


def _unknown(section: str, struct: type[msgspec.Struct], name: str) -> Problem:
    path = f"{section}.{name}"
    owners = [kind for kind, other in variants(section).items() if kind and name in fields_of(other)]
    if owners:
        kind = str(struct.__struct_config__.tag)
        return Problem(
            path, f"{section}.kind {kind} has no {name}; {', '.join(owners)} {'has' if len(owners) == 1 else 'have'}"
        )
    known = [*fields_of(struct), *(["kind"] if "" not in variants(section) else [])]
    close = nearest(name, known)
    if "did you mean" in close:
        return Problem(path, f"unknown setting; {close.replace('mean ', f'mean {section}.')}")
    everywhere = {
        field.name: field for other in SECTIONS for s in variants(other).values() for field in fields_of(s).values()
    }
    if name in everywhere:
        return Problem(path, f"unknown setting; did you mean {everywhere[name].path}?")
    return Problem(path, f"unknown setting; {close}")


def from_mapping(raw: Mapping[str, Any], base: RunSpec | None = None) -> RunSpec:
    """A spec from nested plain values, as a TOML or JSON file holds them.

    Raises:
        SpecError: unknown sections or keys, bad values; every problem is listed.
    """
    flat: dict[str, Any] = {}
    problems: list[Problem] = []
    for section, values in raw.items():
        if section in SECTIONS and not isinstance(values, Mapping):
            problems.append(Problem(section, f"{values!r} is not allowed; it takes a table [{section}]"))
        elif section not in SECTIONS or not values:
            if section not in SECTIONS:
                problems.append(Problem(section, f"unknown section; {nearest(section, SECTIONS)}"))
        else:
            flat.update({f"{section}.{name}": value for name, value in values.items()})
    spec = base or RunSpec()
    try:
        spec = changed(spec, flat)
    except SpecError as error:
        problems.extend(error.problems)
    if problems:
        raise SpecError(problems)
    return spec


def to_mapping(spec: RunSpec) -> dict[str, Any]:
    """`spec` as nested plain values; `from_mapping` reads them back."""
    return msgspec.to_builtins(spec)


def differences(old: RunSpec, new: RunSpec) -> list[Difference]:
    """The settings in which two specs differ, kinds first within each section."""
    found: list[Difference] = []
    for section in SECTIONS:
        before, after = getattr(old, section), getattr(new, section)
        if before == after:
            continue
        fields_before, fields_after = fields_of(type(before)), fields_of(type(after))
        switched = type(before) is not type(after)
        live_kind = switched and section in LIVE_KINDS
        if switched:
            found.append(Difference(f"{section}.kind", kind_of(before), kind_of(after), live_kind))
        for name in {**fields_before, **fields_after}:
            past, present = _text(fields_before.get(name), before), _text(fields_after.get(name), after)
            field = fields_after.get(name) or fields_before[name]
            implied = switched and (not present or (not past and getattr(after, name) == field.default))
            if past != present and not implied:
                found.append(Difference(field.path, past, present, field.live or live_kind))
    return found


def value_text(spec: RunSpec, path: str) -> str:
    """The value of a setting as text that `--set` takes.

    Raises:
        KeyError: the spec has no such setting.
    """
    section, _, name = path.partition(".")
    part = getattr(spec, section)
    return kind_of(part) if name == "kind" else _text(fields_of(type(part))[name], part)


def _text(field: Field | None, part: msgspec.Struct) -> str:
    return field.format(getattr(part, field.name)) if field else ""


def check_together(spec: RunSpec) -> None:
    """Refuse settings that are fine alone and impossible together.

    Raises:
        SpecError: naming the setting to change.
    """
    problems: list[Problem] = []
    if isinstance(spec.optim, Sgd) and spec.optim.nesterov and spec.optim.momentum == 0:
        problems.append(Problem("optim.nesterov", "true needs optim.momentum above 0; it is 0"))
    if len(spec.data.image_shape) == 1:
        problems.append(
            Problem("data.image_shape", "takes height, width or channels, height, width; it has one number")
        )
    if getattr(spec.model, "batch_norm", False) and spec.train.batch_size == 1:
        problems.append(Problem("train.batch_size", "1 does not work with model.batch_norm; take at least 2"))
    if isinstance(spec.model, OwnModel):
        problems.extend(_own_model(spec.model.path))
        try:
            arguments(spec.model.args)
        except ValueError as error:
            problems.append(Problem("model.args", str(error)))
    if problems:
        raise SpecError(problems)


def _own_model(path: str) -> list[Problem]:
    """What is wrong with the text of `model.path`; whether the file exists is for the engine to see."""
    file, _, name = path.rpartition(":")
    if not file.endswith(".py") or not name.isidentifier():
        return [
            Problem("model.path", f"{path!r} is not allowed; it takes file.py:name, such as my_model.py:Autoencoder")
        ]
    inside = file.removeprefix(PRESET)
    if file.startswith(PRESET) and not all(part.isidentifier() for part in inside.removesuffix(".py").split("/")):
        return [Problem("model.path", f"{path!r} is not allowed; after {PRESET} it takes a file that comes with aetui")]
    return []
