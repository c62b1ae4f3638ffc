"""Measures what experiments on forks are worth: `python -m evaluation.score --repair`."""

from __future__ import annotations

import math
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from aetui.data import DataError
from aetui.diagnosis import diagnose_spec
from aetui.models.errors import ModelError
from aetui.spec import RunSpec, SpecError, changed, differences
from aetui.whatif import judging
from aetui.whatif.course import Trial
from aetui.whatif.experiment import WHOLE, Experiment, Figures, Fork
from aetui.whatif.forks import Horizon, Job, train
from aetui.whatif.source import of_spec
from evaluation.generate import CaseId, candidate, identities, plant
from evaluation.generate_faults import Fault
from evaluation.specs import spec_of
from evaluation.tally import Share, count, until_interrupted

FORKS = 8
COST = 3.0
"""Lengths of the plain training that all forks together may train."""
SEEDS = 3
"""Seeds on which a repair has to hold."""
REACHED = 0.9
"""Share of what the known good spec reaches, or of the linear floor where that is higher, that is a repair."""
_FAILS = 0.6
"""Share of that below which a case fails."""
_MEASURES = {"explained": WHOLE, "features": "lost features"}
"""What each criterion of a generated case is judged by; other criteria are not of one training's figures."""
_CANDIDATES = 12
"""Candidates of a case that are looked at for one that a spec can say and that fails as one."""


class Outcome(Struct, frozen=True, kw_only=True):
    """One case: what the experiment and random search claimed, and whether that held."""

    id: str
    variant: str
    cause: str | None
    good: float = math.nan
    broken: float = math.nan
    claimed: str = ""
    """The change of the winner, '' where there is none."""
    verdict: str = ""
    repaired: bool = False
    reached: float = math.nan
    """The least of the seeds."""
    cost: float = 0.0
    """Steps of all forks over those of the plain training."""
    random_claimed: str = ""
    random_repaired: bool = False
    random_reached: float = math.nan
    repeats: bool | None = None
    """Of a healthy case: whether the claim holds on fresh seeds; None where nothing was claimed."""
    seconds: float = 0.0


def repair(split: str, cases: int, healthy: int, seed: int, only: str) -> Iterator[Outcome]:
    """The outcome of every case that a spec can say, in order; cases whose cause no setting repairs are left out."""
    with tempfile.TemporaryDirectory(prefix="aetui-repair-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for identity in identities(split, cases, healthy, seed, only):
            found = _healthy(identity, Path(folder)) if identity.kind == "healthy" else _failing(identity, Path(folder))
            if found is not None:
                yield found


def _failing(identity: CaseId, folder: Path) -> Outcome | None:
    began = time.monotonic()
    for number in range(_CANDIDATES):
        planted = plant(identity, number)
        if not isinstance(planted, Fault) or planted.criterion not in _MEASURES:
            continue
        broken, good = spec_of(planted.broken, folder), spec_of(planted.repaired, folder)
        if broken is None or good is None or not differences(broken, good):
            continue
        symptom, steps = _MEASURES[planted.criterion], planted.broken.steps
        wanted = _wanted(good, broken, planted.repaired.steps, symptom)
        stands = judging.standing(_trained(broken, steps), symptom)
        if not (wanted > 0.1 and stands < _FAILS * wanted):
            continue
        report = diagnose_spec(broken, steps=steps if planted.broken.given else None)
        each = max(2, int(COST * steps / FORKS))
        found = _run(Trial(of_spec("case", broken, report), steps=each, forks=FORKS, draws=0))
        rival = _run(Trial(of_spec("case", broken), steps=each, forks=FORKS, draws=FORKS, remedies=False))
        best, lucky = judging.winner(found), _best(rival, symptom)
        held, reached = _held(best, broken, steps, symptom, wanted)
        luck, by_luck = _held(lucky, broken, steps, symptom, wanted)
        return Outcome(
            id=str(identity), variant=planted.variant, cause=identity.kind, good=wanted, broken=stands,
            claimed=best.change.label if best else "", verdict=best.verdict if best else "", repaired=held,
            reached=reached, cost=sum(fork.step for fork in found.forks) / steps,
            random_claimed=lucky.change.label if lucky else "", random_repaired=luck, random_reached=by_luck,
            seconds=time.monotonic() - began,
        )  # fmt: skip
    return None


def _healthy(identity: CaseId, folder: Path) -> Outcome | None:
    began = time.monotonic()
    case = candidate(identity, 0)
    spec = spec_of(case.plan, folder)
    if spec is None:
        return None
    try:
        report = diagnose_spec(spec, steps=case.plan.steps)
        trial = Trial(of_spec("case", spec, report), steps=max(2, int(COST * case.plan.steps / FORKS)), draws=1)
    except (SpecError, DataError, ModelError):
        return None
    found = _run(trial)
    best = judging.winner(found)
    repeats = None
    if best is not None and best.verdict == "fixes it":
        *_, last = trial.hold(SEEDS)
        repeats = all(one.holds for one in last.seeds)
    return Outcome(
        id=str(identity), variant=case.variant, cause=None, claimed=best.change.label if best else "",
        verdict=best.verdict if best else "", repeats=repeats, seconds=time.monotonic() - began,
    )  # fmt: skip


def _run(trial: Trial) -> Experiment:
    *_, last = trial.run()
    return last


def _best(x: Experiment, symptom: str) -> Fork | None:
    """What random search would take: the best draw, controls or not."""
    drawn = [fork for fork in x.forks if not fork.control and fork.full is not None]
    return max(drawn, key=lambda fork: judging.standing(fork.full, symptom), default=None)


def _wanted(good: RunSpec, broken: RunSpec, steps: int, symptom: str) -> float:
    """What a repair has to come near: the known good spec, or PCA where that explains more."""
    reached = [judging.standing(_trained(_seeded(good, seed), steps), symptom) for seed in range(SEEDS)]
    linear = of_spec("case", broken).yardstick().linear() if symptom == WHOLE else None
    return max(sum(reached) / SEEDS, linear or -1.0)


def _held(fork: Fork | None, broken: RunSpec, steps: int, symptom: str, wanted: float) -> tuple[bool, float]:
    """Whether a claimed repair holds in the whole length of the training on every seed, and the least it reached."""
    if fork is None:
        return False, math.nan
    spec = changed(broken, fork.change.values, text=True)
    length = max(steps, spec.train.steps)
    least = min(judging.standing(_trained(_seeded(spec, seed), length), symptom) for seed in range(SEEDS))
    return least >= REACHED * wanted, least


def _seeded(spec: RunSpec, seed: int) -> RunSpec:
    return changed(spec, {"train.seed": (spec.train.seed + 1 + seed) % 2**32})


def _trained(spec: RunSpec, steps: int) -> Figures | None:
    """The figures of a whole training; None where it can't be done."""
    job = Job(name="whole", spec=spec, end=steps, half=steps, full=steps)
    return next((one.figures for one in train(job) if isinstance(one, Horizon) and one.full), None)


def text(outcomes: Sequence[Outcome]) -> str:
    """What they add up to, and each of them."""
    faults = [one for one in outcomes if one.cause is not None]
    healthy = [one for one in outcomes if one.cause is None]
    rows: list[tuple[str, Share]] = [
        ("repaired", count(one.repaired for one in faults)),
        ("random search", count(one.random_repaired for one in faults)),
        ("within the cost", count(one.cost <= COST for one in faults)),
        ("claims that don't repeat", count(one.repeats is False for one in healthy)),
    ]
    lines = [f"{name:29} {share}" for name, share in rows]
    lines += ["", f"{'case':34} {'broken':>7} {'good':>6} {'reached':>8} {'random':>7} {'cost':>5}  claimed"]
    for one in faults:
        mark = "" if one.repaired else "  NOT REPAIRED"
        figures = f"{one.broken:7.3f} {one.good:6.3f} {one.reached:8.3f} {one.random_reached:7.3f} {one.cost:5.2f}"
        lines.append(f"{one.id:34} {figures}  {one.verdict}: {one.claimed or 'nothing'}{mark}")
    lines += [f"{one.id:34} {one.verdict or '-'}: {one.claimed or 'nothing'}" for one in healthy]
    return "\n".join(lines)


def measure(split: str, cases: int, healthy: int, seed: int, only: str) -> list[Outcome]:
    """All outcomes, with a line on the standard error stream after each."""
    found: list[Outcome] = []
    for one in until_interrupted(repair(split, cases, healthy, seed, only)):
        found.append(one)
        said = f"{one.repaired}" if one.cause else f"{one.verdict or 'no claim'}"
        print(f"{len(found)} {one.id} {one.variant}: {said}, {one.seconds:.0f} s", file=sys.stderr, flush=True)
    return found
