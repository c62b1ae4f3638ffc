"""A run as a tree of branches: where it stands, how it came there, and what was changed on the way.

A branch leaves another one at a position and goes on by itself. Positions are exact: `seq` is the number
of the last tweak of the branch that is in force there, so that before and after a tweak at one step are
two positions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from aetui.spec import moves_text


@dataclass(frozen=True, order=True)
class Position:
    """After `step` steps of a branch, with its tweaks up to event `seq` in force (0: none of its own)."""

    branch: int
    step: int
    seq: int = 0


@dataclass(frozen=True)
class Fork:
    """A branch, and the position where it left another one; None for the first branch, which starts at step 0."""

    id: int
    origin: Position | None

    @property
    def start(self) -> int:
        """Steps before its first own one."""
        return self.origin.step if self.origin else 0


@dataclass(frozen=True)
class Tweak:
    """Live settings, by path and as text, put in force after `step` steps."""

    seq: int
    branch: int
    step: int
    changes: dict[str, str]
    text: str
    repeat: bool = False
    """Whether it goes on with the one before it: a key was held."""

    @property
    def position(self) -> Position:
        """The position that it brought about."""
        return Position(self.branch, self.step, self.seq)


@dataclass(frozen=True)
class Stretch:
    """The part of a branch that lies on a path: its steps after `start`, up to `end`, its tweaks up to `seq`."""

    branch: int
    start: int
    end: int
    seq: int


def path_to(position: Position, forks: Mapping[int, Fork]) -> list[Stretch]:
    """The stretches from step 0 to a position, in order."""
    stretches: list[Stretch] = []
    at: Position | None = position
    while at is not None:
        fork = forks[at.branch]
        stretches.append(Stretch(at.branch, fork.start, at.step, at.seq))
        at = fork.origin
    return stretches[::-1]


def tweaks_on(path: Sequence[Stretch], tweaks: Sequence[Tweak]) -> list[Tweak]:
    """The tweaks in force at the end of a path, in order."""
    last = {stretch.branch: stretch.seq for stretch in path}
    return sorted((one for one in tweaks if one.seq <= last.get(one.branch, -1)), key=lambda one: one.seq)


def grouped(tweaks: Iterable[Tweak]) -> list[list[Tweak]]:
    """Tweaks in order, together what counts as one: moves by a held key, and those of the same settings at one step."""
    found: list[list[Tweak]] = []
    for tweak in tweaks:
        before = found[-1][-1] if found else None
        if before is not None and before.branch == tweak.branch and (tweak.repeat or _moves_again(tweak, before)):
            found[-1].append(tweak)
        else:
            found.append([tweak])
    return found


def _moves_again(tweak: Tweak, before: Tweak) -> bool:
    return (tweak.step, set(tweak.changes)) == (before.step, set(before.changes))


def told(group: Sequence[Tweak]) -> str:
    """The text of tweaks that count as one."""
    first, last = group[0], group[-1]
    if first is last:
        return last.text
    path, _, old = first.text.partition(" -> ")[0].partition(" ")
    end = last.text.partition(" -> ")[2]
    new = re.split("[ ,;]", end, maxsplit=1)[0]
    return moves_text(path, old, new, len(group), first.step, last.step) + end[len(new) :]


def lies_on(position: Position, path: Sequence[Stretch]) -> bool:
    """Whether a path leads through a position."""
    return any(
        stretch.branch == position.branch
        and stretch.start <= position.step <= stretch.end
        and position.seq <= stretch.seq
        for stretch in path
    )


def before(tweak: Tweak, tweaks: Sequence[Tweak], forks: Mapping[int, Fork]) -> Position:
    """The position just before a tweak, on the branch where its last steps were trained."""
    earlier = [one.seq for one in tweaks if one.branch == tweak.branch and one.seq < tweak.seq]
    return settled(Position(tweak.branch, tweak.step, max(earlier, default=0)), forks)


def settled(position: Position, forks: Mapping[int, Fork]) -> Position:
    """The same position on the branch that led to it, where its own has neither steps nor tweaks up to there."""
    fork = forks[position.branch]
    while fork.origin is not None and position.seq == 0 and position.step == fork.start:
        position = fork.origin
        fork = forks[position.branch]
    return position
