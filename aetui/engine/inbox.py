"""Commands on their way from any thread to the one that trains."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from aetui import protocol as p


class Inbox:
    """Commands in the order of arrival; taken out by the thread that trains."""

    def __init__(self) -> None:
        self._waiting: deque[p.Commands] = deque()
        self._news = threading.Condition()
        self.resting = False
        """Whether the thread that trains waits for something to do."""

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, command: p.Commands) -> None:
        with self._news:
            self._waiting.append(command)
            self._news.notify_all()

    def take(self) -> p.Commands | None:
        """The next command, None where none waits."""
        return self._waiting.popleft() if self._waiting else None

    @property
    def asks_to_stop(self) -> bool:
        """Whether the end of the engine is asked for, behind whatever else waits."""
        return any(isinstance(command, p.Stop) for command in tuple(self._waiting))

    def wake(self) -> None:
        """There is something to do besides commands."""
        with self._news:
            self._news.notify_all()

    def rest(self, busy: Callable[[], object] = lambda: False, seconds: float = 1.0) -> None:
        """Wait for a command or a `wake`, unless `busy` says that there is something to do already."""
        with self._news:
            if not self._waiting and not busy():
                self.resting = True
                try:
                    self._news.wait(timeout=seconds)
                finally:
                    self.resting = False
