"""Opening a record that may be damaged: what can be read of it is kept, the rest comes from the checkpoints."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from aetui.runs.database import DamagedDatabase, Database, SavedCheckpoint, SavedEvent
from aetui.runs.folder import RunError, RunFolder
from aetui.runs.lineage import Fork, Position, Tweak
from aetui.runs.replay import read_file
from aetui.runs.tensorfile import DamagedFile

log = logging.getLogger(__name__)


def opened(folder: RunFolder) -> tuple[Database, list[str]]:
    """The record of a run that nobody else trains, rebuilt where it is damaged; what is to be said about it.

    Raises:
        RunError: nothing can be made of the folder.
    """
    try:
        database = Database(folder.database)
    except DamagedDatabase as error:
        if "later version" in str(error):
            raise RunError(str(error)) from error
        return _rebuilt(folder, str(error))
    wrong = database.check()
    if not wrong:
        with suppress(sqlite3.Error, ValueError):
            if "spec" in database.meta():
                return database, []
        wrong = "it does not say what the run is"
    database.close()
    return _rebuilt(folder, wrong)


def _rebuilt(folder: RunFolder, wrong: str) -> tuple[Database, list[str]]:
    log.warning("the record %s is damaged: %s", folder.database, wrong)
    aside = folder.database.with_name(f"run.db.damaged-{int(time.time())}")
    try:
        for suffix in ("", "-wal", "-shm"):
            part = Path(f"{folder.database}{suffix}")
            if part.exists():
                os.replace(part, f"{aside}{suffix}")
        return _made_anew(folder, aside)
    except OSError as error:
        raise RunError(f"the record of {folder.name} is damaged and can't be rebuilt: {error}") from error


def _made_anew(folder: RunFolder, aside: Path) -> tuple[Database, list[str]]:
    """A record from the checkpoints' files, with all rows of the damaged one that can still be read."""
    checkpoints = _checkpoints(folder)
    salvaged = _salvaged(aside)
    meta = salvaged["meta"] or (checkpoints[-1][1]["run"] if checkpoints else {})
    if "spec" not in meta:
        raise RunError(
            f"the record of {folder.name} is damaged, and it has no checkpoint to go on from; "
            f"what is left of it is {aside}"
        )
    database = Database(folder.database, create=True)
    forks: dict[int, Fork] = {1: Fork(1, None)}
    tweaks: dict[int, Tweak] = {}
    for _, about, _ in checkpoints:
        origin: Position | None = None
        for leg in about["path"]:
            forks[leg["branch"]] = Fork(leg["branch"], origin)
            origin = Position(leg["branch"], leg["end"], leg["seq"])
        tweaks |= {one["seq"]: Tweak(**one) for one in about["tweaks"]}
    forks |= {
        number: fork for number, fork in salvaged["forks"].items() if not fork.origin or fork.origin.branch in forks
    }
    known = {event.seq for event in salvaged["events"]}
    for fork in forks.values():
        database.add_branch(fork, time.time())
    for event in salvaged["events"]:
        database.add_event(event)
    for tweak in tweaks.values():
        if tweak.seq not in known:
            database.add_event(
                SavedEvent(tweak.seq, tweak.branch, tweak.step, time.time(), "tweak", tweak.text, tweak.changes, b"{}")
            )
    for branch, start, columns in salvaged["history"]:
        if branch in forks:
            database.add_history(branch, start, columns)
    for name, about, size in checkpoints:
        number = int(name[:6]) if name[:6].isdigit() else 0
        at = Position(**about["position"])
        row = SavedCheckpoint(number, at, time.time(), "found after damage", None, None, name, size)
        database.add_checkpoint(row)
    last = checkpoints[-1][1]["position"]["branch"] if checkpoints else 1
    database.set_meta({"branch": last} | meta)
    database.commit()
    steps = max(database.ends().values(), default=0)
    remark = (
        f"the record of this run was damaged; {steps:,} steps of it and {len(checkpoints)} checkpoints could be read "
        f"(the damaged one is {aside.name})"
    )
    return database, [remark]


def _checkpoints(folder: RunFolder) -> list[tuple[str, dict[str, Any], int]]:
    found: list[tuple[str, dict[str, Any], int]] = []
    for path in sorted(folder.checkpoints.glob("*.safetensors")):
        try:
            found.append((path.name, read_file(path)[1], path.stat().st_size))
        except (DamagedFile, OSError) as error:
            log.warning("%s", error)
    return found


def _salvaged(path: Path) -> dict[str, Any]:
    """Every row of a damaged file that can be read, table by table."""
    found: dict[str, Any] = {"meta": {}, "forks": {}, "events": [], "history": []}
    try:
        with closing(Database(path, write=False)) as database:
            with suppress(sqlite3.Error, ValueError):
                found["meta"] = database.meta()
            with suppress(sqlite3.Error, ValueError, TypeError):
                found["forks"] = database.forks()
            with suppress(sqlite3.Error, ValueError):
                found["events"] = database.events()
            found["history"] = list(database.readable_history())
    except DamagedDatabase as error:
        log.warning("%s", error)
    return found
