"""The course of a diagnosis: look before the first step, train and watch, judge, and check the suspects."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager

import torch

from aetui.diagnosis import causes
from aetui.diagnosis.causes.code import remark
from aetui.diagnosis.change import Change
from aetui.diagnosis.dossier import Dossier, Probe, Suspect
from aetui.diagnosis.facts import Facts, gather
from aetui.diagnosis.figures import held_out_linear
from aetui.diagnosis.floors import floors_of
from aetui.diagnosis.loop import Loop
from aetui.diagnosis.observe import fit, probe_rows
from aetui.diagnosis.observer import Observer
from aetui.diagnosis.parameters import measure_weights
from aetui.diagnosis.probing import (
    SLICE,
    Outcomes,
    Progress,
    Rows,
    budget_of,
    go_on,
    length_of,
    probe_suspects,
    run_probe,
)
from aetui.diagnosis.ruin import ruined, unsound_norms
from aetui.diagnosis.subject import Subject
from aetui.diagnosis.verdict import COLLAPSED, Verdict, judge
from aetui.diagnosis.weighing import weigh
from aetui.models.units import weight_layers
from aetui.report import FINE, Explained, Finding, Report

LONGEST, SHORTEST = 3000, 400
"""Steps that a diagnosis takes by itself, from cheap to costly models."""
WORK = 2e11
"""Multiplications and additions that a diagnosis takes by itself, about half a minute of one core."""
ENOUGH = 0.97
"""Share of the yardstick at which a training needs no further watching."""
NEARLY = 0.93
"""Share of the yardstick below which strong suspects are probed even where the training does its work."""
MORE = 8000
"""Steps at most that a training is taken on beyond its own length."""
GAIN = 0.07
"""What a probe has to gain there, in shares of the yardstick, for the training to be at fault."""
DOUBT = 0.35
"""Suspicion from which that is done."""
CERTAIN = 0.5
"""Suspicion from which a finding is reported of a run that is fine otherwise."""

Examination = Generator[Progress, None, Report]


def preflight_findings(subject: Subject, facts: Facts | None = None) -> tuple[Finding, ...]:
    """What can be said before the first step, from data, model and settings alone, best first."""
    d = Dossier(subject, facts or gather(subject))
    ahead = [suspect for suspect in causes.suspects(d) if suspect.suspicion >= 0.3 and suspect.evidence]
    return weigh(d, ahead, {}, 0.0)


def examine(subject: Subject, *, steps: int | None = None, probes: bool = True) -> Examination:
    """Diagnose a subject; yields its progress, and returns the report.

    Args:
        steps: the caller's own training length, None to let the diagnosis decide.
        probes: whether to check suspects on copies.
    """
    start = time.perf_counter()
    yield Progress("looking at data, model and loss", 0, 1)
    facts = gather(subject)
    loop = Loop(subject)
    observer = Observer(loop, Rows.of(subject, probe_rows(subject.rows)))
    observer.take()
    d = Dossier(subject, facts, observer.snapshots, loop.losses, loop.norms, loop.clipped, goal=steps)
    longest = steps or planned_steps(subject)
    settled = ""
    if facts.loss_error:
        settled = "the loss can't be computed, so no step was taken"
    elif facts.gradients.unreachable:
        settled = "the loss depends on no parameter, so no step was taken"
    else:
        settled = yield from _train(d, observer, longest)
    d.broken = loop.broken
    d.parts = dict(loop.parts)
    d.weights, d.unsound = measure_weights(loop.model), unsound_norms(loop.model)
    if loop.broken is None and loop.steps:
        _look_closer(d, loop, observer)
    verdict = judge(d)
    suspects = causes.suspects(d)
    outcomes: Outcomes = {}
    probe_steps = 0
    findings: tuple[Finding, ...] = ()
    if verdict.name in FINE:
        findings = weigh(d, _advice(suspects), {}, 0.0)
        if probes and (strong := doubted(d, suspects)):
            outcomes, probe_steps = yield from probe_suspects(d, strong, loop.steps, d.quality, observer.rows)
            if max((one.quality for group in outcomes.values() for one in group), default=0.0) >= d.quality + GAIN:
                verdict = Verdict("worse-than-linear", verdict.figures)
                findings = weigh(d, suspects, outcomes, d.quality)
    elif verdict.name != "trivial-data":
        control = min(d.quality, quality_at(d, length_of(loop.steps)))
        if probes and not facts.data.bad:
            outcomes, probe_steps, control = yield from _checked(d, suspects, control, observer.rows, loop)
        findings = weigh(d, suspects, outcomes, control)
        verdict = revised(d, verdict, findings)
    return report_of(
        d, verdict, findings, loop.steps, probe_steps, settled, time.perf_counter() - start, floors_of(subject)
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
    hooks = [module.register_forward_hook(count) for module in layers]
    rows = min(2 if subject.stepped is None else loop.chunk, subject.rows)
    with loop.looking():
        loop.forward(subject.inputs[:rows].clone(), subject.targets[:rows])
    for hook in hooks:
        hook.remove()
    counted = 3 * sum(sizes.values()) / rows * batch
    return int(max(SHORTEST, min(LONGEST, WORK / max(counted, 1.0))))


def _train(d: Dossier, observer: Observer, longest: int) -> Generator[Progress, None, str]:
    """Train up to `longest` steps, or until the outcome is plain; says why it ended."""
    loop = observer.loop
    next_look = 1
    while loop.steps < longest:
        yield Progress("training", loop.steps, longest)
        target = min(longest, next_look)
        while loop.steps < target:
            chunk = min(SLICE, target - loop.steps)
            if not (observer.advance(chunk) if loop.steps + chunk == target else loop.advance(chunk)):
                return f"the loss was not finite at step {loop.broken:,}"
            if loop.steps < target:
                yield Progress("training", loop.steps, longest)
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


def quality_at(d: Dossier, step: int) -> float:
    """Quality at the last snapshot up to `step`."""
    before = [shot for shot in d.snapshots if shot.step <= 1.2 * step]
    return d.quality_of(before[-1].fit) if before else d.quality


def _advice(suspects: list[Suspect]) -> list[Suspect]:
    """What is worth saying of a run that is fine: nothing that only might be a fault."""
    return [one for one in suspects if one.cause in ("code-too-small", "code-too-large") and one.suspicion >= CERTAIN]


def doubted(d: Dossier, suspects: list[Suspect]) -> list[Suspect]:
    """Those strong enough to be probed where the training does its work, but not as well as it should.

    A KL term costs explained variance by itself, so that of a VAE tells nothing there.
    """
    if d.quality >= NEARLY or d.facts.variational:
        return []
    return [suspect for suspect in suspects if suspect.suspicion >= DOUBT and suspect.probes]


def _checked(
    d: Dossier, suspects: list[Suspect], control: float, rows: Rows, loop: Loop
) -> Generator[Progress, None, tuple[Outcomes, int, float]]:
    """The probes of the suspects, and more steps of the training itself where there may have been too few.

    Returns what they came to, the steps they took, and the quality that they are compared with.
    """
    before, length = 0, length_of(loop.steps)
    if loop.steps < length and loop.broken is None:
        # A probe of more steps than the training had would be credited with what the steps alone gain.
        unchanged = yield from run_probe(d, Probe("nothing changed", Change()), length, rows, "probe: nothing changed")
        control, before = max(control, unchanged.quality), unchanged.steps
    outcomes, spent = yield from probe_suspects(d, suspects, loop.steps, control, rows)
    spent += before
    if loop.broken is None and any(suspect.cause == "under-trained" for suspect in suspects):
        more = max(2 * length_of(loop.steps), min(4 * loop.steps, budget_of(loop.steps), MORE))
        outcomes["under-trained"] = [(yield from go_on(d, loop, rows, more))]
        spent += more
    return outcomes, spent, control


def revised(d: Dossier, verdict: Verdict, findings: tuple[Finding, ...]) -> Verdict:
    """A collapse that more steps alone undo is an unfinished training."""
    best = findings[0].cause if findings else ""
    if best == "under-trained" and verdict.name in ("collapsed", "worse-than-linear"):
        return Verdict("under-trained", verdict.headline, ", after too few steps")
    if verdict.name == "under-trained" and best and best != "under-trained":
        return Verdict("collapsed" if d.quality < COLLAPSED else "worse-than-linear", verdict.figures, verdict.remark)
    return verdict


def report_of(
    d: Dossier,
    verdict: Verdict,
    findings: tuple[Finding, ...],
    steps: int,
    probe_steps: int,
    settled: str,
    seconds: float,
    floors: dict[str, float | None],
) -> Report:
    """Put a report together from what is known."""
    made = d.fit
    return Report(
        verdict=verdict.name,
        headline=verdict.headline,
        findings=findings,
        explained_variance=Explained(
            whole=made.explained if made.finite else None,
            median_feature=made.median if made.finite else None,
            linear=d.facts.linear.explained,
        ),
        variance_ratio=dict(made.ratio),
        floors=floors,
        loss=sum(d.losses[-20:]) / len(d.losses[-20:]) if d.started else None,
        steps=steps,
        probe_steps=probe_steps,
        settled=settled,
        ruined=ruined(d, verdict.name),
        taken=d.subject.taken,
        notes=() if any(one.cause == "code-too-large" for one in findings) else tuple(filter(None, (remark(d),))),
        seconds=round(seconds, 2),
    )
