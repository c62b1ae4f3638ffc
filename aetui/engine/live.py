"""One loaded run: its training, its history, its gauges, and what screens see of them."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import numpy as np
import torch
from msgspec.structs import replace

from aetui import protocol as p
from aetui.diagnosis.probing import Progress
from aetui.engine import describe
from aetui.engine.branches import branches, stretches
from aetui.engine.history import History
from aetui.engine.measure import Gauges
from aetui.engine.meters import ClippedShare, SpeedMeter, crowded, memory_in_use
from aetui.engine.steering import Ladder
from aetui.engine.watch import Watch
from aetui.report import LEARNING
from aetui.runs.recording import Recording
from aetui.training.interface import Training


class LiveRun:
    """Owned by the worker thread; `view` may be called from any thread and never waits for a step.

    While the worker thread is in a step, another may call `collect_meanwhile`.
    """

    def __init__(
        self, training: Training, info: p.RunInfo, recording: Recording | None = None, before: LiveRun | None = None
    ) -> None:
        """`recording` is the run's record, None where it is not stored; `before` the same run at another step."""
        self.training = training
        self.info = info
        self.recording = recording
        self.unsaved = ""
        """Why the run is not stored, '' where it is."""
        self.screens = 0
        self.history = History()
        self.watch = Watch(Gauges(training, self.history, before.watch.gauges.diagnosis if before else None))
        self._probes: Iterator[Progress] | None = None
        self._verdict = before._verdict if before else LEARNING
        self.speed = SpeedMeter()
        self.threads = 1
        """Of the processor, that a step takes."""
        self._clipped = ClippedShare()
        self._ladders: dict[str, Ladder] = before._ladders if before else {}
        self._status = p.Status()
        self._to_save = ""
        self._kept: tuple[int, int] = (0, 0)
        """Version and step of the report that the record has."""
        self._bad: int | None = None
        """The first step that was not finite, until the worker thread hears of it."""
        self._collected = time.monotonic()

    def view(self, look: p.Look) -> tuple[p.View, bool]:
        """What has changed since the screen's last look, and whether it waits for a gauge."""
        missing = self.watch.ask(look)
        fresh = look.run != self.info.run
        own = {"screens": self.screens, "unsaved": self.unsaved, "diagnosed": self.watch.gauges.diagnosed}
        view = p.View(
            run=self.info.run,
            status=replace(self._status, **own),
            history=self.history.since(0 if fresh else look.since),
            points=tuple(self.history.points[0 if fresh else look.points :]),
            unknown=self.watch.unknown(look.have),
            **self.watch.newer_than({} if fresh else look.have, look.have),  # pyright: ignore[reportArgumentType]
        )
        return view, missing

    def collect(self) -> int | None:
        """Take over what the steps recorded; the first step that was not finite, if any."""
        self._take_over()
        bad, self._bad = self._bad, None
        return bad

    def collect_meanwhile(self, queued: int) -> None:
        """Take over and publish what whole steps recorded, where the one under way takes longer than that may wait."""
        if time.monotonic() - self._collected > self.watch.period and self._take_over():
            before, step = self._status, len(self.history)
            # The step under way has taken its rows already.
            epoch = (before.epoch or 0.0) + (step - before.step) / self.training.steps.per_epoch
            self.publish("running", queued, epoch)

    def _take_over(self) -> int:
        """Append what was recorded to history and record; the number of steps."""
        records = self.training.steps.drain()
        self._collected = time.monotonic()
        if not len(records):
            return 0
        self.history.append(records)
        if self.recording is not None:
            self.recording.add(records)
        self.speed.add(len(self.history))
        self._clipped.add(records.clipped)
        bad = describe.first_bad(records)
        if bad is not None and self._bad is None:
            self._bad = len(self.history) - len(records) + bad + 1
        return len(records)

    def non_finite(self, step: int) -> str:
        """Why the run stops at a step whose loss or gradient is not finite."""
        page = self.history.since(step - 1)
        assert page is not None
        return describe.non_finite(step, page, self.history.last_finite(step), self.training.steps.after_non_finite)

    def refresh(self) -> None:
        """Bring explained variance and validation loss up to this step; other gauges follow when looked at."""
        self.watch.outdate()
        # What is listed of a run at rest is of its very step, however near to the last point on its chart.
        point = self.watch.fit()
        if point is not None:
            self._add_point(point, at_rest=True)

    def _add_point(self, point: p.Point, *, at_rest: bool = False) -> None:
        added, recording = self.history.add_point(point), self.recording
        if recording is not None and (added or (at_rest and not recording.measured_here())):
            recording.add_point(point.step, point.validation, point.explained)

    def measure_due(self) -> bool:
        """Measure what is due within the budget; True if the next step should be measured for the layers."""
        self.watch.outdate()
        point = self.watch.fit_if_due()
        if point is not None:
            self._add_point(point)
        for name in self.watch.due():
            if name == "layers":
                return True
            self.watch.measure(name)
        return False

    # --- its end --------------------------------------------------------------------------------

    @property
    def ends_at(self) -> int | None:
        """Step at which it ends by itself where it trains on: that asked for, or, from there on, the spec's."""
        steps, wanted = self.training.steps, self.recording.wanted if self.recording else None
        return wanted if wanted is not None and steps.done < wanted else steps.goal

    @property
    def over(self) -> str:
        """The sentence for where it stands at its end, '' where it does not."""
        done, wanted = self.training.steps.done, self.recording.wanted if self.recording is not None else None
        if done and done == wanted:
            return describe.finished(done, asked=done != self.training.steps.goal)
        if done and done == self.training.steps.goal and (wanted is None or wanted < done):
            return describe.finished(done)
        return ""

    def describe(self) -> None:
        """Bring the description up to the settings in force."""
        goal = self.training.steps.done if self.over else self.ends_at
        self.info = replace(describe.updated(self.info, self.training), goal=goal)

    # --- the record -----------------------------------------------------------------------------

    def moved(self, number: int) -> LiveRun:
        """The same run after its training has gone to another step: its history there, its gauges anew."""
        recording = self.recording
        assert recording is not None
        self.watch.gauges.diagnosis.move()
        recording.keep_report(None)
        run = LiveRun(self.training, self.info, recording, self)
        run.unsaved, run.screens = self.unsaved, self.screens
        run.load()
        run.info = replace(run.info, run=number)
        return run

    def load(self) -> None:
        """Take over what the record has of the way to where the run stands."""
        recording = self.recording
        assert recording is not None
        path = recording.path
        columns, points = recording.read(lambda database: (database.history_of(path), database.points(path)))
        self.history = self.watch.gauges.history = History.of(columns, [p.Point(*point) for point in points])
        self._clipped.add(columns.clipped[-100:].astype(np.float32))
        self.describe()
        self.info = replace(
            self.info,
            folder=str(recording.folder.path),
            path=stretches(recording),
            branches=branches(recording),
        )

    def open_branch(self) -> bool:
        """Open a branch for what is trained or changed now, where one is needed; whether the path is another."""
        if self.recording is None:
            return False
        self.recording.save_start()
        if not self.recording.open_branch():
            return False
        self.info = replace(self.info, path=stretches(self.recording))
        return True

    def save_before(self, text: str) -> None:
        """Write a checkpoint of the run as it was before a tweak."""
        if self.recording is not None:
            self.recording.checkpoint(f"before {text}", "before-tweak")
            self._to_save = ""

    @property
    def running(self) -> bool:
        """Whether it trains, as last published."""
        return self._status.state == "running"

    def note_state(self, state: p.State) -> None:
        if self.recording is not None:
            self.recording.note_state(state)

    def spoil(self) -> None:
        """A step broke off in the middle: neither checkpoint nor training before the run is whole again."""
        if self.recording is not None:
            self.recording.spoiled = True

    def save_later(self, reason: str) -> None:
        """Have a checkpoint written as soon as there is nothing else to do and the disk has time."""
        self._to_save = reason

    def save_waiting(self) -> bool:
        """Write the checkpoint that waits, if one does and the disk has time; whether it was."""
        recording = self.recording
        if recording is None or recording.spoiled or recording.writer.busy:
            return False
        if recording.writer.to_try_again:
            self._to_save = self._to_save or "pause"
        if not self._to_save:
            return False
        recording.checkpoint(self._to_save)
        self._to_save = ""
        return True

    @property
    def saved(self) -> bool:
        """Whether all there is of the run is on the disk; False where it is not stored."""
        recording = self.recording
        return recording is not None and not self._to_save and recording.writer.at_rest

    def save_if_due(self) -> None:
        """Write a checkpoint where the last one is old, within the budget."""
        if self.recording is not None and self.recording.due:
            self.recording.checkpoint("from time to time")

    def trouble_changed(self) -> str | None:
        """What is to be said where the disk has stopped or begun again to take the run, None where it hasn't."""
        if self.recording is None or self.recording.trouble == self.unsaved:
            return None
        before, self.unsaved = self.unsaved, self.recording.trouble
        if not self.unsaved:
            return "the run is stored again"
        return None if before else f"the run is not being stored: {self.unsaved}; it trains on and tries again"

    # --- diagnosis ------------------------------------------------------------------------------

    def begin_probes(self) -> None:
        """Prepare to check the suspected causes; `probe_on` does the work."""
        self._probes = self.watch.gauges.probe()

    @property
    def probing(self) -> bool:
        return self._probes is not None

    def probe_on(self) -> None:
        """One slice of the probes' work; publishes what they are busy with, and in the end what they showed."""
        assert self._probes is not None
        gauges = self.watch.gauges
        try:
            progress = next(self._probes)
        except StopIteration:
            self._probes = None
            self.watch.publish("diagnosis", gauges.diagnose(probed=True))
            return
        stage = progress.stage
        if self.watch.diagnosis is None or self.watch.diagnosis.stage != stage:
            self.watch.publish("diagnosis", gauges.staged(stage))

    def end_probes(self) -> None:
        """Leave off probing, where it goes on."""
        if self._probes is not None:
            self._probes = None
            self.watch.publish("diagnosis", self.watch.gauges.staged(""))

    def keep_report(self) -> None:
        """Record what the diagnosis says, where that is news."""
        diagnosis, recording = self.watch.diagnosis, self.recording
        if diagnosis is None or recording is None or diagnosis.stage:
            return
        step = self.watch.gauges.diagnosed or diagnosis.step
        if (diagnosis.version, step) != self._kept:
            self._kept = diagnosis.version, step
            kept = {"step": step, "time": time.time(), "probed": diagnosis.probed}
            recording.keep_report({**kept, "report": diagnosis.report.to_dict()})

    def conclude(self) -> None:
        """Have the record end with the verdict on the last step, where that takes no time to speak of."""
        recording, gauges = self.recording, self.watch.gauges
        if recording is None or recording.idle or recording.spoiled or not self.watch.cheap:
            return
        if gauges.diagnosed != self.training.steps.done:
            gauges.resting = True
            self.watch.measure("diagnosis")
        self.keep_report()

    def verdict_changed(self) -> str:
        """A line for the journal where the published verdict is another than before, else ''."""
        diagnosis = self.watch.diagnosis
        if diagnosis is None or diagnosis.report.verdict in (self._verdict, LEARNING):
            return ""
        report, self._verdict = diagnosis.report, diagnosis.report.verdict
        best = report.findings[0] if report.findings else None
        cause = f"; most likely: {best.title} ({best.confidence:.2f})" if best else ""
        return f"verdict {report.verdict}: {report.headline}{cause}"

    @property
    def verdict(self) -> str:
        """As it was last said."""
        return self._verdict

    def step_measured(self) -> bool:
        """One training step whose updates the layers gauge shows; False where it was not finite."""
        steps = self.training.steps
        if steps.advance_measured is None:
            assert steps.advance is not None
            return steps.advance()
        finite, updates = steps.advance_measured()
        self.watch.remember_updates(updates)
        return finite

    def nudged(self, path: str, by: int) -> str | None:
        """The number at `path` moved by `by` rungs, as text; None where it is no such number."""
        setting = next((one for one in self.training.settings.table() if one.path == path), None)
        if setting is None or setting.type != "number":
            return None
        return repr(self._ladders.setdefault(path, Ladder()).moved(float(setting.value), by))

    def publish(self, state: p.State, queued: int, epoch: float | None = None) -> None:
        """Put the figures of the last whole step where looks find them. epoch: where one is under way."""
        self.watch.gauges.resting = state != "running"
        training, point = self.training, self.watch.point
        last = self.history.since(max(0, len(self.history) - 1))
        settings, threshold = training.settings, training.settings.threshold
        loss = None if last is None else float(last.loss.numpy()[-1])
        if loss is not None and math.isnan(loss) and self.history.last_bad != len(self.history):
            loss = None  # nobody told the loss of this step
        if epoch is None:
            # Another thread than the one that trains has a number of threads of its own.
            self.threads = torch.get_num_threads() if training.measured.device.type == "cpu" else 1
        self._status = p.Status(
            state=state,
            step=len(self.history),
            epoch=training.steps.epoch if epoch is None else epoch,
            steps_per_second=self.speed.rate if state == "running" else None,
            seconds_left=self.speed.seconds_left(self.info.goal) if state == "running" else None,
            lr=settings.rate,
            base_lr=settings.base_rate,
            loss=loss,
            grad_norm=None if last is None else float(last.grad_norm.numpy()[-1]),
            threshold=threshold,
            clipped_share=None if threshold is None else self._clipped.share,
            validation_loss=point.validation if point else None,
            explained_variance=point.explained if point else None,
            explained_step=point.step if point else 0,
            memory=memory_in_use(training.measured.device),
            queued=queued,
            crowded=state == "running" and (crowded() if epoch is None else self._status.crowded),
        )
