"""What each command does to the present run."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from aetui import protocol as p
from aetui.data import DataError
from aetui.engine import describe
from aetui.engine.conductor import Conductor
from aetui.engine.inbox import Inbox
from aetui.engine.live import LiveRun
from aetui.engine.meters import SpeedMeter
from aetui.engine.present import Present
from aetui.engine.steering import Hold
from aetui.engine.store import Store
from aetui.models.build import ModelError
from aetui.runs.folder import RunError
from aetui.runs.recording import Recording
from aetui.runs.replay import Interrupted
from aetui.spec import SpecError, differences, dumps
from aetui.training.interface import Training
from aetui.training.spec_training import trainer_of

log = logging.getLogger(__name__)

_REFUSALS = (SpecError, DataError, ModelError, RunError)
"""Errors that are a sentence for the user."""
_LENGTH = ("train.steps", "train.epochs")
"""Settings of how long a run is."""


class CommandHandler:
    """Obeys commands in the thread that trains, one at a time, between two steps; each gets its acknowledgement."""

    def __init__(self, now: Present, store: Store, inbox: Inbox) -> None:
        self._now, self._store, self._inbox = now, store, inbox
        self._hold = Hold()
        self.conductor = Conductor(lambda text, warning: now.emit(p.Noted(text=text, warning=warning)))
        """Of the experiment on forks of the run."""
        self.stopping = False
        """Whether the engine is to end."""
        self.only: LiveRun | None = None
        """The one run that the engine is there for, None where it takes any."""

    @property
    def through(self) -> bool:
        """Whether nothing more is to be done: the engine is to end, or the one run that it is there for is over."""
        return self.stopping or (self.only is not None and self._now.state in p.OVER)

    def obey(self, command: p.Commands) -> None:
        now = self._now
        try:
            self._dispatch(command)
        except Interrupted:
            self.stopping = True
        except _REFUSALS as error:
            text = "; ".join(str(error).splitlines())
            log.info("refused %s: %s", command, text)
            now.refuse(command, text, path=getattr(error, "path", ""), left=getattr(error, "left", None))
        except Exception as error:
            log.exception("command %s failed", command)
            if isinstance(command, p.Run) and now.run is not None and now.theirs(now.run):
                # Somebody else's loop must not be held up by what is no fault of its own.
                now.state, now.target = "running", None
            now.refuse(command, describe.failure(error))
        finally:
            now.stage = now.where = ""

    def _dispatch(self, command: p.Commands) -> None:
        now, run = self._now, self._now.run
        if not isinstance(command, p.Nudge):
            self._hold.end()
        match command:
            case p.Stop():
                self.stopping = True
                now.accept(command, "the engine ends")
            case p.New() | p.Open() if self.only is not None:
                name = self.only.info.name
                now.refuse(command, f"this engine trains the run {name} and ends with it; aetui run begins another")
            case p.New() | p.Open() if run is not None and now.theirs(run):
                now.refuse(command, f"{run.info.name} trains in a loop of its own, so no other run can take its place")
            case p.New():
                self.conductor.cancel("another run began")
                self._load(command)
            case p.Open():
                self.conductor.cancel("another run began")
                self._open(command)
            case _ if run is None:
                now.refuse(command, "there is no run yet: its data or model could not be loaded")
            case p.Undo() | p.Redo() | p.Rewind():
                self._leave_off(run)
                self._move(run, command)
            case p.Run():
                self._leave_off(run)
                self._begin(self._mended(run), command)
            case p.Pause() if now.state == "running":
                now.accept(command, "paused")
                now.enter(run, "paused")
            case p.Pause():
                now.accept(command, "not running")
            case p.Examine():
                self._examine(run, command)
            case p.TryForks():
                self._try(run, command)
            case p.CancelTry():
                done = self.conductor.cancel("as asked")
                now.accept(command, "the experiment is cancelled" if done else "no experiment is under way")
            case p.Adopt():
                self._adopt(self._mended(run), command)
            case p.Set():
                self._leave_off(run)
                self._set(self._mended(run), command, command.changes)
            case p.Nudge():
                self._leave_off(run)
                self._nudge(self._mended(run), command)

    def _leave_off(self, run: LiveRun) -> None:
        """End what is done with copies of the run where it stood."""
        run.end_probes()
        self.conductor.cancel("the run moved on")

    # --- which run ------------------------------------------------------------------------------

    def begin_with(self, training: Training) -> None:
        """Make a training that somebody has assembled the present run."""
        run = self._store.take(training, self._now.runs + 1)
        run.refresh()
        self._now.take(run, "paused")
        self._now.emit(p.StateChanged(state="paused"))

    def hold_only(self, recording: Recording) -> None:
        """Be there for a recorded run alone, which is still at step 0."""
        self.only = self._store.hold(recording, self._now.runs + 1)

    def train_only(self, note: str, remarks: Sequence[str]) -> None:
        """Make that run the present one and train it on; where it is at its end, that is all."""
        now, run = self._now, self.only
        assert run is not None
        run.load()
        state, reason = self._store.state_of(run)
        now.take(run, state)
        now.emit(p.Noted(text=note))
        for remark in remarks:
            now.note(remark)
        if run.over:
            now.emit(p.StateChanged(state=state, reason=reason))
            return
        try:
            run.refresh()
        except Exception as error:
            log.exception("the run can't be measured")
            now.fail(run, error)
        else:
            self._begin(run, p.Run(id=0))

    def _load(self, command: p.New) -> None:
        now = self._now
        run = self._store.begin(command.spec, now.runs + 1, now.say_stage)
        run.refresh()
        now.take(run, "paused")
        now.accept(command, f"loaded {run.info.source}")
        if command.start:
            self._begin(run, p.Run(id=command.id))
        else:
            now.emit(p.StateChanged(state="paused"))

    def _open(self, command: p.Open) -> None:
        now = self._now
        run, remarks = self._store.open(
            Path(command.folder), now.runs + 1, now.say_stage, lambda: self._inbox.asks_to_stop
        )
        state, reason = self._store.state_of(run)
        now.take(run, state)
        for remark in remarks:
            now.note(remark)
        now.accept(command, f"opened {run.info.name} at step {run.training.steps.done:,}")
        if command.start:
            self._begin(run, p.Run(id=command.id))
        else:
            now.emit(p.StateChanged(state=state, reason=reason))

    def _move(self, run: LiveRun, command: p.Undo | p.Redo | p.Rewind) -> None:
        """Return to another step of the run, or leave all as it is."""
        now = self._now
        run.collect()
        self._store.check(run, command)
        stored = run.training.stored
        if stored is not None and (objection := stored.objection()):
            now.refuse(command, objection)
            return
        if now.state == "running":
            now.enter(run, "paused", save=False)
        event, remarks = self._store.move(run, command, now.say_stage, lambda: self._inbox.asks_to_stop)
        now.arrive(run, event, remarks)

    def _mended(self, run: LiveRun) -> LiveRun:
        """The run in a state to go on with: after a step that broke off, that of the step before it."""
        if run.recording is None or not run.recording.spoiled:
            return run
        self._hold.end()
        remarks = self._store.mend(run, self._now.say_stage, lambda: self._inbox.asks_to_stop)
        text = f"back at step {run.training.steps.done:,}, before the failure"
        return self._now.arrive(run, p.Moved(command=0, text=text, info=run.info), remarks)

    # --- training -------------------------------------------------------------------------------

    def _begin(self, run: LiveRun, command: p.Run) -> None:
        now, training = self._now, run.training
        steps, done, goal = command.steps, training.steps.done, run.ends_at
        if steps is not None and steps < 1:
            now.refuse(command, f"steps: {steps} is not allowed; it takes at least 1")
            return
        now.to_goal = steps is None and (goal is None or done < goal)
        if steps == 1 and now.stepping and now.state == "running" and now.target is not None:
            done = now.target  # the key repeats faster than steps are taken, and none may be lost
        now.target = (goal if now.to_goal else None) if steps is None else done + steps
        if self.only is not None and goal is not None:
            if done >= goal:
                now.accept(command, "the run stands at its end")
                now.finish(run)
                return
            now.target = min(goal, now.target or goal)
        now.stepping = steps == 1
        many = "" if steps is None else f" for {steps:,} step{'s' if steps > 1 else ''}"
        news = run.open_branch()
        if run.info.goal != goal:
            run.info, news = replace(run.info, goal=goal), True
        now.accept(command, f"running{many}", info=run.info if news else None)
        run.speed = SpeedMeter()
        now.state = "running"
        if steps != 1:
            # A look that is answered before the first service must not show the state before this one.
            run.publish("running", len(self._inbox))
            now.emit(p.StateChanged(state="running", reason=f"running{many}" if many else ""))

    def _nudge(self, run: LiveRun, command: p.Nudge) -> None:
        path, training, time_ = command.path, run.training, time.monotonic()
        steps, value = training.steps.done, run.nudged(path, command.by)
        if value is None:
            self._now.refuse(command, f"{path}: is not a number that keys can move")
        elif not training.settings.check({path: value}):
            self._now.accept(command, describe.at_the_end(training, path), effect="none")
        else:
            self._set(run, command, {path: value}, repeat=self._hold.goes_on(path, time_, steps))
            self._hold.note(path, time_, steps)

    def _set(
        self, run: LiveRun, command: p.Set | p.Nudge | p.Adopt, changes: dict[str, str], *, repeat: bool = False
    ) -> None:
        """Put settings in force. repeat: as part of the tweak before, which has the checkpoint."""
        now, training = self._now, run.training
        found = training.settings.check(changes)
        if not found:
            now.accept(command, "nothing to change: the settings are in force already", effect="none")
            return
        run.collect()
        if not repeat:
            run.save_before(", ".join(map(str, found)))
        run.open_branch()
        remark = training.settings.put_in_force(changes)
        if run.recording is not None and any(change.path in _LENGTH for change in found):
            run.recording.want(None)
        run.describe()
        run.publish(now.state, len(self._inbox))
        text = ", ".join(map(str, found)) + remark
        now.accept(command, text, found, run.info, dict(changes), repeat=repeat)
        if now.to_goal and now.state == "running":
            now.target = goal = run.ends_at
            if goal is not None and goal <= training.steps.done:
                now.finish(run)

    def _examine(self, run: LiveRun, command: p.Examine) -> None:
        now = self._now
        if run.probing:
            now.accept(command, "the probes are under way", effect="none")
            return
        now.accept(command, "checking the suspected causes on copies of the run")
        if now.state == "running":
            now.enter(run, "paused", "paused for the probes")
        run.begin_probes()

    # --- forks ----------------------------------------------------------------------------------

    def _try(self, run: LiveRun, command: p.TryForks) -> None:
        now = self._now
        if now.theirs(run):
            name = run.info.name
            now.refuse(
                command, f"{name} trains in a loop of its own, which no copy can go on with; probes can check it"
            )
            return
        broken = run.recording is not None and run.recording.spoiled
        if broken or (now.state == "non-finite" and not command.anew):
            now.refuse(command, "no fork can leave from here; they can start over from step 0, or rewind goes back")
            return
        run.end_probes()
        if now.state == "running":
            now.enter(run, "paused", "paused for the experiment")
        run.collect()
        now.say_stage("preparing the forks")
        self.conductor.begin(run, command)
        now.accept(command, "trying changes on forks of the run")

    def _adopt(self, run: LiveRun, command: p.Adopt) -> None:
        now = self._now
        run.end_probes()
        if now.theirs(run):
            now.refuse(command, f"{run.info.name} trains in a loop of its own, and has no forks")
            return
        start = None if run.recording is None else run.recording.start_checkpoint
        found = self.conductor.adopt(run, command.fork, alone=self.only is not None)
        if not found.live:
            self._load(p.New(id=command.id, spec=dumps(found.spec)))
        else:
            if run.training.steps.done != found.start:
                if start is None:
                    now.refuse(command, "step 0, which the fork left from, is not stored; its spec can be written")
                    return
                self._move(run, p.Rewind(id=command.id, checkpoint=start))
            assert now.run is not None
            here = trainer_of(now.run.training).spec
            self._set(now.run, command, {one.path: one.new for one in differences(here, found.spec)})
        now.emit(p.Noted(text=found.note))
        if found.steps and now.run is not None:
            self._begin(now.run, p.Run(id=command.id, steps=found.steps))
