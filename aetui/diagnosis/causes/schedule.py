"""A schedule that ends the training long before its end, lets the rate grow, or never brings it up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from torch.optim import lr_scheduler

from aetui.diagnosis.change import Change
from aetui.diagnosis.dossier import Dossier, Probe, Suspect, evidence, figure, graded
from aetui.diagnosis.probing import length_of
from aetui.diagnosis.rates import SPENT, Rates, planned
from aetui.report import Evidence, Remedy
from aetui.spec import sections as s

EARLY, IN_TIME = ((0.6, 0.85), (0.4, 0.75), (0.2, 0.5)), 0.0
"""Suspicion by the share of the run that the rate is spent for (above): half a cosine is for its last 4 %, and
drops by ten at a half and three quarters never; calibrated."""
GROWN, STEADY_RATE = ((100.0, 0.85), (10.0, 0.6)), 0.0
"""Suspicion by how many times the last rate is the first (above): a warm-up or a cycle ends no higher than where it is
to be, from a tenth of that or less, so growth counts only beyond the optimizer's own rate; calibrated."""
UNREACHED = 0.1
"""Share of the optimizer's own rate that a schedule has to reach at some step: a decade below still trains (Goodfellow
et al. 2016, 11.4.1)."""
LEFT = 0.05
"""Share of its peak that a remedy leaves at the end."""


def suspects(dossier: Dossier) -> Iterator[Suspect]:
    rates = dossier.rates
    if rates is None or max(rates.peak, rates.own) <= 0:
        return
    for family in (_spent, _growing, _unreached):
        found = family(dossier, rates)
        if found is not None:
            yield found
            return


def _spent(d: Dossier, rates: Rates) -> Suspect | None:
    suspicion = graded(rates.spent, EARLY, IN_TIME)
    if not suspicion:
        return None
    text = (
        f"from step {rates.spent_from:,} of {rates.length:,} on the learning rate is below "
        f"{figure(SPENT * rates.peak)}, where it was {figure(rates.peak)}: nothing moves for {rates.spent:.0%} of them"
    )
    facts = (evidence("step at which the rate is spent", rates.spent_from, f"near {rates.length:,}", text, "schedule"),)
    # A probe shows what the schedule costs only where it is over within the probe.
    certain = rates.spent_from > length_of(d.steps) / 2
    return Suspect("lr-schedule", suspicion, (*facts, _last(rates)), _remedies(d, rates), _probes(rates), certain)


def _growing(d: Dossier, rates: Rates) -> Suspect | None:
    suspicion = graded(min(rates.growth, rates.values[-1] / rates.own if rates.own else 0.0), GROWN, STEADY_RATE)
    if not suspicion:
        return None
    text = (
        f"over {rates.length:,} steps the learning rate grows from {figure(rates.values[0])} to "
        f"{figure(rates.values[-1])}, {figure(rates.growth)} times"
    )
    facts = (evidence("growth of the rate", rates.growth, "below 1 in the end", text, "schedule"),)
    return Suspect("lr-schedule", suspicion, (*facts, _last(rates)), _remedies(d, rates), _probes(rates))


def _unreached(d: Dossier, rates: Rates) -> Suspect | None:
    if rates.reached >= UNREACHED:
        return None
    text = (
        f"the schedule keeps the learning rate at {figure(rates.peak)} or less over all {rates.length:,} steps, "
        f"{figure(rates.reached)} of the optimizer's own {figure(rates.own)}"
    )
    facts = (evidence("largest rate over the optimizer's own", rates.reached, "1", text, "schedule"),)
    return Suspect("lr-schedule", 0.75, (*facts, _last(rates)), _remedies(d, rates), _probes(rates))


def _last(rates: Rates) -> Evidence:
    text = f"at the end, step {rates.length:,}, the learning rate is {figure(rates.values[-1])}"
    return evidence("learning rate at the end", rates.values[-1], "a hundredth of its peak or so", text, "schedule")


def _probes(rates: Rates) -> tuple[Probe, ...]:
    return (Probe(f"learning rate held at {figure(rates.own)}", Change(steady=True)),)


def _remedies(d: Dossier, rates: Rates) -> tuple[Remedy, ...]:
    text = "Train at a constant rate."
    if d.subject.follow is not None:
        return (*_of_scheduler(d, rates), Remedy(id="steady", text=text, python="scheduler=None"))
    return (*_of_spec(d.subject.schedule, rates), Remedy(id="steady", text=text, set={"schedule.kind": "constant"}))


def _of_spec(schedule: s.Schedule, rates: Rates) -> tuple[Remedy, ...]:
    """The numbers of the schedule in force that leave LEFT at the end."""
    length = rates.length
    if isinstance(schedule, s.Cosine | s.OneCycle) and schedule.steps:
        return (Remedy(id="length", text="Let the schedule take the run's own length.", set={"schedule.steps": 0}),)
    if isinstance(schedule, s.Exponential):
        decay = float(f"{LEFT ** (1 / length):.6f}")
        text = f"Shrink the rate by {decay:g} at each step, to {LEFT:.0%} after {length:,}."
        return (Remedy(id="decay", text=text, set={"schedule.decay": decay}),)
    if isinstance(schedule, s.StepDecay):
        every = max(1, length // 3)
        text = f"Drop the rate every {every:,} steps."
        wanted = {"schedule.every": every} | ({"schedule.factor": 0.3} if schedule.factor < 0.2 else {})
        return (Remedy(id="every", text=text, set=wanted),)
    if isinstance(schedule, s.WarmupLinear):
        text = "Warm up over a twentieth of the run."
        return (Remedy(id="warmup", text=text, set={"schedule.warmup": max(1, length // 20)}),)
    return ()


def _of_scheduler(d: Dossier, rates: Rates) -> Iterator[Remedy]:
    subject, length = d.subject, d.goal or rates.length
    each = "step" if subject.steps_per_turn == 1 else "epoch"
    batches = max(1, subject.rows // max(1, min(subject.batch_size or subject.rows, subject.rows)))
    if each == "step" and batches > 1:
        slower = planned(replace(subject, steps_per_turn=batches), length)
        sound = slower is None or (not slower.spent > EARLY[-1][0] and slower.growth < GROWN[-1][0])
        if sound and (slower is None or slower.reached >= UNREACHED):
            yield Remedy(
                id="each-epoch", text="Call scheduler.step() once after each epoch, not after each batch.",
                python='scheduler_each="epoch"',
            )  # fmt: skip
    turns = max(1, length // subject.steps_per_turn)
    factor = LEFT ** (1 / turns)
    name, code = {
        lr_scheduler.ExponentialLR: ("gamma", f"ExponentialLR(optimizer, gamma={factor:.5f})"),
        lr_scheduler.StepLR: ("step_size", f"StepLR(optimizer, step_size={max(1, turns // 3)}, gamma=0.3)"),
        lr_scheduler.ReduceLROnPlateau: (
            "patience", f"ReduceLROnPlateau(optimizer, patience=10, min_lr={figure(0.05 * rates.own)})"
        ),
    }.get(
        getattr(subject.follow, "kind", object), ("length", f"CosineAnnealingLR(optimizer, T_max={turns})")
    )  # fmt: skip
    yield Remedy(
        id=name, text=f"Fit the schedule to the run, which takes {turns:,} turns of it, one after each {each}.",
        python=f"scheduler=lambda optimizer: torch.optim.lr_scheduler.{code}",
    )  # fmt: skip
