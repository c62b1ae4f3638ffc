"""A stored run brought to life beside whoever trains it; nothing of it is changed."""

from __future__ import annotations

from contextlib import closing, suppress
from dataclasses import dataclass

from torch import Tensor

from aetui.data import DataError
from aetui.models.errors import ModelError
from aetui.runs import lineage
from aetui.runs.database import Database
from aetui.runs.folder import RunFolder
from aetui.runs.lineage import Tweak
from aetui.runs.replay import never, read_state
from aetui.runs.tensorfile import DamagedFile
from aetui.runs.travel import Traveler
from aetui.runs.tree import Tree
from aetui.spec import RunSpec, SpecError, loads
from aetui.training.checkpoint import state_dict_of
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


def weights(folder: RunFolder) -> tuple[dict[str, Tensor], list[str]]:
    """The model's state_dict where the run stands, and remarks.

    A checkpoint taken there has it. Elsewhere the steps since are trained again, which takes the data; where those
    can't be used any more, it is that of the newest checkpoint on the way.

    Raises:
        DamagedDatabase: the record can't be read.
        SpecError, DataError, ModelError: data or model can't be used, and no checkpoint has the weights.
    """
    with closing(Database(folder.database, write=False)) as database:
        meta, tree, rows = database.meta(), Tree.of(database), database.checkpoints()
    target = tree.settled(tree.stood(meta))
    path = tree.path_to(target)
    on_path = [row for row in rows if lineage.lies_on(row.position, path)]
    kept: tuple[int, dict[str, Tensor]] | None = None
    for row in sorted(on_path, key=lambda row: (row.position.step, row.position.seq), reverse=True):
        with suppress(DamagedFile):
            state, at = read_state(folder.checkpoints / row.file)
            if (found := state_dict_of(state)) is not None:
                kept = at.step, found
                break
    if kept is not None and kept[0] == target.step:
        return kept[1], []
    try:
        visited = visit(folder)
    except (SpecError, DataError, ModelError) as error:
        if kept is None:
            raise
        why = "; ".join(str(error).splitlines())
        text = f"the weights are those of step {kept[0]:,}; the run stands at step {target.step:,}, but {why}"
        return kept[1], [text]
    return dict(visited.trainer.model.state_dict()), visited.remarks
