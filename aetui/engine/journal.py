"""What happened: told to every screen, and written into the run's record."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator

import msgspec
from msgspec.structs import replace

from aetui import protocol as p
from aetui.engine.describe import log_line
from aetui.engine.live import LiveRun
from aetui.runs.database import REPEAT, SavedEvent
from aetui.runs.recording import Recording

log = logging.getLogger(__name__)

Sink = Callable[[p.Reply], None]

_DECODER = msgspec.json.Decoder(p.Events)


class Journal:
    """Events go to every sink, in order; one that joins late first gets those of the present run."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sinks: list[Sink] = []
        self._opening: list[p.Events] = []
        """What came before there was a run."""
        self._run: LiveRun | None = None
        self._past: list[p.Events] = []
        self._seq = 0

    def join(self, sink: Sink) -> None:
        """Deliver events to `sink` from now on, after those of the present run."""
        with self._lock:
            for event in self._opening:
                sink(event)
            if self._run is not None:
                sink(self._stamped(p.Ready(info=self._run.info)))
                sink(p.Past(events=tuple(self._past)))
            self._sinks.append(sink)

    def leave(self, sink: Sink) -> None:
        with self._lock:
            if sink in self._sinks:
                self._sinks.remove(sink)

    def begin(self, run: LiveRun) -> None:
        """Another run is the present one: its record's events are the past."""
        with self._lock:
            self._run, self._opening = run, []
            self._past = list(_decoded(run.recording.past)) if run.recording else []
            ready = self._stamped(p.Ready(info=run.info))
            log.info("event time=%.6f step=%d %s", ready.time, ready.step, log_line(ready))
            for sink in self._sinks:
                sink(ready)
                if self._past:
                    sink(p.Past(events=tuple(self._past)))

    def go_on(self, run: LiveRun) -> None:
        """The present run stands at another step; its events go on."""
        with self._lock:
            self._run = run

    def emit(self, event: p.Events, changes: dict[str, str] | None = None) -> None:
        """Tell what happened. `changes` are a tweak's settings, which are on the disk before this returns."""
        with self._lock:
            event = self._stamped(event)
            log.info("event time=%.6f step=%d %s", event.time, event.step, log_line(event))
            kept = _kept(event)
            if self._run is None:
                if isinstance(event, p.Loading) and self._opening and isinstance(self._opening[-1], p.Loading):
                    self._opening.pop()  # who joins later needs the present stage alone
                self._opening.append(event)
            elif kept is not None:
                self._past.append(kept)
            recording = self._run.recording if self._run else None
            if recording is not None and kept is not None:
                recording.add_event(_saved(kept, changes))
            for sink in self._sinks:
                sink(event)

    def _stamped(self, event: p.Events) -> p.Events:
        run = self._run
        if run is None or run.recording is None:
            self._seq += 1
            seq, branch = self._seq, 0
        else:
            seq, branch = run.recording.next_seq(), run.recording.position.branch
        step = run.training.steps.done if run else 0
        return replace(event, seq=seq, branch=branch, step=step, time=time.time())


def record(recording: Recording, event: p.Events, changes: dict[str, str] | None = None) -> None:
    """Write what happened into the record of a run that no engine has yet. `changes`: as in `Journal.emit`."""
    position = recording.position
    stamp = {"seq": recording.next_seq(), "branch": position.branch, "step": position.step, "time": time.time()}
    saved = _saved(replace(event, **stamp), changes)
    recording.add_event(saved)
    recording.past.append(saved)


def _saved(event: p.Events, changes: dict[str, str] | None) -> SavedEvent:
    return SavedEvent(
        *(event.seq, event.branch, event.step, event.time, _kind(event), _text(event), changes),
        message=msgspec.json.encode(event),
    )


def _kept(event: p.Events) -> p.Events | None:
    """The event as the record has it, None for one that is of the moment only."""
    match event:
        case p.Accepted() if event.changes:
            return replace(event, command=0, info=None)
        case p.Moved():
            # Of no branch: it stays true wherever the run goes from here.
            return p.Noted(text=event.text, seq=event.seq, step=event.step, time=event.time)
        case p.StateChanged() | p.Noted() | p.Failed():
            return event
        case _:
            return None


def _kind(event: p.Events) -> str:
    match event:
        case p.Accepted():
            return REPEAT if event.repeat else "tweak"
        case p.Moved():
            return "move"
        case p.StateChanged():
            return "state"
        case p.Noted():
            return "warning" if event.warning else "note"
        case _:
            return type(event).__name__.lower()


def _text(event: p.Events) -> str:
    if isinstance(event, p.StateChanged):
        return event.reason or event.state
    return getattr(event, "text", "")


def _decoded(events: list[SavedEvent]) -> Iterator[p.Events]:
    """The events of a record; those that a damaged one has lost are left out."""
    for event in events:
        try:
            told = _DECODER.decode(event.message)
            if isinstance(told, p.Noted) and told.text.startswith("verdict "):
                # As records of earlier versions say it.
                told = replace(told, kind="verdict")
            yield told
        except (msgspec.MsgspecError, UnicodeDecodeError):
            if event.text:
                yield p.Noted(text=event.text, seq=event.seq, branch=event.branch, step=event.step, time=event.time)
