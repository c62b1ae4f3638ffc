"""A stored run brought to life beside whoever trains it; nothing of it is changed."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from aetui.runs.database import Database
from aetui.runs.folder import RunFolder
from aetui.runs.lineage import Tweak
from aetui.runs.replay import never
from aetui.runs.travel import Traveler
from aetui.runs.tree import Tree
from aetui.spec import RunSpec, loads
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
    spec = loads(meta["spec"])
    traveler = Traveler(Trainer(spec), spec, tree, folder.checkpoints)
    at, remarks = traveler.go(target, recorded, rows, never)
    return Visit(traveler.trainer, spec, tree.tweaks_on(tree.path_to(at)), remarks)
