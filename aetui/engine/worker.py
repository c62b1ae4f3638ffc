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
from aetui.engine.history import History
from aetui.engine.measure import Gauges
from aetui.engine.meters import ClippedShare, SpeedMeter, memory_in_use
from aetui.engine.steering import Ladder
from aetui.engine.watch import Watch
from aetui.models.build import ModelError
from aetui.spec import SpecError, differences, loads
from aetui.spec import sections as s
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
        self._trainer: Trainer | None = None
        self._watch: Watch | None = None
        self._history = History()
        self._info: p.RunInfo | None = None
        self._runs = 0
        self._state: p.State = "loading"
        self._target: int | None = None
        self._ladders: dict[str, Ladder] = {}
        self._status = p.Status()
        self._speed = SpeedMeter()
        self._clipped = ClippedShare()

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
        info, watch = self._info, self._watch
        if info is None or watch is None:
            return None
        if watch.ask(look) and self._state != "running":
            with self._wake:
                self._wake.notify()
        fresh = look.run != info.run
        return p.View(
            run=info.run,
            status=self._status,
            history=self._history.since(0 if fresh else look.since),
            points=tuple(self._history.points[0 if fresh else look.points :]),
            **watch.newer_than({} if fresh else look.have, look.have),  # pyright: ignore[reportArgumentType]
        )

    # --- the worker thread ----------------------------------------------------------------------

    def work(self) -> None:
        """Obey commands and train until told to stop; runs in the worker thread."""
        while not self._stopping:
            if self._inbox:
                self._obey(self._inbox.popleft())
            elif self._state == "running":
                self._train()
            else:
                self._rest()

    def _rest(self) -> None:
        """Wait for something to do, measuring gauges that a screen has begun to show."""
        missing = self._watch.missing() if self._watch else []
        if missing and self._watch:
            self._watch.measure(missing[0])
            return
        with self._wake:
            if not self._inbox and not (self._watch and self._watch.missing()):
                self._wake.wait(timeout=1.0)

    def _obey(self, command: p.Commands) -> None:
        try:
            self._dispatch(command)
        except (SpecError, DataError, ModelError) as error:
            text = "; ".join(str(error).splitlines())
            log.info("refused %s: %s", command, text)
            if isinstance(command, p.New):
                self._fail(text, path=getattr(error, "path", ""))
            else:
                self._emit(p.Refused(command=command.id, text=text))
        except Exception as error:
            log.exception("command %s failed", command)
            self._fail(describe.failure(error))

    def _dispatch(self, command: p.Commands) -> None:
        match command:
            case p.Stop():
                self._stopping = True
                self._accept(command, "the engine ends")
            case p.New():
                self._load(command)
            case _ if self._trainer is None:
                self._emit(
                    p.Refused(command=command.id, text="there is no run yet: its data or model could not be loaded")
                )
            case p.Run():
                self._begin(command)
            case p.Pause():
                if self._state != "running":
                    self._accept(command, "not running")
                else:
                    self._accept(command, "paused")
                    self._settle("paused")
            case p.Set():
                self._set(command, command.changes)
            case p.Nudge():
                self._nudge(command)

    # --- commands -------------------------------------------------------------------------------

    @property
    def _steps(self) -> int:
        return self._trainer.steps if self._trainer else 0

    def _load(self, command: p.New) -> None:
        self._emit(p.Loading(stage="reading the data and building the model"))
        spec = loads(command.spec)
        trainer = Trainer(spec)
        self._emit(p.Loading(stage="computing the floors"))
        trainer.floors()
        watch = Watch(Gauges(trainer))
        self._runs += 1
        info = describe.run_info(trainer, run=self._runs, name=self._name, log=self._log_file)
        with self._events_lock:
            self._events.clear()
        self._trainer, self._watch, self._info = trainer, watch, info
        self._history, self._ladders = History(), {}
        self._speed, self._clipped = SpeedMeter(), ClippedShare()
        self._state, self._target = "paused", None
        self._emit(p.Ready(info=info))
        self._look_around()
        self._accept(command, f"loaded {info.source}")
        if command.start:
            self._begin(p.Run(id=command.id))
        else:
            self._emit(p.StateChanged(state="paused"))

    def _begin(self, command: p.Run) -> None:
        trainer = self._trainer
        assert trainer is not None
        goal = trainer.goal
        if command.steps is not None and command.steps < 1:
            self._emit(
                p.Refused(command=command.id, text=f"steps: {command.steps} is not allowed; it takes at least 1")
            )
            return
        if command.steps is not None:
            self._target = trainer.steps + command.steps
        else:
            self._target = goal if goal is not None and trainer.steps < goal else None
        many = "" if command.steps is None else f" for {command.steps:,} step{'s' if command.steps > 1 else ''}"
        self._accept(command, f"running{many}")
        self._speed = SpeedMeter()
        self._state = "running"
        if command.steps != 1:
            self._emit(p.StateChanged(state="running", reason=f"running{many}" if many else ""))

    def _set(self, command: p.Set | p.Nudge, changes: dict[str, str]) -> None:
        trainer, info = self._trainer, self._info
        assert trainer is not None and info is not None
        old, old_rate = trainer.spec, trainer.rate
        goal = trainer.goal
        trainer.set(changes, text=True)
        found = differences(old, trainer.spec)
        if not found:
            self._accept(command, "nothing to change: the settings are in force already")
            return
        if goal != trainer.goal and self._target is not None:
            self._target = trainer.goal if trainer.goal is None or trainer.goal > trainer.steps else trainer.steps
        text = describe.changes_text(found, trainer, old_rate)
        self._info = describe.updated(info, trainer)
        self._publish_status()
        self._accept(command, text, tuple(p.Change(item.path, item.old, item.new) for item in found), self._info)

    def _nudge(self, command: p.Nudge) -> None:
        trainer = self._trainer
        assert trainer is not None
        section, _, name = command.path.partition(".")
        value = getattr(getattr(trainer.spec, section, None), name, None)
        if isinstance(value, bool) or not isinstance(value, float):
            self._emit(p.Refused(command=command.id, text=f"{command.path}: is not a number that keys can move"))
            return
        ladder = self._ladders.setdefault(command.path, Ladder())
        self._set(command, {command.path: repr(ladder.moved(value, command.by))})

    # --- training -------------------------------------------------------------------------------

    def _train(self) -> None:
        """Train until a command arrives, the target is reached or something is wrong."""
        trainer, watch = self._trainer, self._watch
        assert trainer is not None and watch is not None
        inbox, clock = self._inbox, time.perf_counter
        advance, target = trainer.advance, self._target
        service = clock() + watch.period
        alone = target is not None and target - trainer.steps == 1
        try:
            if alone and "layers" in watch.watched():
                self._step_measured()
                return
            while not inbox:
                if not advance():
                    self._stop_at_non_finite()
                    return
                if trainer.steps == target:
                    self._reach_target()
                    return
                if clock() >= service:
                    if not self._service():
                        return
                    service = clock() + watch.period
        except Exception as error:
            log.exception("step %d failed", trainer.steps + 1)
            self._fail(f"step {trainer.steps + 1:,} failed: {describe.failure(error)}")

    def _reach_target(self) -> None:
        trainer = self._trainer
        assert trainer is not None
        if not self._collect():
            return
        if trainer.goal == trainer.steps:
            self._settle("finished", f"finished {trainer.steps:,} steps, as the spec says; F5 trains on")
            note = describe.finale(trainer)
            if note:
                self._emit(p.Noted(text=note))
        else:
            self._settle("paused")

    def _collect(self) -> bool:
        """Take over what the steps recorded; False where the device reported a non-finite step."""
        trainer = self._trainer
        assert trainer is not None
        records = trainer.recorder.drain()
        self._history.append(records)
        self._speed.add(trainer.steps)
        self._clipped.add(records.clipped)
        bad = None if trainer.device.type == "cpu" else describe.first_bad(records)
        if bad is not None:
            self._report_non_finite(trainer.steps - len(records) + bad + 1)
        return bad is None

    def _service(self) -> bool:
        """The work between steps that the display needs, within its budget; False where training stopped."""
        if not self._collect():
            return False
        watch = self._watch
        assert watch is not None
        watch.outdate()
        point = watch.fit_if_due()
        if point is not None:
            self._history.add_point(point)
        for name in watch.due():
            if name == "layers":
                return self._step_measured()
            watch.measure(name)
        self._publish_status()
        return True

    def _step_measured(self) -> bool:
        """One training step whose updates the layers gauge shows."""
        trainer, watch = self._trainer, self._watch
        assert trainer is not None and watch is not None
        finite, updates = trainer.advance_measured()
        if not finite:
            self._stop_at_non_finite()
            return False
        watch.remember_updates(updates)
        watch.measure("layers")
        self._publish_status()
        if trainer.steps == self._target:
            self._reach_target()
            return False
        return True

    # --- states and events ----------------------------------------------------------------------

    def _look_around(self) -> None:
        """Measure what is watched now, whatever it costs: nothing trains meanwhile."""
        assert self._watch is not None
        self._watch.outdate()
        self._history.add_point(self._watch.fit())
        self._publish_status()

    def _settle(self, state: p.State, reason: str = "") -> None:
        """Leave training in `state`, say so at once, and bring the figures up to this step."""
        if self._trainer is None:
            return
        self._state, self._target = state, None
        records = self._trainer.recorder.drain()
        self._history.append(records)
        self._clipped.add(records.clipped)
        self._publish_status()
        self._emit(p.StateChanged(state=state, reason=reason))
        self._look_around()

    def _stop_at_non_finite(self) -> None:
        trainer = self._trainer
        assert trainer is not None
        records = trainer.recorder.drain()
        self._history.append(records)
        self._report_non_finite(trainer.steps)

    def _report_non_finite(self, step: int) -> None:
        assert self._trainer is not None
        page = self._history.since(step - 1)
        assert page is not None
        reason = describe.non_finite(step, page, self._history.last_finite())
        self._settle("non-finite", reason)

    def _fail(self, text: str, path: str = "") -> None:
        self._state = "failed" if self._trainer else "loading"
        self._publish_status()
        self._emit(p.Failed(text=text, log=self._log_file, path=path))
        if self._trainer is not None:
            self._emit(p.StateChanged(state="failed", reason=text))

    def _accept(
        self, command: p.Command, text: str, changes: tuple[p.Change, ...] = (), info: p.RunInfo | None = None
    ) -> None:
        self._emit(p.Accepted(command=command.id, text=text, changes=changes, info=info))

    def _emit(self, event: p.Events) -> None:
        with self._events_lock:
            self._seq += 1
            event = describe.stamped(event, seq=self._seq, step=self._steps, time=time.time())
            log.info("event time=%.6f step=%d %s", event.time, event.step, describe.log_line(event))
            self._events.append(event)
            for sink in self._sinks:
                sink(event)

    def _publish_status(self) -> None:
        trainer = self._trainer
        if trainer is None:
            return
        point = self._watch.point if self._watch else None
        last = self._history.since(max(0, len(self._history) - 1))
        clip = trainer.spec.clip
        self._status = p.Status(
            state=self._state,
            step=trainer.steps,
            epoch=trainer.batches.epoch,
            steps_per_second=self._speed.rate if self._state == "running" else None,
            lr=trainer.rate,
            base_lr=trainer.spec.optim.lr,
            loss=None if last is None else float((last.total or last.loss).numpy()[-1]),
            grad_norm=None if last is None else float(last.grad_norm.numpy()[-1]),
            threshold=None if isinstance(clip, s.NoClip) else clip.threshold,
            clipped_share=None if isinstance(clip, s.NoClip) else self._clipped.share,
            validation_loss=point.validation if point else None,
            explained_variance=point.explained if point else None,
            explained_step=point.step if point else 0,
            memory=memory_in_use(trainer.device),
            queued=len(self._inbox),
        )
