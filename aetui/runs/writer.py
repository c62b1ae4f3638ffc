"""The threads that write a run's record, so that the training never waits for a disk."""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from aetui.runs import tensorfile
from aetui.runs.database import Database, SavedCheckpoint
from aetui.training.interface import Checkpoint

log = logging.getLogger(__name__)

PERIOD = 1.0
"""Seconds between two commits of what nobody waits for."""
_RETRY = 2.0
"""Seconds between two tries where the disk does not take what there is to write."""
AGAIN = 10.0
"""Seconds between two tries to write a checkpoint."""
_WAITING = 2
"""Checkpoints that may wait for the disk; each is a copy of the run's state in memory."""
LAST = 5
"""Files of checkpoints that are kept besides those before tweaks."""

BUDGET = 4 * 2**30
"""Bytes that checkpoints may take before those of old tweaks are dropped too; the journal still leads there."""

Work = Callable[[Database], None]


@dataclass(frozen=True)
class _Save:
    """A row of `checkpoints` to add, and the state to write to its file first; None where the file is there."""

    row: SavedCheckpoint
    state: Checkpoint | None
    about: str


class Writer:
    """Commits records once a second and writes checkpoints, each in a thread of its own.

    What the disk does not take is kept in memory and tried again; `trouble` says why.
    """

    def __init__(self, database: Database, folder: Path, kept: Callable[[SavedCheckpoint], bool]) -> None:
        """`kept` says whether a checkpoint outlives the last few; `folder` holds the files of checkpoints."""
        self._database, self._folder, self._kept = database, folder, kept
        self._lock = threading.Condition()
        self._queue: deque[Work] = deque()
        self._queued = self._done = 0
        self._urgent = False
        self._closing = False
        self._saves: deque[_Save] = deque()
        self._saving = False
        self.record_trouble = ""
        self.file_trouble = ""
        self.cost = 0.0
        """Seconds that writing the last checkpoint took."""
        self.failed = ""
        """File of the last checkpoint, where it could not be written."""
        self._failed_at = 0.0
        self._unwanted: list[str] = []
        """Files that the record does not name any more once what is queued is committed."""
        self.rows: list[SavedCheckpoint] = database.checkpoints()[::-1]
        """The checkpoints on the disk, the oldest first; read it under no lock, it is replaced and never changed."""
        self._sweep()
        self._threads = [
            threading.Thread(target=self._commit_all, name="record", daemon=True),
            threading.Thread(target=self._save_all, name="checkpoints", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def trouble(self) -> str:
        """Why the run is not being stored at present, '' while it is."""
        return self.record_trouble or self.file_trouble

    # --- the record -----------------------------------------------------------------------------

    def write(self, work: Work) -> None:
        """Queue work on the database; it is committed within `PERIOD`."""
        with self._lock:
            self._queue.append(work)
            self._queued += 1
            self._lock.notify_all()

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until all that was queued is committed; whether it is. Returns at once while the disk takes nothing."""
        with self._lock:
            wanted = self._queued
            self._urgent = True
            self._lock.notify_all()
            self._lock.wait_for(lambda: self._done >= wanted or bool(self.record_trouble), timeout)
            return self._done >= wanted

    def hasten(self) -> None:
        """Have what was queued committed now, without waiting for it."""
        with self._lock:
            self._urgent = True
            self._lock.notify_all()

    def _commit_all(self) -> None:
        while True:
            with self._lock:
                self._lock.wait_for(lambda: bool(self._queue) or self._closing)
                self._lock.wait_for(lambda: self._urgent or self._closing, _RETRY if self.record_trouble else PERIOD)
                batch, self._urgent = list(self._queue), False
                unwanted, self._unwanted = self._unwanted, []
                self._queue.clear()
                if not batch and self._closing:
                    return
            trouble = self._commit(batch)
            if not trouble:
                self._delete(unwanted)
            with self._lock:
                self.record_trouble = trouble
                if trouble:
                    self._queue.extendleft(reversed(batch))
                    self._unwanted = unwanted + self._unwanted
                else:
                    self._done += len(batch)
                self._lock.notify_all()
                if trouble and self._closing:
                    return

    def _commit(self, batch: list[Work]) -> str:
        try:
            for work in batch:
                work(self._database)
            self._database.set_meta({"updated": time.time()})
            self._database.commit()
        except Exception as error:
            # Said once: a line for every try would fill the very disk that is full.
            if not self.record_trouble:
                log.exception("the record can't be written")
            with suppress(sqlite3.Error):
                self._database.rollback()
            return f"{self._database.path}: {error}"
        return ""

    # --- checkpoints ----------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether a checkpoint is being written or waits to be."""
        return self._saving or bool(self._saves)

    @property
    def full(self) -> bool:
        """Whether as many checkpoints wait for the disk as may."""
        return len(self._saves) >= _WAITING

    @property
    def at_rest(self) -> bool:
        """Whether everything is on the disk; from any thread."""
        with self._lock:
            return not (self.busy or self._done < self._queued or self.trouble)

    @property
    def to_try_again(self) -> bool:
        """Whether it is time to try a checkpoint again, since the last could not be written."""
        return bool(self.failed) and not self.busy and time.monotonic() - self._failed_at > AGAIN

    def save(self, row: SavedCheckpoint, state: Checkpoint | None, about: dict[str, object]) -> None:
        """Write a checkpoint, soon; the caller looks at `full` before, for each is a copy of the run in memory."""
        text = "" if state is None else json.dumps({"plain": state.plain, "about": about})
        with self._lock:
            self._saves.append(_Save(row, state, text))
            self._lock.notify_all()

    def wait_saved(self, timeout: float | None = None) -> bool:
        """Wait until no checkpoint is under way; whether that is so."""
        with self._lock:
            return self._lock.wait_for(lambda: not self.busy, timeout)

    def _save_all(self) -> None:
        while True:
            with self._lock:
                self._lock.wait_for(lambda: bool(self._saves) or self._closing)
                if not self._saves:
                    return
                save, self._saving = self._saves.popleft(), True
                self._lock.notify_all()
            trouble = self._save(save)
            with self._lock:
                self.file_trouble, self._saving = trouble, False
                self._lock.notify_all()

    def _save(self, save: _Save) -> str:
        row = save.row
        if save.state is not None:
            start = time.monotonic()
            try:
                size = tensorfile.write(self._folder / row.file, save.state.tensors, save.about)
            except Exception as error:
                log.exception("a checkpoint can't be written")
                self.failed, self._failed_at = row.file, time.monotonic()
                return f"{self._folder / row.file}: {getattr(error, 'strerror', None) or error}"
            row = replace(row, bytes=size)
            self.cost, self.failed = time.monotonic() - start, ""
        elif not any(other.file == row.file for other in self.rows):
            return self.file_trouble
        self.rows = [*(other for other in self.rows if other.id != row.id), row]
        self.write(lambda database: database.add_checkpoint(row))
        self._drop_old()
        return ""

    def _drop_old(self) -> None:
        """Take files off the list that are neither of the last, nor outlive them within the budget."""
        size: dict[str, int] = {}
        for row in reversed(self.rows):
            size[row.file] = max(row.bytes, size.get(row.file, 0))
        newest = list(size)
        outliving = {row.file for row in self.rows if self._kept(row)}
        wanted = {*newest[:LAST], newest[-1]}
        used = sum(size[file] for file in wanted)
        for file in newest:
            if file in outliving - wanted and used + size[file] <= BUDGET:
                wanted.add(file)
                used += size[file]
        for file in newest:
            if file not in wanted:
                self.forget(file)
                with self._lock:
                    self._unwanted.append(file)

    def _sweep(self) -> None:
        """Delete files that the record does not name: a process that was killed has left them."""
        named = {row.file for row in self.rows}
        with suppress(OSError):
            self._delete([path.name for path in self._folder.iterdir() if path.name not in named])

    def _delete(self, files: list[str]) -> None:
        for file in files:
            with suppress(OSError):
                (self._folder / file).unlink()

    def forget(self, file: str) -> None:
        """Take a file of checkpoints off the list."""
        self.rows = [row for row in self.rows if row.file != file]
        self.write(lambda database: database.drop_checkpoints(file))

    def close(self, timeout: float = 60.0) -> bool:
        """Write what is left and end; whether all of it was written."""
        saved = self.wait_saved(timeout)
        self.flush(timeout)
        with self._lock:
            self._closing = True
            self._lock.notify_all()
        for thread in self._threads:
            thread.join(timeout)
        self._database.close()
        return saved and self._done >= self._queued and not self.trouble
