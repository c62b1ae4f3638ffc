"""The engine: one worker thread that drives a trainer and obeys commands between two steps."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from aetui import protocol as p
from aetui.data import DataError
from aetui.engine import describe
from aetui.engine.live import LiveRun
from aetui.engine.meters import SpeedMeter
from aetui.models.build import ModelError
from aetui.spec import SpecError, differences, loads
from aetui.training.trainer import Trainer

log = logging.getLogger(__name__)


class Engine:
    """Trains in a worker thread; commands and looks may come from any thread.

    Events go to every sink, in order; a sink that joins late first gets those of the present run.
    Looks are answered at once from what was last published and never wait for a step.
    """

    def __init__(self, name: str, log_file: str = "") -> None:
        self._name, self._log_file = name, log_file
        self._inbox: deque[p.Commands] = deque()
        self._wake = threading.Condition()
        self._stopping = False
        self._events_lock = threading.Lock()
        self._sinks: list[Callable[[p.Reply], None]] = []
        self._events: list[p.Events] = []
        self._seq = 0
        self._run: LiveRun | None = None
        self._runs = 0
        self._state: p.State = "loading"
        self._target: int | None = None
        self._stepping = False
        """Whether the target is that of single steps."""
        self._to_goal = False
        """Whether the run is to end where its spec says, wherever a tweak moves that."""

    # --- from any thread ------------------------------------------------------------------------

    def join(self, sink: Callable[[p.Reply], None]) -> None:
        """Deliver events to `sink` from now on, after those of the present run."""
        with self._events_lock:
            for event in self._events:
                sink(event)
            self._sinks.append(sink)

    def leave(self, sink: Callable[[p.Reply], None]) -> None:
        with self._events_lock:
            if sink in self._sinks:
                self._sinks.remove(sink)

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
        view, missing = run.view(look)
        if missing and self._state != "running":
            with self._wake:
                self._wake.notify()
        return view

    # --- the worker thread ----------------------------------------------------------------------

    def work(self) -> None:
        """Obey commands and train until told to stop; runs in the worker thread."""
        while not self._stopping:
            run = self._run
            if self._inbox:
                self._obey(self._inbox.popleft())
            elif run is not None and self._state == "running":
                self._train(run)
            else:
                self._rest(run)

    def _rest(self, run: LiveRun | None) -> None:
        """Wait for something to do, measuring gauges that a screen has begun to show, and probing where asked to."""
        if run is not None and (missing := run.watch.missing()):
            self._note_trouble(run.watch.measure(missing[0]))
            self._note_verdict(run)
            return
        if run is not None and run.probing:
            self._probe_on(run)
            return
        with self._wake:
            if not self._inbox and not (run and run.watch.missing()):
                self._wake.wait(timeout=1.0)

    def _obey(self, command: p.Commands) -> None:
        try:
            self._dispatch(command)
        except (SpecError, DataError, ModelError) as error:
            text = "; ".join(str(error).splitlines())
            log.info("refused %s: %s", command, text)
            self._refuse(command, text, path=getattr(error, "path", ""))
        except Exception as error:
            log.exception("command %s failed", command)
            self._refuse(command, describe.failure(error))

    def _refuse(self, command: p.Commands, text: str, path: str = "") -> None:
        """Nothing has changed; only the first run's failure to load leaves nothing to go on with."""
        if isinstance(command, p.New) and self._run is None:
            self._emit(p.Failed(text=text, log=self._log_file, path=path))
        else:
            self._emit(p.Refused(command=command.id, text=text))

    def _dispatch(self, command: p.Commands) -> None:
        run = self._run
        match command:
            case p.Stop():
                self._stopping = True
                self._accept(command, "the engine ends")
            case p.New():
                self._load(command)
            case _ if run is None:
                self._refuse(command, "there is no run yet: its data or model could not be loaded")
            case p.Run():
                run.end_probes()
                self._begin(run, command)
            case p.Pause() if self._state == "running":
                self._accept(command, "paused")
                self._settle(run, "paused")
            case p.Pause():
                self._accept(command, "not running")
            case p.Examine():
                self._examine(run, command)
            case p.Set():
                run.end_probes()
                self._set(run, command, command.changes)
            case p.Nudge():
                run.end_probes()
                moved = run.moved(command.path, command.by)
                if moved is None:
                    self._refuse(command, f"{command.path}: is not a number that keys can move")
                else:
                    self._set(run, command, {command.path: moved})

    # --- commands -------------------------------------------------------------------------------

    def _load(self, command: p.New) -> None:
        self._emit(p.Loading(stage="reading the data and building the model"))
        trainer = Trainer(loads(command.spec))
        self._emit(p.Loading(stage="computing the floors"))
        trainer.floors()
        info = describe.run_info(trainer, run=self._runs + 1, name=self._name, log=self._log_file)
        run = LiveRun(trainer, info)
        run.refresh()
        run.publish("paused", len(self._inbox))
        self._runs += 1
        with self._events_lock:
            self._events.clear()
        self._run, self._state, self._target = run, "paused", None
        self._emit(p.Ready(info=info))
        self._accept(command, f"loaded {info.source}")
        if command.start:
            self._begin(run, p.Run(id=command.id))
        else:
            self._emit(p.StateChanged(state="paused"))

    def _begin(self, run: LiveRun, command: p.Run) -> None:
        steps, done, goal = command.steps, run.trainer.steps, run.trainer.goal
        if steps is not None and steps < 1:
            self._refuse(command, f"steps: {steps} is not allowed; it takes at least 1")
            return
        self._to_goal = steps is None and (goal is None or done < goal)
        if steps == 1 and self._stepping and self._state == "running" and self._target is not None:
            done = self._target  # the key repeats faster than steps are taken, and none may be lost
        self._target = (goal if self._to_goal else None) if steps is None else done + steps
        self._stepping = steps == 1
        many = "" if steps is None else f" for {steps:,} step{'s' if steps > 1 else ''}"
        self._accept(command, f"running{many}")
        run.speed = SpeedMeter()
        self._state = "running"
        if steps != 1:
            self._emit(p.StateChanged(state="running", reason=f"running{many}" if many else ""))

    def _set(self, run: LiveRun, command: p.Set | p.Nudge, changes: dict[str, str]) -> None:
        trainer = run.trainer
        old, old_rate = trainer.spec, trainer.rate
        trainer.set(changes, text=True)
        found = differences(old, trainer.spec)
        if not found:
            self._accept(command, "nothing to change: the settings are in force already")
            return
        run.info = describe.updated(run.info, trainer)
        run.publish(self._state, len(self._inbox))
        text = describe.changes_text(found, trainer, old_rate)
        self._accept(command, text, tuple(p.Change(item.path, item.old, item.new) for item in found), run.info)
        if self._to_goal and self._state == "running":
            self._target = trainer.goal
            if trainer.goal is not None and trainer.goal <= trainer.steps:
                self._finish(run)

    def _examine(self, run: LiveRun, command: p.Examine) -> None:
        if run.probing:
            self._accept(command, "the probes are under way")
            return
        self._accept(command, "checking the suspected causes on copies of the run")
        if self._state == "running":
            self._settle(run, "paused", "paused for the probes; F5 trains on")
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
            self._emit(p.Noted(text=text))

    # --- training -------------------------------------------------------------------------------

    def _train(self, run: LiveRun) -> None:
        """Train until a command arrives, the target is reached or something is wrong."""
        trainer, watch, target = run.trainer, run.watch, self._target
        inbox, clock, advance = self._inbox, time.perf_counter, trainer.advance
        service = clock() + watch.period
        # The layers gauge shows updates, which only a measured step has: the first, and one taken alone.
        alone = target is not None and target - trainer.steps == 1
        measured = "layers" in watch.watched() and (alone or not watch.has_updates)
        try:
            while not inbox:
                finite = run.step_measured() if measured else advance()
                if not finite:
                    self._stop_at_non_finite(run, run.collect())
                    return
                if trainer.steps == target:
                    self._reach_target(run)
                    return
                if measured:
                    self._note_trouble(watch.measure("layers"))
                    measured = False
                if clock() >= service:
                    bad = run.collect()
                    if bad is not None:
                        self._stop_at_non_finite(run, bad)
                        return
                    measured = run.measure_due()
                    self._note_verdict(run)
                    run.publish("running", len(inbox))
                    service = clock() + watch.period
        except Exception as error:
            log.exception("step %d failed", trainer.steps + 1)
            self._state, self._target = "failed", None
            text = f"step {trainer.steps + 1:,} failed: {describe.failure(error)}"
            run.publish("failed", len(inbox))
            self._emit(p.Failed(text=text, log=self._log_file))
            self._emit(p.StateChanged(state="failed", reason=text))

    def _reach_target(self, run: LiveRun) -> None:
        bad = run.collect()
        if bad is not None:
            self._stop_at_non_finite(run, bad)
        elif run.trainer.goal == run.trainer.steps:
            self._finish(run)
        else:
            self._settle(run, "paused")

    def _finish(self, run: LiveRun) -> None:
        self._settle(run, "finished", f"finished {run.trainer.steps:,} steps, as the spec says; F5 trains on")
        note = describe.finale(run.trainer)
        if note:
            self._emit(p.Noted(text=note))

    def _stop_at_non_finite(self, run: LiveRun, step: int | None) -> None:
        step = run.trainer.steps if step is None else step
        page = run.history.since(step - 1)
        assert page is not None
        on_host = run.trainer.device.type == "cpu"
        self._settle(run, "non-finite", describe.non_finite(step, page, run.history.last_finite(), on_host))

    # --- states and events ----------------------------------------------------------------------

    def _settle(self, run: LiveRun, state: p.State, reason: str = "") -> None:
        """Leave training in `state`, say so at once, and bring the figures up to this step."""
        self._state, self._target, self._to_goal = state, None, False
        run.collect()
        run.publish(state, len(self._inbox))
        self._emit(p.StateChanged(state=state, reason=reason))
        run.refresh()
        run.publish(state, len(self._inbox))

    def _note_trouble(self, text: str) -> None:
        if text:
            self._emit(p.Noted(text=text, warning=True))

    def _accept(
        self, command: p.Command, text: str, changes: tuple[p.Change, ...] = (), info: p.RunInfo | None = None
    ) -> None:
        self._emit(p.Accepted(command=command.id, text=text, changes=changes, info=info))

    def _emit(self, event: p.Events) -> None:
        step = self._run.trainer.steps if self._run else 0
        with self._events_lock:
            self._seq += 1
            event = describe.stamped(event, seq=self._seq, step=step, time=time.time())
            log.info("event time=%.6f step=%d %s", event.time, event.step, describe.log_line(event))
            self._events.append(event)
            for sink in self._sinks:
                sink(event)
