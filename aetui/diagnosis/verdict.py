"""From what was measured to one word."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from aetui.diagnosis.dossier import NEAR_LINEAR, UNEVEN, Dossier, figure

COLLAPSED = 0.15
"""Share of the linear yardstick below which the outputs are as good as constant."""
NARROW = 0.02
"""Explained variance of PCA below which no code of this width could show anything."""
HEALTHY = 0.5
"""Explained variance from which a run that reaches its limit is called healthy, and not at the limit."""
LOST_UNITS = 0.3
"""Share of dead units in a rectified code from which they count as lost."""
MOVING = 0.02
"""Fall of the loss over the last quarter, relative, from which a training is still on its way."""


@dataclass(frozen=True)
class Verdict:
    """A key of `aetui.report.VERDICTS`, with its line."""

    name: str
    figures: str
    remark: str = ""
    """What follows from them, as it is added to the line."""

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
    beside = "" if linear is None else f", PCA with {d.facts.linear.width} {figure(linear)}"
    if _blown(d):
        return Verdict("diverged", f"{explained}: the outputs are far from the data and grow")
    quality = d.quality
    mismatch = d.train_fit is not None and d.quality_of(d.train_fit) - quality > 0.2
    if linear is not None and linear < NARROW and fit.explained > -0.1:
        return Verdict("at-limit", f"{explained}{beside}", ": a code of this width can hold no more of these data")
    moving = d.trend > MOVING and not mismatch
    if quality < COLLAPSED or (fit.spread < 0.02 and quality < 0.5):
        if moving and d.goal is not None and d.steps >= d.goal:
            return Verdict("under-trained", f"{explained}{beside}", ", and still rising")
        return Verdict("collapsed", spread + ("" if fit.explained > -0.5 else f", {explained}"))
    if quality < NEAR_LINEAR:
        lost_features = d.facts.data.uneven > UNEVEN and fit.explained > NEAR_LINEAR * (linear or 1.0)
        if lost_features:
            return Verdict("partial", f"{_percent(fit.lost)} of the features are not reconstructed; {explained}")
        if moving and not mismatch:
            return Verdict("under-trained", f"{explained}{beside}", ", and still rising")
        return Verdict("worse-than-linear", f"{explained}{beside}")
    if d.held_fit is not None and d.memorized > 0.25:
        return Verdict("partial", f"{explained} on training rows, {figure(d.held_fit.explained)} on rows held out")
    if mismatch:
        return Verdict("partial", f"{explained} in eval mode, {figure(d.train_fit.explained)} in train mode")  # pyright: ignore[reportOptionalMemberAccess]
    code = d.dead_code
    if code is not None and code.dead >= LOST_UNITS:
        return Verdict(
            "partial", f"{round(code.dead * code.units)} of {code.units} code units are dead; {explained}{beside}"
        )
    if fit.explained >= HEALTHY:
        return Verdict("healthy", f"{explained}{beside}")
    return Verdict("at-limit", f"{explained}{beside}", ": as good as these data allow for this code width")


def _blown(d: Dossier) -> bool:
    fit = d.fit
    if not d.started or fit.explained > -0.5:
        return False
    last = float(np.median(d.losses[-20:]))
    grew = d.losses[0] != 0 and last > 3 * abs(d.losses[0])
    return grew or fit.spread > 4 or not math.isfinite(fit.explained)


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.995 else f"{100 * share:.0f} %"
