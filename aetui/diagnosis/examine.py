"""The course of a diagnosis: look before the first step, train and watch, judge, and check the suspects."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch

from aetui.diagnosis import causes
from aetui.diagnosis.budget import Budget
from aetui.diagnosis.causes.code import in_use, remark
from aetui.diagnosis.causes.schedule import GROWN
from aetui.diagnosis.causes.structure import remarks
from aetui.diagnosis.change import Change
from aetui.diagnosis.dossier import BOUNDED, DEAD_CODE, STEADY, STILL, Dossier, Probe, Suspect, figure
from aetui.diagnosis.facts import Facts, gather
from aetui.diagnosis.figures import held_out_linear
from aetui.diagnosis.floors import floors_of
from aetui.diagnosis.loop import Loop
from aetui.diagnosis.observe import fit, probe_rows
from aetui.diagnosis.observer import Observer
from aetui.diagnosis.parameters import measure_weights
from aetui.diagnosis.probing import (
    Outcomes,
    Progress,
    Rows,
    advance,
    further,
    go_on,
    length_of,
    probe_suspects,
    run_probe,
)
from aetui.diagnosis.ruin import ruined, unsound_norms
from aetui.diagnosis.ruled_out import ruled_out
from aetui.diagnosis.subject import Subject
from aetui.diagnosis.verdict import Verdict, judge, lost_units, still
from aetui.diagnosis.weighing import weigh
from aetui.models.base import hooked
from aetui.models.units import weight_layers
from aetui.report import FINE, LEARNING, Explained, Finding, Report

LONGEST, SHORTEST = 3000, 400
"""Steps that a diagnosis takes by itself, from cheap to costly models."""
WORK = 2e11
"""Multiplications and additions that a diagnosis takes by itself, about half a minute of one core."""
ENOUGH = 0.97
"""Share of the yardstick at which a training needs no further watching."""
NEARLY = 0.93
"""Share of the yardstick below which strong suspects are probed even where the training does its work."""
GAIN = 0.07
"""What a probe has to gain there, in shares of the yardstick, for the training to be at fault."""
MORE_EXPLAINED = 0.05
"""Explained variance that a model without bounds on its outputs has to gain for those to be at fault."""
REVIVED, NOTHING = 0.9, 0.01
"""Share of the code's units that vary in a probe from which they count as revived, and explained variance below which
that gains nothing."""
DOUBT = 0.35
"""Suspicion from which that is done."""
CERTAIN = 0.5
"""Suspicion from which a finding is reported of a run that is fine otherwise."""

EARLY = 200
"""Steps before which nothing is said of a training that may move."""

Examination = Generator[Progress, None, Report]


def preflight_findings(subject: Subject, facts: Facts | None = None) -> tuple[Finding, ...]:
    """What can be said before the first step, from data, model and settings alone, best first."""
    d = Dossier(subject, facts or gather(subject))
    ahead = [suspect for suspect in causes.suspects(d) if suspect.suspicion >= 0.3 and suspect.evidence]
    return weigh(d, ahead, {}, 0.0)


def examine(
    subject: Subject, *, steps: int | None = None, probes: bool = True, budget: Budget | None = None
) -> Examination:
    """Diagnose a subject; yields its progress, and returns the report.

    Args:
        steps: the caller's own training length, None to let the diagnosis decide.
        probes: whether to check suspects on copies.
        budget: how long it may take; what is left out for that is in the report's notes.
    """
    budget = budget or Budget(asked=steps is not None)
    yield Progress("looking at data, model and loss", 0, 1)
    facts = gather(subject)
    loop = Loop(subject)
    observer = Observer(loop, Rows.of(subject, probe_rows(subject.rows)))
    observer.take()
    d = Dossier(
        subject, facts, observer.snapshots, loop.losses, loop.norms, loop.clipped, goal=steps, schedule=loop.rates
    )
    longest = steps or planned_steps(subject)
    settled = ""
    if facts.loss_error:
        settled = "the loss can't be computed, so no step was taken"
    elif facts.gradients.unreachable:
        settled = "the loss depends on no parameter, so no step was taken"
    else:
        settled = yield from _train(d, observer, longest, budget, probes)
    budget.trained()
    d.broken = loop.broken
    d.parts = dict(loop.parts)
    d.weights, d.unsound = measure_weights(loop.model), unsound_norms(loop.model)
    if loop.broken is None and loop.steps:
        _look_closer(d, loop, observer)
    verdict = judge(d)
    if budget.left_out:
        verdict = cut_short(d, verdict, longest)
    d.symptom = verdict.symptom
    suspects = causes.suspects(d)
    outcomes: Outcomes = {}
    probe_steps = 0
    findings: tuple[Finding, ...] = ()
    against: tuple[str, ...] = ()
    if verdict.name in FINE:
        if probes and (strong := doubted(d, suspects)):
            outcomes, probe_steps = yield from probe_suspects(
                d, strong, loop.steps, d.standing(d.fit), observer.rows, budget
            )
            verdict = overturned(d, verdict, outcomes)
        findings = found(d, verdict, suspects, outcomes, d.standing(d.fit))
    elif verdict.name != "trivial-data":
        control = control_of(d, length_of(loop.steps))
        if probes and not facts.data.bad:
            outcomes, probe_steps, control = yield from _checked(d, suspects, control, observer.rows, loop, budget)
        verdict = overturned(d, verdict, outcomes)
        findings = found(d, verdict, suspects, outcomes, control)
        verdict = revised(d, verdict, findings)
        if not findings:
            against = ruled_out(d, suspects, outcomes, control)
    return report_of(
        d,
        verdict,
        findings,
        loop.steps,
        probe_steps,
        settled,
        budget.passed,
        floors_of(subject),
        budget.note(),
        against,
    )


def finish(examination: Examination, progress: Callable[[Progress], None] | None) -> Report:
    """Go through with an examination, saying now and then how far it is."""
    with quiet():
        while True:
            try:
                state = next(examination)
            except StopIteration as end:
                return end.value
            if progress is not None:
                progress(state)


@contextmanager
def quiet() -> Iterator[None]:
    """PyTorch's warnings about broadcasting are what a report says better."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def planned_steps(subject: Subject) -> int:
    """Steps that a diagnosis takes where the caller gave none, from the work of one step."""
    batch = min(subject.batch_size or subject.rows, subject.rows)
    sizes: dict[int, float] = {}

    def count(module: torch.nn.Module, _inputs: object, output: object) -> None:
        first = output[0] if isinstance(output, tuple) else output
        if isinstance(first, torch.Tensor) and first.ndim:
            weights = sum(p.numel() for p in module.parameters(recurse=False))
            last = first.shape[1] if isinstance(module, torch.nn.modules.conv._ConvNd) else first.shape[-1]
            sizes[id(module)] = first.numel() / max(1, last) * weights

    loop = Loop(subject)
    layers = [module for _, module in weight_layers(loop.model)]
    layers += [module for module in loop.model.modules() if isinstance(module, torch.nn.RNNBase)]
    rows = min(2 if subject.stepped is None else loop.chunk, subject.rows)
    with hooked(layers, count), loop.looking():
        loop.forward(subject.inputs[:rows].clone(), subject.targets[:rows])
    counted = 3 * sum(sizes.values()) / rows * batch
    return int(max(SHORTEST, min(LONGEST, WORK / max(counted, 1.0))))


def _train(
    d: Dossier, observer: Observer, longest: int, budget: Budget, probes: bool
) -> Generator[Progress, None, str]:
    """Train up to `longest` steps, or until the outcome is plain or time is up; says why it ended."""
    loop = observer.loop
    next_look = 1
    while loop.steps < longest:
        target = min(longest, next_look)
        while loop.steps < target:
            yield Progress("training", loop.steps, longest)
            if budget.over(probes=probes):
                budget.left_out.append(f"{longest - loop.steps:,} of the training's {longest:,} steps")
                return f"stopped at step {loop.steps:,} of {longest:,}"
            # The update that a snapshot shows is that of the step before it.
            whole = target - loop.steps == 1
            if not (observer.advance(1) if whole else advance(loop, target - 1, budget)):
                return f"the loss was not finite at step {loop.broken:,}"
        observer.take()
        next_look = 2 * loop.steps if loop.steps < 128 else loop.steps + max(64, longest // 12)
        reason = _plain(d, longest)
        if reason:
            return reason
    return f"the {longest:,} steps are over" if d.goal else f"{longest:,} steps were enough to judge it"


def _plain(d: Dossier, longest: int) -> str:
    """Why no further step is needed, '' while one is."""
    if d.steps < 200:
        return ""
    if d.facts.rates is not None and d.facts.rates.growth > GROWN[-1][0]:
        return ""  # what it is now says nothing of what such a rate makes of it
    linear = d.facts.linear.explained
    if d.quality >= ENOUGH and (linear is None or d.fit.explained >= ENOUGH * min(linear, 0.97)):
        return f"settled at step {d.steps:,}: the outputs follow the data as far as they can be expected to"
    seen = [shot for shot in d.snapshots if shot.step >= d.steps / 2]
    still = len(seen) >= 2 and abs(seen[-1].fit.explained - seen[0].fit.explained) < 0.01
    if d.steps >= max(600, longest / 2) and still and abs(d.trend) < 0.005:
        return f"settled at step {d.steps:,}: nothing has changed since step {seen[0].step:,}"
    return ""


def _look_closer(d: Dossier, loop: Loop, observer: Observer) -> None:
    """Train mode, rows held out, and the code's units, once the training is over."""
    observer.take()
    if not d.fit.finite:
        return
    d.train_fit = observer.rows.fit(loop, train=True)
    if d.subject.held_out is not None:
        x, target = d.subject.held_out
        found = loop.compare(x, target)
        d.held_fit = fit(found.made, found.wanted, found.mask)
        same = found.wanted.shape[1] == d.subject.judged[0].numel()
        d.held_linear = held_out_linear(d.subject.judged, found.wanted, d.subject.code_width) if same else None
    few = slice(0, loop.chunk if d.subject.stepped is not None else None)
    with loop.looking():
        output = loop.forward(observer.rows.x[few].clone(), observer.rows.target[few])
    if output.mean is not None:
        means = output.mean.flatten(1)
        d.code_active = int((means.var(0) > 0.01).sum()), means.shape[1]


def cut_short(d: Dossier, verdict: Verdict, longest: int) -> Verdict:
    """The verdict on a training that had no time for all of its steps: none where the rest may change it."""
    early = verdict.name not in (*FINE, "diverged", "trivial-data") and (d.steps < EARLY or d.moves)
    name, far = LEARNING if early else verdict.name, f", after {d.steps:,} of {longest:,} steps"
    return Verdict(name, verdict.figures, verdict.remark + far, verdict.symptom)


def control_of(d: Dossier, length: int) -> float:
    """What a probe of `length` steps is compared with: the training itself at about that step."""
    before = [shot for shot in d.snapshots if shot.step <= 1.2 * length] or list(d.snapshots[-1:])
    then = d.standing(before[-1].fit) if before and d.symptom != DEAD_CODE else math.inf
    code = d.dead_code
    return min(then, d.standing(d.fit, None if code is None else 1 - code.dead))


def overturned(d: Dossier, verdict: Verdict, outcomes: Outcomes) -> Verdict:
    """The verdict after the probes: a run is not fine where one of them does clearly better, and spare units that
    nothing is gained by are no fault."""
    every = [one for group in outcomes.values() for one in group if one.fit is not None]
    best = max(every, key=lambda one: one.quality, default=None)
    if verdict.name in FINE and best is not None and best.fit is not None:
        if d.symptom == BOUNDED and best.fit.explained >= d.fit.explained + MORE_EXPLAINED:
            shown = f"{verdict.figures}, {figure(best.fit.explained)} with {best.probe.label}"
            return Verdict("partial", shown, symptom=BOUNDED)
        if d.symptom != BOUNDED and best.quality >= d.quality + GAIN:
            return Verdict("worse-than-linear", verdict.figures)
    if verdict.symptom == DEAD_CODE and (revived := [one for one in every if (one.alive or 0.0) >= REVIVED]):
        then = explained_at(d, length_of(d.steps))
        if max(one.fit.explained for one in revived if one.fit) < then + NOTHING and d.fit.explained >= NEARLY * (
            d.limit or 0.0
        ):
            return Verdict("healthy", verdict.figures, ": with all of them it explains no more")
    return verdict


def explained_at(d: Dossier, step: int) -> float:
    """Explained variance at the last snapshot up to `step`."""
    before = [shot for shot in d.snapshots if shot.step <= 1.2 * step]
    return (before[-1].fit if before else d.fit).explained


def found(
    d: Dossier, verdict: Verdict, suspects: list[Suspect], outcomes: Outcomes, control: float
) -> tuple[Finding, ...]:
    """The findings that go with a verdict; of a run that is fine, advice only."""
    if verdict.name in FINE:
        return weigh(d, _advice(suspects), {}, 0.0)
    return weigh(d, suspects, outcomes, control)


def _advice(suspects: list[Suspect]) -> list[Suspect]:
    """What is worth saying of a run that is fine: nothing that only might be a fault."""
    return [one for one in suspects if one.cause in ("code-too-small", "code-too-large") and one.suspicion >= CERTAIN]


def doubted(d: Dossier, suspects: list[Suspect]) -> list[Suspect]:
    """Those strong enough to be probed where the training does its work, but may not do it as well as it could.

    A bounded output may keep a nonlinear model from what it could explain beyond PCA. A KL term costs explained
    variance by itself, so that of a VAE tells nothing there.
    """
    bounded = [one for one in suspects if one.cause == "output-range" and one.suspicion >= DOUBT and one.probes]
    if bounded and d.fit.explained < ENOUGH:
        d.symptom = BOUNDED
        return [replace(one, probes=one.probes[:1]) for one in bounded]
    if d.quality >= NEARLY or d.facts.variational:
        return []
    return [suspect for suspect in suspects if suspect.suspicion >= DOUBT and suspect.probes]


def _checked(
    d: Dossier, suspects: list[Suspect], control: float, rows: Rows, loop: Loop, budget: Budget
) -> Generator[Progress, None, tuple[Outcomes, int, float]]:
    """The probes of the suspects, and more steps of the training itself where there may have been too few.

    Returns what they came to, the steps they took, and the quality that they are compared with.
    """
    before, length = 0, length_of(loop.steps)
    if loop.steps < length and loop.broken is None:
        # A probe of more steps than the training had would be credited with what the steps alone gain.
        stage = "probe: nothing changed"
        unchanged = yield from run_probe(d, Probe("nothing changed", Change()), length, rows, stage, budget)
        if unchanged is None:
            return {}, 0, control
        control, before = max(control, unchanged.quality), unchanged.steps
    outcomes, spent = yield from probe_suspects(d, suspects, loop.steps, control, rows, budget)
    spent += before
    if loop.broken is None and any(suspect.cause == "under-trained" for suspect in suspects):
        more = yield from go_on(d, loop, rows, further(loop.steps, spent), budget)
        if more is not None:
            outcomes["under-trained"] = [more]
            spent += more.steps
    return outcomes, spent, control


def revised(d: Dossier, verdict: Verdict, findings: tuple[Finding, ...]) -> Verdict:
    """A collapse that more steps alone undo is an unfinished training, if it moves; one that something else undoes is
    none."""
    best = findings[0].cause if findings else ""
    if best == "under-trained" and verdict.name in ("collapsed", "worse-than-linear"):
        if d.trend > STEADY or d.gain > STILL:
            return Verdict("under-trained", verdict.headline, ", after too few steps")
        return Verdict(verdict.name, verdict.figures, ", on a plateau that more steps leave")
    if verdict.name == "under-trained" and best and best != "under-trained":
        return Verdict("collapsed" if still(d) else "worse-than-linear", verdict.figures, verdict.remark)
    return verdict


def _spare_units(d: Dossier, verdict: Verdict) -> str:
    """That code units are dead without any harm."""
    dead = lost_units(d) if verdict.name in FINE and verdict.symptom != DEAD_CODE else ""
    return f"{dead}, and are not missed: a narrower code would do as well." if dead else ""


def _spare(d: Dossier, findings: tuple[Finding, ...]) -> str:
    return "" if any(one.cause == "code-too-large" for one in findings) else remark(d)


def report_of(
    d: Dossier,
    verdict: Verdict,
    findings: tuple[Finding, ...],
    steps: int,
    probe_steps: int,
    settled: str,
    seconds: float,
    floors: dict[str, float | None],
    left_out: str = "",
    against: tuple[str, ...] = (),
) -> Report:
    """Put a report together from what is known."""
    made = d.fit
    return Report(
        verdict=verdict.name,
        headline=verdict.headline,
        symptom="" if verdict.name in FINE else verdict.symptom,
        findings=findings,
        explained_variance=Explained(
            whole=made.explained if made.finite else None,
            median_feature=made.median if made.finite else None,
            linear=d.facts.linear.explained,
            kl=d.kl_limit,
        ),
        variance_ratio=dict(made.ratio),
        floors=floors,
        loss=sum(d.losses[-20:]) / len(d.losses[-20:]) if d.started else None,
        steps=steps,
        probe_steps=probe_steps,
        settled=settled,
        ruined=ruined(d, verdict.name),
        python=d.subject.spec is None,
        ruled_out=against,
        taken=d.subject.taken,
        notes=tuple(
            filter(None, (in_use(d), _spare_units(d, verdict), _spare(d, findings), *remarks(d, findings), left_out))
        ),
        seconds=round(seconds, 2),
    )
