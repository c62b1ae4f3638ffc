"""`aetui train` and `aetui resume --headless`: a run without a screen."""

import json
import logging
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from aetui import protocol as p
from aetui.cli.outcome import outcome, print_outcome
from aetui.cli.screen import new_folder
from aetui.data import DataError
from aetui.engine.crash import log_exits
from aetui.engine.describe import failure, finished
from aetui.engine.journal import record
from aetui.engine.logs import log_to
from aetui.models.errors import ForwardError, ModelError
from aetui.runs.database import DamagedDatabase
from aetui.runs.folder import RunError, RunFolder
from aetui.runs.recording import Recording
from aetui.runs.replay import Interrupted
from aetui.spec import Problem, RunSpec, SpecError
from aetui.training.remarks import warnings
from aetui.training.spec_training import SpecTraining, trainer_of
from aetui.training.trainer import Trainer

log = logging.getLogger(__name__)

_PERIOD = 0.2
"""Seconds between two updates of the record and the progress bar."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def train_headless(spec: RunSpec, *, steps: int | None, as_json: bool, name: str | None = None) -> int:
    """Train, and print the outcome; status 1 where loss or gradient stopped being finite.

    Raises:
        SpecError: the spec, its data or its model can't be used, there is no number of steps, or the name is taken.
    """
    _check_steps(steps)
    trainer = _built(spec)
    if (steps or trainer.goal) is None:
        raise SpecError([Problem("--steps", "missing; the spec sets neither train.steps nor train.epochs")])
    folder, problems = new_folder(name)
    log_to(str(folder.log))
    log_exits(_say)
    for problem in (*problems, *warnings(trainer)):
        _say(problem)
    try:
        recording = Recording.begin(folder, SpecTraining(trainer), wanted=steps)
    except (RunError, DamagedDatabase) as error:
        raise SpecError([Problem("AETUI_HOME", str(error))]) from None
    recording.save_start()
    return _Headless(recording, as_json).train(recording.goal or 0)


def resume_headless(folder: RunFolder, *, steps: int | None, as_json: bool) -> int:
    """Continue a stored run up to the steps first asked for, or `steps` in all, and print the outcome.

    Raises:
        SpecError: the run is in training, or its data or model can't be used.
    """
    _check_steps(steps)
    log_to(str(folder.log))
    log_exits(_say)
    try:
        recording, remarks = Recording.open(folder)
    except RunError as error:
        raise SpecError([Problem("aetui resume", str(error))]) from None
    except (DataError, ModelError) as error:
        raise SpecError([_problem(error)]) from None
    headless = _Headless(recording, as_json)
    try:
        remarks += headless.go_to_end()
        goal = steps or recording.goal
        done = trainer_of(recording.training).steps
        if goal is None:
            raise SpecError([Problem("--steps", f"missing; the run stands at step {done:,} and has no end of its own")])
        if goal < done:
            hint = "it takes at least that, and counts from the run's first step"
            raise SpecError([Problem("--steps", f"{goal:,} is not allowed; the run stands at step {done:,}; {hint}")])
    except Interrupted:
        recording.close("")
        return 130
    except BaseException:
        recording.close("")
        raise
    for remark in (*remarks, *warnings(trainer_of(recording.training))):
        _say(remark)
    if steps is not None:
        recording.want(steps)
    return headless.train(goal)


def _built(spec: RunSpec) -> Trainer:
    try:
        return Trainer(spec)
    except (DataError, ModelError) as error:
        raise SpecError([_problem(error)]) from None


def _problem(error: DataError | ModelError) -> Problem:
    path = error.path or "data"
    return Problem(path, str(error).removeprefix(f"{path}: "))


def _check_steps(steps: int | None) -> None:
    if steps is not None and steps < 1:
        raise SpecError([Problem("--steps", f"{steps} is not allowed; it takes a whole number of at least 1")])


def _say(text: str) -> None:
    with suppress(OSError):  # a full disk behind stderr must not end a training
        print(f"aetui: {text}", file=sys.stderr, flush=True)


class _Headless:
    """One run in training, its record, and the signals that end it."""

    def __init__(self, recording: Recording, as_json: bool) -> None:
        self._recording, self._trainer, self._as_json = recording, trainer_of(recording.training), as_json
        self._signal: signal.Signals | None = None
        self._trouble = ""

    @property
    def _name(self) -> str:
        return self._recording.folder.name

    def go_to_end(self) -> list[str]:
        """Bring the trainer to where the record ends; remarks."""
        with self._heeding(), _bar() as progress:
            task = progress.add_task("training again", total=None, loss="")

            def show(first: int, now: int, last: int) -> bool:
                progress.update(task, total=last - first, completed=now - first)
                return self._signal is not None

            return self._recording.resume(show)

    def train(self, goal: int) -> int:
        """Train up to step `goal`, print the outcome, and leave the run stored."""
        recording, trainer = self._recording, self._trainer
        before = trainer.steps
        record(recording, p.StateChanged(state="running", reason=f"running without a screen up to step {goal:,}"))
        recording.note_state("running")
        start = time.perf_counter()
        try:
            with self._heeding():
                finite = self._train(goal)
        except (Exception, SystemExit) as error:
            log.exception("a step failed")
            return self._broke_off(error)
        seconds = time.perf_counter() - start
        if self._signal is not None:
            self._put_away("paused", f"paused by {self._signal.name}")
            _say(f"{self._signal.name}: the run {self._name} is stored at step {trainer.steps:,}; {self._way_on()}")
            return 128 + self._signal
        reason = finished(trainer.steps) if trainer.steps == trainer.goal else f"finished {trainer.steps:,} steps"
        if not finite:
            reason = f"loss or gradient was not finite at step {trainer.steps:,}"
        try:
            evaluation = trainer.evaluate()
        except ForwardError as error:
            self._put_away("finished" if finite else "non-finite", reason)
            _say(f"the model can't be measured: {error}")
            return 1
        held_out = evaluation.validation_loss
        recording.add_point(trainer.steps, held_out, evaluation.explained_variance)
        stored = self._put_away("finished" if finite else "non-finite", reason)
        speed = (trainer.steps - before) / seconds if seconds else 0.0
        if self._as_json:
            print(json.dumps(outcome(trainer, evaluation, speed, self._name), allow_nan=False))
        else:
            print_outcome(trainer, evaluation, speed, self._name)
        if not finite:
            _say(f"{reason}; training stopped there")
        return 0 if finite and stored else 1

    def _train(self, goal: int) -> bool:
        """Whether every step up to `goal`, or to a signal, was finite."""
        recording, trainer = self._recording, self._trainer
        shown = time.perf_counter()
        finite = True
        with _bar() as progress:
            task = progress.add_task("training", total=goal, completed=trainer.steps, loss="")
            while finite and trainer.steps < goal and self._signal is None:
                finite = trainer.advance()
                now = time.perf_counter()
                if now - shown > _PERIOD:
                    shown = now
                    loss, finite = self._collect(finite)
                    progress.update(task, completed=trainer.steps, loss=f"loss {loss:.4g}")
                    if recording.due:
                        recording.checkpoint("from time to time")
            return self._collect(finite)[1]

    def _collect(self, finite: bool) -> tuple[float, bool]:
        """Record the latest steps; the last loss, and whether all was finite so far."""
        records = self._trainer.recorder.drain()
        self._recording.add(records)
        trouble, before = self._recording.keeper.trouble, self._trouble
        self._trouble = trouble
        if bool(trouble) != bool(before):
            _say(f"the run is not being stored: {trouble}; it trains on" if trouble else "the run is stored again")
        last = float(records.total[-1]) if len(records) else float("nan")
        return last, finite and bool(np.isfinite(records.total).all() and np.isfinite(records.grad_norm).all())

    def _broke_off(self, error: BaseException) -> int:
        """A step failed: the run is stored as it was before it."""
        self._collect(True)
        self._recording.spoiled = True
        done, idle = self._recording.position.step, self._recording.idle
        self._put_away("failed", f"step {done + 1:,} failed: {failure(error)}")
        _say(f"step {done + 1:,} failed: {failure(error)}")
        if not idle:
            _say(f"the run {self._name} is stored at step {done:,}; {self._way_on()}")
        return 1

    def _put_away(self, state: str, reason: str) -> bool:
        """Whether all of the run is on the disk."""
        recording = self._recording
        record(recording, p.StateChanged(state=state, reason=reason))
        recording.note_state(state)
        if trouble := recording.close("end"):
            _say(f"the run {self._name} could not be stored whole: {trouble}")
        return not trouble

    def _way_on(self) -> str:
        return f"aetui resume {self._name} --headless goes on"

    @contextmanager
    def _heeding(self) -> Iterator[None]:
        """Signals that ask to end are remembered, and heeded between two steps; the second one ends at once."""

        def heed(number: int, _frame: Any) -> None:
            self._signal = signal.Signals(number)
            signal.signal(number, before[self._signal])

        before = {number: signal.signal(number, heed) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _bar() -> Any:
    """A progress bar on stderr; nothing where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.fields[loss]}"))
    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
