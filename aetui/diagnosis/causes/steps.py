"""Causes that lie in the steps: learning rate, optimizer, clipping, exploding gradients, too few steps."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch.optim.lr_scheduler import CyclicLR, OneCycleLR

from aetui.diagnosis.change import Change
from aetui.diagnosis.dossier import OUTLIER, STEADY, STILL, Dossier, Probe, Suspect, evidence, figure, graded
from aetui.report import Evidence, Remedy
from aetui.training.optimizers import OPTIMIZERS

USUAL: dict[str, tuple[float, float, float]] = {
    **{section.__name__.lower(): kind.usual for section, kind in OPTIMIZERS.items()},
    "lion": (3e-5, 1e-4, 1e-3),
    "lbfgs": (0.1, 1.0, 1.0),
}
"""Low end, usual value and high end of learning rates, by optimizer."""
_GRADIENT_SIZED = ("sgd",)
"""Optimizers whose step grows with the gradient, so that the update tells more than the rate."""
CLIP = Remedy(
    id="clip", text="Clip gradients by their joint norm at 1.", set={"clip.kind": "global", "clip.threshold": 1.0}
)
BELOW, USUAL_RATE = ((200.0, 0.92), (30.0, 0.8), (8.0, 0.55), (2.5, 0.2)), 0.08
"""Suspicion by how many times the rate is below the usual one of its optimizer (above); a decade either way still
trains (Goodfellow et al. 2016, 11.4.1); calibrated."""
CUT, UNCUT = ((30.0, 0.85), (5.0, 0.6), (1.5, 0.3)), 0.05
"""Suspicion by the median gradient norm over the clipping threshold (above): thresholds of half to ten times the usual
norm train alike (Pascanu et al. 2013, 3.2); calibrated."""
PLAIN = 0.03
"""Learning rate from which plain gradient descent is not slow for its rate."""
UPDATES = (1e-4, 3e-2)
"""Norm of an update over the norm of the parameter: about 1e-3 is healthy (Karpathy's rule; Cockpit tracks it too)."""
SMALL_UPDATES, FAIR_UPDATES = ((1e-5, 0.8), (UPDATES[0], 0.6), (5e-4, 0.35)), 0.12
"""Suspicion of too low a rate by the update ratio of plain gradient descent (below); calibrated."""
UPDATES_UNKNOWN = 0.15
"""Suspicion where that was not measured."""
SMALL_RATE, SMALL_RATE_DOUBT = 1e-3, 0.45
"""Rate of plain gradient descent up to which it is suspect whatever its updates, and the suspicion; calibrated."""
ON_A_PLATEAU = 0.3
"""Suspicion at most of rates from PLAIN on; calibrated."""
LARGE_STEP_RATE, TINY_RATE = 0.3, 1e-4
"""Rates of plain gradient descent from which a hundredfold one is not tried, and up to which a tenfold one is not."""
LEAST_FACTOR, MOST_FACTOR = 3.0, 1e5
"""By what a probe multiplies too low a rate at least and at most."""
NO_RATE = 0.95
"""Suspicion of a rate of zero: nothing moves."""
BROKEN_LOW = 0.1
"""Factor for too low a rate where the loss was not finite."""
FIRST_UPDATES, FAIR_FIRST = ((30.0, 0.85), (0.3, 0.6), (UPDATES[1], 0.3)), 0.1
"""Suspicion of too high a rate by the first update ratio of plain gradient descent (above); calibrated."""
FAR_OVER, FAR_OVER_DOUBT = 10.0, 0.75
"""How many times the rate of plain gradient descent exceeds its high end where it is suspect (above), and the
suspicion; calibrated."""
OVER, NOT_OVER = ((10.0, 0.9), (4.0, 0.75), (1.5, 0.5), (0.9, 0.2)), 0.06
"""Suspicion by how many times a rate exceeds the high end of its optimizer (from); calibrated."""
BROKE, LATE_UPDATES, GREW_DOUBT = 0.45, 0.3, 0.5
"""Suspicion at least of too high a rate where the loss was not finite, where late updates exceed UPDATES, and where the
loss grew; calibrated."""
GREW, LATE = 3.0, 20
"""How many times the first loss the median of the last ones is where it grew, and how many those are; calibrated."""
FAST_MOMENTUM, HIGH_MOMENTUM = 0.99, 0.65
"""Momentum above which a step is of more than 100 gradients, 1 / (1 - momentum), and the suspicion; calibrated."""
LOW_MOMENTUM, LITTLE_MOMENTUM, LITTLE_MOMENTUM_SLOW = 0.5, 0.45, 0.3
"""Momentum below which gradient descent counts as plain, and the suspicion at rates from PLAIN on and below;
calibrated."""
OPTIMIZER_AT_ALL, MOMENTUM_AT_ALL, SLOW_KINDS = 0.05, 0.06, 0.3
"""Suspicion of an optimizer without a sign, of gradient descent with momentum or at far too high a rate, and of kinds
that are slow at their usual settings; calibrated."""
FAR_TOO_HIGH = 10
"""How many times its high end a rate exceeds where it, and no lack of momentum, is the fault; calibrated."""
SLOWEST_BETA1, LEAST_BETA2, MOST_BETA2 = 0.97, 0.5, 0.99999
"""First beta at most, second at least and at most, where 0.9 and 0.999 are usual (Kingma & Ba 2015); calibrated."""
ODD_BETAS = 0.45
"""Suspicion of betas beyond; calibrated."""
EPS = ((1e-2, 0.5), (1e-3, 0.3))
"""Suspicion by eps (from), none below, which is 1e-8 by default (Kingma & Ba 2015); calibrated."""
LEAST_OPTIMIZER = 0.2
"""Suspicion below which one of Adam's kin is none."""
EVEN_CUT = 0.6
"""Factor for clipping under an optimizer that scales its steps itself: dividing all gradients by the same number
changes nothing for Adam but where they sink below eps."""
LOOSER, TIGHT, PROBED_CLIP = 5, 5.0, 0.2
"""Times the usual norm that a remedy clips at; norm over threshold above which a probe clips at the last of these
shares of the norm too."""
BURST, LARGE_BURST, LARGE_BURST_DOUBT = 30.0, 100.0, 0.5
"""Largest late norm over the median from which gradients burst, above which that alone is suspect, and the suspicion;
calibrated."""
PEAK, RECURRENT_PEAK, HUGE_PEAK = 1e3, 100.0, 1e4
"""Largest gradient norm from which it counts at all, above which it does in a recurrent model, and above which it does
alone at a usual rate; calibrated."""
PEAK_DOUBT, EXPLODES_AT_ALL, OUTLIER_DOUBT, RECURRENT_DOUBT = 0.5, 0.2, 0.65, 0.65
"""Suspicion of a huge norm, of any that counts, of one with an OUTLIER in the data, and of one in a recurrent model,
where gradients are products over the sequence (Pascanu et al. 2013, section 2); calibrated."""
STARTING = 10
"""The first of so many parts of the steps are left out of late norms."""
FEW = 150
"""Steps up to which a training is short whatever its loss; calibrated."""
STANDS = 0.003
"""Fall of the loss over the last quarter below which a longer training is not too short; calibrated."""
FALLS, LONG_DOUBT = ((0.02, 0.55), (0.005, 0.4)), 0.08
"""Suspicion of too few steps by the fall of the loss over the last quarter (above); calibrated."""
SHORT, SHORT_DOUBT = 300, 0.25
"""Steps below which a training is rather short, and the suspicion where its loss hardly falls; calibrated."""
HARDLY_STARTED, FEW_DOUBT, HARDLY_STARTED_DOUBT = 50, 0.5, 0.7
"""Steps up to which a training hardly began; the suspicion up to FEW and up to here; calibrated."""
LOW_RATE_SHORT = 0.5
"""Factor for too few steps where the rate is below the usual ones; calibrated."""
LONGER = 10
"""How many times longer a remedy trains."""


def suspects(dossier: Dossier) -> Iterator[Suspect]:
    for family in (_low, _high, _optimizer, _clipping, _exploding, _few):
        found = family(dossier)
        if found is not None:
            yield found


def usual(d: Dossier) -> tuple[float, float, float]:
    return USUAL.get(d.subject.optimizer, (1e-4, 1e-3, 1e-2))


def _rate_evidence(d: Dossier) -> list[Evidence]:
    low, _, high = usual(d)
    lr = d.facts.lr
    over = " on average over its schedule" if d.subject.follow and d.facts.rates and d.facts.rates.passing else ""
    found = [evidence("learning rate", lr, f"{low:g} to {high:g} for {d.subject.optimizer}",
                      f"the learning rate is {figure(lr)}{over}", "optimizer")]  # fmt: skip
    update = d.update
    if update is not None and math.isfinite(update):
        found.append(
            evidence("update ratio", update, "about 0.001", f"an update is {figure(update)} of the weights' size")
        )
    return found


def _low(d: Dossier) -> Suspect | None:
    _, typical, _ = usual(d)
    lr = d.facts.lr
    factors = [10.0, 100.0]
    update = d.update
    if d.subject.optimizer in _GRADIENT_SIZED:
        suspicion = UPDATES_UNKNOWN
        if update is not None:
            suspicion = next((doubt for most, doubt in SMALL_UPDATES if update < most), FAIR_UPDATES)
        if lr <= SMALL_RATE:
            suspicion = max(suspicion, SMALL_RATE_DOUBT)
        if lr >= PLAIN:
            # On a plateau the updates are small at any rate; then it is the optimizer that does not get off it.
            suspicion = min(suspicion, ON_A_PLATEAU)
        factors = [10.0, 100.0] if lr < LARGE_STEP_RATE else [10.0]
        if lr <= TINY_RATE:
            factors = [100.0, 1000.0]
    else:
        gap = typical / lr if lr else math.inf
        suspicion = graded(gap, BELOW, USUAL_RATE)
        factors = [min(max(gap, LEAST_FACTOR), MOST_FACTOR)] if lr else []
    if d.broken is not None or _grown(d) is not None:
        suspicion *= BROKEN_LOW
    if not factors:
        return Suspect("lr-too-low", NO_RATE, tuple(_rate_evidence(d)), (_rate_remedy(d, typical),), certain=True)
    return Suspect("lr-too-low", suspicion, tuple(_rate_evidence(d)), *_rates_tried(d, factors))


def _rates_tried(d: Dossier, factors: list[float]) -> tuple[tuple[Remedy, ...], tuple[Probe, ...]]:
    """A remedy for each factor of the rate, and the probe that tries it."""
    rates = [d.facts.lr * factor for factor in factors]
    remedies = tuple(_rate_remedy(d, rate) for rate in rates)
    tried = zip(rates, factors, remedies, strict=True)
    probes = (Probe(f"learning rate {figure(rate)}", Change(lr=factor), remedy.id) for rate, factor, remedy in tried)
    return remedies, tuple(probes)


def _rate_remedy(d: Dossier, lr: float) -> Remedy:
    kind, rates = getattr(d.subject.follow, "kind", None), d.facts.rates
    if kind in (CyclicLR, OneCycleLR) and rates is not None and d.facts.lr:
        # These write the rate from a number of their own, whatever the optimizer's is.
        peak = float(f"{rates.peak * lr / d.facts.lr:.2g}")
        text = f"Set max_lr of {kind.__name__} to {peak:g}: it takes the place of the optimizer's rate."
        return Remedy(id=f"max-lr-{peak:g}", text=text, python=f"max_lr={peak:g}")
    lr = float(f"{lr:.2g}")
    return Remedy(id=f"lr-{lr:g}", text=f"Set the learning rate to {lr:g}.", set={"optim.lr": lr})


def _high(d: Dossier) -> Suspect | None:
    _, typical, high = usual(d)
    lr, update = d.facts.lr, d.update
    over = lr / high
    facts = _rate_evidence(d)
    if d.subject.optimizer in _GRADIENT_SIZED:
        first = d.facts.update
        suspicion = FAIR_FIRST if first is None else graded(first, FIRST_UPDATES, FAIR_FIRST)
        factors = [0.1, 0.01] if over <= FAR_OVER else [min(0.1, typical / lr), 0.1 * typical / lr]
        if over > FAR_OVER:
            suspicion = max(suspicion, FAR_OVER_DOUBT)
    else:
        suspicion = next((doubt for times, doubt in OVER if over >= times), NOT_OVER)
        factors = [min(0.1, typical / lr)] if suspicion > NOT_OVER else [0.1]
    if d.broken is not None:
        facts.append(
            evidence(
                "first step that was not finite", d.broken, "none", f"the loss was not finite at step {d.broken:,}"
            )
        )
        suspicion = max(suspicion, BROKE)
    elif update is not None and d.started and update > UPDATES[1]:
        suspicion = max(suspicion, LATE_UPDATES)
    grown = _grown(d)
    if grown is not None:
        suspicion = max(suspicion, GREW_DOUBT)
        facts.append(evidence("loss against step 1", grown, "below 1", "the loss is higher than at the start"))
    return Suspect("lr-too-high", suspicion, tuple(facts), *_rates_tried(d, factors))


def _grown(d: Dossier) -> float | None:
    """How many times the first loss the last ones are, where they have grown; None where they have not."""
    if not (d.started and d.losses[0] and math.isfinite(d.losses[-1])):
        return None
    times = float(np.median(d.losses[-LATE:])) / abs(d.losses[0])
    return times if times > GREW else None


def _optimizer(d: Dossier) -> Suspect | None:
    name = d.subject.optimizer
    momentum = float(d.facts.options.get("momentum") or 0.0)
    facts: list[Evidence] = [
        evidence(
            "optimizer",
            name,
            "adam, or sgd with momentum",
            f"the optimizer is {name} with learning rate {figure(d.facts.lr)}",
            "optimizer",
        )
    ]
    suspicion = OPTIMIZER_AT_ALL
    if name == "sgd":
        suspicion = HIGH_MOMENTUM if momentum > FAST_MOMENTUM else MOMENTUM_AT_ALL
        if momentum < LOW_MOMENTUM:
            suspicion = LITTLE_MOMENTUM if d.facts.lr >= PLAIN else LITTLE_MOMENTUM_SLOW
        if d.facts.lr > FAR_TOO_HIGH * usual(d)[2]:
            suspicion = MOMENTUM_AT_ALL
        facts.append(evidence("momentum", f"{momentum:g}", "0.9", f"the momentum is {momentum:g}", "optimizer"))
    elif name in ("adadelta", "adagrad", "rprop", "asgd"):
        suspicion = SLOW_KINDS
    betas = d.facts.options.get("betas")
    if (
        isinstance(betas, tuple)
        and len(betas) == 2
        and (betas[0] > SLOWEST_BETA1 or betas[1] < LEAST_BETA2 or betas[1] > MOST_BETA2)
    ):
        suspicion = ODD_BETAS
        facts.append(
            evidence(
                "betas", f"{betas[0]:g}, {betas[1]:g}", "0.9, 0.999", f"the betas are {betas[0]:g} and {betas[1]:g}"
            )
        )
    eps = d.facts.options.get("eps")
    if isinstance(eps, float) and name.startswith(("adam", "nadam", "radam", "rms")) and eps >= EPS[-1][0]:
        suspicion = max(suspicion, next(doubt for least, doubt in EPS if eps >= least))
        facts.append(evidence("eps", eps, "1e-8", f"eps is {figure(eps)}: it damps every step", "optimizer"))
    remedies = (
        Remedy(id="adam", text="Use Adam with learning rate 1e-3.", set={"optim.kind": "adam", "optim.lr": 1e-3}),
    )
    probes = [Probe("Adam with learning rate 1e-3", Change(adam=1e-3), "adam")]
    if name.startswith(("adam", "nadam", "radam")):
        # 1e-8 is 0 in half precision.
        eps_ = 1e-4 if d.subject.inputs.dtype == torch.float16 else 1e-8
        probes = [Probe("Adam's usual betas and eps", Change(adam=d.facts.lr))]
        remedies = (
            Remedy(
                id="defaults", text=f"Use betas 0.9 and 0.999, and eps {eps_:g}.",
                set={"optim.beta1": 0.9, "optim.beta2": 0.999, "optim.eps": eps_},
            ),
        )  # fmt: skip
    if name == "sgd" and momentum > FAST_MOMENTUM:
        probes.insert(0, Probe("momentum 0.9", Change(momentum=0.9), "momentum"))
        momentum_ = Remedy(id="momentum", text="Use momentum 0.9.", set={"optim.momentum": 0.9})
        remedies = (momentum_, *remedies)
    if name.startswith("adam") and suspicion < LEAST_OPTIMIZER:
        return None
    return Suspect("optimizer", suspicion, tuple(facts), remedies, tuple(probes))


def _clipping(d: Dossier) -> Suspect | None:
    clip = d.subject.clip
    threshold = getattr(clip, "threshold", None)
    if threshold is None:
        return None
    share = sum(d.clipped) / len(d.clipped) if d.clipped else None
    norms = [norm for norm in d.norms if math.isfinite(norm)] or list(d.facts.gradients.norms.values())
    norm = float(np.median(norms)) if norms else 0.0
    text = f"gradients are clipped at {figure(threshold)}; their norm is {figure(norm)}"
    normal = f"near the usual norm, {figure(norm)}"
    facts = [evidence("clipping threshold", float(threshold), normal, text, "optimizer")]
    if share is not None:
        facts.append(evidence("clipped share", share, "below 0.5", f"{share:.0%} of the steps were clipped"))
    ratio = norm / threshold if threshold else math.inf
    suspicion = graded(ratio, CUT, UNCUT)
    adaptive = d.subject.optimizer not in (*_GRADIENT_SIZED, "asgd")
    if adaptive:
        suspicion *= EVEN_CUT
    looser = float(f"{LOOSER * norm:.2g}")
    remedy = Remedy(
        id="looser", text="Clip at several times the usual norm, or not at all.",
        set={"clip.threshold": looser} if looser > threshold else {"clip.kind": "none"},
    )  # fmt: skip
    probes = [Probe("no clipping", Change(clip=0.0))]
    if ratio > TIGHT and not math.isinf(ratio):
        probes.append(Probe(f"clipping at {figure(PROBED_CLIP * norm)}", Change(clip=PROBED_CLIP * norm)))
    return Suspect("clipping-too-tight", suspicion, tuple(facts), (remedy,), tuple(probes))


def _exploding(d: Dossier) -> Suspect | None:
    norms = np.asarray([norm for norm in d.norms if math.isfinite(norm)], dtype=np.float64)
    if not len(norms):
        return _at_once(d)
    median = float(np.median(norms))
    peak = float(norms.max())
    late = norms[len(norms) // STARTING :]
    burst = float(late.max()) / median if len(late) and median else 0.0
    outliers = d.facts.data.outliers
    if d.broken is None and burst < BURST and peak < PEAK and outliers < OUTLIER:
        return None
    facts = [evidence("largest gradient norm", peak, f"near the median, {figure(median)}",
                      f"the largest gradient norm is {figure(peak)}, the median {figure(median)}")]  # fmt: skip
    suspicion = EXPLODES_AT_ALL
    if outliers >= OUTLIER:
        suspicion = OUTLIER_DOUBT
        text = f"the largest row lies {figure(outliers)} times as far from the middle as the median row"
        facts.append(evidence("largest row against the median one", outliers, "below 5", text, "data"))
    if burst > LARGE_BURST:
        suspicion = max(suspicion, LARGE_BURST_DOUBT)
    if d.facts.recurrent and (burst > BURST or d.broken is not None or peak > RECURRENT_PEAK):
        suspicion = max(suspicion, RECURRENT_DOUBT)
    if peak > HUGE_PEAK and d.facts.lr <= usual(d)[2]:
        suspicion = max(suspicion, PEAK_DOUBT)
    probe = Probe("clipping at 1", Change(clip=1.0))
    return Suspect("exploding-gradients", suspicion, tuple(facts), _clipped(d), (probe,))


def _clipped(d: Dossier) -> tuple[Remedy, ...]:
    """Clipping, where gradients are not clipped as tightly already."""
    return () if getattr(d.subject.clip, "threshold", math.inf) <= CLIP.set["clip.threshold"] else (CLIP,)


def _at_once(d: Dossier) -> Suspect | None:
    """The first loss of a recurrent model was not finite: its state grows from step to step of the sequence."""
    if d.broken is None or not d.facts.recurrent or d.facts.data.bad:
        return None
    text = f"the first outputs are already {figure(math.sqrt(1 + d.facts.fit.spread))} times as large as the data"
    facts = (evidence("outputs at step 0 against the data", math.sqrt(1 + d.facts.fit.spread), "below 2", text),)
    orthogonal = Remedy(id="orthogonal", text="Use tanh or a gated cell, or orthogonal recurrent weights.")
    return Suspect("exploding-gradients", RECURRENT_DOUBT, facts, (*_clipped(d), orthogonal))


def _few(d: Dossier) -> Suspect | None:
    if not d.started or d.broken is not None or d.goal is None:
        return None
    falling = d.trend
    if d.steps < d.goal or (falling < STANDS and d.steps > FEW):
        return None
    low, _, _ = usual(d)
    facts = [evidence("steps", d.steps, "until the loss no longer falls", f"the training had {d.steps:,} steps")]
    if falling > STEADY:
        text = f"in its last quarter the loss still fell by {falling:.1%}"
        facts.append(evidence("fall of the loss over the last quarter", falling, "below 0.01", text))
    elif d.gain > STILL:
        text = f"over the last half of its steps the explained variance still rose by {figure(d.gain)}"
        facts.append(evidence("rise of explained variance over the last half", d.gain, "below 0.01", text))
    suspicion = graded(falling, FALLS, SHORT_DOUBT if d.steps < SHORT else LONG_DOUBT)
    if d.steps <= FEW:
        suspicion = max(suspicion, FEW_DOUBT if d.steps > HARDLY_STARTED else HARDLY_STARTED_DOUBT)
    if d.facts.lr < low and d.subject.optimizer not in _GRADIENT_SIZED:
        suspicion *= LOW_RATE_SHORT
    longer = int(float(f"{LONGER * d.steps:.1g}"))
    remedy = Remedy(id="longer", text=f"Train longer, {longer:,} steps for example.", set={"train.steps": longer})
    return Suspect("under-trained", suspicion, tuple(facts), (remedy,))
