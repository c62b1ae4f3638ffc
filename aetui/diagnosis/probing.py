"""Controlled probes: short trainings of copies from step 0, on the same batches, with one thing changed."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from torch import Tensor

from aetui.diagnosis import budget as budgets
from aetui.diagnosis.budget import Budget
from aetui.diagnosis.change import Change
from aetui.diagnosis.dossier import DEAD_CODE, Dossier, Probe, Suspect
from aetui.diagnosis.loop import Loop
from aetui.diagnosis.modes import Call
from aetui.diagnosis.observe import Fit, activity
from aetui.diagnosis.subject import Subject
from aetui.diagnosis.weighing import Outcome
from aetui.models.errors import first_line

PROBE_STEPS = (200, 400)
"""Least and most steps of a probe."""
PROBES, WHOLE = (6, 1.5), (8, 2.0)
"""Steps of all probes together, and of probes and further steps of the training: in probes at least, and in lengths of
the training."""
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
    return _shared(steps, PROBES)


def further(steps: int, spent: int) -> int:
    """Steps that a training of `steps` is taken on for, where probes took `spent`."""
    rest = max(2 * length_of(steps), _shared(steps, WHOLE) - spent)
    return min(max(2 * length_of(steps), 4 * steps), rest)


def _shared(steps: int, shares: tuple[int, float]) -> int:
    least, lengths = shares
    return int(max(least * length_of(steps), lengths * steps))


def probe_suspects(
    d: Dossier, suspects: Sequence[Suspect], steps: int, control: float, rows: Rows, budget: Budget
) -> Generator[Progress, None, tuple[Outcomes, int]]:
    """Run the suspects' probes, the most suspicious first, within the budget; also returns the steps spent.

    Args:
        steps: length of the training that is judged.
        control: quality of that training at the probes' length.
    """
    length, most = length_of(steps), budget_of(steps)
    planned = [(suspect, probe) for suspect in suspects for probe in suspect.probes]
    outcomes: Outcomes = {}
    done: dict[Change, Outcome] = {}
    spent, repaired = 0, 0.0
    for number, (suspect, probe) in enumerate(planned, start=1):
        if repaired >= _SETTLED and suspect.suspicion < 0.15:
            continue
        outcome = done.get(probe.change)
        if outcome is None:
            if spent + length > most:
                continue
            stage = f"probe {number} of {len(planned)}: {probe.label}"
            outcome = yield from run_probe(d, probe, length, rows, stage, budget)
            if outcome is None:
                continue
            done[probe.change] = outcome
            spent += outcome.steps
        outcomes.setdefault(suspect.cause, []).append(outcome)
        if suspect.suspicion >= 0.5 and outcome.quality > control + 0.2:
            repaired = max(repaired, outcome.quality)
    return outcomes, spent


def run_probe(
    d: Dossier, probe: Probe, length: int, rows: Rows, stage: str, budget: Budget
) -> Generator[Progress, None, Outcome | None]:
    """Train a copy with the probe's change; None where there is no time for all of it.

    A probe that can't be computed is an outcome too, which says why.
    """
    taken = 0
    try:
        copy = Loop(d.subject, probe.change)
        while copy.steps < length:
            yield Progress(stage, copy.steps, length)
            if budget.over():
                budget.unprobed.append(probe.label)
                return None
            if not advance(copy, length, budget):
                return Outcome(probe, copy.steps, None, 0.0)
            taken = copy.steps
        made = rows.fit(copy)
        alive = live_code(d, copy, rows)
    except Exception as error:  # noqa: BLE001 - a change may be more than a caller's model can bear
        return Outcome(probe, taken, None, 0.0, error=first_line(error))
    return Outcome(probe, length, made, d.standing(made, alive), alive=alive)


def live_code(d: Dossier, loop: Loop, rows: Rows) -> float | None:
    """Share of the code's units that vary over the rows, where the verdict speaks of dead ones."""
    code = d.dead_code if d.symptom == DEAD_CODE else None
    values = None if code is None else loop.activation(code.index, rows.x, rows.target)
    if code is None or values is None:
        return None
    found = activity(Call(code.index, code.kind, code.where, values), output=False)
    return None if found is None else 1 - found.dead


def advance(loop: Loop, end: int, budget: Budget) -> bool:
    """Train a short while towards step `end`; False where a step was not finite."""
    steps, began = budget.steps(end - loop.steps), budgets.clock()
    finite = loop.advance(steps)
    budget.took(steps, began)
    return finite


def go_on(d: Dossier, loop: Loop, rows: Rows, more: int, budget: Budget) -> Generator[Progress, None, Outcome | None]:
    """The training itself, up to `more` steps beyond its own length; the records of these steps are dropped.

    Where time is up earlier, the outcome is that of the steps until then; None where that are no more than a few.
    """
    before = loop.steps
    end, finite = before + more, True
    while finite and loop.steps < end:
        yield Progress("probe: more steps", loop.steps - before, more)
        if budget.over():
            budget.left_out.append(f"{end - loop.steps:,} of {more:,} steps beyond the training's own")
            break
        finite = advance(loop, end, budget)
    taken = loop.steps - before
    made = rows.fit(loop) if finite and taken else None
    alive = None if made is None else live_code(d, loop, rows)
    for record in (loop.losses, loop.totals, loop.norms, loop.clipped, loop.rates):
        del record[before:]
    loop.steps = before
    if finite and taken < min(more, length_of(before)):
        return None
    probe = Probe(f"{taken:,} more steps", Change())
    return Outcome(probe, taken, made, d.standing(made, alive) if made else 0.0, alive=alive)
