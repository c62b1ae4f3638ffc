"""The engine: what it does between two steps of a training, and the worker thread that drives one of ours."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from msgspec.structs import replace

from aetui import protocol as p
from aetui.data import DataError
from aetui.engine import describe, pulse, whereabouts
from aetui.engine.journal import Journal, Sink
from aetui.engine.live import LiveRun
from aetui.engine.meters import SpeedMeter
from aetui.engine.shelf import Shelf
from aetui.engine.steering import Hold
from aetui.models.build import ModelError
from aetui.report import Report
from aetui.runs.folder import RunError
from aetui.runs.replay import Interrupted
from aetui.spec import SpecError
from aetui.training.interface import Training

log = logging.getLogger(__name__)

_REFUSALS = (SpecError, DataError, ModelError, RunError)
"""Errors that are a sentence for the user."""


class Engine:
    """Trains in a worker thread; commands and looks may come from any thread.

    Events go to every sink, in order; a sink that joins late first gets those of the present run.
    Looks are answered at once from what was last published and never wait for a step.
    """

    def __init__(
        self,
        name: str,
        log_file: str = "",
        *,
        folder: Path | None = None,
        store: bool = True,
        training: Training | None = None,
    ) -> None:
        """`folder` is that of the first run, made if not given; without `store` nothing is kept of any run.

        training: the first run, where no command brings it.
        """
        self._given = training
        self._shelf = Shelf(name, log_file, folder, store)
        self._journal = Journal()
        self.screens = 0
        """Screens that are attached, for them to know of each other."""
        self.on_folder: Callable[[Path | None], str] | None = None
        """Told of the folder of each run that is loaded; what it answers goes into the journal."""
        self._inbox: deque[p.Commands] = deque()
        self._wake = threading.Condition()
        self._stopping = False
        self._run: LiveRun | None = None
        self._runs = 0
        self._state: p.State = "loading"
        self._target: int | None = None
        self._stepping = False
        """Whether the target is that of single steps."""
        self._to_goal = False
        """Whether the run is to end where its spec says, wherever a tweak moves that."""
        self._hold = Hold()
        self._between = threading.Lock()
        """Held between two steps; while one is computed, another thread may touch the run."""
        self._advance: Callable[[], bool] | None = None
        self._measured = False
        """Whether the step under way is measured for the layers gauge."""
        self._service = 0.0
        """When the figures are to be published next."""
        self._worker = 0
        self._resting = False
        self._done = 0
        """Pieces of work that the worker thread has begun."""
        self._stage = self._where = ""
        """What is being loaded, and what was said of where that is."""
        self._pulse = pulse.Pulse(lambda: (self._done, self._run and self._run.training.steps.done))

    # --- from any thread ------------------------------------------------------------------------

    def join(self, sink: Sink) -> None:
        """Deliver events to `sink` from now on, after those of the present run."""
        self._journal.join(sink)

    def leave(self, sink: Sink) -> None:
        self._journal.leave(sink)

    def submit(self, command: p.Commands) -> None:
        """Queue a command; it takes effect between two steps, in the order of arrival."""
        with self._wake:
            self._inbox.append(command)
            self._wake.notify()

    def view(self, look: p.Look) -> p.View | None:
        """What has changed since the screen's last look; None before the first run is loaded."""
        run = self._run
        if run is None:
            return None
        run.screens = self.screens
        view, missing = run.view(look)
        stalled = self._stalled(run)
        if stalled is not None:
            status = replace(view.status, stalled=stalled, steps_per_second=None, queued=len(self._inbox))
            view = replace(view, status=status)
        if missing and self._state != "running":
            with self._wake:
                self._wake.notify()
        return view

    def places(self) -> p.Places:
        """The checkpoints that a rewind can go to."""
        recording = self._run.recording if self._run else None
        return p.Places(places=recording.places() if recording else ())

    @property
    def saved(self) -> bool:
        """Whether all there is of the run is on the disk; False where it is not stored."""
        return self._run is not None and self._run.saved

    # --- by time, however long a step takes -----------------------------------------------------

    def beat(self) -> None:
        """Publish and store what whole steps recorded while one takes long; say where a load takes long."""
        still = self._pulse.still()
        if self._between.acquire(blocking=False):
            try:
                if self._run is not None and self._state == "running":
                    self._run.collect_meanwhile(len(self._inbox))
            finally:
                self._between.release()
        elif self._stage and still > pulse.SLOW and not self._stop_waits():
            stall = whereabouts.stall(self._worker, still)
            where = ", ".join(filter(None, (stall.doing, stall.place)))
            if where != self._where:
                self._where = where
                self._emit(p.Loading(stage=self._stage, where=where))

    def _stalled(self, run: LiveRun) -> p.Stall | None:
        """What the worker thread has been busy with for some seconds, if it has."""
        still = self._pulse.still()
        if self._resting or still < pulse.SLOW:
            return None
        measuring = run.watch.measuring
        context = f"measuring {measuring}" if measuring else "the probes" if run.probing else ""
        return whereabouts.stall(self._worker, still, context)

    # --- the worker thread ----------------------------------------------------------------------

    def work(self) -> None:
        """Drive the loop of a training that is ours, until told to stop; runs in the worker thread."""
        heart = pulse.Heart(self.beat)
        heart.start()
        try:
            finite = True
            while self.between_steps(finite):
                finite = self._step()
        finally:
            with self._between:
                self._end()
            heart.stop()

    def _step(self) -> bool:
        """One step; False where it was not finite. One that breaks off is told of, and the run rests."""
        run, advance = self._run, self._advance
        assert run is not None and advance is not None
        try:
            return run.step_measured() if self._measured else advance()
        except (Exception, SystemExit) as error:
            log.exception("a step failed")
            with self._between:
                self._fail(run, error)
            return True

    @property
    def due(self) -> bool:
        """Whether `between_steps` has anything to do; whoever drives a loop of their own may ask first."""
        run = self._run
        if run is None or self._state != "running" or self._inbox or self._measured:
            return True
        return run.training.steps.done == self._target or time.perf_counter() >= self._service

    def end(self) -> None:
        """Write what is to be kept of a run whose loop somebody else drives; nothing is obeyed from then on."""
        with self._between:
            self._stopping = True
            self._end()

    def note(self, text: str, *, warning: bool = False) -> None:
        """Have a sentence in the journal; from any thread."""
        self._emit(p.Noted(text=text, warning=warning))

    def report(self) -> Report | None:
        """The diagnosis of the present step; from the thread that trains, None before there is a run.

        Raises:
            Unknown: the training does not tell enough.
        """
        with self._between:
            if self._run is None:
                return None
            self._run.collect()
            return self._run.watch.gauges.diagnose().report

    def between_steps(self, finite: bool = True) -> bool:
        """Obey, pause, publish and measure what is due; returns when the next step is to be taken, False for none.

        Whoever drives the loop calls this before the first step and after each. In a pause it does not return.

        Args:
            finite: False where loss or gradient of the step just taken is known not to be finite.
        """
        with self._between:
            if self._state == "running" and self._run is not None:
                self._after_step(self._run, finite)
                if self._state == "running" and not self._inbox:
                    return True
            if self._given is not None:
                given, self._given = self._given, None
                self._begin_with(given)
            self._worker = threading.get_ident()
            while not self._stopping:
                self._done += 1
                run = self._run
                if self._inbox:
                    self._obey(self._inbox.popleft())
                elif run is not None and self._state == "running":
                    self._before_steps(run)
                    return True
                else:
                    self._rest(run)
            return False

    def _end(self) -> None:
        """Write what is to be kept of the run, and say how to go on."""
        run = self._run
        text = "the engine has ended"
        if run is not None:
            run.collect()
            # For looks that come while the disk takes the checkpoint.
            run.publish(self._state, 0)
            text = self._shelf.put_away(run)
        self._emit(p.Ended(text=text))

    def _rest(self, run: LiveRun | None) -> None:
        """Wait for something to do, measuring gauges that a screen has begun to show, and probing where asked to."""
        if run is not None:
            self._note_storing(run)
            if run.pay():
                return
        if run is not None and (missing := run.watch.missing()):
            self._note_trouble(run.watch.measure(missing[0]))
            self._note_verdict(run)
            return
        if run is not None and run.probing:
            self._probe_on(run)
            return
        with self._wake:
            if not self._inbox and not (run and run.watch.missing()):
                self._resting = True
                self._wake.wait(timeout=1.0)
                self._resting = False

    def _obey(self, command: p.Commands) -> None:
        try:
            self._dispatch(command)
        except Interrupted:
            self._stopping = True
        except _REFUSALS as error:
            text = "; ".join(str(error).splitlines())
            log.info("refused %s: %s", command, text)
            self._refuse(command, text, path=getattr(error, "path", ""), left=getattr(error, "left", None))
        except Exception as error:
            log.exception("command %s failed", command)
            self._refuse(command, describe.failure(error))
        finally:
            self._stage = self._where = ""

    def _refuse(self, command: p.Commands, text: str, path: str = "", left: int | None = None) -> None:
        """Nothing has changed; only the first run's failure to load leaves nothing to go on with."""
        if isinstance(command, p.New | p.Open) and self._run is None:
            self._emit(p.Failed(text=text, log=self._shelf.log_file, path=path))
        else:
            self._emit(p.Refused(command=command.id, text=text, left=left))

    def _dispatch(self, command: p.Commands) -> None:
        run = self._run
        if not isinstance(command, p.Nudge):
            self._hold.end()
        match command:
            case p.Stop():
                self._stopping = True
                self._accept(command, "the engine ends")
            case p.New():
                self._load(command)
            case p.Open():
                self._open(command)
            case _ if run is None:
                self._refuse(command, "there is no run yet: its data or model could not be loaded")
            case p.Undo() | p.Redo() | p.Rewind():
                run.end_probes()
                self._travel(run, command)
            case p.Run():
                run.end_probes()
                self._begin(self._whole(run), command)
            case p.Pause() if self._state == "running":
                self._accept(command, "paused")
                self._settle(run, "paused")
            case p.Pause():
                self._accept(command, "not running")
            case p.Examine():
                self._examine(run, command)
            case p.Set():
                run.end_probes()
                self._set(self._whole(run), command, command.changes)
            case p.Nudge():
                run.end_probes()
                self._nudge(self._whole(run), command)

    # --- commands -------------------------------------------------------------------------------

    def _load(self, command: p.New) -> None:
        run = self._shelf.begin(command.spec, self._runs + 1, self._say_stage)
        run.refresh()
        self._take(run, "paused")
        self._accept(command, f"loaded {run.info.source}")
        self._start(run, command)

    def _begin_with(self, training: Training) -> None:
        run = self._shelf.take(training, self._runs + 1)
        run.refresh()
        self._take(run, "paused")
        self._emit(p.StateChanged(state="paused"))

    def _open(self, command: p.Open) -> None:
        run, remarks = self._shelf.open(Path(command.folder), self._runs + 1, self._say_stage, self._stop_waits)
        state, reason = self._shelf.state_of(run)
        self._take(run, state)
        for remark in remarks:
            self._emit(p.Noted(text=remark, warning=True))
        self._accept(command, f"opened {run.info.name} at step {run.training.steps.done:,}")
        if not command.start:
            self._emit(p.StateChanged(state=state, reason=reason))
        self._start(run, command)

    def _take(self, run: LiveRun, state: p.State) -> None:
        """Make a run the present one, and put the one before it away."""
        self._stage, old = "", self._run
        run.publish(state, len(self._inbox))
        self._runs += 1
        if old is not None:
            old.collect()
            self._shelf.put_away(old)
        self._run, self._state, self._target = run, state, None
        self._journal.begin(run)
        if run.unsaved:
            self._emit(p.Noted(text=f"this run is not stored: {run.unsaved}", warning=True))
        if self.on_folder is not None:
            folder = run.recording.folder.path if run.recording else None
            self._note_trouble(self.on_folder(folder))

    def _start(self, run: LiveRun, command: p.New | p.Open) -> None:
        if command.start:
            self._begin(run, p.Run(id=command.id))
        elif isinstance(command, p.New):
            self._emit(p.StateChanged(state="paused"))

    def _say_stage(self, stage: str) -> None:
        self._stage, self._where = stage, ""
        self._done += 1
        self._emit(p.Loading(stage=stage))

    def _stop_waits(self) -> bool:
        """Whether the end of the engine is asked for."""
        return any(isinstance(command, p.Stop) for command in tuple(self._inbox))

    def _travel(self, run: LiveRun, command: p.Undo | p.Redo | p.Rewind) -> None:
        """Return to another step of the run, or leave all as it is."""
        run.collect()
        self._shelf.check(run, command)
        if self._state == "running":
            self._settle(run, "paused", owe=False)
        self._arrive(run, *self._shelf.travel(run, command, self._say_stage, self._stop_waits))

    def _arrive(self, run: LiveRun, event: p.Moved, remarks: list[str]) -> LiveRun:
        """Show the run where it stands now, and how it came there."""
        self._stage = ""
        self._runs += 1
        moved = run.moved(self._runs)
        moved.refresh()
        state, reason = self._shelf.state_of(moved)
        moved.publish(state, len(self._inbox))
        self._journal.go_on(moved)
        self._run, self._state, self._target, self._to_goal = moved, state, None, False
        self._emit(replace(event, info=moved.info))
        self._emit(p.StateChanged(state=state, reason=reason))
        for remark in remarks:
            self._emit(p.Noted(text=remark, warning=True))
        return moved

    def _whole(self, run: LiveRun) -> LiveRun:
        """The run in a state to go on with: after a step that broke off, that of the step before it."""
        if run.recording is None or not run.recording.spoiled:
            return run
        self._hold.end()
        remarks = self._shelf.mend(run, self._say_stage, self._stop_waits)
        text = f"back at step {run.training.steps.done:,}, before the failure"
        return self._arrive(run, p.Moved(command=0, text=text, info=run.info), remarks)

    def _begin(self, run: LiveRun, command: p.Run) -> None:
        steps, done, goal = command.steps, run.training.steps.done, run.training.steps.goal
        if steps is not None and steps < 1:
            self._refuse(command, f"steps: {steps} is not allowed; it takes at least 1")
            return
        self._to_goal = steps is None and (goal is None or done < goal)
        if steps == 1 and self._stepping and self._state == "running" and self._target is not None:
            done = self._target  # the key repeats faster than steps are taken, and none may be lost
        self._target = (goal if self._to_goal else None) if steps is None else done + steps
        self._stepping = steps == 1
        many = "" if steps is None else f" for {steps:,} step{'s' if steps > 1 else ''}"
        opened = run.open_branch()
        self._accept(command, f"running{many}", info=run.info if opened else None)
        run.speed = SpeedMeter()
        self._state = "running"
        if steps != 1:
            # A look that is answered before the first service must not show the state before this one.
            run.publish("running", len(self._inbox))
            self._emit(p.StateChanged(state="running", reason=f"running{many}" if many else ""))

    def _nudge(self, run: LiveRun, command: p.Nudge) -> None:
        path, training, now = command.path, run.training, time.monotonic()
        steps, value = training.steps.done, run.nudged(path, command.by)
        if value is None:
            self._refuse(command, f"{path}: is not a number that keys can move")
        elif not training.settings.check({path: value}):
            self._accept(command, describe.at_the_end(training, path), effect="none")
        else:
            self._set(run, command, {path: value}, repeat=self._hold.goes_on(path, now, steps))
            self._hold.note(path, now, steps)

    def _set(self, run: LiveRun, command: p.Set | p.Nudge, changes: dict[str, str], *, repeat: bool = False) -> None:
        """Put settings in force. repeat: as part of the tweak before, which has the checkpoint."""
        training = run.training
        found = training.settings.check(changes)
        if not found:
            self._accept(command, "nothing to change: the settings are in force already", effect="none")
            return
        run.collect()
        if not repeat:
            run.save_before(", ".join(map(str, found)))
        run.open_branch()
        remark = training.settings.put_in_force(changes)
        run.info = describe.updated(run.info, training)
        run.publish(self._state, len(self._inbox))
        text = ", ".join(map(str, found)) + remark
        self._accept(command, text, found, run.info, dict(changes), repeat=repeat)
        if self._to_goal and self._state == "running":
            self._target = goal = training.steps.goal
            if goal is not None and goal <= training.steps.done:
                self._finish(run)

    def _examine(self, run: LiveRun, command: p.Examine) -> None:
        if run.probing:
            self._accept(command, "the probes are under way", effect="none")
            return
        self._accept(command, "checking the suspected causes on copies of the run")
        if self._state == "running":
            self._settle(run, "paused", "paused for the probes")
        run.begin_probes()

    def _probe_on(self, run: LiveRun) -> None:
        try:
            run.probe_on()
        except Exception as error:
            log.exception("probes failed")
            run.end_probes()
            self._emit(p.Noted(text=f"the probes failed: {describe.failure(error)}", warning=True))
        self._note_verdict(run)

    def _note_verdict(self, run: LiveRun) -> None:
        text = run.verdict_changed()
        if text:
            self._emit(p.Noted(text=text, kind="verdict"))

    # --- training -------------------------------------------------------------------------------

    def _before_steps(self, run: LiveRun) -> None:
        """Prepare for steps without a command between them."""
        steps, watch, target = run.training.steps, run.watch, self._target
        self._advance = steps.advance
        self._service = time.perf_counter() + watch.period
        # The layers gauge shows updates, which only a measured step has: the first, and one taken alone.
        alone = target is not None and target - steps.done == 1
        self._measured = "layers" in watch.watched() and (alone or not watch.has_updates)

    def _after_step(self, run: LiveRun, finite: bool) -> None:
        """Stop where the target is reached or something is wrong; publish and measure what is due."""
        watch = run.watch
        try:
            if not finite:
                self._stop_at_non_finite(run, run.collect())
                return
            if run.training.steps.done == self._target:
                self._reach_target(run)
                return
            if self._measured:
                self._note_trouble(watch.measure("layers"))
                self._measured = False
            if time.perf_counter() >= self._service:
                bad = run.collect()
                if bad is not None:
                    self._stop_at_non_finite(run, bad)
                    return
                run.save_if_due()
                self._note_storing(run)
                # Also before measuring, which may take long.
                run.publish("running", len(self._inbox))
                self._measured = run.measure_due()
                self._note_verdict(run)
                run.publish("running", len(self._inbox))
                self._service = time.perf_counter() + watch.period
        except (Exception, SystemExit) as error:
            if run.training.steps.advance is None:
                raise  # to whoever drives the loop, which must not rest for a fault of ours
            log.exception("a step failed")
            self._fail(run, error)

    def _fail(self, run: LiveRun, error: BaseException) -> None:
        """A step broke off in the middle: say so, and rest."""
        run.collect()
        run.spoil()
        self._state, self._target = "failed", None
        text = f"step {len(run.history) + 1:,} failed: {describe.failure(error)}"
        run.publish("failed", len(self._inbox))
        self._emit(p.Failed(text=text, log=self._shelf.log_file))
        self._emit(p.StateChanged(state="failed", reason=text))

    def _reach_target(self, run: LiveRun) -> None:
        bad = run.collect()
        if bad is not None:
            self._stop_at_non_finite(run, bad)
        elif run.training.steps.goal == run.training.steps.done:
            self._finish(run)
        else:
            self._settle(run, "paused")

    def _finish(self, run: LiveRun) -> None:
        self._settle(run, "finished", describe.finished(run.training.steps.done))
        note = run.training.measured.finale()
        if note:
            self._emit(p.Noted(text=note))

    def _stop_at_non_finite(self, run: LiveRun, step: int | None) -> None:
        self._settle(run, "non-finite", run.non_finite(run.training.steps.done if step is None else step))

    # --- states and events ----------------------------------------------------------------------

    def _settle(self, run: LiveRun, state: p.State, reason: str = "", owe: bool = True) -> None:
        """Leave training in `state`, say so at once, and bring the figures up to this step; owe a checkpoint."""
        self._state, self._target, self._to_goal = state, None, False
        run.collect()
        if owe:
            run.owe("pause" if state == "paused" else state)
        run.publish(state, len(self._inbox))
        self._emit(p.StateChanged(state=state, reason=reason))
        run.refresh()
        run.publish(state, len(self._inbox))

    def _note_trouble(self, text: str) -> None:
        if text:
            self._emit(p.Noted(text=text, warning=True))

    def _note_storing(self, run: LiveRun) -> None:
        text = run.trouble_changed()
        if text:
            self._emit(p.Noted(text=text, warning=bool(run.unsaved)))

    def _accept(
        self,
        command: p.Command,
        text: str,
        shown: tuple[p.Change, ...] = (),
        info: p.RunInfo | None = None,
        changes: dict[str, str] | None = None,
        repeat: bool = False,
        effect: Literal["done", "none"] = "done",
    ) -> None:
        event = p.Accepted(command=command.id, text=text, changes=shown, info=info, repeat=repeat, effect=effect)
        self._emit(event, changes)

    def _emit(self, event: p.Events, changes: dict[str, str] | None = None) -> None:
        self._journal.emit(event, changes)
        if isinstance(event, p.StateChanged) and self._run is not None:
            self._run.note_state(event.state)
