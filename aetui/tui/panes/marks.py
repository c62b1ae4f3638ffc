"""Tweaks and stops on the loss chart: a line for each, or for several where theirs would cover the curve."""

from __future__ import annotations

from collections.abc import Sequence

from aetui.tui import figures, plot, texts
from aetui.tui.journal_entries import Mark

_COLUMNS = 8
"""Columns of the chart for each line, at least, before neighbors share one."""
_ROLES = {"non-finite": "warning", "pause": "muted"}


def drawn(marks: Sequence[Mark], first: int, last: int, columns: int) -> tuple[list[plot.Mark], str]:
    """The lines of the marks after `first` to `last` steps, and a note where some stand for several, else ''.

    Pauses come first, so that a tweak's label wins the room. A line that stands for several is where the first of
    them is, and says how many they are.
    """
    inside = sorted((mark for mark in marks if first <= mark.step <= last), key=lambda mark: mark.step)
    by_kind = [[mark for mark in inside if mark.kind == kind] for kind in ("pause", "non-finite", "tweak")]
    most, near = max(1, columns // _COLUMNS), 0
    groups = [[mark] for kind in by_kind for mark in kind]
    while len(groups) > most and near < columns:
        near = 2 * near or 1
        steps = near * (last - first) / max(columns, 1)
        groups = [group for kind in by_kind for group in _near(kind, steps)]
    lines = [plot.Mark(group[0].step + 0.5, _label(group), _ROLES.get(group[0].kind, "mark")) for group in groups]
    return lines, _note(by_kind) if len(groups) < len(inside) else ""


def _near(marks: Sequence[Mark], steps: float) -> list[list[Mark]]:
    """Marks of one kind, together where the first of a group is less than so many steps away."""
    groups: list[list[Mark]] = []
    for mark in marks:
        if groups and mark.step - groups[-1][0].step < steps and mark.kind != "non-finite":
            groups[-1].append(mark)
        else:
            groups.append([mark])
    return groups


def _label(group: Sequence[Mark]) -> str:
    if len(group) > 1:
        return _counted(len(group), group[0].kind)
    return "pause" if group[0].kind == "pause" else texts.plain(group[0].text)


def _counted(count: int, kind: str) -> str:
    return f"{figures.count(count)} {kind}{'s' * (count > 1)}"


def _note(by_kind: Sequence[Sequence[Mark]]) -> str:
    named = [_counted(len(marks), marks[0].kind) for marks in by_kind if marks and marks[0].kind != "non-finite"]
    return f"{plot.MARK} {' and '.join(named[::-1])}, near ones as one"
