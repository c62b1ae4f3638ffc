"""Stored runs as rows of a comparison, read from their records alone, whoever trains them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import numpy as np

from aetui.comparison import Row
from aetui.report import FINE, LEARNING
from aetui.runs.database import DamagedDatabase, Database, UnreachableDatabase
from aetui.runs.folder import RunFolder
from aetui.runs.judged import Judged, judged_of
from aetui.runs.lineage import Stretch
from aetui.runs.tree import Tree


class StoredRow:
    """The row of one stored run, which may go on while it is compared."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self._row: Row | None = None
        self._seen: object = None
        self._path: list[Stretch] = []

    def read(self) -> Row:
        """The run as it stands; the same row as the last time where nothing was recorded since."""
        engine = self.folder.holder()
        try:
            with closing(Database(self.folder.database, write=False)) as database:
                meta = database.meta()
                seen = engine, meta
                if self._row is None or seen != self._seen:
                    self._row = self._read(database, meta, engine)
                    self._seen = seen
        except (UnreachableDatabase, sqlite3.OperationalError) as error:
            return self._unread("unreadable", error)
        except (DamagedDatabase, sqlite3.Error, KeyError, ValueError) as error:
            return self._unread("damaged", error)
        return self._row

    def _unread(self, state: str, error: Exception) -> Row:
        """What was read before, which is still true of its steps; else a row that says why there is nothing."""
        return self._row or Row(name=self.folder.name, state=state, told=f"its record can't be read: {error}")

    def _read(self, database: Database, meta: dict[str, Any], engine: int | None) -> Row:
        tree = Tree.of(database)
        at = tree.stood(meta)
        path = tree.path_to(at)
        judged = judged_of(meta.get("report"))
        points = [(step, fit) for step, _, fit in database.points(path) if fit is not None]
        state = meta.get("state", "running")
        return Row(
            name=self.folder.name,
            state="interrupted" if state == "running" and engine is None else state,
            kind="spec" if meta.get("spec") else "own loop",
            source=meta.get("source", ""),
            goal=meta.get("wanted"),
            settings=tree.settings_on(path, meta),
            loss=self._loss(database, path),
            measured_at=np.array([step for step, _ in points], np.int64),
            explained=np.array([fit for _, fit in points], np.float64),
            **_verdict(judged),
        )

    def _loss(self, database: Database, path: list[Stretch]) -> np.ndarray:
        """Of every step of the path; of a run that went on where it stood only what is new is read."""
        last = path[-1]
        before = self._path[-1] if self._path else None
        self._path = path
        row = self._row
        if row is None or before is None or not _goes_on(before, last):
            return database.history_of(path).loss
        # Steps that a checkpoint knew of before the history did are read once more.
        known = np.flatnonzero(~np.isnan(row.loss))
        end = max(last.start, int(known[-1]) + 1 if len(known) else 0)
        return np.concatenate([row.loss[:end], database.history(last.branch, end, last.end).loss])


def _goes_on(before: Stretch, last: Stretch) -> bool:
    return (before.branch, before.start) == (last.branch, last.start) and before.end <= last.end


def _verdict(judged: Judged | None) -> dict[str, Any]:
    """What the record has of the diagnosis, as fields of a row."""
    if judged is None:
        return {"told": "no verdict in the record"}
    report, ratio = judged.report, judged.report.variance_ratio
    word = "learning" if report.verdict == LEARNING else report.verdict
    cause = f", {report.findings[0].title}" if report.findings and report.verdict not in FINE else ""
    lost = ratio.get("below_0.1")
    return {
        "floors": dict(report.floors),
        "linear_explained": report.explained_variance.linear,
        "verdict": word,
        "verdict_step": judged.step,
        "told": f"{report.headline}{cause}",
        "variance_ratio": ratio.get("median"),
        "lost": int(lost) if lost is not None else None,
    }
