"""The user's settings file: theme, refresh, engine, alerts and keys, with safe values where it is wrong."""

import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints
from unicodedata import normalize

from msgspec import Meta, Struct, ValidationError, convert, field
from textual.binding import Binding
from textual.keys import REPLACED_KEYS, Keys, key_to_character

from aetui.alerts.settings import AlertSettings, alert_settings
from aetui.paths import settings_path
from aetui.spec.errors import nearest
from aetui.tui.actions import ACTIONS, BY_ID, keys_of, shown
from aetui.tui.markers import Marker


class Settings(Struct, frozen=True, kw_only=True):
    """What a user sets once for all runs."""

    theme: Annotated[str, Meta(min_length=1, description="the name of a theme")] = "dark"
    refresh: Annotated[float, Meta(ge=0.5, le=10, description="a number of frames per second from 0.5 to 10")] = 3.0
    engine: Annotated[Literal["process", "thread"], Meta(description="process or thread")] = "process"
    characters: Annotated[
        Literal["auto", "braille", "blocks", "ascii"],
        Meta(description="auto, braille, blocks or ascii"),
    ] = "auto"
    marker: Annotated[Marker, Meta(description="braille, quadrants, blocks or ascii")] = "braille"
    alerts: AlertSettings = AlertSettings()
    keys: Annotated[dict[str, str | list[str]], Meta(description='a table of action = "key, key"')] = field(
        default_factory=dict
    )

    @property
    def keymap(self) -> dict[str, str]:
        """The keys as Textual's keymap takes them."""
        return {action: ",".join(_split(keys)) for action, keys in self.keys.items()}


_NAMED_KEYS = {key.value for key in Keys if not key.value.startswith("<")} | {"space"}
"""Every key that Textual has a name for; those with ctrl or shift are the ones that terminals send."""


def load_settings(path: Path | None = None, others: Collection[str] = ()) -> tuple[Settings, list[str]]:
    """The settings in a file, and one sentence for each thing in it that was not taken.

    `others` are ids of bindings besides the actions that [keys] may name. A file that does not
    exist is no problem.
    """
    path = path or settings_path()
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Settings(), []
    except OSError as error:
        return Settings(), [f"{path} can't be read: {error.strerror}; using the defaults"]
    except UnicodeDecodeError:
        return Settings(), [f"{path} is not UTF-8 text; using the defaults"]
    except tomllib.TOMLDecodeError as error:
        return Settings(), [f"{path} is not valid TOML: {error}; using the defaults"]
    problems: list[str] = []
    values = _values(raw, problems)
    values["keys"] = _keys(values.get("keys", {}), others, problems)
    return Settings(**values), [f"{path.name}: {problem}" for problem in problems]


def _values(raw: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    hints = get_type_hints(Settings, include_extras=True)
    default = Settings()
    values: dict[str, Any] = {}
    for key, value in raw.items():
        if key not in hints:
            problems.append(f"unknown setting {key}; {nearest(key, hints)}")
            continue
        if key == "keys" and isinstance(value, dict):
            values[key] = value
            continue
        if key == "alerts":
            values[key], more = alert_settings(value)
            problems += more
            continue
        try:
            values[key] = convert(value, hints[key])
        except ValidationError:
            allowed = hints[key].__metadata__[0].description
            using = f"; using {getattr(default, key)}" if key != "keys" else ""
            problems.append(f"{key} {value!r} is not allowed; it takes {allowed}{using}")
    return values


def _keys(wanted: Mapping[str, Any], others: Collection[str], problems: list[str]) -> dict[str, str]:
    """The usable part of the keys table: known actions, known keys, no key for two actions."""
    accepted: dict[str, str] = {}
    for action, text in wanted.items():
        try:
            given = _split(convert(text, str | list[str]))
            keys = [_normal(key) for key in given]
        except ValidationError:
            problems.append(f"keys.{action}: {text!r} is not allowed; it takes text such as 'f5, space'")
            continue
        # Textual has a name for each character, but does not find all of them by it.
        doubtful = [key for key, one in zip(keys, given, strict=True) if len(one) != 1 or not one.isprintable()]
        refusal = next(filter(None, map(_refusal, doubtful)), "")
        if action not in BY_ID and action not in others:
            problems.append(f"keys.{action}: unknown action; {nearest(action, [*BY_ID, *others])}")
        elif refusal:
            problems.append(f"keys.{action}: {refusal}")
        elif not keys:
            problems.append(f"keys.{action}: no key is given; leave the line out to keep the default")
        else:
            accepted[action] = ",".join(keys)
    while clash := _clash(accepted):
        action, key, owner = clash
        problems.append(f"keys.{action}: {shown(key)} already belongs to {owner}; give {owner} another key too")
        del accepted[action]
    return accepted


def _clash(keymap: Mapping[str, str]) -> tuple[str, str, str] | None:
    """A remapped action, the key it takes, and the action that has that key; None if there is none."""
    owners: dict[str, str] = {}
    for action in sorted(ACTIONS, key=lambda action: action.id in keymap):
        for key in map(_normal, keys_of(action, keymap)):
            if owners.setdefault(key, action.id) != action.id:
                return action.id, key, owners[key]
    return None


def _split(text: str | list[str]) -> list[str]:
    if isinstance(text, list):
        return [key.strip() or key for key in text if key]
    return [key.strip() for key in text.split(",") if key.strip()]


def _normal(key: str) -> str:
    """A key by Textual's name: `?` is `question_mark`, `Ctrl+S` is `ctrl+s`."""
    front, plus, name = key[:-1].rpartition("+") if len(key) > 1 else ("", "", "")
    if not plus:
        return _character_name(key if len(key) == 1 else normalize("NFC", key))
    name = _character_name(normalize("NFC", (name + key[-1]).strip()))
    modifiers = [modifier.strip().lower() for modifier in front.split("+")]
    return "+".join([*modifiers, name.lower() if "ctrl" in modifiers else name])


def _character_name(name: str) -> str:
    """Textual's name of a character, and of any other key the name in small letters."""
    if len(name) > 1:
        return name.lower()
    if name == ",":
        return "comma"
    return next((binding.key for binding in Binding.make_bindings([(name, "", "")])), name) if name.strip() else "space"


def _refusal(key: str) -> str:
    """Why a key by Textual's name can't be used, '' if it can."""
    *modifiers, name = key.split("+")
    character = key_to_character(REPLACED_KEYS.get(name, name))
    if not (name in _NAMED_KEYS or (character and character.isprintable())):
        return f"{key!r} is not a key; write f5, ctrl+s, alt+x, space or one character"
    if "shift" in modifiers and len(name) == 1 and name.isalpha() and set(modifiers) == {"shift"}:
        return f"{key!r} is not a key; terminals send the capital letter, write {name.upper()}"
    plain_alt = modifiers == ["alt"] and (name in _NAMED_KEYS or (len(name) == 1 and name.isascii()))
    if modifiers and not (plain_alt or key in _NAMED_KEYS):
        allowed = "ctrl goes with a to z, alt with letters, digits and named keys, shift with named keys"
        return f"{key!r} is not a key that terminals send; {allowed}"
    return ""
