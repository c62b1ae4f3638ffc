"""What can be tried on forks of a run: its remedies, what is edited in the form, their combination, a random draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from aetui import protocol as p
from aetui.report import Report
from aetui.spec import RunSpec, SpecError
from aetui.whatif import choice
from aetui.whatif.experiment import Change

Kind = Literal["remedy", "edit", "random", "combination", "anew", "control"]


@dataclass(frozen=True)
class Proposal:
    """One line of the choice."""

    kind: Kind
    label: str
    chosen: bool
    remedy: tuple[str, str] = ("", "")
    """Cause and id."""
    edit: Mapping[str, str] | None = None

    @property
    def fixed(self) -> bool:
        """Whether it is always chosen."""
        return self.kind == "control"

    def turned(self) -> Proposal:
        return self if self.fixed else replace(self, chosen=not self.chosen)


def proposals(
    spec: RunSpec, report: Report | None, edit: Mapping[str, str], *, step: int, anew: bool, seed: int
) -> tuple[list[Proposal], list[str]]:
    """What can be tried on a run with `spec`, the likely remedies chosen, and what only code can do, a sentence each.

    Args:
        edit: settings by path that are edited in the form and not in force.
        step: at which the run stands. anew: whether nothing mends it from there.
        seed: of the random draw.
    """
    changes, described = choice.remedies_of(spec, report)
    room = max(1, choice.FORKS - 4 - bool(edit))
    found = [
        Proposal("remedy", _told(change), index < room, remedy=(change.cause, change.remedies[0]))
        for index, change in enumerate(changes)
    ]
    if edit and (own := _edited(spec, edit)) is not None:
        found.append(Proposal("edit", f"your edit: {own.label}{_start(own)}", True, edit=dict(edit)))
    drawn = choice.random_change(spec, np.random.default_rng(seed))
    found.append(Proposal("random", f"drawn at random: {drawn.label}{_start(drawn)}", True))
    tried = sum(one.kind in ("remedy", "edit") for one in found)
    if tried > 1:
        found.append(Proposal("combination", "the two best together, where neither mends it alone", True))
    if step:
        found.append(Proposal("anew", f"all from step 0, not from step {step:,}", anew))
    found.append(Proposal("control", "untouched, as a control", True))
    found.append(Proposal("control", "untouched, with other batches and noise", True))
    return found, [f"{one.text} {one.code}".strip() for one in described]


def _edited(spec: RunSpec, edit: Mapping[str, str]) -> Change | None:
    try:
        return choice.change_of(spec, edit, "user", text=True)
    except SpecError:
        return None


def _told(change: Change) -> str:
    cause = f"{change.cause}: " if change.cause else ""
    return f"{cause}{change.label}{_start(change)}"


def _start(change: Change) -> str:
    return "" if change.live else " (from step 0)"


def asked(found: Sequence[Proposal], steps: int | None, seed: int) -> p.TryForks:
    """The command for what is chosen."""
    chosen = [one for one in found if one.chosen]
    kinds = {one.kind for one in chosen}
    return p.TryForks(
        id=0,
        remedies=tuple(one.remedy for one in chosen if one.kind == "remedy"),
        edits=tuple(dict(one.edit) for one in chosen if one.edit is not None),
        draws=int("random" in kinds),
        combine="combination" in kinds,
        anew="anew" in kinds,
        steps=steps,
        seed=seed,
    )
