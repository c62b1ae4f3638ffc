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
        self._held: deque[p.Commands] | None = None
        """Where commands are not to be obeyed yet: those that came meanwhile."""
        self._news = threading.Condition()
        self.resting = False
        """Whether the thread that trains waits for something to do."""

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, command: p.Commands, *, at_once: bool = False) -> None:
        """at_once: even while commands are held."""
        with self._news:
            (self._waiting if self._held is None or at_once else self._held).append(command)
            self._news.notify_all()

    def hold(self) -> None:
        """Keep commands back from now on, those that nobody has taken too."""
        with self._news:
            self._held = deque((*(self._held or ()), *self._waiting))
            self._waiting.clear()

    def release(self) -> None:
        """Let the commands be taken that were held, and those that come."""
        with self._news:
            self._waiting.extend(self._held or ())
            self._held = None
            self._news.notify_all()

    def held_taken(self) -> tuple[p.Commands, ...]:
        """The commands that are kept back, which are so no more."""
        with self._news:
            found = self.held
            if self._held is not None:
                self._held.clear()
        return found

    @property
    def held(self) -> tuple[p.Commands, ...]:
        """Commands that are kept back."""
        return tuple(self._held or ())

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
