"""A command's talk with the engine of a run: what a screen would say and hear, without a screen."""

from __future__ import annotations

import queue
import time
from types import TracebackType
from typing import Self

from aetui import protocol as p
from aetui.engine.links import AttachLink
from aetui.engine.sockets import SocketError
from aetui.runs.folder import RunFolder
from aetui.runs.summary import way_on
from aetui.spec import Problem, SpecError

PATIENCE = 60.0
"""Seconds that an answer may take, unless the command says otherwise."""
_WHEREABOUTS = 2.0
"""Seconds for the engine to say what it is at, once an answer is overdue."""
_PAST = 1.0
"""Seconds for the past of a run to follow it."""


class NoAnswer(ConnectionError):
    """The engine gave no answer, or is gone; one sentence."""


def reach(folder: RunFolder, command: str, *, read_only: bool = False) -> AttachLink:
    """A link to the engine of a run; `read_only`: which then obeys nothing.

    Raises:
        SpecError: there is none, or it can't be trusted.
    """
    try:
        return AttachLink(folder.path, read_only=read_only)
    except SocketError as error:
        held = folder.holder() is not None
        way = f"; {folder.way_to_holder() if held else way_on(folder)}"
        raise SpecError([Problem(command, f"{error}{way}")]) from None


class Talk:
    """One connection to an engine, closed at the end of a `with`; the engine goes on."""

    def __init__(self, folder: RunFolder, command: str, patience: float = PATIENCE) -> None:
        """Connect; `patience`: seconds that an answer may take, not counting what the engine says it is busy with.

        Raises:
            SpecError: no engine can be reached.
        """
        self.name = folder.name
        self.info: p.RunInfo | None = None
        self.step = 0
        """Of the last event."""
        self.state: p.State = "loading"
        self.reason = ""
        """Why it is in that state, where there is more to say."""
        self.since: float | None = None
        """When it came into that state, in seconds since the epoch."""
        self.past: list[p.Events] = []
        self._patience = patience
        self._news: queue.SimpleQueue[p.Reply | str] = queue.SimpleQueue()
        self._greeted = False
        self._numbers = 0
        self._link = reach(folder, command)
        self._link.connect(self._news.put, self._news.put)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._link.detach()

    # --- asking ---------------------------------------------------------------------------------

    def ask(self, kind: type[p.Command], **values: object) -> p.Accepted | p.Refused | p.Moved:
        """Send a command and wait for its acknowledgement.

        Raises:
            NoAnswer: it did not come in time.
        """
        self._numbers += 1
        number = self._numbers
        self._link.send(kind(id=number, **values))  # pyright: ignore[reportArgumentType]
        end = time.monotonic() + self._patience
        while True:
            reply = self._hear(end, "what was asked for is done when that ends")
            if isinstance(reply, p.Accepted | p.Refused | p.Moved) and reply.command == number:
                return reply
            if isinstance(reply, p.Failed):
                raise NoAnswer(reply.text)
            if isinstance(reply, p.Loading):
                end = time.monotonic() + self._patience

    def join(self) -> p.RunInfo:
        """Wait until the engine has a run, and said what it was so far.

        Raises:
            NoAnswer: it has none in time.
        """
        end = time.monotonic() + self._patience
        while self.info is None:
            reply = self._hear(end, "nothing can be said of the run before")
            if isinstance(reply, p.Failed) and self.info is None:
                raise NoAnswer(reply.text)
        # What was before follows at once, but for a run that has just begun, which has no past.
        end = time.monotonic() + _PAST
        while (reply := self._next(end)) is not None and not isinstance(reply, p.Past):
            pass
        return self.info

    def view(self, have: tuple[str, ...] = (), since: int = 0, points: int = 0) -> p.View:
        """A look at the run. have: gauges that are to be measured, each sent where it has been.

        since, points: steps and measurements that are known already.

        Raises:
            NoAnswer: there is none in time.
        """
        run = self.info.run if self.info is not None else 0
        self._link.send(p.Look(run=run, since=since, points=points, have=dict.fromkeys(have, 0)))
        end = time.monotonic() + self._patience
        while not isinstance(reply := self._hear(end, "nothing can be said of it before"), p.View):
            pass
        return reply

    def wait_for(self, *states: p.State) -> None:
        """Wait, however long it takes, until the run is in one of these states, or in any but `running` for none.

        Raises:
            NoAnswer: the engine is gone.
        """
        while True:
            reply = self._next(None)
            if isinstance(reply, p.StateChanged) and (reply.state in states if states else reply.state != "running"):
                return

    def pause(self, seconds: float) -> None:
        """Take in what comes within so many seconds."""
        end = time.monotonic() + seconds
        while self._next(end) is not None:
            pass

    # --- hearing --------------------------------------------------------------------------------

    def _hear(self, end: float, then: str) -> p.Reply:
        """The next reply. then: what becomes of what was asked, where there is none before `end`."""
        reply = self._next(end)
        if reply is None:
            raise NoAnswer(f"{self._overdue()}; {then}")
        return reply

    def _next(self, end: float | None) -> p.Reply | None:
        """The next reply, None where there is none before `end`.

        Raises:
            NoAnswer: the engine is gone, or speaks otherwise.
        """
        try:
            reply = self._news.get(timeout=None if end is None else max(0.0, end - time.monotonic()))
        except queue.Empty:
            return None
        if isinstance(reply, str):
            raise NoAnswer(reply)
        self._take(reply)
        if isinstance(reply, p.Ended):
            raise NoAnswer(reply.text)
        return reply

    def _take(self, reply: p.Reply) -> None:
        if isinstance(reply, p.Hello):
            self._greeted = True
            if reply.version != p.VERSION:
                raise NoAnswer(
                    f"the engine speaks version {reply.version} of the protocol, this command {p.VERSION}; "
                    f"another version of aetui began {self.name}"
                )
        for event in reply.events if isinstance(reply, p.Past) else (reply,):
            if isinstance(event, p.Event):
                self._take_event(event)

    def _take_event(self, event: p.Event) -> None:
        self.step = event.step
        info = getattr(event, "info", None)
        if isinstance(info, p.RunInfo):
            self.info = info
        if isinstance(event, p.StateChanged):
            self.state, self.reason, self.since = event.state, event.reason, event.time
        if isinstance(event, p.Ready):
            self.state = "paused"
        if isinstance(event, p.Noted | p.Accepted | p.StateChanged):
            self.past.append(event)

    def _overdue(self) -> str:
        """What the engine is at, where its answer takes too long."""
        within = f"within {self._patience:g} s"
        if not self._greeted:
            return f"the engine of {self.name} says nothing {within}, as if it were stopped"
        if self.info is None:
            return f"{self.name} has taken no step {within}"
        self._link.send(p.Look(run=self.info.run, since=1 << 62, points=1 << 30))
        end = time.monotonic() + _WHEREABOUTS
        while (reply := self._next(end)) is not None:
            if isinstance(reply, p.View):
                stall = reply.status.stalled
                where = ", ".join(filter(None, (stall.doing, stall.place))) if stall else ""
                return f"no answer {within}: the step under way takes long{f' ({where})' if where else ''}"
        return f"no answer {within}"
