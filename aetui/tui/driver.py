"""The terminal's driver: draws what changed, as fast as the line takes it, what matters most first."""

import os
import re
import time
from asyncio import TimerHandle
from collections import deque
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray
from textual import events
from textual.drivers.linux_driver import LinuxDriver
from textual.geometry import Region, Size
from textual.message import Message

from aetui.tui.cells import Cells
from aetui.tui.characters import Terminal
from aetui.tui.line import Line
from aetui.tui.suspending import FAREWELL

SYNC = "\x1b[?2026h", "\x1b[?2026l"
_QUERIES = re.compile(r"\x1b\[\?\d+\$p|\x1b\[[<>]\d*u")
"""Questions and modes that older terminals show as text."""
_KEY = 1.0
"""Seconds after a key in which changes count as its effect."""
_F3 = ("shift", "alt", "ctrl")
_FAREWELL = 1.5
"""Seconds to wait in the end for answers, which would come to the shell otherwise."""


class Drawn(Protocol):
    """What the driver asks of its app."""

    line: Line
    terminal: Terminal
    size: Size

    def pictures(self, key: bool) -> list[tuple[Region, bool]]:
        """Regions, each over those before it, and whether they come last. key: one was just pressed."""
        ...


class LineDriver(LinuxDriver):
    """Textual's driver, with a picture of the terminal between what Textual draws and what is sent."""

    _cells: Cells | None = None
    _sync = False
    _key = float("-inf")
    _number = 0
    _waiting: TimerHandle | None = None
    _running = False

    @property
    def _drawn(self) -> Drawn:
        return cast(Drawn, self._app)

    # --- out ------------------------------------------------------------------------------------

    def start_application_mode(self) -> None:
        self._answers: deque[tuple[tuple[int, int], float]] = deque()
        self._running = True
        self._drawn.line.renewed()
        super().start_application_mode()
        if self._cells is not None:
            self._cells.forget()
        # Asked ahead of the first picture, so that it can be sent as the line takes it.
        self._ask("")

    def write(self, data: str) -> None:
        if data in SYNC:
            self._sync = True
            return
        size = self._drawn.size
        if self._cells is None or (self._cells.columns, self._cells.rows) != size:
            if self._cells is not None:
                self._drawn.line.renewed()
            self._cells = Cells(size.width, size.height, self._drawn.terminal.translate, self._drawn.terminal.colors)
        rest = self._cells.write(data)
        if not self._drawn.terminal.queries:
            rest = _QUERIES.sub("", rest)
        if rest:
            super().write(rest)

    def pass_on(self, sequence: str) -> None:
        """Send what draws nothing and is no part of the picture, as it is."""
        if self._running:
            super().write(sequence)

    def flush(self) -> None:
        """Send what the line takes now; the rest follows as answers come."""
        if self._running and self._cells is not None:
            self._send(self._cells)

    def _send(self, cells: Cells) -> None:
        line, now = self._drawn.line, time.monotonic()
        line.give_up(now)
        key = now - self._key < _KEY
        early, late = cells.changes(self._late(cells, key))
        while early and (room := line.room(key)) > 0:
            self._ask(cells.encode(early, room))
            early, late = cells.changes(self._late(cells, key))
        # Pieces of a third of the window: each is answered, and a key's effect waits behind few.
        piece = max(300.0, line.window / 3)
        while late and not early and (line.room() >= piece or not line.under_way):
            self._ask(cells.encode(late, line.room() if line.answers is False else piece))
            late = cells.changes(self._late(cells, key))[1]
        self._pending = bool(early or late)
        line.drawing(self._pending, now)
        self._wait()

    def _ask(self, drawn: str) -> None:
        """Send a piece, with the question whether it has arrived; the place of the cursor numbers it."""
        line, cells = self._drawn.line, self._cells
        if cells is not None and cells.rows > 1 and line.asks:
            # Never in the first row, where an answer looks like F3 with a modifier.
            row = 2 + self._number % (cells.rows - 1)
            column = 1 + self._number // (cells.rows - 1) % cells.columns
            self._number += 1
            back = "\x1b[{};{}H".format(*(at + 1 for at in cells.cursor))
            drawn = f"{drawn}\x1b[{row};{column}H\x1b[6n{back}"
            line.sent((row, column), len(drawn.encode()), time.monotonic())
        if drawn:
            super().write(f"{SYNC[0]}{drawn}{SYNC[1]}" if self._sync else drawn)

    def _late(self, cells: Cells, key: bool) -> NDArray[np.bool_]:
        late = np.zeros((cells.rows, cells.columns), bool)
        for region, last in self._drawn.pictures(key):
            late[max(region.y, 0) : max(region.bottom, 0), max(region.x, 0) : max(region.right, 0)] = last
        return late

    def _wait(self) -> None:
        """Go on when an answer is overdue."""
        if self._waiting is not None:
            self._waiting.cancel()
        patience = self._drawn.line.patience(time.monotonic())
        self._waiting = None if patience is None else self._loop.call_later(patience + 0.01, self.flush)

    # --- in -------------------------------------------------------------------------------------

    def process_message(self, message: Message) -> None:
        # In the input's thread.
        if isinstance(message, events.CursorPosition):
            self._answers.append(((message.y + 1, message.x + 1), time.monotonic()))
            if self._running:
                self._loop.call_soon_threadsafe(self._take)
            return
        if isinstance(message, events.Key | events.Paste | events.MouseDown | events.MouseUp):
            self._key = time.monotonic()
        super().process_message(message)

    def _take(self) -> None:
        while self._answers:
            (row, column), when = self._answers.popleft()
            if not self._drawn.line.answered((row, column), when, getattr(self, "_pending", False)):
                self._function_key(row, column)
        self.flush()

    def _function_key(self, row: int, column: int) -> None:
        """F3 with modifiers, which some terminals send as if it were a place in the first row."""
        if row == 1 and 2 <= column <= 8:
            names = [name for bit, name in enumerate(_F3) if column - 1 & 1 << bit]
            self._key = time.monotonic()
            super().process_message(events.Key("+".join((*sorted(names), "f3")), None))

    # --- the end --------------------------------------------------------------------------------

    def suspend_application_mode(self) -> None:
        """Leave the screen to the shell, with a sentence on what has become of it."""
        self.stop_application_mode()
        super().write(FAREWELL)
        super().flush()
        self.close()

    def disable_input(self) -> None:
        if self._running:
            self._running = False
            if self._waiting is not None:
                self._waiting.cancel()
            end = time.monotonic() + min(_FAREWELL, 0.2 + 2 * self._drawn.line.round_trip)
            while self._drawn.line.under_way and time.monotonic() < end and not _gone(self.fileno):
                time.sleep(0.005)
                while self._answers:
                    place, when = self._answers.popleft()
                    self._drawn.line.answered(place, when, False)
        super().disable_input()


def _gone(fileno: int) -> bool:
    try:
        return not os.isatty(fileno)
    except OSError:
        return True
