"""How a stored run stands, read from its folder alone, whoever trains it."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing

from msgspec import Struct

from aetui.runs import lineage
from aetui.runs.database import DamagedDatabase, Database, UnreachableDatabase
from aetui.runs.folder import RunFolder
from aetui.runs.measured import Measured
from aetui.runs.own_script import run_again, script_in, script_of
from aetui.runs.tree import Tree


class RunSummary(Struct, frozen=True, kw_only=True):
    """One line of `aetui runs`."""

    name: str
    state: str
    """As the engine has it; `interrupted` where it died in training, `damaged` where the record is no record any more,
    `unreadable` where the system does not let it be read at present."""
    step: int | None = None
    goal: int | None = None
    """Steps asked for, where they are not the spec's."""
    explained_variance: float | None = None
    """As last measured on the way to where it stands, on the probe set or on the training part."""
    explained_step: int | None = None
    """Step at which it was."""
    loss: float | None = None
    source: str = ""
    script: str = ""
    """The script that trains it, where no spec assembled it: nothing else can."""
    age: float = 0.0
    """Seconds since the record last changed."""
    created: float = 0.0
    """Seconds since the epoch."""
    size: int = 0
    """Bytes on the disk."""
    branches: int = 1
    checkpoints: int = 0
    tweaks: int = 0
    engine: int | None = None
    """Process that trains it, None if none does."""
    folder: str = ""


def summary(folder: RunFolder) -> RunSummary:
    """Read how a run stands; one whose record can't be read is listed all the same."""
    engine = folder.holder()
    try:
        return _read(folder, engine)
    except (UnreachableDatabase, sqlite3.OperationalError):
        state = "unreadable"
    except (DamagedDatabase, sqlite3.Error, KeyError, ValueError):
        state = "damaged"
    return RunSummary(name=folder.name, state=state, size=folder.size(), engine=engine, folder=str(folder.path))


def _read(folder: RunFolder, engine: int | None) -> RunSummary:
    with closing(Database(folder.database, write=False)) as database:
        meta = database.meta()
        # A record without a state is that of a process which has not come to its first commit.
        state = meta.get("state", "running")
        tree = Tree.of(database)
        at = tree.stood(meta)
        measured = Measured(database.explained()).last(tree.path_to(at))
        explained_step, explained = measured or (None, None)
        return RunSummary(
            name=folder.name,
            state="interrupted" if state == "running" and engine is None else state,
            step=at.step,
            goal=meta.get("wanted"),
            explained_variance=explained,
            explained_step=explained_step,
            loss=database.loss_at(at.branch, at.step),
            source=meta.get("source", ""),
            script=script_in(meta),
            age=max(0.0, time.time() - meta.get("updated", meta["created"])),
            created=meta["created"],
            size=folder.size(),
            branches=len(tree.forks),
            checkpoints=len({row.file for row in database.checkpoints()}),
            tweaks=len(lineage.grouped(tree.tweaks)),
            engine=engine,
            folder=str(folder.path),
        )


def way_on(folder: RunFolder) -> str:
    """How to go on with a run that nothing trains at present, as a clause."""
    script = script_of(folder.database)
    return run_again(script) if script else f"aetui resume {folder.name} goes on with it"
