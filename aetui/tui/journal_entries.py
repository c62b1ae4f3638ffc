"""What happened to a run as lines of the journal and marks on the chart, and which of it the run has left."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from aetui import protocol as p
from aetui.spec import moves_text

_STOPS = {"paused": "pause", "finished": "pause", "failed": "pause", "non-finite": "non-finite"}
"""States that stand on the chart, with the kind of their mark."""


@dataclass(frozen=True)
class Entry:
    """One line of the journal."""

    step: int
    time: float
    kind: str
    """`state`, `tweak`, `note`, `warning` or `error`."""
    text: str
    left: bool = False
    """Whether it happened on a way that the run has left since."""
    mark: str = ""
    """Kind of its mark on the chart, '' for none."""
    branch: int = 0
    """0 where it belongs to no branch, and so is never left."""
    seq: int = 0
    change: p.Change | None = None
    """The change of a tweak that has one."""
    repeat: bool = False
    """Whether it goes on with the tweak before it."""
    moves: int = 1
    last: int = 0
    """A tweak in several moves: how many, and the step of the last; `step` and `time` are those of the first."""


@dataclass(frozen=True)
class Mark:
    """A step worth marking on the loss chart: a tweak or a pause."""

    step: int
    text: str
    kind: str
    """`tweak`, `pause` or `non-finite`."""


def entry_of(event: p.Event) -> Entry | None:
    """The line that an event is in the journal, None for one that is none."""
    match event:
        case p.StateChanged():
            # A stop after the first step has a mark.
            mark = _STOPS.get(event.state, "") if event.step else ""
            return entry(event, "state", event.reason or event.state, mark=mark)
        case p.Accepted() if event.changes:
            change = event.changes[0] if len(event.changes) == 1 else None
            tweak = entry(event, "tweak", event.text, mark="tweak", change=change)
            return replace(tweak, repeat=event.repeat, last=event.step)
        case p.Moved():
            # Going elsewhere belongs to no branch: it is what parts them.
            return Entry(event.step, event.time, "state", event.text, seq=event.seq)
        case p.Ready():
            info = event.info
            doing = "loaded" if info.spec else "watches"
            return entry(event, "state", f"{doing} {info.source}, {info.architecture}")
        case p.Ended():
            return entry(event, "state", event.text)
        case p.Refused() | p.Failed():
            return entry(event, "error", event.text)
        case p.Noted():
            return entry(event, "warning" if event.warning else "note", event.text)
        case _:
            return None


def entry(event: p.Event, kind: str, text: str, mark: str = "", change: p.Change | None = None) -> Entry:
    """A line about an event."""
    return Entry(event.step, event.time, kind, text, mark=mark, branch=event.branch, seq=event.seq, change=change)


def past_entries(events: Iterable[p.Event]) -> tuple[list[Entry], p.StateChanged | None]:
    """The entries of events before this screen came, and the state that they end in; None if they don't say."""
    found: list[Entry] = []
    last: p.StateChanged | None = None
    for event in events:
        line = entry_of(event)
        repeated = isinstance(event, p.StateChanged) and last is not None and event.state == last.state
        if line is not None and not repeated:
            found.append(line)
        if isinstance(event, p.StateChanged):
            last = event
        elif isinstance(event, p.Moved) and last is not None and last.state not in ("running", "paused", "loading"):
            # Why a run had stopped is no more true where it went.
            last = p.StateChanged(state="paused", step=event.step, time=event.time)
    return found, last


def on_path(entry: Entry, path: Sequence[p.Stretch]) -> bool:
    """Whether an entry lies on the way to where the run stands; without a path everything does."""
    if not (path and entry.branch):
        return True
    return any(
        entry.branch == stretch.branch
        and (stretch.end is None or entry.step <= stretch.end)
        and (stretch.last is None or entry.seq <= stretch.last)
        for stretch in path
    )


@dataclass
class JournalEntries:
    """The journal and the marks of a run, in two forms: as it came, and as it is shown.

    A setting moved again at the same step, or by a key that is held, is shown as one tweak, as far as the run has left
    both or neither.
    """

    shown: list[Entry] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    rewrites: int = 0
    """How often lines before the newest have changed."""
    _raw: list[Entry] = field(default_factory=list)
    _first: int = 0
    """Entries of `_raw` that belong to earlier runs, and so never to the chart."""
    _stale: int = 0
    """Entries of `_raw` that the run's former engine told."""

    def add(self, entry: Entry) -> None:
        """Append what has just happened, which is where the run stands."""
        self._raw.append(entry)
        self._show(entry)

    def start_over(self, same: bool = False) -> None:
        """Another run: what happened before has no place on its chart. same: the run as another engine has it."""
        self._stale = len(self._raw)
        if not same:
            self._first = len(self._raw)
            self.marks.clear()

    def insert_past(self, past: Sequence[Entry], path: Sequence[p.Stretch]) -> None:
        """Put what happened to the present run before this screen came in its place, each event once."""
        known = {entry.seq for entry in past}
        earlier, present = self._raw[: self._first], self._raw[self._first :]
        stale = self._stale - self._first
        # What an engine that is gone has told is in its record, as far as it is true.
        kept = [e for i, e in enumerate(present) if not e.seq or (i >= stale and e.seq not in known)]
        self._raw = [*earlier, *past, *kept]
        self._stale = len(self._raw)
        self.follow(path)

    def follow(self, path: Sequence[p.Stretch]) -> None:
        """Tell apart what lies on the way to where the run stands now, and what it has left."""
        present = self._raw[self._first :]
        self._raw[self._first :] = [replace(entry, left=not on_path(entry, path)) for entry in present]
        self.rewrites += 1
        self.shown.clear()
        self.marks.clear()
        for index, entry in enumerate(self._raw):
            self._show(entry, chart=index >= self._first)

    def _show(self, entry: Entry, chart: bool = True) -> None:
        at = self._continued(entry)
        if at is None:
            self.shown.append(entry)
        else:
            before, entry = self.shown[at], _joined(self.shown[at], entry)
            self.shown[at] = entry
            if at < len(self.shown) - 1:
                self.rewrites += 1
            if chart and (mark := _mark(before)) in self.marks:
                self.marks.remove(mark)
        if chart and (mark := _mark(entry)):
            self.marks.append(mark)

    def _continued(self, entry: Entry) -> int | None:
        """Which line an entry goes on with; remarks may have come since a key was pressed down."""
        if entry.change is None:
            return None
        for at in range(len(self.shown) - 1, -1, -1):
            before = self.shown[at]
            if before.change is not None:
                same = (entry.change.path, entry.branch, entry.left) == (before.change.path, before.branch, before.left)
                return at if same and (entry.repeat or entry.step == before.last) else None
            if not entry.repeat or before.kind == "state":
                return None
        return None


def _mark(entry: Entry) -> Mark | None:
    """Where an entry stands on the chart, None for nowhere: as where a setting was never in force."""
    change = entry.change
    idle = change is not None and change.old == change.new and entry.step == entry.last
    return Mark(entry.step, entry.text, entry.mark) if entry.mark and not entry.left and not idle else None


def _joined(before: Entry, entry: Entry) -> Entry:
    """A tweak and what goes on with it, as one from the value before both to the last."""
    assert before.change is not None and entry.change is not None
    path, old, new = entry.change.path, before.change.old, entry.change.new
    moves = before.moves + 1
    rest = entry.text.removeprefix(f"{path} {entry.change.old or '-'} -> {new or '-'}")
    text = moves_text(path, old or "-", new or "-", moves, before.step, entry.step) + rest
    return replace(before, text=text, seq=entry.seq, change=p.Change(path, old, new), moves=moves, last=entry.step)
