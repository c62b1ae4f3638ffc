"""Causes that lie in the width of the code."""

from __future__ import annotations

import math
from collections.abc import Iterator

from aetui.diagnosis.codebook import Sparse
from aetui.diagnosis.dossier import Dossier, Suspect, evidence, figure, graded
from aetui.diagnosis.parted import MATCHING, RECONSTRUCTION
from aetui.report import Remedy
from aetui.spec.bottleneck import MILD, no_bottleneck

IDLE = ((0.7, 0.9), (0.5, 0.75), (0.35, 0.4))
"""Suspicion by the share of a discrete code's bits that its picks leave unused (above); healthy codes use half of their
entries or more alike, which is a tenth of the bits; calibrated."""
HALF = 0.5
"""Share of a rectified code's values that are 0 from which it is called sparse."""
SPREADS = 1.3
"""Growth of the entries in use over the last half of the steps from which a codebook is coming into use."""
LEARNED = 200
"""Steps before which an untrained encoder may pick a single entry."""
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
    for family in (_small, _large, _codebook):
        found = family(dossier)
        if found is not None:
            yield found


def remark(d: Dossier) -> str:
    """That a code with nothing to hold it back has no bottleneck, '' otherwise."""
    free = max(d.facts.noise.values(), default=0.0) < MILD and not d.penalties
    return no_bottleneck(d.facts.linear.width or 0, d.facts.data.features) if free else ""


def in_use(d: Dossier) -> str:
    """How much of a discrete code is in use, '' where there is none."""
    told = [
        f"{one.where}: {one.used:,} of {one.entries:,} entries in use, perplexity {figure(one.perplexity)}"
        for one in d.codebooks
    ]
    if not told:
        return _sparse(d)
    bits = sum(one.bits for one in d.codebooks)
    most = "" if d.allowed is None else f", with which {figure(d.allowed)} of a Gaussian's variance can be explained"
    return f"a discrete code of {figure(bits)} bits a row{most}; {'; '.join(told)}"


def _sparse(d: Dossier) -> str:
    """How much of a sparse code is in use, '' where the code is none."""
    width = d.facts.linear.width
    found = d.snapshots[-1].sparse if d.snapshots else None
    relu = next((one for one in d.hidden if one.kind == "relu" and one.units == width and one.zero > HALF), None)
    if found is None and relu is not None:
        found = Sparse(relu.units, (1 - relu.zero) * relu.units, relu.dead)
    if found is None:
        return ""
    return (
        f"a sparse code: {figure(found.active)} of {found.units:,} units are active for a row (L0), {found.dead:.0%} "
        "of them for no row"
    )


def _codebook(d: Dossier) -> Suspect | None:
    if not d.started or d.steps < LEARNED or not d.codebooks:
        return None
    worst = max(d.codebooks, key=lambda one: one.idle)
    suspicion = graded(worst.idle, IDLE, 0.0)
    if not suspicion:
        return None
    course = [(shot.step, one.used) for shot in d.snapshots for one in shot.codes if one.where == worst.where]
    before = next((used for step, used in reversed(course) if step <= d.steps / 2), worst.used)
    if worst.used >= SPREADS * before:
        suspicion = min(suspicion, 0.2)
    most = min(worst.entries, worst.picks)
    is_ = "is" if worst.used == 1 else "are"
    text = f"{worst.used:,} of the {worst.entries:,} entries of {worst.where} {is_} in use over {worst.picks:,} picks"
    facts = [evidence("entries in use", worst.used, f"most of {most:,}", text, worst.where)]
    text = (
        f"their perplexity is {figure(worst.perplexity)}: {figure(math.log2(max(1.0, worst.perplexity)))} bits a pick "
        f"of {figure(math.log2(worst.entries))}"
    )
    facts.append(evidence("perplexity", worst.perplexity, f"near {most:,}", text, worst.where))
    if len(course) > 2:
        some = [course[0], course[len(course) // 2], course[-1]]
        text = ", ".join(f"{used:,} at step {step:,}" for step, used in some)
        facts.append(evidence("entries in use at step 0", course[0][1], "fewer than later", f"in use: {text}"))
    if MATCHING in d.facts.terms:
        match, whole = d.facts.terms[MATCHING], d.facts.terms.get(RECONSTRUCTION, 0.0)
        text = f"the terms that bring code and entries together begin at {figure(match)}, the reconstruction at "
        text += figure(whole)
        facts.append(evidence("commitment and codebook terms", match, "no more than the reconstruction", text, "loss"))
    name = worst.where.removesuffix(".weight")
    restart = Remedy(
        id="restart",
        text="Begin with outputs of the encoder as entries, and every hundred steps put entries that nothing picks "
        "onto such outputs.",
        python=f"model.{worst.where}.data[unused] = z[torch.randint(len(z), (int(unused.sum()),))]",
        line=worst.line,
    )  # fmt: skip
    average = Remedy(
        id="average", line=worst.line,
        text=f"Let {name} follow the encoder's outputs as moving averages, with commitment 0.25, or compare both at "
        "length 1.",
    )  # fmt: skip
    return Suspect("codebook-collapse", suspicion, tuple(facts), (restart, average), certain=True)


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
