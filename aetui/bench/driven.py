"""An engine in a thread of this process, told what to do one command after the other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from aetui import protocol as p
from aetui.engine.worker import Engine


class Unexpected(RuntimeError):
    """The engine refused, failed or ended where it should not have; what it said."""


class Driven:
    """Obeys as a screen's engine does; its events are kept.

    Args:
        look: asks for views while a command or a state is waited for, as a screen does; whether something that it
            asked for is not there yet.
    """

    def __init__(self, engine: Engine, look: Callable[[], object] | None = None) -> None:
        self.engine = engine
        self.events: list[p.Events] = []
        self._look = look
        self._last = 0
        self._arrived = threading.Condition()
        engine.join(self._take)
        self._worker = threading.Thread(target=engine.work, daemon=True)
        self._worker.start()

    def _take(self, reply: p.Reply) -> None:
        with self._arrived:
            self.events.extend(reply.events if isinstance(reply, p.Past) else [reply])  # pyright: ignore[reportArgumentType]
            self._arrived.notify_all()

    def obey(self, kind: Callable[..., p.Commands], **arguments: object) -> p.Accepted | p.Moved:
        """Have a command obeyed; its acknowledgement.

        Raises:
            Unexpected: it was refused.
        """
        self._last += 1
        command = kind(id=self._last, **arguments)
        self.engine.submit(command)
        answers = (p.Accepted, p.Moved, p.Refused)
        found = self._wait(lambda event: isinstance(event, answers) and event.command == command.id)
        if not isinstance(found, p.Accepted | p.Moved):
            raise Unexpected(getattr(found, "text", ""))
        return found

    def train(self, steps: int) -> p.StateChanged:
        """Train so many steps and rest; the state afterwards, another than `paused` where something is wrong."""
        accepted = self.obey(p.Run, steps=steps)
        return self.rested(self.events.index(accepted))

    def rested(self, since: int) -> p.StateChanged:
        """The first state but running among the events from number `since` on, once there is one."""
        found = self._wait(lambda event: isinstance(event, p.StateChanged) and event.state != "running", since)
        assert isinstance(found, p.StateChanged)
        return found

    def settle(self) -> None:
        """Go on looking until all that is looked at has been measured."""
        while self._look is not None and self._look():
            time.sleep(0.01)

    def _wait(self, wanted: Callable[[p.Events], bool], since: int = 0) -> p.Events:
        while True:
            with self._arrived:
                found = next(filter(wanted, self.events[since:]), None)
                if found is not None:
                    return found
                over = isinstance(self.events[-1], p.Ended) if self.events else False
                if over or not self._worker.is_alive():
                    raise Unexpected("the engine has ended")
                self._arrived.wait(0.02 if self._look else 1.0)
            if self._look is not None:
                self._look()

    def close(self) -> None:
        """End the engine, which stores what is to be kept."""
        self._last += 1
        self.engine.submit(p.Stop(id=self._last))
        self._worker.join()
