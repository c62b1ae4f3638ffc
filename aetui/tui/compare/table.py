"""The table of trainings side by side: one line each, as many columns as there is room for."""

from __future__ import annotations

from rich.cells import cell_len
from textual.strip import Strip

from aetui.comparison import difference_text
from aetui.tui import texts
from aetui.tui.compare.columns import GAP, cells
from aetui.tui.compare.sides import Side, Sides
from aetui.tui.picture import Picture

_BAD = ("damaged", "unreadable", "diverged", "collapsed", "worse", "failed")
_GOOD = ("healthy", "at-limit", "fixes it", "helps")


class CompareTable(Picture):
    """The rows that are shown, the marked one with a sign besides its color."""

    def __init__(self, sides: Sides, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self._sides = sides
        self._top = 0

    def on_resize(self) -> None:
        self.show()

    def show(self) -> None:
        """Draw the rows as they are now."""
        width, height = self.content_size
        if not (width and height):
            return
        sides, shown = self._sides, self._sides.shown
        if not shown:
            self.paint([self.line((self._none(), "muted"))])
            return
        marked = self._sides.marked
        heads, table = cells(self._sides.rows, sides.at, width - 4)
        paths = sides.differing
        room = width - 4 - sum(cell_len(head) + GAP for head in heads)
        what = "change" if any(side.row.change for side in shown) else "settings that differ"
        lines = [self.line((texts.cut("    " + "  ".join([*heads, what]), width), "muted"))]
        index = shown.index(marked) if marked in shown else 0
        rows = height - 1
        self._top = max(index - rows + 1, min(self._top, index, max(0, len(shown) - rows)))
        for at in range(self._top, min(len(shown), self._top + rows)):
            side = shown[at]
            rest = texts.cut(texts.plain(difference_text(side.row, paths)), max(0, room))
            lines.append(self._row(side, "  ".join(table[at]) + "  ", rest, side is marked))
        if len(shown) > rows:
            self.border_subtitle = f"{self._top + 1} to {min(len(shown), self._top + rows)} of {len(shown)}"
        else:
            self.border_subtitle = ""
        self.paint(lines)

    def _none(self) -> str:
        return f"nothing fits the filter {self._sides.wanted!r}" if self._sides.sides else "nothing to compare yet"

    def _row(self, side: Side, text: str, rest: str, marked: bool) -> Strip:
        pinned = "*" if side.row.name in self._sides.pinned else " "
        word = side.row.verdict
        role = "warning" if word in _BAD or side.row.state in _BAD else "good" if word in _GOOD else "text"
        sign = (f"{'›' if marked else ' '}{side.marker}", side.role)
        before, verdict, after = text.rpartition(word) if word else (text, "", "")
        return self.line(
            sign, (f"{pinned} ", "mark"), before, (verdict, role), after, (rest, "text" if marked else "muted"),
            reverse=False,
        )  # fmt: skip
