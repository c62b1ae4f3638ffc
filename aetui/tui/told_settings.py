"""Settings that a run tells and no spec has, such as the rates of an optimizer's groups: their rows and edits."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from contextlib import suppress

from aetui import protocol as p
from aetui.spec import Difference, Problem, SpecError
from aetui.tui.form_fields import TITLES, Row

_SWITCH = ("true", "false")


class ToldSettings:
    """What is in force of them, and what the user has made of it."""

    def __init__(self) -> None:
        self._in_force: dict[str, p.Setting] = {}
        self._edits: dict[str, str] = {}

    def __contains__(self, path: str) -> bool:
        return path in self._in_force

    def follow(self, settings: Iterable[p.Setting], known: Iterable[str]) -> None:
        """Take note of the settings now in force; edits that these do not touch stay. known: paths that a spec has."""
        known = set(known)
        self._in_force = {one.path: one for one in settings if one.path not in known and one.live}
        for path, text in list(self._edits.items()):
            if path not in self._in_force or same(text, self._in_force[path].value):
                del self._edits[path]

    def drop(self) -> None:
        """Forget the edits."""
        self._edits.clear()

    def take(self, path: str, text: str) -> None:
        """Put a value, as text, among the edits.

        Raises:
            SpecError: the setting refuses it.
        """
        check(setting := self._in_force[path], text)
        if same(text, setting.value):
            self._edits.pop(path, None)
        else:
            self._edits[path] = text.strip()

    def check(self, path: str, text: str) -> None:
        """Raises:
        SpecError: the setting refuses the text.
        """
        check(self._in_force[path], text)

    @property
    def texts(self) -> Mapping[str, str]:
        """The values in force, by path."""
        return {path: one.value for path, one in self._in_force.items()}

    @property
    def edits(self) -> dict[str, str]:
        """What is to be set, as text by path."""
        return dict(self._edits)

    def pending(self) -> list[Difference]:
        """The settings that differ between what is in force and the edits."""
        return [Difference(path, self._in_force[path].value, text, live=True) for path, text in self._edits.items()]

    def added(self, rows: list[Row]) -> list[Row]:
        """`rows` with those of these settings: in their section where there is one, else in one of their own."""
        found = list(rows)
        for path, setting in self._in_force.items():
            own = Row(
                path,
                setting.path.rpartition(".")[2].replace("_", " "),
                self._edits.get(path, setting.value),
                live=True,
                choices=_SWITCH if setting.type == "switch" else setting.choices,
                setting=setting,
            )
            places = [index for index, row in enumerate(found) if row.section == own.section]
            if not places:
                title = TITLES.get(own.section, own.section.replace("[", " ").removesuffix("]").upper())
                found.append(Row(own.section, title, "", live=True, marker="live", heading=True))
                places = [len(found) - 1]
            found.insert(places[-1] + 1, own)
        return found


def check(setting: p.Setting, text: str) -> None:
    """Raises:
    SpecError: the setting does not take the text.
    """
    if setting.type == "switch":
        allowed = text.strip().lower() in _SWITCH
    elif setting.type in ("number", "integer"):
        value = number(text)
        allowed = value is not None and math.isfinite(value) and _within(setting, value)
    else:
        allowed = not setting.choices or text.strip() in setting.choices
    if not allowed:
        raise SpecError([Problem(setting.path, f"{text!r} is not allowed; it takes {setting.allowed}")])


def _within(setting: p.Setting, value: float) -> bool:
    low, high = setting.low, setting.high
    above = low is None or value > low or (value == low and not setting.above_low)
    return above and (high is None or value < high or (value == high and not setting.below_high))


def same(one: str, other: str) -> bool:
    """Whether two texts are one value."""
    first, second = number(one), number(other)
    return one.strip().lower() == other.strip().lower() or (first is not None and first == second)


def number(text: str) -> float | None:
    with suppress(ValueError):
        return float(text)
    return None
