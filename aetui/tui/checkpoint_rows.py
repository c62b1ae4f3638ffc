"""Checkpoints that hardly differ, as one row of the list."""

from __future__ import annotations

import re
from collections.abc import Sequence

from aetui import protocol as p
from aetui.tui import figures

Row = tuple[p.Place, ...]
"""Checkpoints, the newest first; the row is that of the last, which the others came after."""

_MOMENT = 2.0
"""Seconds between two checkpoints before tweaks of the same setting that count as near."""
_STEPS, _SHARE = 10, 0.01
"""Steps between two of them, at most, and share of the steps before them."""


def grouped(places: Sequence[p.Place]) -> list[Row]:
    """Rows of checkpoints in their order: those before tweaks of the same setting together, where they are near."""
    rows: list[Row] = []
    for place in places:
        if rows and _near(rows[-1][-1], place):
            rows[-1] = (*rows[-1], place)
        else:
            rows.append((place,))
    return rows


def reason(row: Row) -> str:
    """Why the checkpoint of a row was written, and how many more the row stands for."""
    more = f" (+{figures.count(len(row) - 1)} like it)" if len(row) > 1 else ""
    return row[len(row) - 1].reason + more


def hint(row: Row) -> str:
    """What a row leaves out, and the key that shows it, '' where it is whole."""
    if len(row) == 1:
        return ""
    steps = f"step {figures.count(row[0].step)}"
    return f"; {figures.count(len(row) - 1)} more up to {steps}, right lists them"


def _near(one: p.Place, other: p.Place) -> bool:
    settings = _tweaked(one)
    if not settings or settings != _tweaked(other) or one.here or other.here:
        return False
    if (one.branch, one.on_path) != (other.branch, other.on_path):
        return False
    apart = abs(one.step - other.step)
    return abs(one.time - other.time) <= _MOMENT or apart <= max(_STEPS, _SHARE * one.step)


def _tweaked(place: p.Place) -> list[str]:
    """The settings before whose tweak a checkpoint was written."""
    return re.findall(r"(?:before |, )([a-z]+\.\w+) ", place.reason) if place.reason.startswith("before ") else []
