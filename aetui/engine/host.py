"""Serves any number of screens on one engine: what one of them does, well or badly, never ends it or stalls another."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from pathlib import Path

from aetui import protocol as p
from aetui.engine.channel import Connection
from aetui.engine.client import Client, Served
from aetui.engine.sockets import Listener, SocketError

log = logging.getLogger(__name__)

MAX_SCREENS = 16
IDLE = 30 * 60.0
"""Seconds that an engine outlasts its last screen where nothing trains."""
OVER = 60.0
"""The same where the run has come to its end and is on the disk: it resumes exactly as it stands."""
GRACE = 5.0
"""The same where no screen can come back, since the run has no folder."""
_LONGEST_REQUEST = 4 * 2**20
_GLANCE = 1.0
"""Seconds between two looks at whether the run is on the disk."""
_RETRY = 0.2
"""Seconds until the next attempt to take a peer in, where there are no descriptors left."""


def greet(sock: socket.socket) -> Connection:
    """The engine's end of a connection to a screen, with the greeting on its way."""
    connection = Connection(sock, p.Request, "engine", _LONGEST_REQUEST)
    connection.send(p.Hello(version=p.VERSION, pid=os.getpid()))
    connection.start_writing()
    return connection


class Host:
    """The screens of an engine, the socket at which more of them come, and the end of an engine that nobody needs.

    An engine without screens that trains neither its run nor forks of it gets a `Stop` after `idle` seconds, or after
    `over` seconds once its run has ended and is stored; one whose run has no folder, so that no screen could find it
    again, after `grace` seconds.
    """

    def __init__(self, engine: Served, *, idle: float = IDLE, over: float = OVER, grace: float = GRACE) -> None:
        self._engine = engine
        self._idle, self._over, self._grace = idle, over, grace
        self._changed = threading.Condition()
        self._clients: list[Client] = []
        self._numbers = 0
        self._listener: Listener | None = None
        self._folder: Path | None = None
        self._state: p.State = "loading"
        self._opening: set[int] = set()
        """Commands under way that load a run."""
        self._busy = time.monotonic()
        """When there last was a screen, or an event."""
        self._closed = False
        engine.on_folder = self.move
        engine.join(self._watch)
        threading.Thread(target=self._end_when_idle, name="host-idle", daemon=True).start()

    # --- screens --------------------------------------------------------------------------------

    @property
    def screens(self) -> int:
        """How many are attached."""
        return len(self._clients)

    def add(self, peer: socket.socket | Connection) -> None:
        """Serve the screen at the other end of a socket, or of a connection that has been greeted already."""
        connection = peer if isinstance(peer, Connection) else greet(peer)
        with self._changed:
            self._numbers += 1
            client = Client(self._numbers, connection, self._engine, self.submit)
            welcome = len(self._clients) < MAX_SCREENS and not self._closed
            if welcome:
                self._clients.append(client)
                self._engine.screens = len(self._clients)
        if not welcome:
            log.warning("a screen was turned away: %d are attached", self.screens)
            text = f"{MAX_SCREENS} screens are attached to this run, and it takes no more; leave one of them first"
            connection.send(p.Noted(text=text, warning=True, time=time.time()))
            connection.close()
            connection.start_reading(lambda request: None, lambda reason: None)
            return
        # The reader starts last: what it hears may be answered at once, and the greeting comes first.
        self._engine.join(client.take)
        connection.start_reading(client.obey, lambda reason: self._drop(client, reason))

    def submit(self, command: p.Commands) -> None:
        """Hand a command to the engine; one that loads a run keeps the engine up until it is answered."""
        if isinstance(command, p.New | p.Open):
            with self._changed:
                self._opening.add(command.id)
        self._engine.submit(command)

    def _drop(self, client: Client, reason: str) -> None:
        self._engine.leave(client.take)
        with self._changed:
            self._clients = [other for other in self._clients if other is not client]
            self._engine.screens = len(self._clients)
            self._busy = time.monotonic()
            self._changed.notify_all()
        log.log(
            logging.WARNING if reason else logging.INFO, "screen %d left%s", client.number, reason and f": {reason}"
        )

    # --- the socket -----------------------------------------------------------------------------

    def listen(self, folder: Path) -> None:
        """Take in the screens that come to the socket in `folder`, and to no other.

        Raises:
            SocketError: the folder can't be trusted, or can't hold a socket.
        """
        self._unlisten()
        listener = Listener(folder)
        with self._changed:
            self._listener, self._folder = listener, folder
        threading.Thread(target=self._take_in, args=(listener,), name="host-accept", daemon=True).start()

    def move(self, folder: Path | None) -> str:
        """Listen in the folder that the engine's run has now; '' or one sentence where no screen can come there."""
        self._unlisten()
        with self._changed:
            self._folder = folder
            self._changed.notify_all()
        if folder is None:
            return ""
        try:
            self.listen(folder)
        except SocketError as error:
            log.warning("no other screen can attach: %s", error)
            return f"no other screen can attach: {error}"
        return ""

    def _unlisten(self) -> None:
        with self._changed:
            listener, self._listener, self._folder = self._listener, None, None
        if listener is not None:
            listener.close()

    def _take_in(self, listener: Listener) -> None:
        while True:
            try:
                peer = listener.accept()
            except SocketError as error:
                log.warning("a peer was refused: %s", error)
            except OSError as error:
                log.warning("a peer could not be taken in: %s", error)
                time.sleep(_RETRY)
            else:
                if peer is None:
                    return
                self.add(peer)

    # --- the end --------------------------------------------------------------------------------

    def close(self, timeout: float = 1.0) -> None:
        """Let all screens go, once they were sent what there still is for them, and listen no more."""
        with self._changed:
            self._closed = True
            clients = list(self._clients)
            self._changed.notify_all()
        self._unlisten()
        for client in clients:
            client.connection.close()
        end = time.monotonic() + timeout
        for client in clients:
            client.connection.wait_written(max(end - time.monotonic(), 0))
            client.connection.abort()

    def _watch(self, reply: p.Reply) -> None:
        """A sink that keeps track of whether the engine is needed."""
        with self._changed:
            self._busy = time.monotonic()
            if isinstance(reply, p.StateChanged):
                self._state = reply.state
            elif isinstance(reply, p.Ready):
                self._state = "loading"
            elif isinstance(reply, p.Accepted | p.Refused | p.Moved):
                self._opening.discard(reply.command)
            elif isinstance(reply, p.Failed):
                self._opening.clear()
            self._changed.notify_all()

    def _end_when_idle(self) -> None:
        with self._changed:
            while not self._closed and (left := self._needed_for()) > 0:
                self._changed.wait(left)
            if self._closed:
                return
        log.info("no screen is attached and nothing trains (%s): the engine ends", self._state)
        self._engine.submit(p.Stop(id=0))

    def _needed_for(self) -> float:
        """Seconds, at most a minute, until the engine has outlasted its use if nothing happens; <= 0 where it has."""
        at_work = self._state == "running" or self._engine.trying
        if self._clients or self._opening or (at_work and self._folder is not None):
            return 60.0
        since = time.monotonic() - self._busy
        if self._folder is None:
            return min(self._grace - since, 60.0)
        left = self._idle - since
        if self._state in p.OVER:
            # Its last checkpoint may still be on its way.
            left = min(left, self._over - since if self._engine.saved else max(self._over - since, _GLANCE))
        return min(left, 60.0)
