"""The branches of a record and where its run stands, as the database has them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aetui.runs import lineage
from aetui.runs.database import Database
from aetui.runs.lineage import Fork, Position, Stretch, Tweak


@dataclass
class Tree:
    """Branches by number, the last recorded step of each, and every tweak."""

    forks: dict[int, Fork]
    ends: dict[int, int]
    tweaks: list[Tweak]

    @staticmethod
    def of(database: Database) -> Tree:
        forks = database.forks() or {1: Fork(1, None)}
        ends = {**dict.fromkeys(forks, 0), **database.ends()}
        for row in database.checkpoints():
            # Steps whose record was lost are still known to have been trained.
            ends[row.position.branch] = max(ends.get(row.position.branch, 0), row.position.step)
        return Tree(forks, ends, database.tweaks())

    def end(self, branch: int) -> int:
        """The last recorded step of a branch."""
        return max(self.ends.get(branch, 0), self.forks[branch].start)

    def tip(self, branch: int) -> Position:
        """The last position of a branch."""
        last = max((one for one in self.tweaks if one.branch == branch), key=lambda one: one.seq, default=None)
        step = max(self.end(branch), last.step if last else 0)
        return self.settled(Position(branch, step, last.seq if last else 0))

    def settled(self, position: Position) -> Position:
        """The same position on the branch that led there."""
        return lineage.settled(position, self.forks)

    def path_to(self, position: Position) -> list[Stretch]:
        return lineage.path_to(position, self.forks)

    def tweaks_on(self, path: list[Stretch]) -> list[Tweak]:
        return lineage.tweaks_on(path, self.tweaks)

    def settings_on(self, path: list[Stretch], meta: dict[str, Any]) -> dict[str, str]:
        """The settings in force at the end of a path, by path, as text; `meta` has those at the beginning."""
        settings = {name: str(value) for name, value in meta.get("settings", {}).items()}
        for tweak in self.tweaks_on(path):
            settings |= tweak.changes
        return settings

    def stood(self, meta: dict[str, Any]) -> Position:
        """Where the run stood: the end of a branch, or where it was taken back to."""
        with suppress(TypeError, KeyError):
            at = Position(**meta["at"])
            if at.branch in self.forks and self.forks[at.branch].start <= at.step <= self.end(at.branch):
                return at
        branch = meta.get("branch", 1)
        return self.tip(branch if branch in self.forks else max(self.forks))
