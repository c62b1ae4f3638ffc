"""A stored run brought to life beside whoever trains it; nothing of it is changed."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from aetui.data import DataError, Dataset
from aetui.runs.database import Database
from aetui.runs.folder import RunError, RunFolder
from aetui.runs.lineage import Tweak
from aetui.runs.replay import never
from aetui.runs.travel import Traveler
from aetui.runs.tree import Tree
from aetui.spec import RunSpec, loads
from aetui.training.spec_training import SpecTraining
from aetui.training.trainer import Trainer


@dataclass(frozen=True)
class Visit:
    """A run where its record ends."""

    trainer: Trainer
    spec: RunSpec
    """As the run began."""
    tweaks: list[Tweak]
    """On the path to where it stands."""
    remarks: list[str]


def visit(folder: RunFolder) -> Visit:
    """A trainer of its own that stands where the run does.

    Raises:
        DamagedDatabase: the record can't be read.
        SpecError, DataError, ModelError: the run's data or model can't be used any more.
    """
    with closing(Database(folder.database, write=False)) as database:
        meta, tree, rows = database.meta(), Tree.of(database), database.checkpoints()
        target = tree.settled(tree.stood(meta))
        recorded = database.history_of(tree.path_to(target))
    if not meta.get("spec"):
        raise RunError(f"the run {folder.name} was trained by a script, which alone can make its model again")
    spec = loads(meta["spec"])
    trainer = Trainer(spec)
    traveler = Traveler(SpecTraining(trainer), tree, folder.checkpoints)
    at, remarks = traveler.go(target, recorded, rows, never)
    return Visit(trainer, spec, tree.tweaks_on(tree.path_to(at)), remarks)


def weights(folder: RunFolder) -> tuple[dict[str, Tensor], list[str]]:
    """The state of a run's model, and what is to be said about it.

    Without the run's data, that of the newest checkpoint on the way to where the run stands.

    Raises:
        DamagedDatabase: the record can't be read.
        SpecError, DataError, ModelError: the model can't be built any more.
    """
    try:
        found = visit(folder)
    except DataError as error:
        return _checkpointed(folder, error)
    return found.trainer.model.state_dict(), found.remarks


def _checkpointed(folder: RunFolder, error: DataError) -> tuple[dict[str, Tensor], list[str]]:
    with closing(Database(folder.database, write=False)) as database:
        meta, tree, rows = database.meta(), Tree.of(database), database.checkpoints()
    if "features" not in meta:
        raise error  # a record that does not say how wide the data were
    target, spec = tree.settled(tree.stood(meta)), loads(meta["spec"])
    stand_in = Dataset(
        name=meta["source"],
        source=meta["source"],
        train=np.zeros((meta["rows"], meta["features"]), np.float32),
        image_shape=tuple(meta["image_shape"]),
    )
    trainer = Trainer(spec, dataset=stand_in, strict=False)
    traveler = Traveler(SpecTraining(trainer), tree, folder.checkpoints)
    at, remarks = traveler.nearest(target, rows)
    if at.step < target.step:
        text = f"these are the weights of step {at.step:,}; those of step {target.step:,}, where the run stands, need"
        remarks.append(f"{text} its data: {error}")
    return trainer.model.state_dict(), remarks
