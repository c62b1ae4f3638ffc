"""What the parts of the workbench may ask of the app around them."""

import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from textual.screen import Screen

from aetui.alerts.told import Alert
from aetui.tui.actions import key_text
from aetui.tui.frames import Frames
from aetui.tui.ordered import OrderedInput
from aetui.tui.workbench import WorkbenchScreen

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

_MOMENT = 0.1
"""Seconds within which an answer is at once."""


class Shell:
    """The screen with its notice, the dialogs above it, its keys and its pace."""

    def __init__(
        self,
        app: OrderedInput,
        bench: WorkbenchScreen,
        frames: Frames,
        keymap: Mapping[str, str],
        alert: Callable[[Alert], None],
    ) -> None:
        """keymap: the user's keys. alert: has the terminal ring or show what happened."""
        self._app, self._keymap = app, keymap
        self.alert = alert
        self.bench = bench
        self.look, self.redraw = frames.look, frames.redraw
        self.leave = app.exit
        self.overhear: Callable[[str, str], None] | None = None
        """Told of what the notice says, by a screen that covers it."""

    @property
    def columns(self) -> int:
        """Of the terminal."""
        return self._app.size.width

    @property
    def screens(self) -> Sequence[Screen[Any]]:
        """The workbench and the dialogs above it, the uppermost last."""
        return self._app.screen_stack

    def say(self, text: str, severity: str = "note") -> None:
        """Show one line until the next. severity: `note`, `warning` or `error`."""
        self.bench.notice.show_text(text, severity)
        if self.overhear is not None and text:
            self.overhear(text, severity)

    def key(self, action: str) -> str:
        """How the first key of an action is shown, '' if it has none."""
        return key_text(action, self._keymap)

    def ask(self, dialog: Screen[Answer], then: Callable[[Answer | None], None]) -> None:
        """Open a dialog; `then` gets its answer."""
        self._app.push_screen(dialog, then)

    def in_turn(self, call: Callable[[], None]) -> None:
        """Have the screen's thread call something after what it has been told before; from any thread."""
        self._app.call_later(call)

    def after_refresh(self, call: Callable[[], None]) -> None:
        """Call something once what has changed is laid out, before the next key."""
        self._app.after_layout(call)

    def in_a_moment(self, call: Callable[[], None]) -> None:
        """Call something once a user who waits would want to see something, so that nothing flickers before."""
        self._app.set_timer(_MOMENT, call)

    def work(self, job: Coroutine[Any, Any, None]) -> None:
        """Have a job done while the screen goes on; one that fails is said."""
        self._app.run_worker(self._done(job))

    async def _done(self, job: Coroutine[Any, Any, None]) -> None:
        try:
            await job
        except Exception as error:
            log.error("a job of the screen failed", exc_info=error)
            self.say(f"{type(error).__name__}: {error}; the run's log has the traceback", "error")
