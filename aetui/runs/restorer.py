"""Bringing a training to a position of its run: the newest checkpoint on the way, and training again from there."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aetui.runs import lineage, replay
from aetui.runs.database import SavedCheckpoint
from aetui.runs.lineage import Position, Stretch
from aetui.runs.replay import Progress
from aetui.runs.tensorfile import DamagedFile
from aetui.runs.tree import Tree
from aetui.training.interface import CheckpointError, Stored, Training
from aetui.training.records import Records

log = logging.getLogger(__name__)


def newest_first(rows: Iterable[SavedCheckpoint], path: Sequence[Stretch]) -> list[SavedCheckpoint]:
    """The checkpoints on a path, from its end back."""
    on_path = (row for row in rows if lineage.lies_on(row.position, path))
    return sorted(on_path, key=lambda row: (row.position.step, row.position.seq), reverse=True)


@dataclass
class Restorer:
    """Moves a training about the tree of its run; writes nothing."""

    training: Training
    """One whose state can be saved."""
    tree: Tree
    files: Path
    """Folder of the checkpoints."""
    lost: Callable[[str], None] = lambda file: None
    """Told of a checkpoint's file that can't be used."""
    restored: tuple[Position, str] | None = field(default=None, init=False)
    """The checkpoint that was restored last, and its file."""

    @property
    def _stored(self) -> Stored:
        stored = self.training.stored
        assert stored is not None
        return stored

    def go(
        self, target: Position, recorded: Records, rows: Iterable[SavedCheckpoint], progress: Progress
    ) -> tuple[Position, list[str]]:
        """Bring the training to a position, or near it; where it stands then, and what is to be said about it.

        Where training again gives other losses than the record has, it stands at the checkpoint before.

        Args:
            recorded: every step of the way.
            rows: the run's checkpoints.

        Raises:
            Interrupted: `progress` said so; the training stands anywhere.
        """
        rows = list(rows)
        at, remarks = self.nearest(target, rows)
        if not self._stored.exact:
            state = f"the state is that of step {at.step:,}"
            return at, [
                *remarks,
                f"{state}; what followed can't be trained again, and the data go on from where they are",
            ]
        path = self.tree.path_to(target)
        done = self.tree.path_to(at)
        left = [tweak for tweak in self.tree.tweaks_on(path) if not lineage.lies_on(tweak.position, done)]
        differs = replay.train_on(self.training, left, recorded, target.step, progress)
        if differs is None:
            return target, remarks
        return self._restore(done, rows, remarks), [*remarks, differs]

    def nearest(self, target: Position, rows: Iterable[SavedCheckpoint]) -> tuple[Position, list[str]]:
        """Bring the training to the newest intact checkpoint on the way to a position, without training; as `go`."""
        remarks: list[str] = []
        return self._restore(self.tree.path_to(target), list(rows), remarks), remarks

    def _restore(self, path: list[Stretch], rows: list[SavedCheckpoint], remarks: list[str]) -> Position:
        """Restore the newest checkpoint of a path that can be, or start anew; where the training stands then."""
        bad: set[str] = set()
        for row in newest_first(rows, path):
            if row.file in bad:
                continue
            try:
                state, taken = replay.read_state(self.files / row.file)
                self._stored.restore(state)
            except (DamagedFile, CheckpointError) as error:
                log.warning("checkpoint %s: %s", row.file, error)
                if all(str(error) not in remark for remark in remarks):
                    remarks.append(f"{error}; the one before it was taken")
                bad.add(row.file)
                self.lost(row.file)
                continue
            self.restored = taken, row.file
            return taken
        self.restored = None
        self._stored.restore_start()
        return Position(path[0].branch, 0)
