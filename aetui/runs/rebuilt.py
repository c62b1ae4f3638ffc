"""A stored run brought to life beside whoever trains it; nothing of it is changed."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from aetui.data import DataError, Dataset
from aetui.runs.database import Database
from aetui.runs.folder import RunError, RunFolder
from aetui.runs.lineage import Position, Tweak
from aetui.runs.own_script import no_spec
from aetui.runs.replay import never, read_state
from aetui.runs.restorer import Restorer, newest_first
from aetui.runs.tensorfile import DamagedFile
from aetui.runs.tree import Tree
from aetui.spec import RunSpec, loads
from aetui.training.interface import MODULE
from aetui.training.spec_training import SpecTraining
from aetui.training.trainer import Trainer


@dataclass(frozen=True)
class Rebuilt:
    """A run where its record ends."""

    trainer: Trainer
    spec: RunSpec
    """As the run began."""
    tweaks: list[Tweak]
    """On the path to where it stands."""
    remarks: list[str]


def _where(database: Database) -> tuple[dict[str, Any], Tree, Position]:
    """What is known of a run, its tree, and where it stands in it."""
    meta, tree = database.meta(), Tree.of(database)
    return meta, tree, tree.settled(tree.stood(meta))


def rebuild(folder: RunFolder) -> Rebuilt:
    """A trainer of its own that stands where the run does.

    Raises:
        DamagedDatabase: the record can't be read.
        RunError: only the loop that trained the run can train it.
        SpecError, DataError, ModelError: the run's data or model can't be used any more.
    """
    with closing(Database(folder.database, write=False)) as database:
        meta, tree, target = _where(database)
        rows, recorded = database.checkpoints(), database.history_of(tree.path_to(target))
    if not meta.get("spec"):
        raise RunError(no_spec(folder.name, "which alone can make its model again; there is no other script to write"))
    spec = loads(meta["spec"])
    trainer = Trainer(spec)
    restorer = Restorer(SpecTraining(trainer), tree, folder.checkpoints)
    at, remarks = restorer.go(target, recorded, rows, never)
    return Rebuilt(trainer, spec, tree.tweaks_on(tree.path_to(at)), remarks)


def weights(folder: RunFolder) -> tuple[dict[str, Tensor], list[str]]:
    """The state of a run's model, and what is to be said about it.

    Without the run's data, and of a run without a spec, that of the newest checkpoint on the way to where it stands.

    Raises:
        DamagedDatabase: the record can't be read.
        RunError: there is no checkpoint.
        SpecError, DataError, ModelError: the model can't be built any more.
    """
    with closing(Database(folder.database, write=False)) as database:
        if not database.meta().get("spec"):
            return _module(folder, database)
    try:
        found = rebuild(folder)
    except DataError as error:
        return _checkpointed(folder, error)
    return found.trainer.model.state_dict(), found.remarks


def _module(folder: RunFolder, database: Database) -> tuple[dict[str, Tensor], list[str]]:
    """What the newest checkpoint of a run without a spec has of the module."""
    _, tree, target = _where(database)
    remarks: list[str] = []
    for row in newest_first(database.checkpoints(), tree.path_to(target)):
        try:
            tensors = read_state(folder.checkpoints / row.file)[0].tensors
        except DamagedFile as error:
            remarks.append(f"{error}; the one before it was taken")
            continue
        found = {name.removeprefix(MODULE): one for name, one in tensors.items() if name.startswith(MODULE)}
        if row.position.step < target.step:
            remarks.append(f"these are the weights of step {row.position.step:,}; the run stands at {target.step:,}")
        return found, remarks
    raise RunError(f"{folder.name} has no checkpoint that can be read, so there are no weights to write")


def _checkpointed(folder: RunFolder, error: DataError) -> tuple[dict[str, Tensor], list[str]]:
    with closing(Database(folder.database, write=False)) as database:
        meta, tree, target = _where(database)
        rows = database.checkpoints()
    if "features" not in meta:
        raise error  # a record that does not say how wide the data were
    spec = loads(meta["spec"])
    stand_in = Dataset(
        name=meta["source"],
        source=meta["source"],
        train=np.zeros((meta["rows"], meta["features"]), np.float32),
        image_shape=tuple(meta["image_shape"]),
    )
    trainer = Trainer(spec, dataset=stand_in, strict=False)
    restorer = Restorer(SpecTraining(trainer), tree, folder.checkpoints)
    at, remarks = restorer.nearest(target, rows)
    if at.step < target.step:
        text = f"these are the weights of step {at.step:,}; those of step {target.step:,}, where the run stands, need"
        remarks.append(f"{text} its data: {error}")
    return trainer.model.state_dict(), remarks
