"""Causes that lie in the width of the code."""

from __future__ import annotations

from collections.abc import Iterator

from aetui.diagnosis.dossier import Dossier, Suspect, evidence, figure
from aetui.report import Remedy
from aetui.spec.bottleneck import MILD, no_bottleneck

NOISE = 0.3
"""Standard deviation of the noise that a remedy adds at least."""


def suspects(dossier: Dossier) -> Iterator[Suspect]:
    for family in (_small, _large):
        found = family(dossier)
        if found is not None:
            yield found


def remark(d: Dossier) -> str:
    """That a code with nothing to hold it back has no bottleneck, '' otherwise."""
    free = max(d.facts.noise.values(), default=0.0) < MILD and not d.penalties
    return no_bottleneck(d.facts.linear.width or 0, d.facts.data.features) if free else ""


def _small(d: Dossier) -> Suspect | None:
    linear = d.facts.linear
    if linear.explained is None or linear.width is None or not linear.wider:
        return None
    gains = {
        width: explained for width, explained in linear.wider.items()
        # Noise gains in proportion to the width, structure more than that at first.
        if explained - linear.explained > 0.15
    }  # fmt: skip
    if not gains or linear.explained > 0.6:
        return None
    width, best = next(iter(gains.items()))
    per_unit = (best - linear.explained) / (width - linear.width)
    rest = (1 - linear.explained) / max(1, d.facts.data.features - d.facts.data.constant - linear.width)
    structure = per_unit / rest if rest else 0.0
    if structure < 2.5:
        return None
    text = (
        f"PCA explains {linear.explained:.0%} with {linear.width} components and {best:.0%} with {width}: "
        "the data have more structure than the code can hold"
    )
    facts = (
        evidence(
            "explained by PCA as wide as the code", linear.explained, f"{figure(best)} with {width}", text, "code"
        ),
    )
    remedy = Remedy(id="wider", text=f"Widen the code to {width}.", set={"model.code": width})
    features = d.facts.data.features
    low_rank = any(
        (share > 0.9 and count <= features / 3) or (share > 0.8 and count <= features / 5)
        for count, share in linear.wider.items()
    )
    suspicion = 0.75 if low_rank or best > 2 * linear.explained else 0.4
    return Suspect("code-too-small", suspicion, facts, (remedy,), certain=True)


def _large(d: Dossier) -> Suspect | None:
    linear, f = d.facts.linear, d.facts
    facts = []
    suspicion = 0.0
    features = f.data.features - f.data.constant
    if d.held_fit is not None and d.started:
        gap = d.memorized
        if gap > 0.25:
            text = (
                f"explained variance is {figure(d.fit.explained)} on training rows and "
                f"{figure(d.held_fit.explained)} on rows held out"
            )
            facts.append(
                evidence(
                    "explained variance on rows held out", d.held_fit.explained, "near that of training rows", text
                )
            )
            suspicion = 0.85 if gap > 0.4 else 0.6
    if (
        linear.width is not None
        and linear.width >= d.facts.data.features
        and d.fit.explained > 0.95
        and max(f.noise.values(), default=0.0) < MILD
        and not d.penalties
    ):
        text = f"the code has {linear.width} units for {d.facts.data.features} features: it can copy them"
        facts.append(evidence("width of the code", linear.width, f"below {d.facts.data.features}", text, "code"))
        # A code of feature maps or states is as wide as its data by custom, and is no plain copy.
        suspicion = max(suspicion, 0.55 if f.dense and not f.recurrent else 0.2)
    if not facts:
        return None
    smaller = max(1, min(features, linear.width or features) // 4)
    remedies = (
        Remedy(id="narrower", text=f"Narrow the code, to {smaller} for example.", set={"model.code": smaller}),
        Remedy(
            id="denoise", text="Add noise to the inputs, or a penalty on the code.",
            set={"model.noise": max(NOISE, 2 * getattr(d.subject.spec and d.subject.spec.model, "noise", 0.0))},
        ),
    )  # fmt: skip
    return Suspect("code-too-large", suspicion, tuple(facts), remedies, certain=True)
