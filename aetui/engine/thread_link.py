"""An engine in a thread of the screen's process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from aetui import protocol as p
from aetui.engine.ending import AFTERMATH, wait_for_end

if TYPE_CHECKING:
    from aetui.engine.worker import Engine


class ThreadLink:
    """Runs the engine's worker thread in this process."""

    def __init__(self, name: str, log_file: str, into: Path | None = None) -> None:
        """`into` is an empty folder for the first new run; the engine makes one if there is none."""
        self._name, self._log_file, self._into = name, log_file, into
        self._engine: Engine | None = None
        self._early: list[p.Request] = []
        self._lock = threading.Lock()
        self._deliver: Callable[[p.Reply], None] = lambda reply: None
        self._thread: threading.Thread | None = None
        self._closing = False
        self.last_words = ""
        """After `close`: one sentence on how the engine ended, and how to go on; '' where it said nothing."""

    def connect(self, deliver: Callable[[p.Reply], None], lost: Callable[[str], None]) -> None:
        self._deliver = deliver
        self._thread = threading.Thread(target=self._work, args=(lost,), name="engine", daemon=True)
        self._thread.start()

    def _work(self, lost: Callable[[str], None]) -> None:
        try:
            self._deliver(p.Hello(version=p.VERSION, pid=os.getpid()))
            self._deliver(p.Loading(stage="loading PyTorch"))
            from aetui.engine.crash import log_exits
            from aetui.engine.logs import log_to
            from aetui.engine.worker import Engine

            log_to(self._log_file)
            log_exits()
            engine = Engine(self._name, self._log_file, folder=self._into)
            engine.screens = 1
            engine.join(self._take)
            with self._lock:
                self._engine = engine
                for request in self._early:
                    self._hand(engine, request)
            engine.work()
        except Exception as error:
            import logging

            logging.getLogger(__name__).exception("the engine's thread ended")
            if not self._closing:
                lost(f"the engine's thread ended: {type(error).__name__}: {error}; its log is {self._log_file}")

    def _take(self, reply: p.Reply) -> None:
        if isinstance(reply, p.Ended):
            self.last_words = reply.text
        self._deliver(reply)

    def send(self, request: p.Request) -> None:
        with self._lock:
            if self._engine is None:
                self._early.append(request)
                return
        self._hand(self._engine, request)

    def _hand(self, engine: Engine, request: p.Request) -> None:
        if isinstance(request, p.ListPlaces):
            self._deliver(engine.places())
        elif isinstance(request, p.Command):
            engine.submit(request)
        elif not isinstance(request, p.Look):
            pass  # the engine is this screen's own, so there is nobody to keep it from
        elif (view := engine.view(request)) is not None:
            self._deliver(view)

    def detach(self) -> None:
        """The same as `close`: the engine can't outlive the screen in one process."""
        self.close()

    def close(self, say: Callable[[str], None] | None = None) -> None:
        """Have the engine write a checkpoint and end, and wait for it; `say` gets a sentence if that takes a while."""
        if self._closing:
            return
        self._closing = True
        self.send(p.Stop(id=0))
        thread = self._thread
        if thread is None:
            return

        def ended(timeout: float) -> bool:
            thread.join(timeout)
            return not thread.is_alive()

        if not wait_for_end(ended, os.getpid(), say, None if self._engine else AFTERMATH) and self._engine:
            self.last_words = f"the engine did not end and was left; its log is {self._log_file}"
