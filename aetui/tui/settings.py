"""The user's settings file: theme, refresh, engine and keys, with safe values where it is wrong."""

import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

from msgspec import Meta, Struct, ValidationError, convert, field
from textual.keys import Keys

from aetui.paths import config_folder
from aetui.spec.errors import nearest
from aetui.tui.actions import ACTIONS, BY_ID, keys_of, shown


class Settings(Struct, frozen=True, kw_only=True):
    """What a user sets once for all runs."""

    theme: Annotated[str, Meta(min_length=1, description="the name of a theme")] = "dark"
    refresh: Annotated[float, Meta(ge=0.5, le=10, description="a number of frames per second from 0.5 to 10")] = 3.0
    engine: Annotated[Literal["process", "thread"], Meta(description="process or thread")] = "process"
    characters: Annotated[
        Literal["auto", "braille", "blocks", "ascii"],
        Meta(description="auto, braille, blocks or ascii"),
    ] = "auto"
    keys: Annotated[dict[str, str | list[str]], Meta(description='a table of action = "key, key"')] = field(
        default_factory=dict
    )

    @property
    def keymap(self) -> dict[str, str]:
        """The keys as Textual's keymap takes them."""
        return {action: ",".join(_split(keys)) for action, keys in self.keys.items()}


_NAMED_KEYS = {key.value for key in Keys if not key.value.startswith("<")} | {"space"}
_CHARACTERS = {
    "+": "plus", "-": "minus", "=": "equals_sign", "?": "question_mark", "[": "left_square_bracket",
    "]": "right_square_bracket", ".": "full_stop", "/": "slash", " ": "space",
}  # fmt: skip


def settings_path() -> Path:
    """Where the settings file is."""
    return config_folder() / "settings.toml"


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
            keys = [_normal(key) for key in _split(convert(text, str | list[str]))]
        except ValidationError:
            problems.append(f"keys.{action}: {text!r} is not allowed; it takes text such as 'f5, space'")
            continue
        unknown = next((key for key in keys if not _is_key(key)), None)
        if action not in BY_ID and action not in others:
            problems.append(f"keys.{action}: unknown action; {nearest(action, [*BY_ID, *others])}")
        elif unknown is not None:
            problems.append(f"keys.{action}: {unknown!r} is not a key; write f5, ctrl+s, alt+x, space or one character")
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
    """A key by Textual's name: `?` is `question_mark`."""
    *modifiers, name = key.split("+") if len(key) > 1 else [key]
    name = _CHARACTERS.get(name, name if len(name) == 1 else name.lower())
    return "+".join([*(modifier.strip().lower() for modifier in modifiers), name])


def _is_key(key: str) -> bool:
    *modifiers, name = key.split("+")
    known = len(name) == 1 or name in _NAMED_KEYS or name in _CHARACTERS.values()
    return known and all(modifier in ("ctrl", "alt", "shift", "super", "meta", "hyper") for modifier in modifiers)
