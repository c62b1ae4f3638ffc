"""From what was measured to one word."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from aetui.diagnosis.dossier import (
    CONSTANT_OUTPUTS,
    DEAD_CODE,
    NEAR_LINEAR,
    UNEVEN,
    Dossier,
    figure,
)
from aetui.report import LOST_FEATURES, MEMORIZED, MODES

COLLAPSED = 0.15
"""Share of the linear yardstick below which the outputs are as good as constant."""
NARROW = 0.02
"""Explained variance of PCA below which no code of this width could show anything."""
HEALTHY = 0.5
"""Explained variance from which a run that reaches its limit is called healthy, and not at the limit."""
APART = 0.2
"""Quality by which train mode exceeds eval mode where the two do not compute the same; calibrated."""
NO_WORSE = -0.1
"""Explained variance above which outputs are about the mean: what a training on noise ends at; calibrated."""
FAR = -0.5
"""Explained variance below which outputs are far from the data, half a variance worse than their mean; calibrated."""
GREW = 3.0
"""Growth of the loss over its first value that is no noise of small batches; calibrated."""
WILD = 4.0
"""Median variance ratio of outputs that vary twice as far as the data: no optimum of a loss does; calibrated."""
LEARNED_BY_HEART = 0.25
"""Explained variance lost on held-out rows, beyond what PCA loses there, that is memorization; calibrated."""
LOST_UNITS = 0.3
"""Share of dead units in a rectified code from which they count as lost."""
VARIED = 0.3
"""Median variance ratio from which outputs are not the same for every input: those of the best prediction vary as much
as they explain, so outputs that vary by twice COLLAPSED are something else than flat."""
FLAT, HALF = 0.02, 0.5
"""Median variance ratio below which outputs count as constant, and quality from which they do all the same what they
should: features that hardly ever vary are most of them then."""
FEW = 3
"""Constant outputs from which they are more than single features that hardly vary."""
UNANSWERED = 0.05
"""Share of the targets' variance in constant outputs from which they are a loss."""
SPARE = 0.95
"""Explained variance from which dead code units are spare ones: nothing that matters is left for them."""
MOVING = 0.02
"""Fall of the loss over the last quarter, relative, from which a training is still on its way."""


@dataclass(frozen=True)
class Verdict:
    """A key of `aetui.report.VERDICTS`, with its line."""

    name: str
    figures: str
    remark: str = ""
    """What follows from them, as it is added to the line."""
    symptom: str = ""
    """What it objects to, where that is not the fit as a whole; see `aetui.diagnosis.dossier`."""

    @property
    def headline(self) -> str:
        return self.figures + self.remark


def judge(d: Dossier) -> Verdict:
    """The verdict on a training as it stands."""
    fit, linear = d.fit, d.limit
    if d.facts.data.distinct == 1 and not d.facts.data.bad:
        return Verdict("trivial-data", "all rows of the data are the same: there is nothing to reconstruct")
    if d.broken is not None:
        return Verdict("diverged", f"the loss stopped being finite at step {d.broken:,}")
    if not fit.finite:
        return Verdict("diverged", "the outputs are not finite")
    if d.facts.loss_error:
        return Verdict("diverged", "the loss can't be computed")
    if d.facts.data.bad:
        return Verdict("diverged", f"{d.facts.data.bad:,} values of the data are not finite")
    spread = f"outputs vary {_percent(fit.spread)} as much as the data"
    explained = f"explained variance {figure(fit.explained)}"
    beside = (
        ""
        if d.facts.linear.explained is None
        else f", PCA with {d.facts.linear.width} {figure(d.facts.linear.explained)}"
    )
    if linear != d.facts.linear.explained and linear is not None:
        named = "a linear map of the inputs" if d.facts.beta is None else "a linear VAE with this KL"
        if linear == d.allowed:
            named = f"{sum(one.bits for one in d.codebooks):.3g} bits a row"
        beside += f", {named} {figure(linear)}"
    if _blown(d):
        return Verdict("diverged", f"{explained}: the outputs are far from the data and grow")
    quality = d.quality
    mismatch = d.train_fit is not None and d.quality_of(d.train_fit) - quality > APART
    if linear is not None and linear < NARROW and fit.explained > NO_WORSE:
        return Verdict("at-limit", f"{explained}{beside}", ": a code of this width can hold no more of these data")
    moving = d.trend > MOVING and not mismatch
    if still(d):
        if moving and d.goal is not None and d.steps >= d.goal:
            return Verdict("under-trained", f"{explained}{beside}", ", and still rising")
        return Verdict("collapsed", spread + ("" if fit.explained > FAR else f", {explained}"))
    if quality < NEAR_LINEAR:
        lost_features = d.facts.data.uneven > UNEVEN and fit.explained > NEAR_LINEAR * (linear or 1.0)
        if lost_features:
            shown = f"{_percent(fit.lost)} of the features are not reconstructed; {explained}"
            return Verdict("partial", shown, symptom=LOST_FEATURES)
        if moving and not mismatch:
            return Verdict("under-trained", f"{explained}{beside}", ", and still rising")
        return Verdict("worse-than-linear", f"{explained}{beside}")
    if d.held_fit is not None and d.memorized > LEARNED_BY_HEART:
        shown = f"{explained} on training rows, {figure(d.held_fit.explained)} on rows held out"
        return Verdict("partial", shown, symptom=MEMORIZED)
    if mismatch and d.train_fit is not None:
        shown = f"{explained} in eval mode, {figure(d.train_fit.explained)} in train mode"
        return Verdict("partial", shown, symptom=MODES)
    if fit.constant >= FEW and fit.unanswered >= UNANSWERED:
        varying = d.facts.data.features - d.facts.data.constant
        shown = f"{fit.constant} of {varying} output features are the same for every row; {explained}{beside}"
        return Verdict("partial", shown, symptom=CONSTANT_OUTPUTS)
    if (dead_code := lost_units(d)) and fit.explained < SPARE:
        return Verdict("partial", f"{dead_code}; {explained}{beside}", symptom=DEAD_CODE)
    if fit.explained >= HEALTHY:
        return Verdict("healthy", f"{explained}{beside}")
    return Verdict("at-limit", f"{explained}{beside}", ": as good as these data allow for this code width")


def still(d: Dossier) -> bool:
    """Whether the outputs are nearly the same for every input."""
    low = d.quality < COLLAPSED and d.fit.spread < VARIED
    return low or (d.fit.spread < FLAT and d.quality < HALF)


def lost_units(d: Dossier) -> str:
    """How many code units are dead, where they are many; else ''."""
    code = d.dead_code
    if code is None or code.dead < LOST_UNITS:
        return ""
    return f"{round(code.dead * code.units)} of {code.units} code units are dead"


def _blown(d: Dossier) -> bool:
    fit = d.fit
    if not d.started or fit.explained > FAR:
        return False
    last = float(np.median(d.losses[-20:]))
    grew = d.losses[0] != 0 and last > GREW * abs(d.losses[0])
    return grew or fit.spread > WILD or not math.isfinite(fit.explained)


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.995 else f"{100 * share:.0f} %"
