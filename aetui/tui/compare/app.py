"""The app of `aetui compare`: one screen of stored runs, read again while any of them goes on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.binding import BindingType
from textual.geometry import Region
from textual.screen import Screen

from aetui.comparison import Row
from aetui.tui.compare.screen import CompareScreen
from aetui.tui.compare.sides import Sides
from aetui.tui.terminal_app import TerminalApp
from aetui.tui.user_settings import Settings

log = logging.getLogger(__name__)

_PERIOD = 2.0
"""Seconds between two looks at the records; they are written once a second."""


class CompareApp(TerminalApp):
    """Stored runs side by side on a terminal."""

    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = []

    def __init__(
        self,
        read: Callable[[], Sequence[Row]],
        *,
        wanted: str = "",
        at: int | None = None,
        theme: str | None = None,
        settings: Settings | None = None,
    ) -> None:
        """read: the rows as the records have them now; it may take a moment and is called in a thread.

        wanted: the filter to begin with. at: the step to put the cursor on.
        """
        super().__init__(theme=theme, settings=settings)
        self._read = read
        self.compared = CompareScreen(Sides(read(), wanted, at))

    def get_default_screen(self) -> Screen[None]:
        return self.compared

    def pictures(self, key: bool) -> list[tuple[Region, bool]]:
        top = self.screen_stack[-1:]
        dialogs = [(child.region, False) for screen in top if screen is not self.compared for child in screen.children]
        return [(self.compared.chart.region, True), *dialogs]

    def on_mount(self) -> None:
        self.begin_on_terminal()
        self.set_timer(_PERIOD, self._frame)

    def _frame(self) -> None:
        if self.terminal_gone:
            self.exit()
        else:
            self.run_worker(self._follow(), exclusive=True)

    async def _follow(self) -> None:
        """Draw what the records have now, and plan the next look."""
        try:
            rows = await asyncio.to_thread(self._read)
        except OSError as error:
            log.info("the records can't be read now", exc_info=error)
        else:
            self.compared.follow(rows)
        self.set_timer(_PERIOD, self._frame)

    def action_next_theme(self) -> None:
        self.turn_theme()
        self.compared.show()

    async def action_quit(self) -> None:
        self.exit()
