"""Keys in the order of their arrival: each one acts on what the one before it has brought about."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from functools import cached_property

from textual import events
from textual.app import App
from textual.message_pump import MessagePump
from textual.screen import Screen

from aetui.tui.dialogs import Dialog

_INPUT = (events.Key, events.Paste, events.MouseDown, events.MouseUp)
LONGEST = 3.0
"""Seconds after which a key is obeyed although something is still under way."""
_PAUSE = 0.01
"""Seconds between two looks at what works outside of the message queues."""


class OrderedInput(App[None]):
    """Hands out one key at a time.

    Textual sends a key to what has the focus when the key is read. Where the key before it opens or closes something
    through messages, a key in the same read would find the screen as it was. So a key is obeyed at once where nothing
    is under way, and else kept until the messages, screens and searches that the key before brought about are through.
    """

    pressed = ""
    """The key that is being obeyed, or was obeyed last."""
    _busy = False
    _laying_out = 0
    """Calls that wait for what has changed to be laid out."""
    _due: events.Event | None = None
    _settling: asyncio.Task[None] | None = None

    @cached_property
    def _kept(self) -> deque[events.Event]:
        return deque()

    async def on_event(self, event: events.Event) -> None:
        if not isinstance(event, _INPUT) or event.is_forwarded:
            await super().on_event(event)
        elif self._busy and event is not self._due:
            self._kept.append(event)
        else:
            self._busy, self._due = True, None
            self.pressed = event.key if isinstance(event, events.Key) else ""
            await super().on_event(event)
            self._settling = asyncio.create_task(self._settle())

    def after_layout(self, call: Callable[[], None]) -> None:
        """Call something once what has changed is laid out; the next key waits for that."""

        def done() -> None:
            self._laying_out -= 1
            call()

        self._laying_out += self.call_after_refresh(done)

    @property
    def settled(self) -> bool:
        """Whether every key that has been read is obeyed, with all it brought about."""
        return not self._busy

    async def _settle(self) -> None:
        """Wait until the last key's consequences are there, and hand out the next."""
        end = time.monotonic() + LONGEST
        quiet = 0
        # A handler may be at work while no queue holds anything; it lets no second round pass.
        while quiet < 2 and (left := end - time.monotonic()) > 0:
            quiet = quiet + 1 if await self._round(left) else 0
            if self._works_elsewhere():
                quiet = 0
                await asyncio.sleep(_PAUSE)
        if self._kept:
            self._due = self._kept.popleft()
            if self.post_message(self._due):
                return
        self._busy = False

    async def _round(self, limit: float) -> bool:
        """Have everything on the screens come to the end of its queue; whether nothing new has come up by then."""
        pumps = self._pumps()
        left = 0
        through = asyncio.Event()

        def passed() -> None:
            nonlocal left
            left -= 1
            if not left:
                through.set()

        for pump in pumps:
            left += pump.call_later(passed)
        if left:
            try:
                await asyncio.wait_for(through.wait(), limit)
            except TimeoutError:
                return False
        return pumps == self._pumps() and not any(pump.message_queue_size for pump in pumps)

    def _pumps(self) -> list[MessagePump]:
        nodes = (node for screen in self.screen_stack for node in screen.walk_children(with_self=True))
        return [self, *nodes]

    def _works_elsewhere(self) -> bool:
        """Whether something waits for the layout, or a screen searches for something or waits for it."""
        screens: list[Screen[object]] = list(self.screen_stack)
        searching = any(worker.node in screens and not worker.is_finished for worker in self.workers)
        return (
            searching or self._laying_out > 0 or any(isinstance(screen, Dialog) and screen.waits for screen in screens)
        )
