"""The list of checkpoints that a run can return to."""

import time
from collections.abc import Sequence
from typing import Any, ClassVar

from textual import events, on
from textual.binding import Binding
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from aetui import protocol as p
from aetui.tui import checkpoint_rows, figures, texts
from aetui.tui.dialogs import Dialog
from aetui.tui.pick import PickList

_AROUND = 4
"""Cells that the list takes from a line: cursor, and the sign that there is more."""

Columns = tuple[tuple[str, int], ...]
"""Names and widths; the reason has what is left."""

_FULL: Columns = (("", 4), ("step", 9), ("loss", 8), ("expl.", 6), ("age", 6))
_SHORT: Columns = (("", 4), ("step", 9), ("loss", 8), ("age", 6))
_LEAST: Columns = (("", 4), ("step", 9))
_REASON = 12
"""Cells for the reason, at least."""


def columns(width: int) -> Columns:
    """The columns that fit in a line of `width` cells beside the reason."""
    for found in (_FULL, _SHORT):
        if sum(cells + 2 for _, cells in found) + _REASON <= width:
            return found
    return _LEAST


def head(width: int) -> str:
    """The names above the list."""
    return texts.cut("  ".join(_cell(name, name, cells) for name, cells in columns(width)) + "  reason", width)


def line(row: checkpoint_rows.Row, width: int, now: float) -> str:
    """A row of checkpoints as a line of cells. now: seconds since the epoch."""
    place = row[-1]
    shown = {
        "": whereabouts(place),
        "step": figures.count(place.step),
        "loss": figures.number(place.loss),
        "expl.": figures.explained(place.explained) if place.explained_step == place.step else figures.MISSING,
        "age": age(now - place.time),
    }
    return "  ".join(
        [*(_cell(name, shown[name], cells) for name, cells in columns(width)), texts.plain(checkpoint_rows.reason(row))]
    )


def _cell(name: str, text: str, cells: int) -> str:
    return text.rjust(cells) if name else text.ljust(cells)


def whereabouts(place: p.Place) -> str:
    """`here`, `left` for a branch that the run is not on, or ''."""
    return "here" if place.here else "" if place.on_path else "left"


def details(row: checkpoint_rows.Row, now: float) -> str:
    """Everything about a row's checkpoint, for below the list."""
    place = row[-1]
    where = f" ({whereabouts(place)})" if whereabouts(place) else ""
    measured = figures.as_of(figures.explained(place.explained), place.explained_step, place.step)
    figured = f"loss {figures.number(place.loss)}, expl. var. {measured}"
    aged = f"{age(now - place.time)} old{checkpoint_rows.hint(row)}"
    return f"step {figures.count(place.step)}{where}, {place.reason}, {figured}, {aged}"


def age(seconds: float) -> str:
    """An age in one unit: `12 s`, `3 min`, `2 h`, `5 d`; a clock that was set back makes it 0 s."""
    seconds = max(0.0, seconds)
    for unit, size, limit in (("s", 1, 60), ("min", 60, 3600), ("h", 3600, 86_400)):
        if seconds < limit:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds // 86_400):,} d"


class RewindDialog(Dialog[int | None]):
    """Which checkpoint to return to; None if the user would rather not. Enter returns, Escape changes nothing."""

    BINDINGS: ClassVar = [
        Binding("right", "list_all", "List all", show=False),
        Binding("left", "list_less", "List less", show=False),
    ]

    HINT = "Enter goes there, Esc stays"
    DEFAULT_CSS = """
    RewindDialog {
        & > .dialog { width: 96%; max-width: 110; }
        & .rewind-head { color: $series-muted; height: 1; padding-left: 2; }
        & PickList { margin-top: 0; }
        & .rewind-details { color: $series-muted; height: 3; }
    }
    """

    def __init__(self, waiting: str = "waiting for the engine to list its checkpoints", **kwargs: Any) -> None:
        super().__init__("Rewind to a checkpoint", waiting, **kwargs)
        self.places: tuple[p.Place, ...] | None = None
        """None until they come."""
        self._rows: list[checkpoint_rows.Row] = []
        self._open: set[int] = set()
        """Checkpoints of the rows whose others are listed too."""
        self._explained = False

    def controls(self) -> Sequence[Widget]:
        return [Static(classes="rewind-head"), PickList([], columns=True), Static(classes="rewind-details")]

    def on_mount(self) -> None:
        self._lay_out()

    def on_resize(self, event: events.Resize) -> None:
        super().on_resize(event)
        self._lay_out()

    @property
    def waits(self) -> bool:
        return self.places is None and not self._explained

    @property
    def picks(self) -> PickList:
        return self.query_one(PickList)

    def show(self, places: Sequence[p.Place]) -> None:
        """Fill the list; the cursor stays on its checkpoint, or at the newest."""
        before = self._marked_place
        self.places = tuple(places)
        self._list(before)
        if not self.places:
            self.explain("no checkpoint is stored yet: one is written at each pause and before each tweak")
        self._lay_out()

    @property
    def _marked_place(self) -> p.Place | None:
        return self._rows[self.picks.cursor][-1] if self._rows else None

    def _list(self, marked: p.Place | None) -> None:
        """Make rows of the checkpoints, with the cursor on a place, or at the newest."""
        self._rows = []
        for row in checkpoint_rows.grouped(self.places or ()):
            self._rows += [(place,) for place in row] if row[-1].checkpoint in self._open else [row]
        wanted = marked.checkpoint if marked else None
        found = [at for at, row in enumerate(self._rows) if any(place.checkpoint == wanted for place in row)]
        self.picks.cursor = found[0] if found else 0

    def action_list_all(self) -> None:
        """List what the marked row stands for, each in a row of its own."""
        place = self._marked_place
        if place is not None and len(self._rows[self.picks.cursor]) > 1:
            self._open.add(place.checkpoint)
            self._list(place)
            self._lay_out()

    def action_list_less(self) -> None:
        """Take what the marked row belongs to together again."""
        place = self._marked_place
        for row in checkpoint_rows.grouped(self.places or ()):
            if place in row and row[-1].checkpoint in self._open:
                self._open.discard(row[-1].checkpoint)
                self._list(place)
                self._lay_out()
                return

    def explain(self, text: str) -> None:
        """Say why there is no list."""
        self._explained = True
        self.query_one(".dialog-body Static", Static).update(Content(texts.plain(text)))

    def rows_below(self) -> int:
        return 3

    def _lay_out(self) -> None:
        shown = bool(self.places)
        self.query_one(".dialog-body").display = not shown
        for selector in (".rewind-head", ".rewind-details", "PickList"):
            self.query_one(selector).display = shown
        if not self.places:
            return
        detail_rows = 3 if self.size.height < 20 or self.size.width < 70 else 2
        self.query_one(".rewind-details").styles.height = detail_rows
        self.picks.styles.max_height = max(1, self.size.height - 3 - detail_rows)
        now, width = time.time(), self._width
        self.picks.set_lines([line(row, width, now) for row in self._rows])
        self.query_one(".rewind-head", Static).update(Content(head(width)))
        self._show_details()
        self.picks.focus()

    @property
    def _width(self) -> int:
        """Cells of a line of the list."""
        box = min(110, self.size.width * 96 // 100)
        return max(1, box - 4 - _AROUND)

    def _show_details(self) -> None:
        if self._rows:
            text = details(self._rows[self.picks.cursor], time.time())
            self.query_one(".rewind-details", Static).update(Content(texts.plain(text)))

    @on(PickList.Marked)
    def _marked(self, event: PickList.Marked) -> None:
        self._show_details()

    @on(PickList.Picked)
    def _picked(self, event: PickList.Picked) -> None:
        if self._rows:
            self.dismiss(self._rows[event.index][-1].checkpoint)

    def action_scroll_body(self, by: int) -> None:
        self.picks.action_page(by)

    def action_cancel(self) -> None:
        self.dismiss(None)
