"""Opening a record that may be damaged: what can be read of it is kept, the rest comes from the checkpoints."""

from __future__ import annotations

import json
import logging
import shutil
import sqlite3
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aetui.runs.database import REPEAT, DamagedDatabase, Database, SavedCheckpoint, SavedEvent, UnreachableDatabase
from aetui.runs.folder import RunError, RunFolder
from aetui.runs.lineage import Fork, Position, Stretch, Tweak
from aetui.runs.replay import read_file
from aetui.runs.tensorfile import DamagedFile
from aetui.spec import loads
from aetui.training.records import Records

log = logging.getLogger(__name__)

_ELSEWHERE = frozenset({3, 5, 6, 7, 8, 10, 13, 14})
"""SQLite's codes of errors that are not the file's own: permissions, locks, memory, reading and writing, space."""
_AT_ONCE = 5.0
"""Seconds that a checkpoint is written before the record names it, at most, where a process is killed in between."""


def opened(folder: RunFolder) -> tuple[Database, list[str]]:
    """The record of a run that nobody else trains, rebuilt where it is damaged; what is to be said about it.

    Raises:
        RunError: nothing can be made of the folder.
    """
    try:
        database = Database(folder.database)
    except UnreachableDatabase as error:
        raise RunError(f"{error}; the run is as it was") from error
    except DamagedDatabase as error:
        return _rebuilt(folder, str(error))
    try:
        wrong = database.check() or _unreadable(database) or _behind(folder, database)
        if not wrong:
            return database, []
    except (sqlite3.Error, ValueError, TypeError) as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _ELSEWHERE:
            database.close()
            raise RunError(f"{folder.database} can't be read: {error}; the run is as it was") from error
        wrong = str(error)
    database.close()
    return _rebuilt(folder, wrong)


def _unreadable(database: Database) -> str:
    """Why a file that SQLite finds nothing wrong with is no record, '' if it is one.

    Raises:
        sqlite3.Error, ValueError, TypeError: the same.
    """
    forks, meta = database.forks(), database.meta()
    for read in (database.events, database.ends, database.checkpoints, lambda: database.points([Stretch(1, 0, 0, 0)])):
        read()
    if not _tells(meta):
        return "it does not say what the run is"
    if meta.get("spec"):
        loads(meta["spec"])
    if wrong := _contradiction(database):
        return wrong
    origins = [fork.origin.branch for fork in forks.values() if fork.origin is not None]
    if 1 not in forks or any(origin not in forks for origin in origins) or meta.get("branch", 1) not in forks:
        return "it names branches that it does not have"
    return ""


def _tells(meta: dict[str, Any]) -> bool:
    """Whether it is said what the run is: a spec, or the settings of a loop of somebody else's."""
    return "spec" in meta or "settings" in meta


def _contradiction(database: Database) -> str:
    """Numbers that are written down twice and differ, '' if none do: SQLite has no checksums."""
    for event in database.events():
        if event.changes is not None and (message := json.loads(event.message)):
            told = (message.get("seq", 0), message.get("branch", 0), message.get("step", 0))
            if told != (event.seq, event.branch, event.step):
                return f"event {event.seq} contradicts itself"
    for row in database.checkpoints():
        if f"-step-{row.position.step}." not in row.file:
            return f"checkpoint {row.id} contradicts itself"
    if not database.history_fits():
        return "a part of the history contradicts itself"
    return ""


def _behind(folder: RunFolder, database: Database) -> str:
    """Why the record must have lost its end, '' if it has not: a checkpoint knows of more than was under way."""
    named = {row.file for row in database.checkpoints()}
    tweaks, ends, forks = {one.seq for one in database.tweaks()}, database.ends(), database.forks()
    committed = database.meta().get("updated", 0.0)
    for path in folder.checkpoints.glob("*.safetensors"):
        if path.name in named:
            continue
        try:
            about, written = read_file(path)[1], path.stat().st_mtime
        except (DamagedFile, OSError):
            continue
        at = about["position"]
        lost_steps = at["branch"] not in forks or at["step"] > ends.get(at["branch"], 0)
        if any(one["seq"] not in tweaks for one in about["tweaks"]) or (lost_steps and written - committed > _AT_ONCE):
            return f"{path.name} knows of more than it does"
    return ""


def _rebuilt(folder: RunFolder, wrong: str) -> tuple[Database, list[str]]:
    """A record made anew beside the damaged one, which is kept under another name."""
    log.warning("the record %s is damaged: %s", folder.database, wrong)
    aside = folder.database.with_name(f"run.db.damaged-{int(time.time())}")
    try:
        for suffix in ("", "-wal", "-shm"):
            part = Path(f"{folder.database}{suffix}")
            if part.exists():
                shutil.copyfile(part, f"{aside}{suffix}")
        found = _Found.of(folder, aside)
        if not _tells(found.meta):
            raise RunError(
                f"the record of {folder.name} is damaged ({wrong}), and it has no checkpoint to go on from; "
                f"what is left is in {folder.path}"
            )
        for suffix in ("-wal", "-shm"):
            Path(f"{folder.database}{suffix}").unlink(missing_ok=True)
        database = Database.create(folder.database, found.write)
    except OSError as error:
        raise RunError(f"the record of {folder.name} is damaged and can't be rebuilt: {error}") from error
    except UnreachableDatabase as error:
        raise RunError(f"the record of {folder.name} is damaged and can't be rebuilt: {error}") from error
    steps = max(database.ends().values(), default=0)
    remark = (
        f"the record of this run was damaged; {steps:,} steps of it and {len(found.checkpoints)} checkpoints could be "
        f"read (the damaged one is {aside.name})"
    )
    return database, [remark]


@dataclass
class _Found:
    """What could be read of a run: rows of the damaged record, and the files of checkpoints."""

    meta: dict[str, Any]
    forks: dict[int, Fork]
    events: list[SavedEvent]
    history: list[tuple[int, int, Records]]
    checkpoints: list[tuple[str, dict[str, Any], int]]
    """Name, what the file says of the run, and size of each, the oldest first."""

    @staticmethod
    def of(folder: RunFolder, damaged: Path) -> _Found:
        found = _Found({}, {}, [], [], _checkpoints(folder))
        found._salvage(damaged)
        if found.checkpoints:
            _, about, _ = found.checkpoints[-1]
            at = Position(**about["position"])
            # A checkpoint has a checksum, which the record has not.
            found.meta = {"branch": at.branch, **found.meta, **about["run"]}
            ends = [start + len(columns) for branch, start, columns in found.history if branch == at.branch]
            if at.step > max(ends, default=0):
                found.meta |= {"branch": at.branch, "at": None}
        return found

    def _salvage(self, path: Path) -> None:
        """Read every row that can be, table by table."""
        try:
            with closing(Database(path, write=False)) as database:
                with suppress(sqlite3.Error, ValueError):
                    self.meta = database.meta()
                with suppress(sqlite3.Error, ValueError, TypeError):
                    self.forks = database.forks()
                self.events = list(database.readable_events())
                self.history = list(database.readable_history())
        except DamagedDatabase as error:
            log.warning("%s", error)

    def write(self, database: Database) -> None:
        """Fill a new record."""
        forks: dict[int, Fork] = {1: Fork(1, None)}
        tweaks: dict[int, Tweak] = {}
        for _, about, _ in self.checkpoints:
            origin: Position | None = None
            for stretch in about["path"]:
                forks[stretch["branch"]] = Fork(stretch["branch"], origin)
                origin = Position(stretch["branch"], stretch["end"], stretch["seq"])
            tweaks |= {one["seq"]: Tweak(**one) for one in about["tweaks"]}
        for fork in self.forks.values():
            if fork.origin is None or fork.origin.branch in forks:
                forks[fork.id] = fork
        for fork in forks.values():
            database.add_branch(fork, time.time())
        for event in self.events:
            database.add_event(event)
        known = {event.seq for event in self.events}
        for one in tweaks.values():
            if one.seq not in known:
                kind = REPEAT if one.repeat else "tweak"
                event = SavedEvent(one.seq, one.branch, one.step, time.time(), kind, one.text, one.changes, b"{}")
                database.add_event(event)
        for branch, start, columns in self.history:
            if branch in forks:
                database.add_history(branch, start, columns)
        for name, about, size in self.checkpoints:
            number = int(name[:6]) if name[:6].isdigit() else 0
            at = Position(**about["position"])
            database.add_checkpoint(
                SavedCheckpoint(number, at, time.time(), "passing", "found after damage", None, None, name, size)
            )
        database.set_meta(self.meta)


def _checkpoints(folder: RunFolder) -> list[tuple[str, dict[str, Any], int]]:
    found: list[tuple[str, dict[str, Any], int]] = []
    for path in sorted(folder.checkpoints.glob("*.safetensors")):
        try:
            found.append((path.name, read_file(path)[1], path.stat().st_size))
        except (DamagedFile, OSError) as error:
            log.warning("%s", error)
    return found
