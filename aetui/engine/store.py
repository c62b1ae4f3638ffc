"""Where an engine takes its runs from, and puts them when it is done with them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from aetui import protocol as p
from aetui.engine.live import LiveRun
from aetui.engine.logs import log_to
from aetui.runs.database import DamagedDatabase
from aetui.runs.folder import RunError, RunFolder
from aetui.runs.recording import Recording
from aetui.runs.replay import Progress
from aetui.spec import loads
from aetui.training.interface import Training
from aetui.training.spec_training import SpecTraining
from aetui.training.trainer import Trainer

Say = Callable[[str], None]
Asked = Callable[[], bool]

_NEWS = 0.5
"""Seconds between two reports on training that is done again."""


class Store:
    """The folder of the first run is given; those of later runs are made."""

    def __init__(self, name: str, log_file: str, folder: Path | None, store: bool) -> None:
        self.log_file = log_file
        self._name, self._folder, self._kept = name, folder, store
        self._used = False

    def begin(self, spec: str, number: int, say: Say) -> LiveRun:
        """A new run at step 0.

        Raises:
            SpecError, DataError, ModelError: the spec, its data or its model can't be used.
        """
        say("reading the data and building the model")
        trainer = Trainer(loads(spec))
        say("computing the floors")
        trainer.floors()
        return self.take(SpecTraining(trainer), number)

    def take(self, training: Training, number: int) -> LiveRun:
        """A training that somebody has assembled, at step 0, as a run."""
        recording, unsaved = self._record(training) if self._kept else (None, "")
        run = self._live(training, number, recording)
        if recording is not None:
            run.load()
        run.unsaved = unsaved
        return run

    def _live(self, training: Training, number: int, recording: Recording | None) -> LiveRun:
        name = recording.folder.name if recording else self._name
        return LiveRun(training, replace(training.info(), run=number, name=name, log=self.log_file), recording)

    def _record(self, training: Training) -> tuple[Recording | None, str]:
        """The record of a new run, or why there is none."""
        if training.stored is None:
            return None, "its state can't be saved"
        try:
            folder = self._new_folder()
            return Recording.begin(folder, training), ""
        except (RunError, DamagedDatabase, OSError) as error:
            return None, str(error)

    def _new_folder(self) -> RunFolder:
        first, self._used = not self._used, True
        if first and self._folder is not None:
            return RunFolder(self._folder)
        folder = RunFolder.create(self._name if first else None)
        self._write_log(folder)
        return folder

    def _write_log(self, folder: RunFolder) -> None:
        """Log into the run's own folder from now on, where this process logs into a file."""
        if self.log_file:
            self.log_file = str(folder.log)
            log_to(self.log_file)

    def open(self, path: Path, number: int, say: Say, asked: Asked) -> tuple[LiveRun, list[str]]:
        """A stored run where its record ends, and what is to be said about it.

        Raises:
            RunError: it is in training elsewhere, or nothing can be made of its folder.
            SpecError, DataError, ModelError: its data or its model can't be used any more.
            Interrupted: `asked` said so.
        """
        say("reading the data and building the model")
        folder = RunFolder(path)
        recording, remarks = Recording.open(folder)
        self._used = True
        self._write_log(folder)
        say("computing the floors")
        run = self.hold(recording, number)
        try:
            remarks += recording.resume(_progress(say, asked))
        except BaseException:
            recording.close("")
            raise
        run.load()
        run.refresh()
        return run, remarks

    def hold(self, recording: Recording, number: int) -> LiveRun:
        """The run of a record whose training still stands at step 0, so that its diagnosis has the initial weights;
        its `load` has it follow to where the training has gone then."""
        return self._live(recording.training, number, recording)

    def check(self, run: LiveRun, command: p.Undo | p.Redo | p.Rewind) -> None:
        """Refuse to travel where there is nothing to return to.

        Raises:
            RunError: that is so, or the run is not stored.
        """
        recording = _recording(run)
        match command:
            case p.Undo():
                recording.targets.before_last_tweak(recording.position)
            case p.Redo():
                recording.targets.before_last_undo(recording.position)
            case p.Rewind():
                recording.targets.at_checkpoint(command.checkpoint)

    def move(
        self, run: LiveRun, command: p.Undo | p.Redo | p.Rewind, say: Say, asked: Asked
    ) -> tuple[p.Moved, list[str]]:
        """Undo, redo or rewind; what happened, and remarks.

        Raises:
            RunError: as with `check`.
            Interrupted: `asked` said so.
        """
        recording, progress = _recording(run), _progress(say, asked)
        origin, redo = recording.settled, None
        match command:
            case p.Undo():
                what = f"undone: {recording.targets.before_last_tweak(recording.position)[1]}"
                remarks, redo = recording.undo(progress), origin.step
            case p.Redo():
                what, remarks = "redone", recording.redo(progress)
            case p.Rewind():
                what, remarks = "rewound", recording.rewind(command.checkpoint, progress)
        text = f"{what}; the run stands at step {recording.training.steps.done:,}"
        kept = any(row.position == origin and row.kind == "before-move" for row in recording.writer.rows)
        left = origin.step if kept and not isinstance(command, p.Redo) else None
        return p.Moved(command=command.id, text=text, info=run.info, redo=redo, left=left), remarks

    def mend(self, run: LiveRun, say: Say, asked: Asked) -> list[str]:
        """Bring a run back to its last whole step; remarks."""
        recording = _recording(run)
        return recording.go(recording.position, _progress(say, asked))

    def state_of(self, run: LiveRun) -> tuple[p.State, str]:
        """The state of a run at rest, and its reason."""
        steps = run.training.steps.done
        last = run.history.last_finite()
        ours = run.training.steps.advance is not None
        if ours and len(run.history) and (last is None or last[0] != len(run.history)):
            return "non-finite", run.non_finite(steps)
        return ("finished", run.over) if run.over else ("paused", "")

    def put_away(self, run: LiveRun, *, broken: bool = False) -> str:
        """Write what is to be kept of a run; how to go on with it. broken: an error has ended its loop."""
        recording = run.recording
        if recording is None:
            return "the run was not stored"
        name, step = recording.folder.name, recording.position.step
        if recording.idle:
            recording.close("")
            return "nothing was trained, so nothing is kept"
        if run.running and not broken:
            run.note_state("paused")
        run.unsaved = trouble = recording.close("end")
        own = run.training.steps.advance is None
        way = f"aetui export {name} --to csv has its history" if own else f"aetui resume {name} goes on"
        if trouble:
            return f"the run {name} could not be stored whole: {trouble}; {way}{'' if own else ' with what there is'}"
        return f"the run {name} is stored at step {step:,}; {way}"


def _recording(run: LiveRun) -> Recording:
    if run.recording is None:
        raise RunError(f"this run is not stored, so it can't go back{f': {run.unsaved}' if run.unsaved else ''}")
    return run.recording


def _progress(say: Say, asked: Asked) -> Progress:
    """Says now and then how far training again has come."""
    shown = time.monotonic()

    def progress(first: int, now: int, last: int) -> bool:
        nonlocal shown
        if time.monotonic() - shown > _NEWS:
            shown = time.monotonic()
            say(f"training again from the checkpoint at step {first:,}: {now:,} of {last:,}")
        return asked()

    return progress
