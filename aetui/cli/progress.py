"""How far a long command is, on the standard error stream."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aetui.diagnosis import Progress

FIRST, LONGEST = 2.0, 60.0
"""Seconds between the first two lines, and between two lines at most."""
GROWTH = 1.5
"""By what the time between two lines grows."""


@contextmanager
def progress_on_stderr() -> Iterator[Callable[["Progress"], None]]:
    """What to call with how far it is: a bar on a terminal, else a line now and then."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield Lines().show
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("loading", total=None)
        yield lambda state: bar.update(task, description=state.stage, completed=state.done, total=state.total)


class Lines:
    """Lines for a log, at intervals that grow, each flushed."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._start = self._due = clock()
        self._interval = FIRST

    def show(self, state: "Progress") -> None:
        """Say how far it is, if it is time to."""
        now = self._clock()
        if now < self._due:
            return
        far = f", {state.done:,} of {state.total:,}" if state.total > 1 else ""
        with suppress(OSError):  # a full disk behind stderr must not end a diagnosis
            print(f"[{now - self._start:.0f} s] {state.stage}{far}", file=sys.stderr, flush=True)
        self._due = now + self._interval
        self._interval = min(LONGEST, GROWTH * self._interval)
