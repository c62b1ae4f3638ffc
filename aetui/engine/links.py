"""A screen's end of an engine: in a process of its own, in one that runs already, or in a thread of this one.

All are light to import; torch is loaded where the engine runs and not before.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from aetui import protocol as p
from aetui.engine import crash, sockets
from aetui.engine.channel import Connection
from aetui.engine.ending import AFTERMATH, is_alive, wait_for_end
from aetui.engine.thread_link import ThreadLink
from aetui.runs.own_script import run_again

_START = "import sys; sys.path.append(sys.argv.pop(1)); from aetui.engine.__main__ import main; main()"
"""Instead of -m, which would let a random.py or torch/ in the working folder take the place of the real one."""


def start_engine(
    name: str,
    log_file: str,
    *,
    screen: socket.socket | None = None,
    into: Path | None = None,
    folder: Path | None = None,
    start: bool = False,
) -> subprocess.Popen[bytes]:
    """An engine in a process and session of its own, which outlives this one.

    It serves the other end of `screen`. Its first new run goes into the empty folder `into`; or it goes on with
    the run stored in `folder`, training at once if `start`.
    """
    arguments = [sys.executable, "-P", "-c", _START, str(Path(__file__).parents[2]), "--name", name, "--log", log_file]
    arguments += ["--fd", str(screen.fileno())] if screen else []
    arguments += ["--into", str(into)] if into else []
    arguments += ["--folder", str(folder)] if folder else []
    arguments += ["--start"] if start else []
    with open(log_file, "ab") as log:
        # subprocess with plain descriptors: multiprocessing needs sys.stderr, which Textual replaces.
        return subprocess.Popen(
            arguments,
            pass_fds=[screen.fileno()] if screen else [],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


class _Remote(ABC):
    """What both links to another process share."""

    def __init__(self, sock: socket.socket, name: str, log_file: str) -> None:
        self.last_words = ""
        """After `close`: one sentence on how the engine ended, and how to go on; '' where it said nothing."""
        self._name = name
        self._log_to(log_file)
        self._stored = False
        self._script = ""
        """What trains a run that no spec assembled."""
        self._ready = False
        self._reads = False
        """Whether the engine is past loading PyTorch, and hears what it is sent."""
        self._farewell = ""
        self._connected = self._closing = False
        self._over = threading.Event()
        self._connection = Connection(sock, p.Reply, "screen")

    @property
    @abstractmethod
    def pid(self) -> int:
        """Process of the engine."""

    def connect(self, deliver: Callable[[p.Reply], None], lost: Callable[[str], None]) -> None:
        """Start delivering replies, from another thread; `lost` gets one sentence when the engine is gone."""

        self._connected = True

        def take(reply: p.Reply) -> None:
            self._note(reply)
            if not self._closing:
                deliver(reply)

        def ended(reason: str) -> None:
            self._over.set()
            if not self._closing:
                lost(self._farewell or self._post_mortem(reason))

        self._connection.start(take, ended)

    def send(self, request: p.Request) -> None:
        """Hand over a request without waiting; requests before the engine is up are kept."""
        self._connection.send(request)

    def detach(self) -> None:
        """Let go of the engine, which goes on, with all that was sent to it."""
        if self._closing:
            return
        self._begin_to_close()
        self._connection.close()
        self._connection.wait_written()

    def close(self, say: Callable[[str], None] | None = None) -> None:
        """Have the engine write a checkpoint and end, and wait for it; `say` gets one sentence if that takes a while.

        An engine that shows no sign of work is killed, which costs it no more than what it was about to write.
        """
        if self._closing:
            return
        self._begin_to_close()
        self._connection.send(p.Stop(id=0))
        patience = None if self._ready else AFTERMATH
        try:
            if not wait_for_end(self._wait, self.pid, say, patience, saves=self._stored):
                self._kill()
                if self._ready:
                    self.last_words = f"the engine did not end and was killed{self._way_on()}"
            else:
                self.last_words = self._farewell
        finally:
            self._connection.close()
            self._connection.wait_written()
            self._connection.abort()

    def _begin_to_close(self) -> None:
        self._closing = True
        if not self._connected:
            self.connect(lambda reply: None, lambda reason: None)

    def _note(self, reply: p.Reply) -> None:
        """Remember what the engine's last sentence needs."""
        if isinstance(reply, p.Ended):
            self._farewell = reply.text
        elif isinstance(reply, p.Noted) and reply.warning and not self._ready:
            self._farewell = reply.text  # why it takes no more screens
        info = getattr(reply, "info", None)
        if isinstance(info, p.RunInfo):
            self._ready, self._stored, self._farewell = True, bool(info.folder), ""
            self._name, self._script = info.name or self._name, "" if info.spec else info.source
            if info.log and info.log != self._log_file:
                self._log_to(info.log)
        self._reads = self._reads or not isinstance(reply, p.Hello | p.Loading)

    def _log_to(self, file: str) -> None:
        """Take note of the engine's log, which may have the stacks of earlier engines."""
        self._log_file, self._log_begins = file, crash.size(file)

    def _last_place(self) -> str:
        return crash.last_place(self._log_file, self._log_begins)

    def _way_on(self) -> str:
        way = run_again(self._script) if self._script else f"`aetui resume {self._name}` goes on"
        saved = f"; the run is saved, {way}" if self._stored else ""
        return f"{saved}; its log is {self._log_file}" if self._log_file else saved

    def _left_alone(self, reason: str) -> str:
        why = f" ({reason})" if reason else ""
        return f"the engine closed the connection{why} and goes on; `aetui attach {self._name}` comes back to it"

    @abstractmethod
    def _wait(self, timeout: float) -> bool:
        """Whether the engine has ended, after up to `timeout` seconds."""

    @abstractmethod
    def _kill(self) -> None: ...

    @abstractmethod
    def _post_mortem(self, reason: str) -> str:
        """One sentence about an engine whose connection has ended, for a `reason` or ''."""


class ProcessLink(_Remote):
    """Starts the engine as a child process and talks to it over a private socket pair."""

    def __init__(self, name: str, log_file: str, into: Path | None = None) -> None:
        """`into` is an empty folder for the first new run; the engine makes one if there is none."""
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = start_engine(name, log_file, screen=theirs, into=into)
        super().__init__(ours, name, log_file)

    @property
    def pid(self) -> int:
        return self._process.pid

    def close(self, say: Callable[[str], None] | None = None) -> None:
        if not self._closing and not self._reads:
            # The same request for one that is still loading PyTorch, and hears nothing yet.
            self._process.terminate()
        super().close(say)

    def _wait(self, timeout: float) -> bool:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)
            return True
        return False

    def _kill(self) -> None:
        self._process.kill()
        self._wait(AFTERMATH)

    def _post_mortem(self, reason: str) -> str:
        if not self._wait(AFTERMATH):
            return self._left_alone(reason)
        code = self._process.returncode
        how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with status {code}"
        return f"the engine ended {how}{self._last_place()}{f' ({reason})' if reason else ''}{self._way_on()}"


class AttachLink(_Remote):
    """Talks to an engine that runs already, over the socket in its run's folder."""

    def __init__(self, folder: Path, timeout: float = 5.0, *, read_only: bool = False) -> None:
        """Connect; `read_only`: to watch only, so that the engine obeys none of this side's commands.

        Raises:
            SocketError: no engine listens there, or the socket can't be trusted.
        """
        sock = sockets.connect(folder, timeout)
        self._process = sockets.peer_process(sock) or 0
        super().__init__(sock, folder.name, "")
        self._stored = True
        self._read_only = read_only
        if read_only:
            self.send(p.ReadOnly())

    @property
    def pid(self) -> int:
        """Process of the engine; 0 while it is not known."""
        return self._process

    def close(self, say: Callable[[str], None] | None = None) -> None:
        if self._read_only:
            self.detach()
        else:
            super().close(say)

    def _note(self, reply: p.Reply) -> None:
        super()._note(reply)
        if isinstance(reply, p.Hello):
            self._process = self._process or reply.pid

    def _wait(self, timeout: float) -> bool:
        if not self._over.wait(timeout):
            return False
        self._vanishes()
        return True

    def _vanishes(self) -> bool:
        """Whether the process ends within a while, once its connection has."""
        end = time.monotonic() + AFTERMATH
        while (alive := is_alive(self.pid)) and time.monotonic() < end:
            time.sleep(0.05)
        return not alive

    def _kill(self) -> None:
        # Its end of the connection is open, so the number is still that of the engine.
        if self.pid and not self._over.is_set():
            with suppress(OSError):
                os.kill(self.pid, signal.SIGKILL)
            self._over.wait(AFTERMATH)

    def _post_mortem(self, reason: str) -> str:
        if not self._vanishes():
            return self._left_alone(reason)
        return f"the engine is gone{self._last_place()}{f' ({reason})' if reason else ''}{self._way_on()}"


PLACEMENTS: dict[str, type[ProcessLink] | type[ThreadLink]] = {"process": ProcessLink, "thread": ThreadLink}
