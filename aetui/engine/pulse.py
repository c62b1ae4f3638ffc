"""Whether a run gets on: what goes on by time and not by steps, however long a step takes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

PERIOD = 0.5
"""Seconds between two looks at the thread that works."""
SLOW = 3.0
"""Seconds without a sign of progress that are worth saying."""


class Pulse:
    """Remembers since when nothing has moved. `signs` is anything that changes with each bit of progress."""

    def __init__(self, signs: Callable[[], object]) -> None:
        self._signs = signs
        self._last: tuple[object, float] = (None, time.monotonic())

    def still(self) -> float:
        """Seconds since the last sign of progress, as far as anybody has looked; from any thread."""
        signs, now = self._signs(), time.monotonic()
        before, since = self._last
        if signs != before:
            self._last = signs, now
            return 0.0
        return now - since


class Heart:
    """Calls `beat` from a thread of its own until it is stopped."""

    def __init__(self, beat: Callable[[], None]) -> None:
        self._beat = beat
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="heart", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()

    def _go_on(self) -> None:
        while not self._over.wait(PERIOD):
            try:
                self._beat()
            except Exception:
                log.exception("a look at the run failed")
