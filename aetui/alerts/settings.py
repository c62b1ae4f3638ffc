"""The `[alerts]` of settings.toml: what is told, and how."""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args, get_type_hints
from urllib.parse import urlsplit

from msgspec import Meta, Struct, ValidationError, convert

from aetui.paths import settings_path
from aetui.spec.errors import nearest

Kind = Literal["verdict", "non-finite", "finish", "end"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Desktop = Literal["off", "auto", "osc9", "osc777"]


class AlertSettings(Struct, frozen=True, kw_only=True):
    """Which alerts there are, and the ways that they take; without a way there are none."""

    on: Annotated[tuple[Kind, ...], Meta(description=f"a list of {', '.join(KINDS[:-1])} and {KINDS[-1]}")] = KINDS
    bell: Annotated[bool, Meta(description="true or false")] = False
    desktop: Annotated[Desktop, Meta(description="off, auto, osc9 or osc777")] = "off"
    command: Annotated[
        str | list[str], Meta(description="a command line, or a list of a program and its arguments")
    ] = ""
    webhook: Annotated[str, Meta(description="an address that begins with http:// or https://")] = ""

    @property
    def words(self) -> list[str]:
        """The command as a program and its arguments, [] for none."""
        return shlex.split(self.command) if isinstance(self.command, str) else list(self.command)

    @property
    def sent(self) -> bool:
        """Whether there is a way that needs no terminal."""
        return bool(self.words or self.webhook)


def alert_settings(table: object) -> tuple[AlertSettings, list[str]]:
    """The usable part of an `[alerts]` table, and one sentence for each thing in it that was not taken."""
    if not isinstance(table, Mapping):
        return AlertSettings(), [f"alerts {table!r} is not allowed; it takes a table, [alerts]"]
    hints, default = get_type_hints(AlertSettings, include_extras=True), AlertSettings()
    values: dict[str, Any] = {}
    problems: list[str] = []
    for key, value in table.items():
        if key not in hints:
            problems.append(f"unknown setting alerts.{key}; {nearest(str(key), hints)}")
            continue
        try:
            values[key] = convert(value, hints[key])
            _check(key, values[key])
        except (ValidationError, ValueError) as error:
            values.pop(key, None)
            why = "" if isinstance(error, ValidationError) else f" ({error})"
            using = getattr(default, key)
            left = f"using {using!r}" if using and key != "on" else "all are told" if key == "on" else "it is left out"
            shown = "" if key == "webhook" else f" {value!r}"  # an address may hold a secret
            problems.append(
                f"alerts.{key}{shown} is not allowed{why}; it takes {hints[key].__metadata__[0].description}; {left}"
            )
    return AlertSettings(**values), problems


def _check(key: str, value: Any) -> None:
    """What `AlertSettings` can not say of a value.

    Raises:
        ValueError: it can't be used; the reason.
    """
    if key == "webhook" and value and not (urlsplit(value).scheme in ("http", "https") and urlsplit(value).hostname):
        raise ValueError("no such address")
    if key == "command" and isinstance(value, str):
        shlex.split(value)


def load_alerts() -> tuple[AlertSettings, list[str]]:
    """The user's, as the file has them now; the defaults where it can't be read, which the screen says."""
    try:
        raw = tomllib.loads(settings_path().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return AlertSettings(), []
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        return AlertSettings(), [f"{settings_path()} can't be read, so there are no alerts: {error}"]
    found, problems = alert_settings(raw.get("alerts", {}))
    return found, [f"{settings_path().name}: {problem}" for problem in problems]
