"""Causes that lie in the steps: learning rate, optimizer, clipping, exploding gradients, too few steps."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch

from aetui.diagnosis.change import Change
from aetui.diagnosis.dossier import STEADY, STILL, Dossier, Probe, Suspect, evidence, figure, graded
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
OUTLIER = 15.0
"""Distance of the largest row from the middle, in those of the median row, from which single rows rule the gradient."""
UPDATES = (1e-4, 3e-2)
"""Norm of an update over the norm of the parameter: about 1e-3 is healthy (Karpathy's rule; Cockpit tracks it too)."""


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
        suspicion = 0.15
        if update is not None:
            suspicion = 0.8 if update < 1e-5 else 0.6 if update < 1e-4 else 0.35 if update < 5e-4 else 0.12
        if lr <= 1e-3:
            suspicion = max(suspicion, 0.45)
        if lr >= PLAIN:
            # On a plateau the updates are small at any rate; then it is the optimizer that does not get off it.
            suspicion = min(suspicion, 0.3)
        factors = [10.0, 100.0] if lr < 0.3 else [10.0]
        if lr <= 1e-4:
            factors = [100.0, 1000.0]
    else:
        gap = typical / lr if lr else math.inf
        suspicion = graded(gap, BELOW, USUAL_RATE)
        factors = [min(max(gap, 3.0), 1e5)] if lr else []
    if d.broken is not None:
        suspicion *= 0.1
    if not factors:
        return Suspect("lr-too-low", 0.95, tuple(_rate_evidence(d)), (_rate_remedy(typical),), certain=True)
    probes = tuple(Probe(f"learning rate {figure(lr * factor)}", Change(lr=factor)) for factor in factors)
    remedy = _rate_remedy(lr * factors[0])
    return Suspect("lr-too-low", suspicion, tuple(_rate_evidence(d)), (remedy,), probes)


def _rate_remedy(lr: float) -> Remedy:
    lr = float(f"{lr:.2g}")
    return Remedy(id=f"lr-{lr:g}", text=f"Set the learning rate to {lr:g}.", set={"optim.lr": lr})


def _high(d: Dossier) -> Suspect | None:
    _, typical, high = usual(d)
    lr, update = d.facts.lr, d.update
    over = lr / high
    facts = _rate_evidence(d)
    if d.subject.optimizer in _GRADIENT_SIZED:
        suspicion = 0.1
        first = d.facts.update
        if first is not None and first > UPDATES[1]:
            suspicion = 0.6 if first > 0.3 else 0.3
            if first > 30:
                suspicion = 0.85
        factors = [0.1, 0.01] if over <= 10 else [min(0.1, typical / lr), 0.1 * typical / lr]
        if over > 10:
            suspicion = max(suspicion, 0.75)
    else:
        suspicion = 0.9 if over >= 10 else 0.75 if over >= 4 else 0.5 if over >= 1.5 else 0.2 if over >= 0.9 else 0.06
        factors = [min(0.1, typical / lr)] if over >= 0.9 else [0.1]
    if d.broken is not None:
        facts.append(
            evidence(
                "first step that was not finite", d.broken, "none", f"the loss was not finite at step {d.broken:,}"
            )
        )
        suspicion = max(suspicion, 0.45)
    elif update is not None and d.started and update > UPDATES[1]:
        suspicion = max(suspicion, 0.3)
    if (
        d.started
        and d.losses[0]
        and math.isfinite(d.losses[-1])
        and float(np.median(d.losses[-20:])) > 3 * abs(d.losses[0])
    ):
        suspicion = max(suspicion, 0.5)
        facts.append(evidence("loss against step 1", float(np.median(d.losses[-20:])) / abs(d.losses[0]), "below 1",
                              "the loss is higher than at the start"))  # fmt: skip
    probes = tuple(Probe(f"learning rate {figure(lr * factor)}", Change(lr=factor)) for factor in factors)
    return Suspect("lr-too-high", suspicion, tuple(facts), (_rate_remedy(lr * factors[0]),), probes)


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
    suspicion = 0.05
    if name == "sgd":
        suspicion = 0.65 if momentum > 0.99 else 0.06
        if momentum < 0.5:
            suspicion = 0.45 if d.facts.lr >= PLAIN else 0.3
        if d.facts.lr > 10 * usual(d)[2]:
            suspicion = 0.06
        facts.append(evidence("momentum", momentum, "0.9", f"the momentum is {figure(momentum)}", "optimizer"))
    elif name in ("adadelta", "adagrad", "rprop", "asgd"):
        suspicion = 0.3
    betas = d.facts.options.get("betas")
    if isinstance(betas, tuple) and len(betas) == 2 and (betas[0] > 0.97 or betas[1] < 0.5 or betas[1] > 0.99999):
        suspicion = 0.45
        facts.append(
            evidence(
                "betas", f"{betas[0]:g}, {betas[1]:g}", "0.9, 0.999", f"the betas are {betas[0]:g} and {betas[1]:g}"
            )
        )
    eps = d.facts.options.get("eps")
    if isinstance(eps, float) and name.startswith(("adam", "nadam", "radam", "rms")) and eps >= 1e-3:
        suspicion = max(suspicion, 0.5 if eps >= 1e-2 else 0.3)
        facts.append(evidence("eps", eps, "1e-8", f"eps is {figure(eps)}: it damps every step", "optimizer"))
    remedies = (
        Remedy(id="adam", text="Use Adam with learning rate 1e-3.", set={"optim.kind": "adam", "optim.lr": 1e-3}),
    )
    probes = [Probe("Adam with learning rate 1e-3", Change(adam=1e-3))]
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
    if name == "sgd" and momentum > 0.99:
        probes.insert(0, Probe("momentum 0.9", Change(momentum=0.9)))
    if name.startswith("adam") and suspicion < 0.2:
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
        # Dividing all gradients by the same number changes nothing for Adam but where they sink below eps.
        suspicion *= 0.6
    looser = float(f"{5 * norm:.2g}")
    remedy = Remedy(
        id="looser", text="Clip at several times the usual norm, or not at all.",
        set={"clip.threshold": looser} if looser > threshold else {"clip.kind": "none"},
    )  # fmt: skip
    probes = [Probe("no clipping", Change(clip=0.0))]
    if ratio > 5 and not math.isinf(ratio):
        probes.append(Probe(f"clipping at {figure(0.2 * norm)}", Change(clip=0.2 * norm)))
    return Suspect("clipping-too-tight", suspicion, tuple(facts), (remedy,), tuple(probes))


def _exploding(d: Dossier) -> Suspect | None:
    norms = np.asarray([norm for norm in d.norms if math.isfinite(norm)], dtype=np.float64)
    if not len(norms):
        return _at_once(d)
    median = float(np.median(norms))
    peak = float(norms.max())
    late = norms[len(norms) // 10 :]
    burst = float(late.max()) / median if len(late) and median else 0.0
    outliers = d.facts.data.outliers
    if d.broken is None and burst < 30 and peak < 1e3 and outliers < OUTLIER:
        return None
    facts = [evidence("largest gradient norm", peak, f"near the median, {figure(median)}",
                      f"the largest gradient norm is {figure(peak)}, the median {figure(median)}")]  # fmt: skip
    suspicion = 0.2
    if outliers >= OUTLIER:
        suspicion = 0.65
        text = f"the largest row lies {figure(outliers)} times as far from the middle as the median row"
        facts.append(evidence("largest row against the median one", outliers, "below 5", text, "data"))
    if burst > 100:
        suspicion = max(suspicion, 0.5)
    if d.facts.recurrent and (burst > 30 or d.broken is not None or peak > 100):
        suspicion = max(suspicion, 0.65)
    if peak > 1e4 and d.facts.lr <= usual(d)[2]:
        suspicion = max(suspicion, 0.5)
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
    return Suspect("exploding-gradients", 0.65, facts, (*_clipped(d), orthogonal))


def _few(d: Dossier) -> Suspect | None:
    if not d.started or d.broken is not None or d.goal is None:
        return None
    falling = d.trend
    if d.steps < d.goal or (falling < 0.003 and d.steps > 150):
        return None
    low, _, _ = usual(d)
    facts = [evidence("steps", d.steps, "until the loss no longer falls", f"the training had {d.steps:,} steps")]
    if falling > STEADY:
        text = f"in its last quarter the loss still fell by {falling:.1%}"
        facts.append(evidence("fall of the loss over the last quarter", falling, "below 0.01", text))
    elif d.gain > STILL:
        text = f"over the last half of its steps the explained variance still rose by {figure(d.gain)}"
        facts.append(evidence("rise of explained variance over the last half", d.gain, "below 0.01", text))
    suspicion = 0.55 if falling > 0.02 else 0.4 if falling > 0.005 else 0.25 if d.steps < 300 else 0.08
    if d.steps <= 150:
        suspicion = max(suspicion, 0.5 if d.steps > 50 else 0.7)
    if d.facts.lr < low and d.subject.optimizer not in _GRADIENT_SIZED:
        suspicion *= 0.5
    longer = int(float(f"{10 * d.steps:.1g}"))
    remedy = Remedy(id="longer", text=f"Train longer, {longer:,} steps for example.", set={"train.steps": longer})
    return Suspect("under-trained", suspicion, tuple(facts), (remedy,))
