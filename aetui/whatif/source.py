"""What an experiment is about: a spec that has not begun, or a stored run where it stands, as its record has it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch

from aetui.diagnosis.while_training import LiveDiagnosis
from aetui.report import Report
from aetui.runs.database import Database
from aetui.runs.folder import RunError, RunFolder
from aetui.runs.lineage import Position
from aetui.runs.own_script import no_spec
from aetui.runs.replay import never
from aetui.runs.restorer import Restorer
from aetui.runs.tree import Tree
from aetui.spec import RunSpec, loads
from aetui.training.checkpoint import capture
from aetui.training.spec_training import SpecTraining
from aetui.training.trainer import Trainer
from aetui.whatif.forks import Saved
from aetui.whatif.measure import Yardstick

log = logging.getLogger(__name__)

SHORTEST, LONGEST = 300, 3000
"""Steps of a fork that an experiment takes by itself."""
_FALLEN = 0.9
"""Share of all that the loss fell by from which its way was made."""
_TIMES = 4
"""How many times longer than that way a fork trains, since what mends a run may well be slower."""
_SMOOTH = 50
"""Blocks that a record of losses is averaged into before it is looked at."""


@dataclass(frozen=True)
class Source:
    """Where forks leave from. `trainer` stands there, and is trained no further."""

    name: str
    spec: RunSpec
    """In force where live changes leave."""
    trainer: Trainer
    threads: int
    """That the run trains with."""
    step: int = 0
    saved: Saved | None = None
    """Its state there, None at step 0."""
    tweaked: bool = False
    """Whether settings were changed on the way, so that training anew from step 0 is not the run."""
    report: Report | None = None
    """What the diagnosis says of it, None where nobody asked."""
    folder: RunFolder | None = None
    """Of a stored run."""
    losses: np.ndarray | None = None
    """Of the steps up to there, shape (steps,)."""

    def yardstick(self) -> Yardstick:
        return Yardstick(self.trainer)


def devices_of(device: torch.device) -> tuple[str | None, ...]:
    """The GPUs that forks of a run on `device` are spread over, as CUDA_VISIBLE_DEVICES names them; () on the CPU, and
    one None where all are to use the same device as the run."""
    if device.type == "cpu":
        return ()
    if device.type != "cuda" or device.index is not None:
        return (None,)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return tuple(visible.split(",")) if visible else tuple(map(str, range(torch.cuda.device_count())))


@contextmanager
def threads_kept() -> Iterator[None]:
    """The process has as many threads afterwards as before, whatever trainers are made meanwhile."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def of_spec(name: str, spec: RunSpec, report: Report | None = None) -> Source:
    """A run of that spec, before its first step.

    Raises:
        SpecError, DataError, ModelError: the spec, its data or its model can't be used.
    """
    with threads_kept():
        trainer = Trainer(spec, strict=False)
        return Source(name, trainer.spec, trainer, torch.get_num_threads(), report=report)


def of_run(folder: RunFolder) -> Source:
    """A stored run where it stands; only its record is read, whoever trains it meanwhile.

    Raises:
        RunError: a loop of the user's own trained it, so that nothing here can train on from it, or its record ends
            elsewhere than it says.
        DamagedDatabase: its record can't be read.
        SpecError, DataError, ModelError: its data or its model are not what they were.
    """
    with closing(Database(folder.database, write=False)) as database:
        meta, tree = database.meta(), Tree.of(database)
        if not meta.get("spec"):
            raise RunError(no_spec(folder.name, "whose steps only that script can take, so it can't be forked"))
        target = tree.settled(tree.stood(meta))
        path = tree.path_to(target)
        recorded, rows, kept = database.history_of(path), database.checkpoints(), meta.get("report")
    with threads_kept():
        trainer = Trainer(loads(meta["spec"]), strict=False)
        training = SpecTraining(trainer)
        diagnosis = LiveDiagnosis(training)
        at, remarks = Restorer(training, tree, folder.checkpoints).go(target, recorded, rows, never)
        if at.step != target.step:
            raise RunError(_elsewhere(folder, target, at, remarks))
        threads = torch.get_num_threads()
        report = _kept_report(kept, at.step)
        if report is None and at.step:
            losses, norms = recorded.loss.tolist(), recorded.grad_norm.tolist()
            broken = at.step if bool(recorded.bad[-1]) else None
            report = diagnosis.look(losses, norms, broken, resting=True)
        saved = Saved.of(capture(trainer)) if at.step or tree.tweaks_on(path) else None
        return Source(
            folder.name, trainer.spec, trainer, threads,
            step=at.step, saved=saved, tweaked=bool(tree.tweaks_on(path)), report=report, folder=folder,
            losses=recorded.loss,
        )  # fmt: skip


def _elsewhere(folder: RunFolder, target: Position, at: Position, remarks: list[str]) -> str:
    return f"{folder.name} can't be forked at step {target.step:,}: {'; '.join(remarks) or f'it is at {at.step:,}'}"


def _kept_report(kept: object, step: int) -> Report | None:
    """What the record has of the diagnosis, where it is of that very step."""
    import msgspec

    if not isinstance(kept, dict) or kept.get("step") != step:
        return None
    try:
        return msgspec.convert(kept.get("report"), Report)
    except msgspec.ValidationError:
        return None


def at_start(source: Source) -> Source:
    """The same run before its first step, with the settings in force now."""
    if not source.step:
        return source
    with threads_kept():
        trainer = Trainer(source.spec, strict=False)
    return replace(source, trainer=trainer, step=0, saved=None, tweaked=False)


def budget(source: Source, asked: int | None = None) -> int:
    """Steps that each fork trains beyond where it leaves: what was asked for, or from how fast the loss moves.

    Of a run that has not begun it is the length of its own training or, where it has none, twice what a diagnosis
    took to judge it; of one under way a multiple of the steps in which its loss made most of its way.
    """
    if asked is not None:
        return max(2, asked)
    if source.losses is None or len(source.losses) < 2 * _SMOOTH:
        seen = source.report.steps if source.report is not None else LONGEST
        return max(2, min(source.trainer.goal or max(SHORTEST, 2 * seen), LONGEST))
    return max(SHORTEST, min(LONGEST, _TIMES * moved_by(source.losses)))


def moved_by(losses: np.ndarray) -> int:
    """Step by which the loss had made most of its way; `losses`: of every step, shape (steps,)."""
    finite = losses[np.isfinite(losses)].astype(np.float64)
    if len(finite) < _SMOOTH:
        return len(losses)
    blocks = np.array([float(np.median(block)) for block in np.array_split(finite, _SMOOTH)])
    fall = np.maximum.accumulate(blocks[0] - blocks)
    if fall[-1] <= 0:
        return len(losses)
    return int((int(np.argmax(fall >= _FALLEN * fall[-1])) + 1) * len(finite) / _SMOOTH)
