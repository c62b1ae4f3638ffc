"""The lines above the loss chart: names with their latest values, and remarks, none of them cut."""

from collections.abc import Sequence

from rich.cells import cell_len

from aetui.tui import texts

Part = tuple[str, str]
"""Text and role."""

_GAP = "   "


def flowed(parts: Sequence[Part], width: int, most: int) -> list[list[Part]]:
    """`parts` in at most `most` lines of `width` cells, each whole; the last line says how many have no room."""
    lines: list[list[Part]] = [[]]
    for index, part in enumerate(parts):
        left = len(parts) - index
        room = width - _cells(lines[-1])
        here = cell_len(part[0]) + (len(_GAP) if lines[-1] else 0)
        last = len(lines) == most
        # What follows must have room too, or the words for it.
        reserve = len(_more(left - 1)) if last and left > 1 and not _fit(parts[index:], room, bool(lines[-1])) else 0
        if here + reserve <= room:
            lines[-1].append((_GAP + part[0] if lines[-1] else part[0], part[1]))
        elif not last and lines[-1]:
            lines.append([(texts.cut(part[0], width), part[1])])
        elif not lines[-1]:
            lines[-1].append((texts.cut(part[0], max(1, width - reserve)), part[1]))
        else:
            lines[-1].append((_more(left)[-room:] if room < len(_more(left)) else _more(left), "muted"))
            break
    return lines


def _fit(parts: Sequence[Part], room: int, joined: bool) -> bool:
    return sum(cell_len(text) + len(_GAP) for text, _ in parts) - (0 if joined else len(_GAP)) <= room


def _more(count: int) -> str:
    return f"{_GAP}+{count} more"


def _cells(line: Sequence[Part]) -> int:
    return sum(cell_len(text) for text, _ in line)
