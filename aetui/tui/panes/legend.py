"""The lines above the loss chart: names with their latest values, and remarks, none of them cut."""

from collections.abc import Sequence

from rich.cells import cell_len

from aetui.tui import texts

Part = tuple[str, str]
"""Text and role."""

_GAP = "   "


def flowed(parts: Sequence[Part], width: int, most: int) -> list[list[Part]]:
    """`parts` in at most `most` lines of `width` cells; the last line says how many have no room.

    A part is cut only where a line of its own is too short for it.
    """
    lines: list[list[Part]] = [[]]
    for index, (text, role) in enumerate(parts):
        if len(lines) < most and lines[-1] and _cells(lines[-1]) + len(_GAP) + cell_len(text) > width:
            lines.append([])
        line, rest = lines[-1], parts[index:]
        room = width - _cells(line)
        # The words for what follows must have room where that has none.
        kept = len(_more(len(rest) - 1)) if len(lines) == most and len(rest) > 1 and not _fit(rest, line, room) else 0
        if not line:
            line.append((texts.cut(text, max(1, width - kept)), role))
        elif len(_GAP) + cell_len(text) + kept <= room:
            line.append((_GAP + text, role))
        else:
            line.append((_more(len(rest)), "muted"))
            break
    return lines


def _fit(parts: Sequence[Part], line: Sequence[Part], room: int) -> bool:
    return sum(cell_len(text) + len(_GAP) for text, _ in parts) - (0 if line else len(_GAP)) <= room


def _more(count: int) -> str:
    return f"{_GAP}+{count} more"


def _cells(line: Sequence[Part]) -> int:
    return sum(cell_len(text) for text, _ in line)
