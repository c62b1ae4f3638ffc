"""The experiment of an engine: forks of its run in processes of their own, and what screens see of them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from msgspec.structs import replace

from aetui import protocol as p
from aetui.engine import describe
from aetui.engine.live import LiveRun
from aetui.report import Report
from aetui.runs.folder import RunFolder
from aetui.spec import Problem, RunSpec, SpecError, changed, dumps, loads
from aetui.training.checkpoint import capture, restore
from aetui.training.spec_training import trainer_of
from aetui.training.trainer import Trainer
from aetui.whatif import judging, text
from aetui.whatif.course import Trial
from aetui.whatif.experiment import Experiment, Fork, Point
from aetui.whatif.forks import Saved
from aetui.whatif.source import Source, threads_kept

log = logging.getLogger(__name__)

_State = Literal["running", "done", "cancelled", "failed"]


@dataclass(frozen=True)
class Adoption:
    """What the run becomes where it adopts a fork."""

    fork: str
    start: int
    """Step that the fork left from."""
    spec: RunSpec
    """That the fork has."""
    live: bool
    """Whether the present run can have it."""
    steps: int
    """To train after that, 0 for none."""
    note: str
    """For the journal."""


class Conductor:
    """Holds one experiment at a time. `begin` and `adopt` are for the thread that trains, the rest for any.

    The run is copied before the experiment begins; what follows happens in other processes, and in a thread that only
    listens to them.
    """

    def __init__(self, tell: Callable[[str, bool], None]) -> None:
        """tell: a line for the journal, and whether it is a warning."""
        self._tell = tell
        self._lock = threading.Lock()
        self._course: Trial | None = None
        self._thread: threading.Thread | None = None
        self._state: p.TryState | None = None
        self._experiment: Experiment | None = None
        self._why = ""
        """Why the experiment was cancelled, '' where it was not."""
        self._due: tuple[int, str, str] | None = None
        """The step at which an adopted run should have which weights, and the fork that had them."""

    # --- in the thread that trains ----------------------------------------------------------------

    def begin(self, run: LiveRun, asked: p.TryForks) -> None:
        """Start an experiment on forks of the run as it stands.

        Raises:
            SpecError: an edit is refused or nothing is to be tried, or the number of steps is none.
        """
        if asked.steps is not None and asked.steps < 2:
            raise SpecError([Problem("steps", f"{asked.steps} is not allowed; it takes at least 2")])
        if not (asked.remedies or asked.edits or asked.draws):
            raise SpecError([Problem("what-if", "nothing is chosen; it takes a change to try")])
        self.cancel("another one began")
        with threads_kept():
            course = _trial(_source(run, asked), asked)
        with self._lock:
            self._course, self._why, self._due = course, "", None
        self._show(course.experiment, "running")
        self._thread = threading.Thread(target=self._follow, args=(course,), name="what-if", daemon=True)
        self._thread.start()

    def adopt(self, run: LiveRun, name: str, *, alone: bool) -> Adoption:
        """What adopting a fork makes of the run; the experiment ends.

        alone: the engine takes no other run in the place of this one.

        Raises:
            SpecError: there is no such fork, or it changes nothing, or the run does not stand where it left.
        """
        x = self._experiment
        fork = next((one for one in x.forks if one.name == name), None) if x is not None else None
        if x is None or fork is None:
            raise SpecError([Problem("what-if", f"there is no fork {name!r} to adopt")])
        if fork.control:
            raise SpecError([Problem("what-if", f"{name} changes nothing; there is nothing to adopt")])
        if x.run != run.info.name:
            raise SpecError([Problem("what-if", f"{name} is a fork of {x.run}, and this is {run.info.name}")])
        if not fork.change.live and alone:
            text = f"{name} starts over, and this engine trains the run {run.info.name} alone; its spec can be written"
            raise SpecError([Problem("what-if", text)])
        here = trainer_of(run.training)
        if fork.change.live and fork.start and (here.steps != fork.start or dumps(here.spec) != x.spec):
            where = f"{name} left the run at step {fork.start:,}, and it is elsewhere now; undo or rewind goes back"
            raise SpecError([Problem("what-if", where)])
        self.cancel(f"{name} was adopted")
        done = fork.status == "done"
        steps = fork.end - fork.start if done else 0
        self._due = (fork.end, fork.weights, name) if done and fork.weights else None
        verdict = f" ({fork.verdict})" if fork.verdict else ""
        return Adoption(
            fork=name,
            start=fork.start,
            spec=changed(loads(x.spec), fork.change.values, text=True),
            live=fork.change.live,
            steps=steps,
            note=f"adopted the fork {name}{verdict}" + (f": its {steps:,} steps are trained again" if steps else ""),
        )

    def reached(self, run: LiveRun) -> None:
        """Say whether an adopted run has come to the weights that its fork had."""
        if self._due is None or run.training.steps.done != self._due[0]:
            return
        (step, weights, name), self._due = self._due, None
        if trainer_of(run.training).weights_sha256() == weights:
            self._tell(f"at step {step:,} the run has the weights of the fork {name}, bit for bit", False)
        else:
            self._tell(f"at step {step:,} the weights of the run are not those of the fork {name}", True)

    # --- from any thread --------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether forks are in training."""
        state = self._state
        return state is not None and state.state == "running"

    def cancel(self, why: str) -> bool:
        """End the experiment, where one goes on; whether one did."""
        self._due = None
        with self._lock:
            course = self._course
            self._course = None
            if course is None:
                return False
            self._why = why
        course.cancel()
        if self._thread is not None:
            self._thread.join(10)
        return True

    def news(self, look: p.Look) -> p.TryState | None:
        """The experiment as it is now, None where the screen has seen that or there is none."""
        state = self._state
        return state if state is not None and state.version != look.trial else None

    # --- in the thread of the experiment ----------------------------------------------------------

    def _follow(self, course: Trial) -> None:
        state: _State = "done"
        try:
            for experiment in course.run():
                self._show(experiment, "running")
        except Exception as error:
            log.exception("an experiment failed")
            state = "failed"
            self._tell(f"the experiment failed: {describe.failure(error)}", True)
        with self._lock:
            if self._course is course:
                self._course = None
            elif state == "done":
                state = "cancelled"
        self._show(course.experiment, state)
        for line in _journal(course.experiment, state, self._why):
            self._tell(line, False)

    def _show(self, x: Experiment, state: _State) -> None:
        self._experiment = x
        version = self._state.version + 1 if self._state is not None else 1
        best = judging.winner(x)
        self._state = p.TryState(
            version=version,
            run=x.run,
            spec=x.spec,
            step=x.step,
            half=x.half,
            full=x.full,
            state=state,
            symptom=x.symptom,
            linear=x.linear,
            forks=tuple(map(_fork_state, x.forks)),
            winner=best.name if best is not None else "",
            text=self._told(x, state),
        )

    def _told(self, x: Experiment, state: _State) -> str:
        if state == "running":
            return text.progress(x)
        if state == "done":
            return f"{text.conclusion(x)}{f' Note: {x.note}.' if x.note else ''}"
        return f"the experiment was cancelled: {self._why}" if self._why else "the experiment failed"


def _source(run: LiveRun, asked: p.TryForks) -> Source:
    """A copy of the run where it stands, or before its first step, with those of its remedies that are to be tried."""
    live, recording = trainer_of(run.training), run.recording
    threads = torch.get_num_threads()
    tweaked = recording is None or bool(recording.tree.tweaks_on(recording.path))
    goes_on = not asked.anew and (live.steps > 0 or tweaked)
    saved = capture(live) if goes_on else None
    copy = Trainer(live.spec, dataset=live.dataset, strict=False)
    if saved is not None:
        restore(copy, saved)
    found = run.watch.diagnosis
    return Source(
        run.info.name,
        copy.spec,
        copy,
        threads,
        step=copy.steps,
        saved=Saved.of(saved) if saved is not None else None,
        tweaked=tweaked and goes_on,
        report=_chosen(found.report, asked.remedies) if found is not None else None,
        folder=RunFolder(recording.folder.path) if recording is not None else None,
        # Of a run that starts over, how the present one went says nothing about how long it takes.
        losses=None if asked.anew else _losses(run),
    )


def _chosen(report: Report, remedies: tuple[tuple[str, str], ...]) -> Report:
    """The report with those of its remedies that are to be tried."""
    findings = (
        replace(one, remedies=tuple(remedy for remedy in one.remedies if (one.cause, remedy.id) in remedies))
        for one in report.findings
    )
    return replace(report, findings=tuple(findings))


def _losses(run: LiveRun) -> np.ndarray:
    """Of every step, shape (steps,)."""

    def pages() -> Iterator[np.ndarray]:
        at = 0
        while (page := run.history.since(at)) is not None:
            loss = page.loss.numpy()
            at += len(loss)
            yield loss

    return np.concatenate([np.empty(0, np.float32), *pages()])


def _fork_state(fork: Fork) -> p.ForkState:
    last = fork.last
    return p.ForkState(
        name=fork.name,
        change=fork.change.label,
        text=fork.why or fork.change.text,
        control=fork.control,
        live=not fork.restarts,
        start=fork.start,
        end=fork.end,
        step=fork.step,
        status=fork.status,
        verdict=fork.verdict,
        steps=p.Array.of([point.step for point in fork.curve]),
        loss=_column(fork.curve, lambda point: point.loss),
        explained=_column(fork.curve, lambda point: point.explained),
        settings=dict(fork.change.values),
        ratio=last.ratio if last is not None else None,
        lost=last.lost if last is not None else None,
        dead=last.dead if last is not None else None,
    )


def _column(curve: tuple[Point, ...], value: Callable[[Point], float | None]) -> p.Array:
    found = map(value, curve)
    return p.Array.of([float("nan") if one is None else one for one in found])


def _trial(source: Source, asked: p.TryForks) -> Trial:
    """An experiment whose forks the user has chosen, the combination of the two best too."""
    edits = list(asked.edits)
    # Room for all that was chosen, for four controls at most, and for the combination.
    room = 5 + len(asked.remedies) + len(edits) + asked.draws
    return Trial(
        source, edits=edits, draws=asked.draws, combine=asked.combine, steps=asked.steps, forks=room, seed=asked.seed
    )


def _journal(x: Experiment, state: _State, why: str) -> Iterator[str]:
    """Lines for the journal: every fork with its figures, and what came out."""
    yield from map(text.line, x.forks)
    if state == "done":
        yield f"experiment at step {x.step:,}: {text.conclusion(x)}"
    else:
        yield f"experiment at step {x.step:,}: {state}{f', {why}' if why else ''}"
