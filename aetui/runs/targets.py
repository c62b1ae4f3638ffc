"""Where undo, redo and rewind bring a run."""

from __future__ import annotations

from aetui.runs import lineage
from aetui.runs.folder import RunError
from aetui.runs.lineage import Position
from aetui.runs.tree import Tree
from aetui.runs.writer import Writer


class NothingToRedo(RunError):
    """The run has gone on since an undo, or there was none."""

    def __init__(self, left: int | None) -> None:
        """left: the step that the run left last, None where no checkpoint leads there."""
        text = "there is nothing to redo: the run has gone on since the undo, or there was none"
        super().__init__(text if left is None else f"nothing to redo; what was left at step {left:,} is kept")
        self.left = left


class Targets:
    """Looks them up; `here` is the position of the run."""

    def __init__(self, tree: Tree, writer: Writer) -> None:
        self._tree, self._writer = tree, writer
        self._undone: list[tuple[Position, Position]] = []
        """Where each undo left from, and where it went to."""

    def undone(self, origin: Position, target: Position) -> None:
        """An undo went from one position to another."""
        self._undone.append((origin, target))

    def redone(self) -> None:
        """The last undo was taken back."""
        self._undone.pop()

    def forget(self) -> None:
        """The run has gone on from where an undo brought it."""
        self._undone = []

    def before_last_tweak(self, here: Position) -> tuple[Position, str]:
        """Where an undo goes, before the last tweak and those that count as one with it, and its text.

        Raises:
            RunError: there is no tweak.
        """
        groups = lineage.grouped(self._tree.tweaks_on(self._tree.path_to(here)))
        if not groups:
            raise RunError("there is no tweak to take back")
        return lineage.before(groups[-1][0], self._tree.tweaks, self._tree.forks), lineage.told(groups[-1])

    def before_last_undo(self, here: Position) -> Position:
        """Where a redo goes.

        Raises:
            NothingToRedo: something has happened since the last undo, or nothing was undone.
        """
        if not self._undone or self._undone[-1][1] != self._tree.settled(here):
            raise NothingToRedo(self._left(here))
        return self._undone[-1][0]

    def _left(self, here: Position) -> int | None:
        """The step that the run left last, of those that are on no way to where it stands and have a checkpoint."""
        path = self._tree.path_to(here)
        rows = [row for row in self._writer.rows if row.kind == "before-move"]
        return next((row.position.step for row in rows[::-1] if not lineage.lies_on(row.position, path)), None)

    def at_checkpoint(self, number: int) -> Position:
        """Where a rewind to a checkpoint goes.

        Raises:
            RunError: there is no such checkpoint any more.
        """
        for row in self._writer.rows:
            if row.id == number:
                return row.position
        raise RunError(f"checkpoint {number} is gone; the list has those there are")
