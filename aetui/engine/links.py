"""A screen's end of an engine: in a process of its own, or in a thread of this one.

Both are light to import; torch is loaded where the engine runs and not before.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from aetui import protocol as p
from aetui.engine.channel import Connection

if TYPE_CHECKING:
    from aetui.engine.worker import Engine

_PATIENCE = 5.0
"""Seconds that an engine gets to end by itself."""
_START = "import sys; sys.path.append(sys.argv.pop(1)); from aetui.engine.__main__ import main; main()"
"""Instead of -m, which would let a random.py or torch/ in the working folder take the place of the real one."""


class ProcessLink:
    """Starts the engine as a child process and talks to it over a private socket pair."""

    def __init__(self, name: str, log_file: str) -> None:
        self._log_file = log_file
        self._closing = False
        ours, theirs = socket.socketpair()
        root = str(Path(__file__).parents[2])
        with theirs, open(log_file, "ab") as log:
            # subprocess with plain descriptors: multiprocessing needs sys.stderr, which Textual replaces.
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-c", _START, root),
                    *("--fd", str(theirs.fileno()), "--name", name, "--log", log_file),
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._connection = Connection(ours, p.Reply, "screen")

    @property
    def pid(self) -> int:
        """Process of the engine."""
        return self._process.pid

    def connect(self, deliver: Callable[[p.Reply], None], lost: Callable[[str], None]) -> None:
        def ended(reason: str) -> None:
            if not self._closing:
                lost(self._post_mortem(reason))

        self._connection.start(deliver, ended)

    def send(self, request: p.Request) -> None:
        self._connection.send(request)

    def close(self) -> None:
        """End the engine: politely, then firmly."""
        self._closing = True
        self._connection.send(p.Stop(id=0))
        self._connection.close()
        # The same request for one that is still loading PyTorch, and reads nothing yet.
        self._process.terminate()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _post_mortem(self, reason: str) -> str:
        try:
            code = self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with status {code}"
        return f"the engine ended {how}{f' ({reason})' if reason else ''}; its log is {self._log_file}"


class ThreadLink:
    """Runs the engine's worker thread in this process."""

    def __init__(self, name: str, log_file: str) -> None:
        self._name, self._log_file = name, log_file
        self._engine: Engine | None = None
        self._early: list[p.Request] = []
        self._lock = threading.Lock()
        self._deliver: Callable[[p.Reply], None] = lambda reply: None
        self._thread: threading.Thread | None = None
        self._closing = False

    def connect(self, deliver: Callable[[p.Reply], None], lost: Callable[[str], None]) -> None:
        self._deliver = deliver
        self._thread = threading.Thread(target=self._work, args=(lost,), name="engine", daemon=True)
        self._thread.start()

    def _work(self, lost: Callable[[str], None]) -> None:
        try:
            self._deliver(p.Hello(version=p.VERSION, pid=os.getpid()))
            self._deliver(p.Loading(stage="loading PyTorch"))
            from aetui.engine.logs import log_to
            from aetui.engine.worker import Engine

            log_to(self._log_file)
            engine = Engine(self._name, self._log_file)
            engine.join(self._deliver)
            with self._lock:
                self._engine = engine
                early, self._early = self._early, []
            for request in early:
                self.send(request)
            engine.work()
        except Exception as error:
            import logging

            logging.getLogger(__name__).exception("the engine's thread ended")
            if not self._closing:
                lost(f"the engine's thread ended: {type(error).__name__}: {error}; its log is {self._log_file}")

    def send(self, request: p.Request) -> None:
        with self._lock:
            if self._engine is None:
                self._early.append(request)
                return
        if isinstance(request, p.Look):
            view = self._engine.view(request)
            if view is not None:
                self._deliver(view)
        else:
            self._engine.submit(request)

    def close(self) -> None:
        self._closing = True
        self.send(p.Stop(id=0))
        if self._thread is not None:
            self._thread.join(_PATIENCE)


PLACEMENTS: dict[str, type[ProcessLink] | type[ThreadLink]] = {"process": ProcessLink, "thread": ThreadLink}
