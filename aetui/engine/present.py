"""The present run and the state it is in; whatever changes of either is published and told to every screen."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from msgspec.structs import replace

from aetui import protocol as p
from aetui.engine import describe
from aetui.engine.inbox import Inbox
from aetui.engine.journal import Journal
from aetui.engine.live import LiveRun
from aetui.engine.store import Store

log = logging.getLogger(__name__)

_WILD_NOTES = 20
"""Lines of the journal at most on where somebody else's loss is not finite and where it is again."""


class Present:
    """Changed by the thread that trains only; `run` and `state` may be read from any."""

    def __init__(self, journal: Journal, store: Store, inbox: Inbox, tell_folder: Callable[[Path | None], str]) -> None:
        """tell_folder: hears of the folder of each run that is loaded; what it answers goes into the journal."""
        self.journal, self._store, self._inbox, self._tell_folder = journal, store, inbox, tell_folder
        self.run: LiveRun | None = None
        self.state: p.State = "loading"
        self.target: int | None = None
        """Step at which training pauses or ends, None for never."""
        self.stepping = False
        """Whether the target is that of single steps."""
        self.to_goal = False
        """Whether the run is to end where its spec says, wherever a tweak moves that."""
        self.runs = 0
        """How often a run was loaded or moved; the number of the present one."""
        self.signs = 0
        """Signs of life: pieces of work that were begun, and stages of a load."""
        self.stage = self.where = ""
        """What is being loaded, and what was said of where that is."""
        self._said: set[str] = set()
        """Faults that the journal has."""
        self._wild = False
        """Whether the steps last recorded were not finite, where that does not stop the training."""
        self._wild_notes = 0

    # --- which run ------------------------------------------------------------------------------

    def take(self, run: LiveRun, state: p.State) -> None:
        """Make a run the present one, and put the one before it away."""
        self.stage, old = "", self.run
        run.publish(state, len(self._inbox))
        self.runs += 1
        if old is not None:
            old.collect()
            self._store.put_away(old)
        self.run, self.state, self.target = run, state, None
        self.journal.begin(run)
        if run.unsaved:
            self.note(f"this run is not stored: {run.unsaved}")
        self.note(self._tell_folder(run.recording.folder.path if run.recording else None))

    def arrive(self, run: LiveRun, event: p.Moved, remarks: list[str]) -> LiveRun:
        """Show the run where it stands now, and how it came there."""
        self.stage = ""
        self.runs += 1
        moved = run.moved(self.runs)
        moved.refresh()
        state, reason = self._store.state_of(moved)
        moved.publish(state, len(self._inbox))
        self.journal.go_on(moved)
        self.run, self.state, self.target, self.to_goal = moved, state, None, False
        self.emit(replace(event, info=moved.info))
        self.emit(p.StateChanged(state=state, reason=reason))
        for remark in remarks:
            self.note(remark)
        return moved

    # --- which state ----------------------------------------------------------------------------

    def enter(self, run: LiveRun, state: p.State, reason: str = "", save: bool = True) -> None:
        """Leave training in `state`, say so at once, and bring the figures up to this step; have a checkpoint saved."""
        self.state, self.target, self.to_goal = state, None, False
        run.collect()
        if save:
            run.save_later("pause" if state == "paused" else state)
        run.publish(state, len(self._inbox))
        self.emit(p.StateChanged(state=state, reason=reason))
        run.refresh()
        self.note_troubles(run)
        run.publish(state, len(self._inbox))

    def reach_target(self, run: LiveRun) -> None:
        bad = run.collect()
        if bad is not None and not self.theirs(run):
            self.stop_at_non_finite(run, bad)
        elif run.over:
            self.finish(run)
        else:
            self.enter(run, "paused")

    def finish(self, run: LiveRun) -> None:
        self.enter(run, "finished", run.over or describe.finished(run.training.steps.done))
        note = run.training.measured.finale()
        if note:
            self.emit(p.Noted(text=note))

    @staticmethod
    def theirs(run: LiveRun) -> bool:
        """Whether somebody else drives the loop."""
        return run.training.steps.advance is None

    def stop_at_non_finite(self, run: LiveRun, step: int | None) -> None:
        self.enter(run, "non-finite", run.non_finite(run.training.steps.done if step is None else step))

    def note_non_finite(self, run: LiveRun, step: int | None) -> None:
        """Say where loss or gradient of a training that nobody here may stop begin not to be finite, and are again."""
        last = run.history.last_bad
        if step is None and (last is None or len(run.history) <= last):
            return  # no step since
        if (step is not None) == self._wild:
            return
        self._wild = step is not None
        self._wild_notes += 1
        if self._wild_notes <= _WILD_NOTES:
            end = "; what follows of the kind is not said any more" if self._wild_notes == _WILD_NOTES else ""
            if step is not None:
                self.emit(p.Noted(text=f"not finite: {run.non_finite(step)}{end}", warning=True, non_finite=True))
            else:
                self.emit(p.Noted(text=f"loss and gradient are finite again from step {(last or 0) + 1:,} on{end}"))

    def fail(self, run: LiveRun, error: BaseException) -> None:
        """A step broke off in the middle: say so, and rest."""
        try:
            run.collect()
        except Exception:
            # A device that is gone does not even give what the steps before recorded.
            log.exception("what the last steps recorded can't be read")
        run.spoil()
        self.state, self.target = "failed", None
        text = f"step {len(run.history) + 1:,} failed: {describe.failure(error)}"
        run.publish("failed", len(self._inbox))
        self.emit(p.Failed(text=text, log=self._store.log_file))
        self.emit(p.StateChanged(state="failed", reason=text))

    # --- what is said ---------------------------------------------------------------------------

    def emit(self, event: p.Events, changes: dict[str, str] | None = None) -> None:
        self.journal.emit(event, changes)
        if isinstance(event, p.StateChanged) and self.run is not None:
            self.run.note_state(event.state)

    def accept(
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
        self.emit(event, changes)

    def refuse(self, command: p.Commands, text: str, path: str = "", left: int | None = None) -> None:
        """Nothing has changed; only the first run's failure to load leaves nothing to go on with."""
        if isinstance(command, p.New | p.Open) and self.run is None:
            self.emit(p.Failed(text=text, log=self._store.log_file, path=path))
        else:
            self.emit(p.Refused(command=command.id, text=text, left=left))

    def say_stage(self, stage: str) -> None:
        self.stage, self.where = stage, ""
        self.signs += 1
        self.emit(p.Loading(stage=stage))

    def note(self, warning: str) -> None:
        """A warning for the journal, unless it is ''."""
        if warning:
            self.emit(p.Noted(text=warning, warning=True))

    def note_fault(self, error: BaseException) -> None:
        """Something failed that is no part of a step: said once, and never a reason to end anything."""
        text = f"something besides the training failed, and the training goes on: {describe.failure(error)}"
        if text not in self._said:
            self._said.add(text)
            try:
                self.note(text)
            except Exception:
                log.exception("it could not be told of")

    def note_troubles(self, run: LiveRun) -> None:
        """What gauges could not be measured, and whether the disk still takes the run."""
        for text in run.watch.troubles():
            self.note(text)
        text = run.trouble_changed()
        if text:
            self.emit(p.Noted(text=text, warning=bool(run.unsaved)))

    def note_verdict(self, run: LiveRun) -> None:
        run.keep_report()
        text = run.verdict_changed()
        if text:
            self.emit(p.Noted(text=text, kind="verdict", verdict=run.verdict))
