"""`aetui export`: a run in forms that other programs read."""

import sqlite3
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from aetui.data import DataError
from aetui.models.errors import ModelError
from aetui.runs.database import DamagedDatabase, Database
from aetui.runs.export.errors import ExportError
from aetui.runs.export.history_table import Points, Table, write_csv, write_parquet
from aetui.runs.export.rates import rates
from aetui.runs.folder import RunError, RunFolder
from aetui.runs.tree import Tree
from aetui.spec import Problem, SpecError, loads

if TYPE_CHECKING:
    from aetui.runs.rebuilt import Rebuilt


def export_run(folder: RunFolder, *, kind: str, out: Path | None) -> int:
    """Write what `kind` asks for into the folder `out`, and print the names of the files.

    Raises:
        SpecError: the run can't be read, or the files can't be written.
    """
    out = out or Path()
    try:
        out.mkdir(parents=True, exist_ok=True)
        for path in _WRITERS[kind](folder, out):
            print(path)
    except (ExportError, RunError, DataError, ModelError, DamagedDatabase, sqlite3.Error) as error:
        raise SpecError([Problem("aetui export", str(error))]) from None
    except OSError as error:
        raise SpecError([Problem("aetui export", f"{error.filename}: {error.strerror}")]) from None
    return 0


def table_of(database: Database) -> Table:
    """The history of a run on the path to where it stands."""
    meta, tree = database.meta(), Tree.of(database)
    path = tree.path_to(tree.stood(meta))
    columns, tweaks = database.history_of(path), tree.tweaks_on(path)
    points = [point for point in database.points(path) if point[0] <= len(columns)]
    step, validation, explained = np.array(points, dtype=float).reshape(-1, 3).T
    return Table(
        np.arange(1, len(columns) + 1),
        columns.loss,
        columns.total,
        columns.grad_norm,
        columns.clipped,
        # A loop of the user's own has a schedule of its own, which the record does not know.
        rates(loads(meta["spec"]), tweaks, columns.total, meta.get("rows")) if meta.get("spec") else None,
        Points(step.astype(int), validation, explained),
        [(tweak.step, tweak.text) for tweak in tweaks],
    )


def _read(folder: RunFolder) -> Table:
    with closing(Database(folder.database, write=False)) as database:
        return table_of(database)


def _csv(folder: RunFolder, out: Path) -> list[Path]:
    return [write_csv(out / f"{folder.name}.csv", _read(folder))]


def _parquet(folder: RunFolder, out: Path) -> list[Path]:
    return [write_parquet(out / f"{folder.name}.parquet", _read(folder))]


def _tensorboard(folder: RunFolder, out: Path) -> list[Path]:
    from aetui.runs.export.tensorboard import write_events

    with closing(Database(folder.database, write=False)) as database:
        return [write_events(out / folder.name, table_of(database), started=database.meta()["created"])]


def _torch(folder: RunFolder, out: Path) -> list[Path]:
    from aetui.runs.export.weights_file import write_state_dict
    from aetui.runs.rebuilt import weights

    state, remarks = weights(folder)
    _say(remarks)
    return [write_state_dict(out / f"{folder.name}.pt", state)]


def _script(folder: RunFolder, out: Path) -> list[Path]:
    import torch

    from aetui.runs.export.script import write_script

    found = _rebuilt(folder)
    return write_script(
        out,
        name=folder.name,
        spec=found.spec,
        tweaks=[(tweak.step, tweak.changes) for tweak in found.tweaks],
        steps=found.trainer.steps,
        trainer=found.trainer,
        threads=torch.get_num_threads(),
        expected=found.trainer.weights_sha256(),
    )


def _rebuilt(folder: RunFolder) -> "Rebuilt":
    """The run where it stands; what its checkpoints lack is trained again."""
    from aetui.runs.rebuilt import rebuild

    found = rebuild(folder)
    _say(found.remarks)
    return found


def _say(remarks: Sequence[str]) -> None:
    for remark in remarks:
        print(f"aetui: {remark}", file=sys.stderr)


_WRITERS: dict[str, Callable[[RunFolder, Path], list[Path]]] = {
    "csv": _csv,
    "parquet": _parquet,
    "tensorboard": _tensorboard,
    "torch": _torch,
    "script": _script,
}
