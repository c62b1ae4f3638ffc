"""How far a command has come: a bar on a terminal, elsewhere lines at intervals that grow; on standard error."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Self

from msgspec.structs import replace

from aetui import protocol as p
from aetui.tui.figures import duration

if TYPE_CHECKING:
    from aetui.diagnosis import Progress as Stage

FIRST, GROWTH, LONGEST = 2.0, 1.5, 600.0
"""Seconds until the first line, what each interval is of the one before, and seconds that none exceeds."""
LONGEST_STAGE = 60.0
"""The same bound for a diagnosis, which takes minutes."""


def say(text: str) -> None:
    """A sentence for whoever reads standard error."""
    with suppress(OSError):  # a full disk behind it must not end a training
        print(f"aetui: {text}", file=sys.stderr, flush=True)


class Progress:
    """Shows nothing."""

    period = 1.0
    """Seconds between two looks at how far it has come."""
    due = False
    """Whether it would show something now."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def begin(self, text: str, step: int) -> None:
        """Show what begins, and at which step."""

    def replay(self, first: int, now: int, last: int) -> None:
        """Show training that is done again, from step `first` to `last`."""

    def train(self, status: p.Status, goal: int | None) -> None:
        """Show training."""


class Bar(Progress):
    """A progress bar."""

    period = 0.2
    due = True

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as RichProgress

        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[text]}"))
        self._bar: Any = RichProgress(*columns, console=Console(stderr=True), transient=True)
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Self:
        self._bar.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.__exit__(*error)

    def replay(self, first: int, now: int, last: int) -> None:
        self._show("training again", now - first, last - first, "training again")
        if now == last:
            self._bar.remove_task(self._tasks.pop("training again"))

    def train(self, status: p.Status, goal: int | None) -> None:
        text = "" if status.loss is None else f"loss {status.loss:.4g}"
        if status.seconds_left is not None:
            text += f"  {duration(status.seconds_left)} left"
        self._show("training", status.step, goal, f"{text}  {status.state}" if status.state == "paused" else text)

    def _show(self, task: str, now: int, last: int | None, text: str) -> None:
        if task not in self._tasks:
            self._tasks[task] = self._bar.add_task(task, total=last, completed=now, text=text)
        self._bar.update(self._tasks[task], total=last, completed=now, text=text)


class Intervals:
    """When a line is due: at once or after `FIRST` seconds, and from then on at intervals that grow."""

    def __init__(self, longest: float = LONGEST, *, at_once: bool = False) -> None:
        self._longest, self._wait = longest, FIRST
        self._next = time.monotonic() + (0.0 if at_once else FIRST)

    @property
    def due(self) -> bool:
        return time.monotonic() >= self._next

    def take_turn(self) -> bool:
        """Whether a line is due; the next one is then due an interval later."""
        if not self.due:
            return False
        self._next = time.monotonic() + self._wait
        self._wait = min(self._wait * GROWTH, self._longest)
        return True


class Lines(Progress):
    """A line now and then."""

    def __init__(self) -> None:
        self._intervals = Intervals()
        self._began = (time.monotonic(), 0)
        """When it began to train, and at which step."""

    @property
    def due(self) -> bool:
        return self._intervals.due

    def begin(self, text: str, step: int) -> None:
        say(text)
        self._began = (time.monotonic(), step)
        self._intervals = Intervals()

    def replay(self, first: int, now: int, last: int) -> None:
        if self._intervals.take_turn():
            say(f"training again from the checkpoint at step {first:,}: {now:,} of {last:,}")

    def train(self, status: p.Status, goal: int | None) -> None:
        # While it is paused there is nothing new, and why was said.
        if status.state == "running" and self._intervals.take_turn():
            (start, first), (end, last) = self._began, (time.monotonic(), status.step)
            # The engine's own figure comes with its second report.
            mean = (last - first) / (end - start) if last > first and end > start else None
            say(as_line(replace(status, steps_per_second=status.steps_per_second or mean), goal))


def as_line(status: p.Status, goal: int | None) -> str:
    """Where a training stands, in a line; each figure is of the step in front, or says of which."""
    parts = [f"step {status.step:,}{f' of {goal:,}' if goal else ''}"]
    if status.loss is not None:
        parts.append(f"loss {status.loss:.4g}")
    if status.explained_variance is not None:
        of = "" if status.explained_step == status.step else f" at step {status.explained_step:,}"
        parts.append(f"explained variance {status.explained_variance:.3f}{of}")
    rate = status.steps_per_second
    if status.stalled is not None:
        where = ", ".join(filter(None, (status.stalled.doing, status.stalled.place)))
        parts.append(f"no step for {status.stalled.seconds} s{f', in {where}' if where else ''}")
    elif rate:
        parts.append(f"{rate:,.3g} steps/s" if rate < 100 else f"{rate:,.0f} steps/s")
        if status.seconds_left is not None:
            parts.append(f"{duration(status.seconds_left)} left")
    return ", ".join(parts)


def progress(quiet: bool) -> Progress:
    """That which suits standard error."""
    if quiet:
        return Progress()
    return Bar() if sys.stderr.isatty() else Lines()


@contextmanager
def stages_on_stderr() -> Iterator[Callable[["Stage"], None]]:
    """What to call with how far a diagnosis is: a bar on a terminal, else a line now and then."""
    if not sys.stderr.isatty():
        yield StageLines().show
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as RichProgress

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with RichProgress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("loading", total=None)
        yield lambda state: bar.update(task, description=state.stage, completed=state.done, total=state.total)


class StageLines:
    """Lines on how far a diagnosis is."""

    def __init__(self) -> None:
        self._start, self._intervals = time.monotonic(), Intervals(LONGEST_STAGE, at_once=True)

    def show(self, state: "Stage") -> None:
        if self._intervals.take_turn():
            far = f", {state.done:,} of {state.total:,}" if state.total > 1 else ""
            say(f"after {time.monotonic() - self._start:.0f} s: {state.stage}{far}")
