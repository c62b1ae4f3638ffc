"""Causes that lie in the width of the code."""

from __future__ import annotations

from collections.abc import Iterator

from aetui.diagnosis.dossier import Dossier, Suspect, evidence, figure, graded
from aetui.report import Remedy
from aetui.spec.bottleneck import MILD, no_bottleneck

NOISE = 0.3
"""Standard deviation of the noise that a remedy adds at least."""
NARROWER = 4
"""A remedy narrows the code to one part in so many; by example, as its text says."""
GAINED = 0.15
"""Explained variance that PCA has to gain with a wider code; calibrated."""
HELD = 0.6
"""Share that PCA as wide as the code explains above which the code holds most of the data; calibrated."""
STRUCTURE = 2.5
"""What an added component gains, in shares of what each of the rest would gain in noise, from which there is structure
left; calibrated."""
LOW_RANK = ((0.9, 3), (0.8, 5))
"""Share that PCA explains (above) with one component for so many features at most, where the data are of low rank;
calibrated."""
DOUBLED = 2.0
"""Gain of the wider code, as a factor, that says as much as a low rank; calibrated."""
SMALL, SOMEWHAT_SMALL = 0.75, 0.4
"""Suspicion of a narrow code, and where the data are of no low rank; calibrated."""
MEMORIZED = ((0.4, 0.85), (0.25, 0.6))
"""Suspicion by how much less held-out rows are explained than trained ones (above), none where less; calibrated."""
COPIED = 0.95
"""Explained variance above which a code as wide as the data is taken to copy them; calibrated."""
COPIES, WIDE_BY_CUSTOM = 0.55, 0.2
"""Suspicion of a code that can copy, and of one of feature maps or states, which are as wide as their data by custom;
calibrated."""


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
        if explained - linear.explained > GAINED
    }  # fmt: skip
    if not gains or linear.explained > HELD:
        return None
    width, best = next(iter(gains.items()))
    per_unit = (best - linear.explained) / (width - linear.width)
    rest = (1 - linear.explained) / max(1, d.facts.data.features - d.facts.data.constant - linear.width)
    structure = per_unit / rest if rest else 0.0
    if structure < STRUCTURE:
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
        share > least and count <= features / per for count, share in linear.wider.items() for least, per in LOW_RANK
    )
    suspicion = SMALL if low_rank or best > DOUBLED * linear.explained else SOMEWHAT_SMALL
    return Suspect("code-too-small", suspicion, facts, (remedy,), certain=True)


def _large(d: Dossier) -> Suspect | None:
    linear, f = d.facts.linear, d.facts
    facts = []
    suspicion = 0.0
    features = f.data.features - f.data.constant
    if d.held_fit is not None and d.started:
        gap = d.memorized
        suspicion = graded(gap, MEMORIZED, 0.0)
        if suspicion:
            text = (
                f"explained variance is {figure(d.fit.explained)} on training rows and "
                f"{figure(d.held_fit.explained)} on rows held out"
            )
            facts.append(
                evidence(
                    "explained variance on rows held out", d.held_fit.explained, "near that of training rows", text
                )
            )
    if (
        linear.width is not None
        and linear.width >= d.facts.data.features
        and d.fit.explained > COPIED
        and max(f.noise.values(), default=0.0) < MILD
        and not d.penalties
    ):
        text = f"the code has {linear.width} units for {d.facts.data.features} features: it can copy them"
        facts.append(evidence("width of the code", linear.width, f"below {d.facts.data.features}", text, "code"))
        suspicion = max(suspicion, COPIES if f.dense and not f.recurrent else WIDE_BY_CUSTOM)
    if not facts:
        return None
    smaller = max(1, min(features, linear.width or features) // NARROWER)
    remedies = (
        Remedy(id="narrower", text=f"Narrow the code, to {smaller} for example.", set={"model.code": smaller}),
        Remedy(
            id="denoise", text="Add noise to the inputs, or a penalty on the code.",
            set={"model.noise": max(NOISE, 2 * getattr(d.subject.spec and d.subject.spec.model, "noise", 0.0))},
        ),
    )  # fmt: skip
    return Suspect("code-too-large", suspicion, tuple(facts), remedies, certain=True)
