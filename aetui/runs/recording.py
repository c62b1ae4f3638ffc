"""A training and its record: trained, changed and moved together."""

from __future__ import annotations

import dataclasses
import logging
import shutil
import time
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any, TypeVar

from aetui import protocol as p
from aetui.runs import rescue
from aetui.runs.checkpoints import Checkpoints
from aetui.runs.database import REPEAT, CheckpointKind, Database, SavedCheckpoint, SavedEvent
from aetui.runs.folder import Lock, RunError, RunFolder
from aetui.runs.lineage import Fork, Position, Stretch, Tweak
from aetui.runs.measured import Measured
from aetui.runs.own_script import only_its_script
from aetui.runs.replay import Progress
from aetui.runs.restorer import Restorer
from aetui.runs.targets import Targets
from aetui.runs.tree import Tree
from aetui.runs.writer import Writer
from aetui.spec import loads
from aetui.training import fingerprint
from aetui.training.interface import Training
from aetui.training.records import Records
from aetui.training.spec_training import SpecTraining
from aetui.training.trainer import Trainer
from aetui.version import __version__

log = logging.getLogger(__name__)

_Found = TypeVar("_Found")


class Recording:
    """One run in training and its folder. Used by one thread; only `places` may be called from any.

    `position` is where the training stands. What is trained there or changed there is added to its branch
    where it stands at the end of it, else to a new branch.
    """

    def __init__(self, folder: RunFolder, lock: Lock, database: Database, training: Training) -> None:
        assert training.stored is not None
        self.folder, self.training = folder, training
        self._steps, self._stored = training.steps, training.stored
        self._lock = lock
        self.meta: dict[str, Any] = database.meta()
        self.tree = Tree.of(database)
        self.seq = database.last_seq()
        """Number of the last event."""
        self.past: list[SavedEvent] = database.events()
        """The events before this recording."""
        self.writer = Writer(database, folder.checkpoints, _outlives)
        self._restorer = Restorer(training, self.tree, folder.checkpoints, self.writer.forget)
        self.targets = Targets(self.tree, self.writer)
        self.position = Position(1, 0)
        self._fresh = False
        """Whether the record was begun by this process."""
        self.spoiled = False
        """Whether a step broke off in the middle, so that its state is that of no step."""
        self._loss: float | None = None
        """Of the last step."""
        self._measured = Measured(database.explained())
        self._checkpoints = Checkpoints(self.writer, self.tree, self._stored, self._measured)

    # --- beginning ------------------------------------------------------------------------------

    @staticmethod
    def begin(folder: RunFolder, training: Training, *, wanted: int | None = None) -> Recording:
        """Record a new run in an empty folder. `wanted`: the steps asked for, where they are not the spec's.

        Raises:
            RunError, DamagedDatabase: the folder can't be written, or the training's state can't be saved.
        """
        if training.stored is None:
            raise RunError("its state can't be saved")
        lock = folder.lock()
        try:
            about = {
                "settings": {setting.path: setting.value for setting in training.settings.table()},
                **training.stored.about(),
                "wanted": wanted,
                "created": time.time(),
                "version": __version__,
                "branch": 1,
            }

            def fill(database: Database) -> None:
                database.set_meta(about)
                database.add_branch(Fork(1, None), time.time())

            database = Database.create(folder.database, fill)
            recording = Recording(folder, lock, database, training)
            recording._fresh = True
            return recording
        except BaseException:
            lock.release()
            raise

    @staticmethod
    def open(folder: RunFolder, training: Training | None = None) -> tuple[Recording, list[str]]:
        """A stored run, still at step 0, and what is to be said about its record; `resume` goes on.

        Args:
            training: what trains it; a run of a spec needs none.

        Raises:
            RunError: the run is in training elsewhere, or nothing can be made of its folder, or only the loop that
                trained it can go on with it.
            SpecError, DataError, ModelError: its data or its model are not what they were.
        """
        lock = folder.lock()
        try:
            database, remarks = rescue.opened(folder)
            meta = database.meta()
            if training is None:
                if not meta.get("spec"):
                    raise RunError(only_its_script(folder.name, meta.get("source", "")))
                trainer = Trainer(loads(meta["spec"]))
                if meta.get("data") not in (None, fingerprint.of(trainer.train_data)):
                    remarks.append(f"the data of this run have changed since it began: {trainer.dataset.source}")
                began, now = meta.get("device"), trainer.device.type
                if began not in (None, now):
                    remarks.append(f"this run began on {began} and goes on on {now}: close to as there, not equal")
                training = SpecTraining(trainer)
            recording = Recording(folder, lock, database, training)
            recording._note("source", recording._stored.about()["source"])
            return recording, remarks
        except BaseException:
            lock.release()
            raise

    def resume(self, progress: Progress) -> list[str]:
        """Go to where the run stood, at the end of a branch or where it was taken back to; what is to be said."""
        return self.go(self.tree.stood(self.meta), progress)

    @property
    def goal(self) -> int | None:
        """Steps that were asked for, or after which it ends by itself now."""
        return self.wanted or self._steps.goal

    @property
    def wanted(self) -> int | None:
        """Steps that were asked for, None where the spec says."""
        return self.meta.get("wanted")

    def want(self, steps: int | None) -> None:
        """Take note of another number of steps that is asked for, None for that of the spec."""
        self._note("wanted", steps)

    def _note(self, key: str, value: Any) -> None:
        """Record what is true of the whole run from now on."""
        if self.meta.get(key) != value:
            self.meta[key] = value
            self.writer.write(lambda database: database.set_meta({key: value}))

    def keep_report(self, report: dict[str, Any] | None) -> None:
        """Record what the diagnosis says of the run: `step`, `time`, `probed` and the `report`; None for nothing."""
        # Not among what each checkpoint has of the run: it is of this moment.
        self.writer.write(lambda database: database.set_meta({"report": report}))

    # --- what happens ---------------------------------------------------------------------------

    def add(self, records: Records) -> None:
        """Record the steps that were just taken."""
        if not len(records):
            return
        self.open_branch()
        at = self.position
        self.writer.write(lambda database: database.add_history(at.branch, at.step, records))
        self.position = dataclasses.replace(at, step=at.step + len(records))
        self.tree.ends[at.branch] = self.position.step
        self._loss = float(records.loss[-1])

    def add_point(self, step: int, validation: float | None, explained: float | None) -> None:
        """Record a measurement."""
        branch = self.position.branch
        if explained is not None:
            self._measured.add(branch, step, explained)
        self.writer.write(lambda database: database.add_point(branch, step, validation, explained))

    def next_seq(self) -> int:
        self.seq += 1
        return self.seq

    def add_event(self, event: SavedEvent) -> None:
        """Record what happened; a tweak is on the disk before this returns, unless the disk takes nothing."""
        self.writer.write(lambda database: database.add_event(event))
        if event.changes is not None:
            tweak = Tweak(event.seq, event.branch, event.step, event.changes, event.text, event.kind == REPEAT)
            self.tree.tweaks.append(tweak)
            self.position = tweak.position
            self.writer.flush()

    def note_state(self, state: str) -> None:
        """Record in what state the run is, for whoever lists the runs."""
        self.writer.write(lambda database: database.set_meta({"state": state}))
        if state == "running":
            # A process that is killed a moment later was interrupted, not paused.
            self.writer.hasten()

    def open_branch(self) -> bool:
        """Leave the branch of a position that others follow on it, for a new one; whether that was so."""
        at = self.settled
        if at == self.tree.tip(self.position.branch):
            return False
        fork = Fork(max(self.tree.forks) + 1, at)
        self.tree.forks = {**self.tree.forks, fork.id: fork}
        self.tree.ends[fork.id] = at.step
        self.position = Position(fork.id, at.step)
        self.targets.forget()
        now = time.time()
        self.writer.write(lambda database: database.add_branch(fork, now))
        self._note_place()
        return True

    def _note_place(self) -> None:
        """Record where the run stands, for whoever goes on with it."""
        here = self.settled
        place: dict[str, Any] = {"branch": self.position.branch, "at": None}
        if here != self.tree.tip(self.position.branch):
            place["at"] = dataclasses.asdict(here)
        if any(self.meta.get(key) != value for key, value in place.items()):
            self.meta |= place
            self.writer.write(lambda database: database.set_meta(place))

    # --- where it stands ------------------------------------------------------------------------

    @property
    def settled(self) -> Position:
        """Where the run stands, on the branch that led there."""
        return self.tree.settled(self.position)

    @property
    def path(self) -> list[Stretch]:
        """The way from step 0 to where the run stands."""
        return self.tree.path_to(self.position)

    def tweaks_on_path(self) -> list[Tweak]:
        return self.tree.tweaks_on(self.path)

    def read(self, query: Callable[[Database], _Found]) -> _Found:
        """Read from the record, with all that was written.

        Raises:
            RunError: the disk takes nothing at present.
        """
        if not self.writer.flush():
            raise RunError(f"the run is not being stored at present, so it can't go back: {self.writer.trouble}")
        with closing(Database(self.folder.database, write=False)) as database:
            return query(database)

    # --- moving ---------------------------------------------------------------------------------

    def go(self, target: Position, progress: Progress) -> list[str]:
        """Bring the training to a position; what is to be said about it.

        The newest intact checkpoint on the way is restored and what followed is trained again. Where that
        gives other losses than the record has, the run stands at that checkpoint instead.

        Raises:
            Interrupted: `progress` said so; the record is as it was.
        """
        self.writer.wait_saved()
        target = self.tree.settled(target)
        path = self.tree.path_to(target)
        recorded = self.read(lambda database: database.history_of(path))
        self.spoiled = True
        self.position, remarks = self._restorer.go(target, recorded, self.writer.rows, progress)
        self.spoiled = False
        self._checkpoints.restored(self._restorer.restored)
        step = self.position.step
        self._loss = float(recorded.loss[step - 1]) if step else None
        self._note_place()
        return remarks

    def undo(self, progress: Progress) -> list[str]:
        """Go to before the last tweak; remarks.

        Raises:
            RunError: there is none.
        """
        target, _ = self.targets.before_last_tweak(self.position)
        origin = self.settled
        self._leave()
        remarks = self.go(target, progress)
        self.targets.undone(origin, self.settled)
        return remarks

    def redo(self, progress: Progress) -> list[str]:
        """Return to where the last undo left from; remarks.

        Raises:
            RunError: as with `Targets.before_last_undo`.
        """
        target = self.targets.before_last_undo(self.position)
        self.targets.redone()
        return self.go(target, progress)

    def rewind(self, number: int, progress: Progress) -> list[str]:
        """Go to a checkpoint; remarks.

        Raises:
            RunError: there is no such checkpoint any more.
        """
        target = self.targets.at_checkpoint(number)
        self._leave()
        return self.go(target, progress)

    def _leave(self) -> None:
        """Keep the present position, so that the run can return to it."""
        if not self.spoiled:
            self.checkpoint(f"left at step {self.position.step:,}", "before-move")

    # --- checkpoints ----------------------------------------------------------------------------

    @property
    def trouble(self) -> str:
        """Why not all of the run is stored at present, '' where it is."""
        return self.writer.trouble or self._checkpoints.uncaptured

    @property
    def due(self) -> bool:
        """Whether it is time for a checkpoint by the clock."""
        return self._checkpoints.due

    def save_start(self) -> None:
        """Keep the initial weights, once."""
        if self.position.step == 0 and not self.writer.rows and not self.writer.busy:
            self.checkpoint("start", "start")

    def checkpoint(self, reason: str, kind: CheckpointKind = "passing") -> None:
        """Copy the state and have it written; where nothing was trained since the last, only its reason."""
        if self._steps.done != self.position.step:
            log.error("no checkpoint: the training is at step %d, its record not", self._steps.done)
            return
        self._checkpoints.take(self.settled, self.meta, self._loss, reason, kind)

    def places(self) -> tuple[p.Place, ...]:
        """The checkpoints that `rewind` takes, the newest first; from any thread."""
        return self._checkpoints.places(self.settled)

    @property
    def start_checkpoint(self) -> int | None:
        """Number of the checkpoint of step 0, before any tweak; None where it is not stored."""
        found = (row.id for row in self.writer.rows if row.position.step == 0 and row.position.seq == 0)
        return next(found, None)

    def measured_here(self) -> bool:
        """Whether there is a measurement of where the run stands."""
        found = self._measured.last(self.path)
        return found is not None and found[0] == self.position.step

    # --- ending ---------------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Whether nothing was ever trained or changed."""
        return not self.tree.tweaks and not any(self.tree.ends.values())

    def close(self, reason: str) -> str:
        """Write a checkpoint and let go of the run; why not all of it is on the disk, '' if it is.

        A run in which nothing was trained or changed leaves nothing behind.
        """
        idle = self.idle
        if reason and not idle and not self.spoiled:
            self.writer.wait_saved(60)
            self.checkpoint(reason)
        trouble = self._checkpoints.uncaptured if self.writer.close() else self.writer.trouble or "the disk is too slow"
        if idle and self._fresh:
            with suppress(OSError):
                shutil.rmtree(self.folder.path)
        self._lock.release()
        return trouble


def _outlives(row: SavedCheckpoint) -> bool:
    return row.kind != "passing"
