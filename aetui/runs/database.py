"""The record of a run: one SQLite file in WAL mode, written by one connection, readable by anybody of the user's.

Tables: `meta` (what is true of the whole run), `branches`, `events` (the journal; `changes` is a tweak's
settings as JSON), `history` (loss, gradient norm and clipping of every step, in blocks), `points`
(measurements), `checkpoints`.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from aetui.runs.columns import checksum, pack, unpack
from aetui.runs.lineage import Fork, Position, Stretch, Tweak
from aetui.training.records import Records

SCHEMA = 3
"""Of `PRAGMA user_version`; a file of a later one is not touched. Checkpoints have a kind since the second, the history
has parts by name since the third."""
REPEAT = "repeat"
"""Kind of a tweak that goes on with the one before it."""
_MOST_ROWS = 10**6
"""Rows that are looked for in a damaged file, whose numbers may be any."""
_TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS branches (
    id INTEGER PRIMARY KEY, parent INTEGER, step INTEGER, seq INTEGER, time REAL NOT NULL);
CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY, branch INTEGER NOT NULL, step INTEGER NOT NULL, time REAL NOT NULL,
    kind TEXT NOT NULL, text TEXT NOT NULL, changes TEXT, message BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS history (
    id INTEGER PRIMARY KEY, branch INTEGER NOT NULL, start INTEGER NOT NULL, count INTEGER NOT NULL,
    crc INTEGER NOT NULL, data BLOB NOT NULL, UNIQUE (branch, start));
CREATE TABLE IF NOT EXISTS points (
    id INTEGER PRIMARY KEY, branch INTEGER NOT NULL, step INTEGER NOT NULL, validation REAL, explained REAL);
CREATE TABLE IF NOT EXISTS checkpoints (
    id INTEGER PRIMARY KEY, branch INTEGER NOT NULL, step INTEGER NOT NULL, seq INTEGER NOT NULL, time REAL NOT NULL,
    reason TEXT NOT NULL, loss REAL, explained REAL, file TEXT NOT NULL, bytes INTEGER NOT NULL, kind TEXT);
"""
CheckpointKind = Literal["start", "before-tweak", "before-move", "passing"]
"""Why a checkpoint was written; of `passing` ones only the last few are kept."""


class DamagedDatabase(RuntimeError):
    """A file that SQLite can't use; one sentence."""


class UnreachableDatabase(DamagedDatabase):
    """One that may be sound and can't be used here and now, or by this version."""


@dataclass(frozen=True)
class SavedCheckpoint:
    """A row of `checkpoints`; several may share a file, and differ by tweaks at the same step."""

    id: int
    position: Position
    time: float
    kind: CheckpointKind
    reason: str
    """The same in words."""
    loss: float | None
    explained: float | None
    file: str
    bytes: int


@dataclass(frozen=True)
class SavedEvent:
    """A row of `events`; `message` is the protocol's event as JSON."""

    seq: int
    branch: int
    step: int
    time: float
    kind: str
    text: str
    changes: dict[str, str] | None
    message: bytes


class Database:
    """One connection. Writing methods only queue in a transaction; `commit` makes it last."""

    def __init__(self, path: Path, *, write: bool = True) -> None:
        """Open the record at `path`.

        Raises:
            UnreachableDatabase: the system does not let it be opened; it may be sound.
            DamagedDatabase: it is damaged, of a later version, or not there.
        """
        self.path = path
        if not path.exists():
            raise DamagedDatabase(f"{path} is not there")
        try:
            version = self._opened(write)
        except sqlite3.OperationalError as error:
            raise UnreachableDatabase(f"{path} can't be opened: {error}") from error
        except sqlite3.Error as error:
            raise DamagedDatabase(f"{path} can't be opened: {error}") from error
        if SCHEMA < version < 1000:
            raise UnreachableDatabase(f"{path} was written by a later version of aetui; this one leaves it alone")
        if not 1 <= version <= SCHEMA:
            raise DamagedDatabase(f"{path} is no record of a run")
        self._has_kinds = version > 1
        if write and not self._has_kinds:
            self._add_kinds()

    @classmethod
    def create(cls, path: Path, fill: Callable[[Database], None]) -> Database:
        """A new record at `path`, there with all that `fill` writes or not at all; one that is there goes.

        Raises:
            UnreachableDatabase: it can't be written.
        """
        partial = path.with_name(f"{path.name}.partial")
        new = cls.__new__(cls)
        new.path, new._has_kinds = partial, True
        try:
            partial.unlink(missing_ok=True)
            # SQLite would make the file with the user's umask.
            os.close(os.open(partial, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW | os.O_EXCL, 0o600))
            new._connect(write=True)
            new._sql.executescript(_TABLES)
            new._sql.execute(f"PRAGMA user_version={SCHEMA}")
            fill(new)
            new.commit()
            new.close()
            os.replace(partial, path)
        except (sqlite3.Error, OSError) as error:
            raise UnreachableDatabase(f"{path} can't be written: {error}") from error
        return cls(path)

    def _opened(self, write: bool) -> int:
        """The version of the schema, once there is a connection that reads.

        Raises:
            sqlite3.Error: there is none.
        """
        try:
            self._connect(write)
            return self._one("PRAGMA user_version") or 0
        except sqlite3.OperationalError:
            if write:
                raise
        # To read, SQLite shares an index of the log in a file, which a full disk does not take. Whoever has the record
        # alone needs no such file; a process that writes to it has made one.
        self._sql.close()
        self._connect(write=False, alone=True)
        return self._one("PRAGMA user_version") or 0

    def _connect(self, write: bool, alone: bool = False) -> None:
        """`alone`: no other process reads or writes at present."""
        uri = f"{self.path.absolute().as_uri()}?mode={'rw' if write or alone else 'ro'}"
        self._sql = sqlite3.connect(uri, uri=True, timeout=5, check_same_thread=False)
        # A letter that is damaged must not make its row unreadable.
        self._sql.text_factory = lambda data: data.decode(errors="replace")
        if alone:
            self._sql.execute("PRAGMA locking_mode=EXCLUSIVE")
        if write:
            self._sql.execute("PRAGMA journal_mode=WAL")
            self._sql.execute("PRAGMA synchronous=FULL")

    def _add_kinds(self) -> None:
        """Bring the record of an earlier version up to this one's.

        Raises:
            DamagedDatabase: it can't be changed.
        """
        try:
            self._sql.execute("ALTER TABLE checkpoints ADD COLUMN kind TEXT")
            self._sql.execute(f"PRAGMA user_version={SCHEMA}")
            self._sql.commit()
        except sqlite3.OperationalError as error:
            raise UnreachableDatabase(f"{self.path} can't be written: {error}") from error
        except sqlite3.Error as error:
            raise DamagedDatabase(f"{self.path} can't be written: {error}") from error
        self._has_kinds = True

    def close(self) -> None:
        self._sql.close()

    def check(self) -> str:
        """What SQLite finds wrong with the file, '' if nothing."""
        try:
            found = self._one("PRAGMA quick_check(1)")
        except sqlite3.Error as error:
            return str(error)
        return "" if found == "ok" else str(found)

    def commit(self) -> None:
        self._sql.commit()

    def rollback(self) -> None:
        self._sql.rollback()

    def _one(self, query: str, *values: Any) -> Any:
        row = self._sql.execute(query, values).fetchone()
        return row[0] if row else None

    # --- writing --------------------------------------------------------------------------------

    def set_meta(self, values: Mapping[str, Any]) -> None:
        rows = [(key, json.dumps(value)) for key, value in values.items()]
        self._sql.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", rows)

    def add_branch(self, fork: Fork, time: float) -> None:
        origin = fork.origin
        where = (origin.branch, origin.step, origin.seq) if origin else (None, None, None)
        self._sql.execute("INSERT OR REPLACE INTO branches VALUES (?, ?, ?, ?, ?)", (fork.id, *where, time))

    def add_event(self, event: SavedEvent) -> None:
        changes = None if event.changes is None else json.dumps(event.changes)
        self._sql.execute(
            "INSERT OR REPLACE INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (event.seq, event.branch, event.step, event.time, event.kind, event.text, changes, event.message),
        )

    def add_history(self, branch: int, start: int, columns: Records) -> None:
        """Steps `start` + 1 and on of a branch."""
        data = pack(columns)
        self._sql.execute(
            "INSERT OR REPLACE INTO history (branch, start, count, crc, data) VALUES (?, ?, ?, ?, ?)",
            (branch, start, len(columns), checksum(data), data),
        )

    def add_point(self, branch: int, step: int, validation: float | None, explained: float | None) -> None:
        self._sql.execute(
            "INSERT INTO points (branch, step, validation, explained) VALUES (?, ?, ?, ?)",
            (branch, step, validation, explained),
        )

    def add_checkpoint(self, saved: SavedCheckpoint) -> None:
        at = saved.position
        self._sql.execute(
            "INSERT OR REPLACE INTO checkpoints VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(saved.id, at.branch, at.step, at.seq, saved.time, saved.reason),
                *(saved.loss, saved.explained, saved.file, saved.bytes, saved.kind),
            ),
        )

    def drop_checkpoints(self, file: str) -> None:
        """Forget a file of checkpoints."""
        self._sql.execute("DELETE FROM checkpoints WHERE file = ?", (file,))

    # --- reading --------------------------------------------------------------------------------

    def meta(self) -> dict[str, Any]:
        return {key: json.loads(value) for key, value in self._sql.execute("SELECT key, value FROM meta")}

    def forks(self) -> dict[int, Fork]:
        rows = self._sql.execute("SELECT id, parent, step, seq FROM branches ORDER BY id")
        return {row[0]: Fork(row[0], None if row[1] is None else Position(*row[1:])) for row in rows}

    def ends(self) -> dict[int, int]:
        """The last recorded step of each branch that has any."""
        return dict(self._sql.execute("SELECT branch, MAX(start + count) FROM history GROUP BY branch"))

    def events(self, number: int | None = None) -> list[SavedEvent]:
        """All of them, or that of one number."""
        rows = self._sql.execute(
            "SELECT seq, branch, step, time, kind, text, changes, message FROM events "
            "WHERE seq = coalesce(?, seq) ORDER BY seq",
            (number,),
        )
        return [
            SavedEvent(seq, branch, step, time, kind, text, json.loads(changes) if changes else None, message)
            for seq, branch, step, time, kind, text, changes, message in rows
        ]

    def readable_events(self) -> Iterator[SavedEvent]:
        """The events of a file that is damaged elsewhere."""
        with suppress(sqlite3.Error):
            for number in range(1, min(self.last_seq(), _MOST_ROWS) + 1):
                with suppress(sqlite3.Error, ValueError):
                    yield from self.events(number)

    def tweaks(self) -> list[Tweak]:
        rows = self._sql.execute(
            "SELECT seq, branch, step, changes, text, kind FROM events WHERE changes IS NOT NULL ORDER BY seq"
        )
        return [
            Tweak(seq, branch, step, json.loads(changes), text, repeat=kind == REPEAT)
            for seq, branch, step, changes, text, kind in rows
        ]

    def last_seq(self) -> int:
        return self._one("SELECT MAX(seq) FROM events") or 0

    def history_fits(self) -> bool:
        """Whether every block of the history has the steps and the checksum that its row says."""
        rows = self._sql.execute("SELECT count, crc, data FROM history")
        return all(checksum(data) == crc and unpack(data, count) is not None for count, crc, data in rows)

    def history(self, branch: int, start: int, end: int) -> Records:
        """Steps `start` + 1 to `end` of a branch; steps that are missing or damaged are NaN."""
        rows = self._sql.execute(
            "SELECT start, count, crc, data FROM history WHERE branch = ? AND start < ? AND start + count > ? "
            "ORDER BY start",
            (branch, end, start),
        )
        parts: list[Records] = []
        at = start
        for first, count, crc, data in rows:
            if first + count <= at:
                continue
            if first > at:
                parts.append(Records.gap(first - at))
                at = first
            columns = unpack(data, count) if checksum(data) == crc else None
            stop = min(first + count, end)
            parts.append((columns or Records.gap(count))[at - first : stop - first])
            at = stop
        if at < end:
            parts.append(Records.gap(end - at))
        return Records.joined(parts)

    def readable_history(self) -> Iterator[tuple[int, int, Records]]:
        """Branch, start and steps of every intact block of a file that is damaged elsewhere."""
        try:
            last = self._one("SELECT MAX(id) FROM history") or 0
        except sqlite3.Error:
            last = 0
        query = "SELECT branch, start, count, crc, data FROM history WHERE id = ?"
        for number in range(1, min(last, _MOST_ROWS) + 1):
            with suppress(sqlite3.Error):
                for branch, start, count, crc, data in self._sql.execute(query, (number,)):
                    columns = unpack(data, count) if checksum(data) == crc else None
                    if columns is not None:
                        yield branch, start, columns

    def history_of(self, path: list[Stretch]) -> Records:
        """Every step of a path, from step 1 on."""
        return Records.joined([self.history(stretch.branch, stretch.start, stretch.end) for stretch in path])

    def points(self, path: list[Stretch]) -> list[tuple[int, float | None, float | None]]:
        """Step, validation loss and explained variance of the measurements on a path."""
        found: list[tuple[int, float | None, float | None]] = []
        for stretch in path:
            found += self._sql.execute(
                "SELECT step, validation, explained FROM points "
                "WHERE branch = ? AND step >= ? AND step <= ? ORDER BY step, id",
                (stretch.branch, stretch.start, stretch.end),
            ).fetchall()
        return found

    def explained(self) -> list[tuple[int, int, float]]:
        """Branch, step and explained variance of all measurements."""
        query = "SELECT branch, step, explained FROM points WHERE explained IS NOT NULL ORDER BY id"
        return self._sql.execute(query).fetchall()

    def loss_at(self, branch: int, step: int) -> float | None:
        """The loss of a branch's step, None where it is not known or not finite."""
        loss = self.history(branch, step - 1, step).loss if step else []
        return float(loss[0]) if len(loss) and isfinite(loss[0]) else None

    def checkpoints(self) -> list[SavedCheckpoint]:
        """All of them, the newest first."""
        kind = "kind" if self._has_kinds else "NULL"
        rows = self._sql.execute(
            f"SELECT id, branch, step, seq, time, {kind}, reason, loss, explained, file, bytes FROM checkpoints "
            "ORDER BY id DESC"
        )
        return [
            SavedCheckpoint(row[0], Position(*row[1:4]), row[4], row[5] or _kind_in(row[6]), *row[6:]) for row in rows
        ]


def _kind_in(reason: str) -> CheckpointKind:
    """The kind of a checkpoint of an earlier version, which said it in words only."""
    kinds: dict[str, CheckpointKind] = {"start": "start", "before": "before-tweak", "left": "before-move"}
    return kinds.get(reason.partition(" ")[0], "passing")
