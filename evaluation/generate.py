"""Generated cases: a configuration with one planted fault that really fails, or one in which nothing is wrong.

A case is what its split, kind, number and seed say, and nothing else: the same on every machine that rounds alike.
Candidates are drawn until one is accepted by the plain training loop of `evaluation.trial`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from aetui.report import CAUSES
from evaluation import generate_faults, generate_faults_model, generate_healthy, trial
from evaluation.generate_faults import Fault, Planter
from evaluation.generate_healthy import Healthy
from evaluation.generate_plan import Plan, arguments, draw

SPLITS = {"calibration": 1, "test": 2}
"""Each split's share of the seeds: none of its cases uses a seed of the other."""
ATTEMPTS = 200
"""Candidates drawn for one case at most."""

SLOW = ("input-scaling", "init-scale", "saturated-units", "noise-too-strong", "clipping-too-tight", "dead-units")
"""Causes that may only slow a training down; where three times the steps repair, they are no clear cases."""

_FAILS = 0.6
_RIVALS = 0.8
_PLANTERS: dict[str, Planter] = {**generate_faults.PLANTERS, **generate_faults_model.PLANTERS}


@dataclass(frozen=True)
class CaseId:
    """What a case is drawn from."""

    split: str
    kind: str
    """A cause, or `healthy`."""
    number: int
    seed: int = 0

    def __str__(self) -> str:
        return f"{self.split}:{self.kind}:{self.number}:{self.seed}"

    @classmethod
    def parse(cls, text: str) -> CaseId:
        """The id that `str` gave.

        Raises:
            ValueError: `text` is no such id.
        """
        parts = text.split(":")
        if len(parts) != 4 or parts[0] not in SPLITS or parts[1] not in ("healthy", *CAUSES):
            raise ValueError(f"{text!r} is no case; take SPLIT:CAUSE:NUMBER:SEED, as in test:lr-too-high:0:0")
        return cls(parts[0], parts[1], int(parts[2]), int(parts[3]))


@dataclass(frozen=True)
class Case:
    """An accepted case."""

    id: CaseId
    variant: str
    """What was planted, or what the healthy run looks like."""
    broken: dict[str, Any]
    """Arguments of `aetui.diagnose`; for a healthy case those of the run."""
    repaired: dict[str, Any]
    """The same with one thing changed back; for a healthy case the reference recipe."""
    steps: int
    """Length of the training of the broken run when it was checked."""
    visible: bool
    """Whether the fault can be seen before the first step."""
    attempt: int
    plan: Plan
    figures: dict[str, float] = field(default_factory=dict)
    """Explained variance of broken and repaired run (`features`: its mean over the features), and of PCA."""

    @property
    def cause(self) -> str | None:
        """The planted cause, None where nothing is wrong."""
        return None if self.id.kind == "healthy" else self.id.kind


def identities(split: str, cases: int, healthy: int, seed: int = 0, only: str = "") -> Iterator[CaseId]:
    """The ids of a set: causes in turn, then healthy runs; `only` restricts the former to one cause."""
    causes = (only,) if only and only != "healthy" else CAUSES
    for i in range(cases if only != "healthy" else 0):
        yield CaseId(split, causes[i % len(causes)], i // len(causes), seed)
    for i in range(healthy):
        yield CaseId(split, "healthy", i, seed)


def generate(identity: CaseId, attempt: int | None = None) -> Case:
    """The case of that id; `attempt`, where it is known which candidate is accepted, saves checking it again.

    Raises:
        LookupError: none of ATTEMPTS candidates fails and is repaired as it should.
    """
    if attempt is not None:
        return candidate(identity, attempt)
    for i in range(ATTEMPTS):
        figures = check(case := candidate(identity, i))
        if figures is not None:
            return replace(case, figures=figures)
    raise LookupError(f"{identity}: none of {ATTEMPTS} candidates fails and is repaired; take another number or seed")


def candidate(identity: CaseId, attempt: int) -> Case:
    """The candidate of that number, whether or not it is any good."""
    planted = plant(identity, attempt)
    plan = planted.broken if isinstance(planted, Fault) else planted.plan
    repaired = planted.repaired if isinstance(planted, Fault) else reference(planted.plan)
    visible = isinstance(planted, Fault) and planted.visible
    return Case(identity, planted.variant, arguments(plan), arguments(repaired), plan.steps, visible, attempt, plan)


def plant(identity: CaseId, attempt: int) -> Fault | Healthy:
    """The plans of a candidate."""
    kinds = ("healthy", *CAUSES)
    split = SPLITS[identity.split]
    rng = np.random.default_rng([split, kinds.index(identity.kind), identity.number, identity.seed, attempt])
    drawn = partial(draw, rng, split * 10_000_000)
    if identity.kind == "healthy":
        return generate_healthy.kind_of(identity.number)(rng, drawn)
    return _PLANTERS[identity.kind](rng, drawn)


def reference(plan: Plan) -> Plan:
    """The recipe that a healthy run is measured against: Adam at 1e-3, nothing clipped, no weight decay."""
    return replace(plan, optimizer="adam", written="name", part="", lr=1e-3, options={}, clip=None, schedule=None)


def check(case: Case) -> dict[str, float] | None:
    """Explained variances of an acceptable case, None for one that is not."""
    planted = plant(case.id, case.attempt)
    if isinstance(planted, Healthy):
        return _check_healthy(case, planted)
    repaired_plan = planted.repaired
    broken = trial.run(case.broken, case.steps)
    if planted.criterion == "explained" and broken.finite and broken.whole > _FAILS:
        return None
    repaired = trial.run(case.repaired, repaired_plan.steps)
    principal = trial.principal(case.repaired, repaired_plan.model.code)
    if not (repaired.finite and repairs(repaired.whole, principal, repaired_plan.model.family)):
        return None
    if not fails(broken, repaired, planted.criterion):
        return None
    longer = (replace(planted.broken, steps=planted.broken.steps * 3),) if case.id.kind in SLOW else ()
    for rival in (*planted.rivals, *(longer if broken.finite and not broken.error else ())):
        outcome = trial.run(arguments(rival), rival.steps)
        if outcome.finite and outcome.whole > _RIVALS * repaired.whole:
            return None
    figures = {"broken": broken.whole, "repaired": repaired.whole, "principal": principal}
    return figures | {"broken features": broken.features, "repaired features": repaired.features}


def repairs(whole: float, principal: float, family: str) -> bool:
    """Whether an explained variance is that of a run that works."""
    return whole > max(0.4, 0.6 * principal) if family == "vae" else whole > max(0.85 * principal, 0.1)


def fails(broken: trial.Outcome, repaired: trial.Outcome, criterion: str) -> bool:
    """Whether a broken run is clearly worse than the repaired one, by the criterion of its cause."""
    match criterion:
        case "copy":
            return broken.noise > 0.85 and repaired.noise < _FAILS * broken.noise
        case "memorize":
            return (
                broken.whole > 0.8
                and broken.held_out < _FAILS * broken.whole
                and repaired.held_out > broken.held_out + 0.1
            )
        case "train-eval":
            if not math.isfinite(broken.train_mode) or broken.train_mode < _FAILS * repaired.whole:
                return False
        case "features" if broken.finite and broken.features < _FAILS * repaired.features:
            return True
    return not broken.finite or broken.whole < _FAILS * repaired.whole


def _check_healthy(case: Case, planted: Healthy) -> dict[str, float] | None:
    if planted.trivial:
        return {}
    plan = planted.plan
    own = trial.run(case.broken, case.steps)
    principal = trial.principal(case.broken, plan.model.code)
    if not own.finite or own.error:
        return None
    within_reach = min(0.93 * principal, principal - 0.03)
    enough = own.whole >= (max(0.4, 0.7 * principal) if plan.model.family == "vae" else within_reach)
    if not enough or own.train_mode < 0.7 * own.whole - 0.02:
        return None
    standard = trial.run(case.repaired, case.steps)
    if standard.finite and standard.whole > own.whole + 0.08:
        return None
    return {"broken": own.whole, "repaired": standard.whole, "principal": principal}
