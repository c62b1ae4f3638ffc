"""When the screen asks its engine for a view, and when it draws what came."""

import os
import time

from aetui.tui.line import Line
from aetui.tui.session import FramePacer, Session
from aetui.tui.workbench import WorkbenchScreen

SHARE = {"process": 0.1, "thread": 0.04}
"""Share of a core that drawing may take, by placement; in a thread it takes it from the training."""
_SPARING = 0.04
"""The same beside a training with a thread on every core, which all spin while one of them waits for its core."""
_PANE_PERIOD = 0.9
"""Seconds between two pictures of the panes while training."""
_IDLE_PERIOD = 1.0
"""Seconds between looks while nothing trains."""


class Frames:
    """The pace of a workbench that shows a session on a line."""

    def __init__(self, session: Session, bench: WorkbenchScreen, line: Line, *, refresh: float, placement: str) -> None:
        """refresh: frames per second at most."""
        self._session, self._bench, self._line = session, bench, line
        self._pacer, self._share = FramePacer(1 / refresh), SHARE[placement]
        self._next_panes = 0.0

    @property
    def period(self) -> float:
        """Seconds between two frames at present."""
        return self._pacer.period

    def next(self) -> float:
        """Look and draw; seconds until the next frame."""
        self.look()
        info = self._session.model.info
        sparing = info is not None and info.spinning >= (os.cpu_count() or 1)
        delay = self._pacer.next_delay(min(self._share, _SPARING) if sparing else self._share)
        if not self._session.training and not self._session.waiting:
            delay = max(delay, _IDLE_PERIOD)
        self.redraw()
        return delay

    def look(self) -> None:
        self._session.look(self._bench.gauges, self._bench.pairs.sample)

    def redraw(self, panes: bool = False) -> None:
        """Draw what has changed: the bars at once, the panes at their own pace while training.

        So the effect of a key never waits behind a chart. On a thin line a picture waits until the last has arrived,
        and pictures take half of the line's time.
        """
        now, model = time.monotonic(), self._session.model
        at_rest = not self._session.training and not model.behind
        if panes or at_rest or (now >= self._next_panes and self._line.idle):
            self._next_panes = now + max(_PANE_PERIOD, self.period, 2 * self._line.took)
            panes = True
        self._bench.show(model, panes)
