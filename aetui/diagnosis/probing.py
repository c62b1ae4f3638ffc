"""Controlled probes: short trainings of copies from step 0, on the same batches, with one thing changed."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from torch import Tensor

from aetui.diagnosis.change import Change
from aetui.diagnosis.dossier import Dossier, Probe, Suspect
from aetui.diagnosis.loop import Loop
from aetui.diagnosis.observe import Fit
from aetui.diagnosis.subject import Subject
from aetui.diagnosis.weighing import Outcome

PROBE_STEPS = (200, 400)
"""Least and most steps of a probe."""
SLICE = 25
"""Steps between two signs of life."""
_SETTLED = 0.9
"""Quality at which a probe of a strong suspect counts as the repair, so that faint suspects need no probe."""


@dataclass(frozen=True)
class Progress:
    """How far a diagnosis is: what it does, and steps of it done and planned."""

    stage: str
    done: int
    total: int


@dataclass(frozen=True)
class Rows:
    """The rows on which outputs are judged: inputs and targets, [rows, ...]."""

    x: Tensor
    target: Tensor

    @classmethod
    def of(cls, subject: Subject, chosen: Tensor) -> Rows:
        return cls(subject.inputs[chosen], subject.targets[chosen])

    def fit(self, loop: Loop, *, train: bool = False) -> Fit:
        """How the outputs of a loop's model compare with these targets."""
        return loop.fit(self.x, self.target, train=train)


Outcomes = dict[str, list[Outcome]]
"""By cause, what its probes came to."""


def length_of(steps: int) -> int:
    """Steps of each probe of a training that had `steps`."""
    return max(PROBE_STEPS[0], min(PROBE_STEPS[1], steps // 3 or PROBE_STEPS[1]))


def budget_of(steps: int) -> int:
    """Steps that all probes of a training together may take."""
    return int(max(6 * length_of(steps), 1.5 * steps))


def probe_suspects(
    d: Dossier, suspects: Sequence[Suspect], steps: int, control: float, rows: Rows
) -> Generator[Progress, None, tuple[Outcomes, int]]:
    """Run the suspects' probes, the most suspicious first, within the budget; also returns the steps spent.

    Args:
        steps: length of the training that is judged.
        control: quality of that training at the probes' length.
    """
    length, budget = length_of(steps), budget_of(steps)
    planned = [(suspect, probe) for suspect in suspects for probe in suspect.probes]
    outcomes: Outcomes = {}
    done: dict[Change, Outcome] = {}
    spent, repaired = 0, 0.0
    for number, (suspect, probe) in enumerate(planned, start=1):
        if repaired >= _SETTLED and suspect.suspicion < 0.15:
            continue
        outcome = done.get(probe.change)
        if outcome is None:
            if spent + length > budget:
                continue
            stage = f"probe {number} of {len(planned)}: {probe.label}"
            outcome = yield from run_probe(d, probe, length, rows, stage)
            done[probe.change] = outcome
            spent += outcome.steps
        outcomes.setdefault(suspect.cause, []).append(outcome)
        if suspect.suspicion >= 0.5 and outcome.quality > control + 0.2:
            repaired = max(repaired, outcome.quality)
    return outcomes, spent


def run_probe(d: Dossier, probe: Probe, length: int, rows: Rows, stage: str) -> Generator[Progress, None, Outcome]:
    """Train a copy with the probe's change."""
    copy = Loop(d.subject, probe.change)
    while copy.steps < length:
        yield Progress(stage, copy.steps, length)
        if not copy.advance(min(SLICE, length - copy.steps)):
            return Outcome(probe, copy.steps, None, 0.0)
    made = rows.fit(copy)
    return Outcome(probe, length, made, d.quality_of(made))


def go_on(d: Dossier, loop: Loop, rows: Rows, more: int) -> Generator[Progress, None, Outcome]:
    """The training itself, beyond its own length; the records of these steps are dropped."""
    before = loop.steps
    end, finite = before + more, True
    while finite and loop.steps < end:
        yield Progress("probe: more steps", loop.steps - before, more)
        finite = loop.advance(min(SLICE, end - loop.steps))
    made = rows.fit(loop) if finite else None
    for record in (loop.losses, loop.totals, loop.norms, loop.clipped):
        del record[before:]
    loop.steps = before
    probe = Probe(f"{more:,} more steps", Change())
    return Outcome(probe, more, made, d.quality_of(made) if made else 0.0)
