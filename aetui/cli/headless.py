"""A run without a screen of its own: its engine in a thread of the command, which says how it goes and how it ended."""

import json
import logging
import math
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from aetui import protocol as p
from aetui.alerts.settings import load_alerts
from aetui.alerts.terminal import sequences
from aetui.alerts.told import Listener
from aetui.cli.outcome import outcome, print_outcome
from aetui.cli.progress import Progress, progress, say
from aetui.engine.host import Host
from aetui.engine.worker import Engine
from aetui.models.errors import ForwardError
from aetui.runs.recording import Recording
from aetui.training.spec_training import trainer_of

log = logging.getLogger(__name__)

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SILENCE = 2.0
"""Seconds after a signal until the user is told what is waited for."""


class Headless:
    """One run, trained to its end by an engine in this process, to which screens may attach."""

    def __init__(self, recording: Recording, *, as_json: bool, quiet: bool) -> None:
        """recording: of a run whose training is still at step 0."""
        self._recording, self._as_json, self._quiet = recording, as_json, quiet
        self._name = recording.folder.name
        self._engine = Engine(self._name, str(recording.folder.log))
        self._engine.serve_only(recording)
        self._news: queue.SimpleQueue[p.Reply | None] = queue.SimpleQueue()
        self._signal: signal.Signals | None = None
        self._signaled = 0.0
        self._state, self._failure, self._unsaved = "loading", "", ""
        self._goal: int | None = None
        self._listener = Listener()
        self._speed = _Speed()

    def go_to_end(self) -> list[str]:
        """Bring the trainer to where the record ends; remarks.

        Raises:
            Interrupted: a signal asked for it.
        """
        with self._heeding(), progress(self._quiet) as shown:

            def show(first: int, now: int, last: int) -> bool:
                shown.replay(first, now, last)
                return self._signal is not None

            return self._recording.resume(show)

    @property
    def interrupted(self) -> int:
        """The exit status where a signal has ended it."""
        return 128 + (self._signal or signal.SIGINT)

    def train(self, remarks: list[str]) -> int:
        """Train up to the run's goal, print the outcome, and leave the run stored; the exit status."""
        goal, done = self._recording.goal, self._recording.position.step
        # A full disk must not make each line of the log an error of its own.
        logging.raiseExceptions = False
        engine = self._engine
        # How long an engine without a screen is needed is for this command to say.
        host = Host(engine, idle=math.inf, over=math.inf, grace=math.inf)
        engine.join(self._take)
        engine.train_only(f"running without a screen up to step {goal or 0:,}", remarks)
        worker = threading.Thread(target=self._work, name="worker", daemon=True)
        with self._heeding():
            with progress(self._quiet) as shown:
                if goal != done:
                    shown.begin(
                        f"the run {self._name} trains {_span(done, goal)}; aetui attach {self._name} shows it", done
                    )
                worker.start()
                self._watch(shown)
            worker.join()
            host.close()
        return self._conclude()

    def _work(self) -> None:
        try:
            self._engine.work()
        except Exception as error:
            log.exception("the worker thread ended")
            self._state, self._failure = "failed", f"the engine ended: {type(error).__name__}: {error}"
        finally:
            self._news.put(None)

    # --- while it trains ------------------------------------------------------------------------

    def _take(self, reply: p.Reply) -> None:
        """A sink."""
        if isinstance(reply, p.StateChanged):
            self._speed.note(reply)
        self._news.put(reply)

    def _watch(self, shown: Progress) -> None:
        """Say what there is to say until the engine has ended."""
        look, warned = p.Look(), False
        while True:
            try:
                reply = self._news.get(timeout=shown.period)
                if reply is None:
                    return
                self._hear(reply)
            except queue.Empty:
                pass
            if shown.due and (view := self._engine.view(look)) is not None:
                look = p.Look(run=view.run, since=view.status.step, points=look.points + len(view.points))
                shown.train(view.status, self._goal)
            if self._signal and not warned and time.monotonic() - self._signaled > _SILENCE:
                warned = True
                say(f"{self._signal.name}: waiting for the step under way; another one ends at once")

    def _hear(self, reply: p.Reply) -> None:
        if (alert := self._listener.hear(reply)) is not None and sys.stderr.isatty():
            with suppress(OSError):
                print(sequences(alert, load_alerts()[0]), end="", file=sys.stderr, flush=True)
        info = getattr(reply, "info", None)
        if info is not None:
            self._goal = info.goal
        match reply:
            case p.Noted() if reply.warning:
                say(reply.text)
            case p.Failed():
                self._failure = reply.text
            case p.Ended():
                self._unsaved = reply.unsaved
            case p.StateChanged():
                self._note_state(reply)

    def _note_state(self, event: p.StateChanged) -> None:
        before, self._state = self._state, event.state
        if event.state == "paused" and before != "paused":
            way = f"aetui attach {self._name} goes on with it, aetui stop {self._name} ends it"
            say(f"paused from a screen at step {event.step:,}, and waits there; {way}")
        elif event.state == "running" and before == "paused":
            say(f"goes on from step {event.step:,}")

    # --- the end --------------------------------------------------------------------------------

    def _conclude(self) -> int:
        """Say how it ended; the exit status."""
        recording = self._recording
        done, nothing = recording.position.step, recording.idle
        if self._unsaved:
            say(f"the run {self._name} could not be stored whole: {self._unsaved}")
        stored = f"the run {self._name} is stored at step {done:,}; aetui resume {self._name} --headless goes on"
        if self._state == "failed":
            say(self._failure)
            if not nothing and not self._unsaved:
                say(stored)
            return 1
        if self._state not in p.OVER:
            why = self._signal.name if self._signal else "stopped from a screen"
            if not self._unsaved:
                say(f"{why}: {'nothing was trained, so nothing is kept' if nothing else stored}")
            return 128 + (self._signal or signal.SIGTERM)
        try:
            self._print()
        except ForwardError as error:
            say(f"the model can't be measured: {error}")
            return 1
        if self._state == "non-finite":
            say(f"loss or gradient was not finite at step {done:,}; training stopped there")
        return int(self._state != "finished" or bool(self._unsaved))

    def _print(self) -> None:
        trainer = trainer_of(self._recording.training)
        evaluation = trainer.evaluate()
        if self._as_json:
            print(json.dumps(outcome(trainer, evaluation, self._speed.rate, self._name), allow_nan=False))
        else:
            print_outcome(trainer, evaluation, self._speed.rate, self._name)

    @contextmanager
    def _heeding(self) -> Iterator[None]:
        """Signals that ask to end are remembered, and heeded between two steps; the second one ends at once."""

        def heed(number: int, _frame: Any) -> None:
            if self._signal is not None:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
                return
            self._signal, self._signaled = signal.Signals(number), time.monotonic()
            self._engine.submit(p.Stop(id=0))

        # `nohup` has it ignored, and means it.
        heeded = [number for number in _SIGNALS if number != signal.SIGHUP or not _is_ignored(number)]
        before = {number: signal.signal(number, heed) for number in heeded}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class _Speed:
    """Steps per second of the stretches in which it trained."""

    def __init__(self) -> None:
        self._began: tuple[float, int] | None = None
        self._steps, self._seconds = 0, 0.0

    def note(self, event: p.StateChanged) -> None:
        now = time.perf_counter()
        if self._began is not None:
            self._seconds += now - self._began[0]
            self._steps += event.step - self._began[1]
        self._began = (now, event.step) if event.state == "running" else None

    @property
    def rate(self) -> float:
        return self._steps / self._seconds if self._seconds else 0.0


def _span(done: int, goal: int | None) -> str:
    return f"{f'from step {done:,} ' if done else ''}up to step {goal or 0:,}"


def _is_ignored(number: signal.Signals) -> bool:
    return signal.getsignal(number) is signal.SIG_IGN
