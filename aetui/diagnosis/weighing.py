"""From suspects and what their probes showed to findings, best first."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from aetui.diagnosis.causes.catalog import CATALOG
from aetui.diagnosis.dossier import Dossier, Probe, Suspect, evidence, figure
from aetui.diagnosis.observe import Fit
from aetui.report import Evidence, Finding, Remedy

LIKELY = 0.3
"""Confidence that the first finding has to have: below it no cause is likely, and naming one would be filler."""
LEAST = 0.1
"""Confidence below which a suspect is no finding."""
MOST = 6
"""Findings in a report."""

_BAYES = ((0.0, 0.12), (0.15, 0.35), (0.35, 1.0), (0.6, 3.0), (0.9, 8.0), (1.0, 8.0))
"""By the share of the gap that a probe closed: what the odds of its cause are multiplied with."""

_EXPLAINS: tuple[tuple[str, str, float], ...] = (
    ("precision", "loss-domain", 0.3),
    ("precision", "lr-too-high", 0.3),
    ("precision", "lr-too-low", 0.3),
    ("precision", "dead-units", 0.3),
    ("precision", "exploding-gradients", 0.3),
    ("precision", "optimizer", 0.3),
    ("input-scaling", "lr-too-low", 0.4),
    ("input-scaling", "lr-too-high", 0.4),
    ("input-scaling", "optimizer", 0.3),
    ("input-scaling", "dead-units", 0.4),
    ("input-scaling", "saturated-units", 0.4),
    ("input-scaling", "exploding-gradients", 0.4),
    ("input-scaling", "under-trained", 0.3),
    ("output-range", "input-scaling", 0.6),
    ("output-range", "saturated-units", 0.4),
    ("output-range", "dead-units", 0.4),
    ("loss-domain", "output-range", 0.7),
    ("loss-domain", "input-scaling", 0.6),
    ("lr-too-high", "dead-units", 0.4),
    ("lr-too-high", "saturated-units", 0.4),
    ("lr-too-high", "exploding-gradients", 0.6),
    ("lr-too-high", "optimizer", 0.3),
    ("lr-too-low", "optimizer", 0.35),
    ("lr-too-low", "under-trained", 0.4),
    ("init-scale", "dead-units", 0.5),
    ("init-scale", "saturated-units", 0.5),
    ("init-scale", "lr-too-low", 0.6),
    ("init-scale", "lr-too-high", 0.6),
    ("init-symmetry", "init-scale", 0.2),
    ("init-symmetry", "dead-units", 0.2),
    ("dead-units", "init-scale", 0.6),
    ("saturated-units", "init-scale", 0.6),
    ("exploding-gradients", "lr-too-high", 0.6),
    ("posterior-collapse", "penalty-too-strong", 0.6),
    ("clipping-too-tight", "lr-too-low", 0.5),
    ("clipping-too-tight", "optimizer", 0.4),
    ("lr-schedule", "lr-too-low", 0.4),
    ("lr-schedule", "lr-too-high", 0.4),
    ("lr-schedule", "optimizer", 0.4),
    ("lr-schedule", "under-trained", 0.4),
    ("lr-schedule", "exploding-gradients", 0.5),
    ("codebook-collapse", "penalty-too-strong", 0.6),
    ("codebook-collapse", "dead-units", 0.6),
    ("codebook-collapse", "init-scale", 0.6),
    ("codebook-collapse", "under-trained", 0.4),
)
"""(root, consequence, factor): where the first is suspected and its probe repairs, the second follows from it."""
# What has no source is calibrated on the generated cases.
_ROOT = 0.35
"""Suspicion from which a cause can have others as its consequences."""
_REPAIRS = 0.5
"""Share of the gap that a root's probe has to close for that."""
_BETTER = 0.25
"""By how much more of the gap a cause's own probe has to close than its root's, for it not to be a consequence."""
_RIVAL = 0.15
"""How far a root's suspicion may be below that of its consequence."""
_LEAST_GAP = 0.05
"""Gap in quality between control and goal below which no probe can show anything."""
_LEAST_GOAL = 0.3
"""Quality that a repair is measured against where no probe reaches as much."""
_SURE = 0.99
"""Confidence at most: no evidence here is a proof."""
_FAINT = 0.001
"""Suspicion at least, so that odds are never zero."""
_REPAIRED = 0.3
"""Gain in explained variance from which a probe's text says that it repairs."""
_HELPED = 0.1
"""Gain from which it says that it helps."""


@dataclass(frozen=True)
class Outcome:
    """What a probe came to: its fit after `steps` steps, None where the loss was not finite."""

    probe: Probe
    steps: int
    fit: Fit | None
    quality: float
    """What `Dossier.standing` says of it."""
    error: str = ""
    """What it raised, where it could not be computed; it says nothing of its cause then."""
    alive: float | None = None
    """Share of the code's units that vary over the rows, where the verdict speaks of dead ones."""


def recovery(outcomes: Sequence[Outcome], control: float, goal: float) -> float | None:
    """Share of the gap between control and goal that the best of the probes closed; None without any."""
    outcomes = [one for one in outcomes if not one.error]
    if not outcomes:
        return None
    if goal - control < _LEAST_GAP:
        return 0.0
    return max(0.0, min(1.0, (max(one.quality for one in outcomes) - control) / (goal - control)))


def confidence(suspicion: float, share: float | None) -> float:
    """The suspicion as odds, multiplied with what the probe's recovery is worth."""
    suspicion = min(_SURE, max(_FAINT, suspicion))
    factor = 1.0 if share is None else _interpolated(share)
    odds = suspicion / (1 - suspicion) * factor
    return odds / (1 + odds)


def _interpolated(share: float) -> float:
    for (left, low), (right, high) in itertools.pairwise(_BAYES):
        if share <= right:
            return low + (high - low) * (share - left) / (right - left)
    return _BAYES[-1][1]


def weigh(
    d: Dossier, suspects: Sequence[Suspect], outcomes: Mapping[str, Sequence[Outcome]], control: float
) -> tuple[Finding, ...]:
    """Rank the suspects; none where the best of them is not likely.

    Args:
        outcomes: of each cause's probes; a cause without any is left at its suspicion.
        control: quality of the training without any change, at the probes' length.
    """
    goal = max([_LEAST_GOAL, *(one.quality for group in outcomes.values() for one in group)])
    # More steps are compared with the end of the training, not with its state at the probes' length.
    controls = {suspect.cause: d.quality if suspect.cause == "under-trained" else control for suspect in suspects}
    shares = {
        suspect.cause: recovery(outcomes.get(suspect.cause, ()), controls[suspect.cause], goal) for suspect in suspects
    }
    by_cause = {suspect.cause: suspect for suspect in suspects}
    weighed: list[tuple[float, Suspect]] = []
    for suspect in suspects:
        suspicion, follows = suspect.suspicion, suspect.follows
        for root, consequence, factor in _EXPLAINS:
            if consequence != suspect.cause or root not in by_cause:
                continue
            share, own = shares.get(root), shares[suspect.cause]
            if (
                by_cause[root].suspicion >= _ROOT
                and (share is None or share >= _REPAIRS)
                and (share is None or own is None or share >= own - _BETTER)
                and (by_cause[root].suspicion >= suspicion - _RIVAL)
            ):
                suspicion *= factor
                follows = follows or root
        value = (
            suspicion
            if suspect.certain and shares[suspect.cause] is None
            else confidence(suspicion, shares[suspect.cause])
        )
        if suspect.certain:
            value = max(value, suspicion)
        remedies = _held(suspect, outcomes.get(suspect.cause, ()))
        weighed.append((value, replace(suspect, follows=follows, remedies=remedies)))
    weighed.sort(key=lambda item: -item[0])
    if not weighed or weighed[0][0] < LIKELY:
        return ()
    best = weighed[0][1].cause
    kept = [(value, suspect) for value, suspect in weighed if value >= LEAST][:MOST]
    return tuple(
        finding(suspect, value, _shown(d, outcomes.get(suspect.cause, ()), controls[suspect.cause]), best)
        for value, suspect in kept
    )


def _held(suspect: Suspect, outcomes: Sequence[Outcome]) -> tuple[Remedy, ...]:
    """The remedies without those whose own probe did clearly worse than another's, the best of the tried ones first.

    Of those with a probe that was not run, the first stays.
    """
    of_probes = [probe.remedy for probe in suspect.probes if probe.remedy]
    tried = {one.probe.remedy: one.quality for one in outcomes if one.probe.remedy and not one.error}
    if not tried:
        return tuple(one for one in suspect.remedies if one.id not in of_probes[1:])
    least = max(tried.values()) - _HELPED
    kept = [one for one in suspect.remedies if one.id not in of_probes or tried.get(one.id, -math.inf) >= least]
    return tuple(sorted(kept, key=lambda one: -tried.get(one.id, -math.inf)))


def finding(suspect: Suspect, value: float, probed: tuple[Evidence, ...], best: str = "") -> Finding:
    """A suspect in words."""
    entry = CATALOG[suspect.cause]
    return Finding(
        cause=suspect.cause,
        confidence=round(min(_SURE, value), 2),
        title=entry.title,
        text=entry.text,
        source=entry.source,
        follows=suspect.follows if suspect.cause != best else "",
        evidence=(*suspect.evidence, *probed),
        remedies=suspect.remedies,
    )


def _shown(d: Dossier, outcomes: Sequence[Outcome], control: float) -> tuple[Evidence, ...]:
    """What the probes came to, as evidence."""
    limit = d.facts.linear.explained
    normal = "" if limit is None else f"PCA {figure(limit)}"
    found: list[Evidence] = []
    for one in outcomes:
        measure = f"probe: {one.probe.label}"
        if one.error:
            text = f"probe on a copy, {one.probe.label}: skipped, since it can't be computed ({one.error})"
            found.append(evidence(measure, "skipped", normal, text))
            continue
        if one.fit is None:
            text = f"probe on a copy, {one.probe.label}: the loss was not finite within {one.steps:,} steps"
            found.append(evidence(measure, None, normal, text))
            continue
        gain = one.quality - control
        effect = "this repairs it" if gain > _REPAIRED else "this helps" if gain > _HELPED else "this changes little"
        text = (
            f"probe on a copy, {one.probe.label}: explained variance is {figure(one.fit.explained)} "
            f"after {one.steps:,} steps; {effect}"
        )
        found.append(evidence(measure, one.fit.explained, normal, text))
    return tuple(found)
