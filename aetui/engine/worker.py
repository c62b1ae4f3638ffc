"""The engine: what it does between two steps of a training, and the worker thread that drives one of ours."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from aetui import protocol as p
from aetui.engine import describe, pulse, whereabouts
from aetui.engine.handler import CommandHandler
from aetui.engine.inbox import Inbox
from aetui.engine.journal import Journal, Sink
from aetui.engine.live import LiveRun
from aetui.engine.machine import Machine
from aetui.engine.meters import card_of
from aetui.engine.present import Present
from aetui.engine.store import Store
from aetui.engine.telling import Telling
from aetui.report import Report
from aetui.runs.recording import Recording
from aetui.training.interface import Training

log = logging.getLogger(__name__)


class Engine:
    """Obeys, measures and records between the steps of a training; commands and looks may come from any thread.

    `work` drives the loop of a training that is ours. A loop that somebody else drives calls `between_steps` from its
    own thread, from an optimizer's hook for instance, and `end` when it is over; a `Run` submitted before the first
    call has it start without a pause.

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
        self._given: Callable[[], None] | None = None
        """Makes the first run, where no command brings it."""
        if training is not None:
            self._given = lambda: self._handler.begin_with(training)
        self._store = Store(name, log_file, folder, store)
        self._journal = Journal()
        self._telling = Telling(lambda text: None if self._over else self.note(text, warning=True))
        self._journal.join(self._telling.take)
        self._inbox = Inbox()
        self.on_folder: Callable[[Path | None], str] | None = None
        """Told of the folder of each run that is loaded; what it answers goes into the journal."""
        self._now = Present(self._journal, self._store, self._inbox, self._tell_folder)
        self._handler = CommandHandler(self._now, self._store, self._inbox)
        self.screens = 0
        """Screens that are attached, for them to know of each other."""
        self._between = threading.RLock()
        """Held between two steps; while one is computed, another thread may touch the run."""
        self._advance: Callable[[], bool] | None = None
        self._measured = False
        """Whether the step under way is measured for the layers gauge."""
        self._service = 0.0
        """When the figures are to be published next."""
        self._worker = 0
        self._over = False
        self._heart: pulse.Heart | None = None
        now = self._now
        self._machine = Machine()
        self._pulse = pulse.Pulse(lambda: (now.signs, now.run and now.run.training.steps.done))

    # --- a run that is there already ------------------------------------------------------------

    def serve_only(self, recording: Recording) -> None:
        """Be there for this run, which is still at step 0, and for no other; `train_only` follows, and then `work`."""
        self._handler.hold_only(recording)

    def train_only(self, note: str, remarks: Sequence[str]) -> None:
        """Have `work` train that run to its end, from where it stands by then, and end with it.

        note, remarks: for the journal; remarks are warnings.
        """
        self._given = lambda: self._handler.train_only(note, remarks)

    # --- from any thread ------------------------------------------------------------------------

    @property
    def run(self) -> LiveRun | None:
        """The present run, None before the first is loaded."""
        return self._now.run

    @property
    def state(self) -> p.State:
        return self._now.state

    def join(self, sink: Sink) -> None:
        """Deliver events to `sink` from now on, after those of the present run."""
        self._journal.join(sink)

    def leave(self, sink: Sink) -> None:
        self._journal.leave(sink)

    def submit(self, command: p.Commands, *, at_once: bool = False) -> None:
        """Queue a command; it takes effect between two steps, in the order of arrival.

        at_once: even while the inbox holds commands back.
        """
        self._inbox.put(command, at_once=at_once)

    @property
    def inbox(self) -> Inbox:
        """Whoever drives a loop that takes commands now and then only holds them back there."""
        return self._inbox

    @property
    def target(self) -> int | None:
        """Step at which it pauses by itself, None for never."""
        return self._now.target

    def turn_down(self, text: str) -> None:
        """Refuse the commands that are held, and pause at no step any more; in the thread that trains."""
        self._now.target = None
        for command in self._inbox.held_taken():
            self._now.refuse(command, text)

    def view(self, look: p.Look) -> p.View | None:
        """What has changed since the screen's last look; None before the first run is loaded."""
        run = self._now.run
        if run is None:
            return None
        run.screens = self.screens
        view, missing = run.view(look)
        if (trial := self._handler.conductor.news(look)) is not None:
            view = replace(view, trial=trial)
        stalled = self._stalled(run)
        if stalled is not None:
            own = {"stalled": stalled, "steps_per_second": None, "seconds_left": None, "queued": len(self._inbox)}
            view = replace(view, status=replace(view.status, **own))
        if self._machine.slowed and view.status.state == "running":
            view = replace(view, status=replace(view.status, slowed=self._machine.slowed))
        if missing and self._now.state != "running":
            self._inbox.wake()
        return view

    def places(self) -> p.Places:
        """The checkpoints that a rewind can go to."""
        run = self._now.run
        return p.Places(places=run.recording.places() if run and run.recording else ())

    @property
    def saved(self) -> bool:
        """Whether all there is of the run is on the disk; False where it is not stored."""
        run = self._now.run
        return run is not None and run.saved

    @property
    def trying(self) -> bool:
        """Whether forks of the run are in training."""
        return self._handler.conductor.busy

    def _tell_folder(self, folder: Path | None) -> str:
        return self.on_folder(folder) if self.on_folder is not None else ""

    # --- by time, however long a step takes -----------------------------------------------------

    def _beat(self) -> None:
        """Publish and store what whole steps recorded while one takes long; say where a load takes long."""
        still, now = self._pulse.still(), self._now
        if self._between.acquire(blocking=False):
            try:
                if now.run is not None and now.state == "running" and not self._over:
                    now.run.collect_meanwhile(len(self._inbox))
            finally:
                self._between.release()
        elif now.stage and still > pulse.SLOW and not self._inbox.asks_to_stop:
            stall = whereabouts.stall(self._worker, still)
            where = ", ".join(filter(None, (stall.doing, stall.place)))
            if where != now.where:
                now.where = where
                now.emit(p.Loading(stage=now.stage, where=where))
        run = now.run
        if run is not None and now.state == "running":
            if self._telling.wants_verdict:
                run.watch.want("diagnosis")
            self._machine.look(run.threads, lambda: card_of(run.training.measured.device))

    def _stalled(self, run: LiveRun) -> p.Stall | None:
        """What the worker thread has been busy with for some seconds, if it has."""
        still = self._pulse.still()
        if self._inbox.resting or still < pulse.SLOW:
            return None
        measuring = run.watch.measuring
        context = f"measuring {measuring}" if measuring else "the probes" if run.probing else ""
        return whereabouts.stall(self._worker, still, context)

    # --- a loop of ours -------------------------------------------------------------------------

    def work(self) -> None:
        """Drive the loop of a training that is ours, until told to stop; runs in the worker thread."""
        try:
            finite = True
            while self.between_steps(finite):
                finite = self._step()
        finally:
            self.end()

    def _step(self) -> bool:
        """One step; False where it was not finite. One that breaks off is told of, and the run rests."""
        run, advance = self._now.run, self._advance
        assert run is not None and advance is not None
        try:
            return run.step_measured() if self._measured else advance()
        except (Exception, SystemExit) as error:
            log.exception("a step failed")
            with self._between:
                self._now.fail(run, error)
            return True

    @property
    def due(self) -> bool:
        """Whether `between_steps` has anything to do; whoever drives a loop of their own may ask first."""
        now, run = self._now, self._now.run
        if run is None or now.state != "running" or self._inbox or self._measured:
            return True
        return run.training.steps.done == now.target or time.perf_counter() >= self._service

    def note(self, text: str, *, warning: bool = False) -> None:
        """Have a sentence in the journal; from any thread."""
        self._now.emit(p.Noted(text=text, warning=warning))

    def report(self) -> Report | None:
        """The diagnosis of the present step; from the thread that trains, None before there is a run.

        Raises:
            Unknown: the training does not tell enough.
        """
        with self._between:
            run = self._now.run
            if run is None:
                return None
            run.collect()
            run.watch.publish("diagnosis", found := run.watch.gauges.diagnose())
            run.keep_report()
            return found.report

    # --- between two steps, in the thread that trains -------------------------------------------

    def between_steps(self, finite: bool = True) -> bool:
        """Obey, pause, publish and measure what is due; returns when the next step is to be taken, False for none.

        Whoever drives the loop calls this before the first step and after each. In a pause it does not return. After
        the engine has ended, and where it can make no run of the training, it is False at once and does nothing.

        A fault in here, of a gauge, the store or a command, is a line in the journal and never one of the step, and
        the training goes on. To somebody else's loop only what comes from outside passes: KeyboardInterrupt and
        SystemExit.

        Args:
            finite: False where loss or gradient of the step just taken is known not to be finite. A loop of ours
                stops there; of somebody else's it is said.
        """
        if self._over:
            return False
        now = self._now
        with self._between:
            run = now.run
            if run is None:
                self._begin()
            elif now.state == "running":
                self._attempt(self._after_step, run, finite)
                if now.state == "running" and not self._inbox:
                    return True
            self._worker = threading.get_ident()
            while not self._handler.through:
                now.signs += 1
                run = now.run
                if (command := self._inbox.take()) is not None:
                    self._attempt(self._handler.obey, command)
                elif run is not None and now.state == "running":
                    self._attempt(self._before_steps, run)
                    return True
                elif not self._attempt(self._rest, run):
                    self._inbox.rest()
        self.end()
        return False

    def end(self, state: p.State | None = None, reason: str = "", *, broken: bool = False) -> None:
        """End the engine: write what is to be kept of the run, and say how to go on. A second call does nothing.

        To be called in the thread that trains, or when the loop is over.

        Args:
            state: what has become of a training whose loop somebody else drove, with its reason.
            broken: an error has ended that loop while it trained.
        """
        self._handler.stopping = True
        self._inbox.wake()
        with self._between:
            if self._over:
                return
            self._over = True
            if self._heart is not None:
                self._heart.stop()
            self._attempt(self._handler.conductor.cancel, "the engine ended")
            words, run = ["the engine has ended"], self._now.run
            self._attempt(self._put_away, state, reason, words, broken)
            self._attempt(self._now.emit, p.Ended(text=words[-1], unsaved=run.unsaved if run else ""))

    def _put_away(self, state: p.State | None, reason: str, words: list[str], broken: bool) -> None:
        now, run = self._now, self._now.run
        if run is None:
            return
        self._attempt(self._take_last_steps, run)
        if state is not None:
            self._attempt(now.enter, run, state, reason, False)
        self._attempt(run.conclude)
        # For looks that come while the disk takes the checkpoint.
        self._attempt(run.publish, now.state, 0)
        words.append(self._store.put_away(run, broken=broken))

    def _take_last_steps(self, run: LiveRun) -> None:
        bad = run.collect()
        if self._now.theirs(run):
            self._now.note_non_finite(run, bad)

    def _attempt(self, work: Callable[..., object], *args: Any) -> bool:
        """Do what is no part of a step; where it fails, say so. Whether it was done."""
        try:
            work(*args)
        except (Exception, SystemExit) as error:
            run = self._now.run
            if isinstance(error, SystemExit) and run is not None and self._now.theirs(run):
                raise
            log.exception("a fault between two steps")
            self._now.note_fault(error)
            return False
        return True

    def _begin(self) -> None:
        if self._heart is None:
            self._heart = pulse.Heart(self._beat)
            self._heart.start()
        given, self._given = self._given, None
        if given is None:
            return
        try:
            given()
        except Exception as error:
            log.exception("no run can be made of the training")
            self._handler.stopping = True
            text = f"nothing can be shown of the training: {describe.failure(error)}"
            self._attempt(self._now.emit, p.Failed(text=text, log=self._store.log_file))

    def _rest(self, run: LiveRun | None) -> None:
        """Wait for something to do, measuring gauges that a screen has begun to show, and probing where asked to."""
        now = self._now
        if run is not None:
            now.note_troubles(run)
            if run.save_waiting():
                return
            if missing := run.watch.missing():
                run.watch.measure(missing[0])
                now.note_troubles(run)
                now.note_verdict(run)
                return
            if run.probing:
                self._probe_on(run)
                return
        self._inbox.rest(lambda: run and run.watch.missing())

    def _probe_on(self, run: LiveRun) -> None:
        try:
            run.probe_on()
        except Exception as error:
            log.exception("probes failed")
            run.end_probes()
            self._now.note(f"the probes failed: {describe.failure(error)}")
        self._now.note_verdict(run)

    def _before_steps(self, run: LiveRun) -> None:
        """Prepare for steps without a command between them."""
        steps, watch, target = run.training.steps, run.watch, self._now.target
        self._advance = steps.advance
        self._service = time.perf_counter() + watch.period
        # The layers gauge shows updates, which only a measured step has: the first, and one taken alone.
        alone = target is not None and target - steps.done == 1
        self._measured = "layers" in watch.watched() and (alone or not watch.has_updates)

    def _after_step(self, run: LiveRun, finite: bool) -> None:
        """Stop where the target is reached or something is wrong; publish and measure what is due."""
        now, watch, target = self._now, run.watch, self._now.target
        if not finite and not now.theirs(run):
            now.stop_at_non_finite(run, run.collect())
            return
        if target is not None and run.training.steps.done >= target:
            now.reach_target(run)
            self._handler.conductor.reached(run)
            return
        if self._measured:
            self._measured = False
            watch.measure("layers")
        if time.perf_counter() < self._service:
            return
        # Also where something fails below: not every step is to try again.
        self._service = time.perf_counter() + watch.period
        bad = run.collect()
        if now.theirs(run):
            now.note_non_finite(run, bad)
        elif bad is not None:
            now.stop_at_non_finite(run, bad)
            return
        run.save_if_due()
        # Also before measuring, which may take long.
        run.publish("running", len(self._inbox))
        self._measured = run.measure_due()
        now.note_troubles(run)
        now.note_verdict(run)
        run.publish("running", len(self._inbox))
        self._service = time.perf_counter() + watch.period
