"""The checkpoints of a run in training: when one is taken, what its file says, and which there are to go back to."""

from __future__ import annotations

import dataclasses
import logging
import time
from typing import Any

from aetui import protocol as p
from aetui.runs import lineage
from aetui.runs.database import CheckpointKind, SavedCheckpoint
from aetui.runs.lineage import Position
from aetui.runs.measured import Measured
from aetui.runs.tree import Tree
from aetui.runs.writer import Writer
from aetui.training.interface import Stored

log = logging.getLogger(__name__)

SHARE = 0.01
"""Share of the training's time that checkpoints from time to time may stop it for."""
WRITING = 0.1
"""Share of the time in which such checkpoints may keep the disk busy."""
LEAST = 20.0
"""Least seconds between two of them."""
_KEPT = ("spec", "settings", "source", "data", "wanted", "created")
"""What a checkpoint's file says of the whole run."""


class Checkpoints:
    """Takes them, and has the writer write them. Used by one thread; only `places` may be called from any."""

    def __init__(self, writer: Writer, tree: Tree, stored: Stored, measured: Measured) -> None:
        self._writer, self._tree, self._stored, self._measured = writer, tree, stored, measured
        self._next_checkpoint = max((row.id for row in writer.rows), default=0) + 1
        self._file: tuple[Position, str] | None = None
        self._stalled = 0.0
        """Seconds that the last one stopped the training for."""
        self._saved_at = time.monotonic()
        self.uncaptured = ""
        """Why the last one could not be taken."""

    def restored(self, taken: tuple[Position, str] | None) -> None:
        """The training stands at a checkpoint with a file, or at none."""
        self._file = taken

    @property
    def due(self) -> bool:
        """Whether it is time for one by the clock."""
        wait = max(LEAST, self._stalled / SHARE, self._writer.cost / WRITING)
        return time.monotonic() - self._saved_at >= wait and not self._writer.busy

    def take(
        self, position: Position, meta: dict[str, Any], loss: float | None, reason: str, kind: CheckpointKind
    ) -> None:
        """Copy the state and have it written; where nothing was trained since the last, only its reason.

        position: where the training stands, on the branch that led there. loss: of the last step.
        """
        file = self._file[1] if self._file is not None and self._serves(self._file[0], position) else None
        if file == self._writer.failed:
            file = None
        state = None
        if file is None:
            if self._writer.full:
                # The training must not wait for the disk, and the journal leads here from an earlier one.
                log.info("no checkpoint at step %d: several wait for the disk", position.step)
                return
            start = self._saved_at = time.monotonic()
            try:
                state = self._stored.capture()
            except Exception as error:
                log.exception("no checkpoint at step %d", position.step)
                self.uncaptured = f"its state can't be had: {type(error).__name__}: {error}"
                return
            self.uncaptured = ""
            self._stalled = time.monotonic() - start
            file = f"{self._next_checkpoint:06d}-step-{position.step}.safetensors"
            self._file = position, file
        self._saved_at = time.monotonic()
        measured = self._measured.last(self._tree.path_to(position))
        explained = measured[1] if measured and measured[0] == position.step else None
        known = (loss, explained)
        row = SavedCheckpoint(self._next_checkpoint, position, time.time(), kind, reason, *known, file, 0)
        self._next_checkpoint += 1
        self._writer.save(row, state, self._about(position, meta))

    def _serves(self, taken: Position, position: Position) -> bool:
        """Whether a file of one position will do for another, which the journal has to lead to."""
        return _same_steps(taken, position) if self._stored.exact else taken == position

    def _about(self, position: Position, meta: dict[str, Any]) -> dict[str, Any]:
        """What a file of a checkpoint says of the run, enough to go on without the record."""
        path = self._tree.path_to(position)
        return {
            "position": dataclasses.asdict(position),
            "path": [dataclasses.asdict(stretch) for stretch in path],
            "tweaks": [dataclasses.asdict(tweak) for tweak in self._tree.tweaks_on(path)],
            "run": {key: meta[key] for key in _KEPT if key in meta},
        }

    def places(self, here: Position) -> tuple[p.Place, ...]:
        """The checkpoints that a rewind from `here` takes, the newest first; from any thread."""
        path = self._tree.path_to(here)
        shown: dict[Position, SavedCheckpoint] = {}
        for row in self._writer.rows:
            known = shown.get(row.position)
            if known is None or known.kind != "before-tweak":
                shown[row.position] = row
        return tuple(
            self._place(row, lineage.lies_on(row.position, path), row.position == here)
            for row in sorted(shown.values(), key=lambda row: row.id, reverse=True)
        )

    def _place(self, row: SavedCheckpoint, on_path: bool, here: bool) -> p.Place:
        at = row.position
        # Records of older versions have the last measurement before a checkpoint without its step.
        step, explained = self._measured.last(self._tree.path_to(at)) or (None, None)
        return p.Place(
            checkpoint=row.id,
            branch=at.branch,
            step=at.step,
            time=row.time,
            reason=row.reason,
            loss=row.loss,
            explained=explained,
            explained_step=step,
            on_path=on_path,
            here=here,
        )


def _same_steps(one: Position, other: Position) -> bool:
    """Whether only tweaks lie between two positions; the journal has these."""
    return (one.branch, one.step) == (other.branch, other.step) and one.seq <= other.seq
