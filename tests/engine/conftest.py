"""An engine that only keeps books, and screens that talk to its host."""

import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aetui import protocol as p
from aetui.engine.channel import Connection
from aetui.engine.host import Host

PATIENCE = 30.0


class BookKeeper:
    """Answers commands at once, in the thread that submits them; `p.Set` without changes is refused."""

    def __init__(self) -> None:
        self.screens = 0
        self.saved = True
        self.trying = False
        self.on_folder: Callable[[Path | None], str] | None = None
        self.submitted: list[p.Commands] = []
        self.stopped = threading.Event()
        self._lock = threading.RLock()
        self._sinks: list[Callable[[p.Reply], None]] = []
        self._seq = itertools.count(1)
        self._past: list[p.Events] = []

    def join(self, sink: Callable[[p.Reply], None]) -> None:
        with self._lock:
            if self._past:
                sink(p.Past(events=tuple(self._past)))
            self._sinks.append(sink)

    def leave(self, sink: Callable[[p.Reply], None]) -> None:
        with self._lock:
            if sink in self._sinks:
                self._sinks.remove(sink)

    def emit(self, event: p.Events) -> None:
        with self._lock:
            self._past.append(event)
            for sink in self._sinks:
                sink(event)

    def submit(self, command: p.Commands) -> None:
        self.submitted.append(command)
        seq = next(self._seq)
        if isinstance(command, p.Stop):
            self.stopped.set()
        if isinstance(command, p.Set) and not command.changes:
            self.emit(p.Refused(command=command.id, text="nothing to set", seq=seq))
        else:
            self.emit(p.Accepted(command=command.id, text=type(command).__name__, seq=seq))

    def view(self, look: p.Look) -> p.View | None:
        if look.since < 0:
            raise ValueError("no such step")
        return p.View(run=look.run, status=p.Status(step=look.since, screens=self.screens)) if look.run else None

    def places(self) -> p.Places:
        return p.Places(places=(p.Place(checkpoint=1, branch=1, step=0, time=0.0, reason="start"),))


class Peer:
    """A screen's end, and what arrived there."""

    def __init__(self, sock: socket.socket) -> None:
        self.connection = Connection(sock, p.Reply, "peer")
        self.got: list[Any] = []
        self.over = False
        self._arrived = threading.Condition()
        self._numbers = itertools.count(1000)
        self.connection.start(self._take, self._end)

    def _take(self, reply: p.Reply) -> None:
        with self._arrived:
            self.got.append(reply)
            self._arrived.notify_all()

    def _end(self, reason: str) -> None:
        with self._arrived:
            self.over = True
            self._arrived.notify_all()

    def send(self, request: p.Request) -> None:
        self.connection.send(request)

    def wait(self, found: Callable[[Any], bool]) -> Any:
        """The first reply that is found, once there is one."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: any(map(found, self.got)), PATIENCE), self.got
            return next(filter(found, self.got))

    def wait_end(self) -> None:
        with self._arrived:
            assert self._arrived.wait_for(lambda: self.over, PATIENCE), self.got

    def answers(self) -> bool:
        """Whether the engine at the other end obeys and shows: fails where it does not."""
        number = next(self._numbers)
        self.send(p.Set(id=number, changes={"optim.lr": "1"}))
        self.wait(lambda reply: isinstance(reply, p.Accepted) and reply.command == number)
        self.send(p.Look(run=1, since=number))
        self.wait(lambda reply: isinstance(reply, p.View) and reply.status.step == number)
        return True


class Hall:
    """A host, its engine, and any number of peers."""

    def __init__(self) -> None:
        self.engine = BookKeeper()
        self.host = Host(self.engine, idle=3600.0, grace=3600.0)

    def bare(self) -> socket.socket:
        """A socket that the host serves and nobody reads."""
        ours, theirs = socket.socketpair()
        self.host.add(theirs)
        return ours

    def peer(self, sock: socket.socket | None = None) -> Peer:
        """A screen, on a connected socket or on a new one."""
        return Peer(sock or self.bare())


@pytest.fixture
def hall() -> Iterator[Hall]:
    hall = Hall()
    yield hall
    hall.host.close()
