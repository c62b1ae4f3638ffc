"""One screen of an engine: its requests in, its replies out, under numbers of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec

from aetui import protocol as p
from aetui.engine.channel import Connection

log = logging.getLogger(__name__)

_BITS = 32
MAX_WAITING = 10_000
"""Commands of one screen that may wait for their acknowledgement."""


class Served(Protocol):
    """What a host and its screens ask of its engine; all of it from any thread."""

    screens: int
    on_folder: Callable[[Path | None], str] | None

    @property
    def saved(self) -> bool: ...
    @property
    def trying(self) -> bool: ...
    def join(self, sink: Callable[[p.Reply], None]) -> None: ...
    def leave(self, sink: Callable[[p.Reply], None]) -> None: ...
    def submit(self, command: p.Commands) -> None: ...
    def view(self, look: p.Look) -> p.View | None: ...
    def places(self) -> p.Places: ...


class Client:
    """Translates between a screen and an engine that has others.

    Screens number their commands each for itself, from 0 to 2 ** 32 - 1. To the engine an id has the
    screen's number above those bits. A screen gets its own ids back and 0 for what others did; what
    others were refused it does not hear of.
    """

    def __init__(
        self, number: int, connection: Connection, engine: Served, submit: Callable[[p.Commands], None]
    ) -> None:
        self.number = number
        self.connection = connection
        self._engine = engine
        self._submit = submit
        self._waiting: set[int] = set()
        self._read_only = False

    def obey(self, request: p.Request) -> None:
        """Pass a request on; a bad one is answered, or left without an answer, and nothing else."""
        try:
            self._obey(request)
        except Exception:
            log.exception("screen %d: %s failed", self.number, type(request).__name__)

    def _obey(self, request: p.Request) -> None:
        if isinstance(request, p.Look):
            if (view := self._engine.view(request)) is not None:
                self.connection.send(view)
        elif isinstance(request, p.ListPlaces):
            self.connection.send(self._engine.places())
        elif isinstance(request, p.ReadOnly):
            self._read_only = True
        elif self._read_only:
            self._refuse(request, p.READ_ONLY)
        elif not 0 <= request.id < 1 << _BITS:
            self._refuse(request, f"the command's id {request.id} is not allowed; ids go from 0 to {(1 << _BITS) - 1}")
        elif len(self._waiting) >= MAX_WAITING:
            self._refuse(request, f"{MAX_WAITING:,} commands of this screen wait already")
        else:
            self._waiting.add(request.id)
            self._submit(msgspec.structs.replace(request, id=self.number << _BITS | request.id))

    def _refuse(self, command: p.Commands, text: str) -> None:
        self.connection.send(p.Refused(command=command.id, text=text))

    def take(self, reply: p.Reply) -> None:
        """Send a reply of the engine's as this screen should see it; a sink, called with the engine's lock held."""
        if isinstance(reply, p.Failed):
            self._waiting.clear()
        if isinstance(reply, p.Past):
            events = tuple(own for event in reply.events if (own := self._own(event)) is not None)
            self.connection.send(p.Past(events=events))
        elif (own := self._own(reply)) is not None:
            self.connection.send(own)

    def _own(self, reply: Any) -> Any:
        """The reply under this screen's ids; None where it concerns another."""
        if not isinstance(reply, p.Accepted | p.Refused | p.Moved):
            return reply
        if reply.command >> _BITS == self.number:
            command = reply.command & ((1 << _BITS) - 1)
            self._waiting.discard(command)
        elif isinstance(reply, p.Refused):
            return None
        else:
            command = 0
        return reply if command == reply.command else msgspec.structs.replace(reply, command=command)
