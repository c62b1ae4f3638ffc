"""Causes that are added to the reconstruction: KL, other penalties, noise."""

from __future__ import annotations

from collections.abc import Iterator

from aetui.diagnosis.causes.network import OTHER_PATH
from aetui.diagnosis.change import Change
from aetui.diagnosis.dossier import ORDINARY_BETA, Dossier, Probe, Suspect, evidence, figure, graded
from aetui.diagnosis.subject import KL
from aetui.report import Evidence, Remedy

MODEST_BETA = 0.1
"""Weight of the KL that a remedy aims at: code units that explain little stay in use (the bound of a linear VAE)."""
MILD_KL = 0.9
"""Share of what PCA explains from which, where a linear VAE keeps it, the weight of the KL is no cause."""
WARM_UP = 1000
"""Steps over which a remedy lets the KL's weight grow."""
KEPT, NO_DOUBT = ((0.3, 0.92), (0.6, 0.75), (0.8, 0.4)), 0.08
"""Suspicion by the share of what PCA explains that a linear VAE keeps (below), and where it keeps more; calibrated."""
ORDINARY_COST = 0.45
"""Suspicion at most where an ordinary weight of the KL keeps more than the least of these shares: that is what a VAE
costs; calibrated."""
PULLS, FAINT_PULL = ((3.0, 0.75), (1.0, 0.55), (0.2, 0.35)), 0.2
"""Suspicion by the KL's gradient over that of the reconstruction (above), where its weight is not known; calibrated."""
DROPPED, FAINT_NOISE = ((0.7, 0.7), (0.45, 0.4)), 0.1
"""Suspicion by the share of units dropped (from); half is the usual choice for hidden layers (Srivastava et al. 2014,
7.3), and above it the expected error rises there; calibrated."""
NOISY, SOME_NOISE = ((2.0, 0.85), (1.0, 0.6)), 0.35
"""Suspicion by the noise of the outputs in standard deviations of the data (above): at one of them half of the variance
that a linear denoiser sees is noise (Vincent et al. 2010, section 4); calibrated."""
LITTLE_LESS, LESS = 10.0, 100.0
"""How many times less a remedy weighs the KL at least, and where its weight is not known."""
NO_UNIT = 0.8
"""Suspicion at least where no code unit is active; calibrated."""
MANY_ACTIVE, MANY_UNITS = 0.5, 0.15
"""Share of active units from which a KL of unknown weight is hardly to blame, and the suspicion at most; calibrated."""
OUTWEIGHS, TELLS = 1.0, 0.1
"""A penalty's gradient over that of the reconstruction above which it outweighs it, and above which it tells;
calibrated."""
OUTWEIGHING, TELLING, FAINT_PENALTY = 0.8, 0.55, 0.3
"""Suspicion of such penalties, and of those that pull less; calibrated."""
WEAKER = 10
"""How many times less a remedy weighs a penalty."""
STRONG_DECAY = 0.01
"""Weight decay from which it counts as strong where the optimizer adds it to the gradient; calibrated."""
DECAYS, FAINT_DECAY = ((10.0, 0.85), (1.0, 0.6), (0.1, 0.2)), 0.04
"""Suspicion by the weight decay over a strong one (from); calibrated."""
DECOUPLED_DECAYS, FAINT_DECOUPLED = ((10.0, 0.85), (1.0, 0.5)), 0.05
"""Suspicion by a decoupled weight decay (from), which shrinks weights by lr x decay a step, whatever the gradient
(Loshchilov & Hutter 2019); calibrated."""
BLINDED = 0.93
"""Suspicion where noise or a mask is drawn and outputs do not depend on their inputs at all: it was seen."""
_DECAY = {"adamw": 0.1}
"""Weight decay from which it counts as strong where that is not STRONG_DECAY; calibrated."""


def suspects(dossier: Dossier) -> Iterator[Suspect]:
    for family in (_posterior, _penalty, _noise):
        found = family(dossier)
        if found is not None:
            yield found


def kl_terms(d: Dossier) -> tuple[str, ...]:
    """The terms of the loss that hold the KL; without a name of their own, every penalty of a model that samples."""
    if KL in d.facts.terms:
        return (KL,)
    return tuple(d.subject.penalties) if d.facts.variational else ()


def _posterior(d: Dossier) -> Suspect | None:
    f, terms = d.facts, kl_terms(d)
    if not terms:
        return None
    facts: list[Evidence] = []
    linear, kept = f.linear.explained, None
    if f.beta is not None and d.kl_limit is not None and linear:
        kept = min(1.0, d.kl_limit / linear)
        text = (
            f"the KL weighs {figure(f.beta)} times as much as in a plain VAE: a linear VAE would keep "
            f"{max(0.0, kept):.0%} of what PCA explains"
        )
        if kept >= MILD_KL:
            text += ", so that its weight is not what holds the model back"
        facts.append(evidence("weight of the KL (beta)", f.beta, "up to about 1", text, "loss"))
        suspicion = next((doubt for least, doubt in KEPT if kept < least), NO_DOUBT)
        if f.beta <= ORDINARY_BETA and kept >= KEPT[0][0]:
            suspicion = min(suspicion, ORDINARY_COST)
    else:
        pull = sum(f.term_norms.get(name, 0.0) for name in terms)
        push = f.term_norms.get("reconstruction", 0.0)
        ratio = pull / push if push else 0.0
        text = f"at step 0 the KL pulls {figure(ratio)} times as hard as the reconstruction"
        facts.append(evidence("KL against reconstruction", ratio, "below 1", text, "loss"))
        suspicion = graded(ratio, PULLS, FAINT_PULL)
    if d.code_active is not None and d.started:
        active, width = d.code_active
        text = f"{active} of {width} code units vary with the input (variance of their mean above 0.01)"
        facts.append(evidence("active units", active, "most of them", text, "code"))
        if active == 0 and (kept is None or kept < MILD_KL):
            suspicion = max(suspicion, NO_UNIT)
        elif active >= MANY_ACTIVE * width and f.beta is None:
            suspicion = min(suspicion, MANY_UNITS)
    probes = (Probe("without the KL", Change(drop=terms)),)
    return Suspect("posterior-collapse", suspicion, tuple(facts), tuple(_balanced(d)), probes)


def _balanced(d: Dossier) -> Iterator[Remedy]:
    """Summing both terms alike, a smaller weight, and where the final weight is an ordinary one, a warm-up."""
    spec, beta = d.subject.spec, d.facts.beta
    less = LESS if beta is None else max(LITTLE_LESS, beta / MODEST_BETA)
    averaged = not d.subject.loss.summed if spec is None else spec.loss.reduction == "mean"
    if averaged and (beta is None or beta <= ORDINARY_BETA * max(1, d.facts.data.features)):
        text = "Sum the reconstruction over the features, as the KL is summed over the code."
        yield Remedy(id="balance", text=text, set={} if spec is None else {"loss.reduction": "sum"})
    weight = getattr(spec.model, "kl_weight", 0.0) if spec is not None else 0.0
    weaker = {"model.kl_weight": float(f"{weight / less:.1g}")} if weight else {}
    yield Remedy(id="weaker-kl", text=f"Weigh the KL {figure(less)} times less.", set=weaker)
    if (beta is None or beta <= ORDINARY_BETA) and not getattr(spec and spec.model, "kl_warmup", 0):
        grown = {} if spec is None else {"model.kl_warmup": WARM_UP}
        yield Remedy(id="warm-up", text="Let the KL's weight grow from 0 over the first steps.", set=grown)


def _penalty(d: Dossier) -> Suspect | None:
    f = d.facts
    facts: list[Evidence] = []
    remedies: list[Remedy] = []
    probes: list[Probe] = []
    suspicion = 0.0
    names = tuple(name for name in d.penalties if name not in kl_terms(d))
    if names:
        added = sum(f.terms.get(name, 0.0) for name in names)
        base = abs(f.terms.get("reconstruction", 0.0))
        pull = sum(f.term_norms.get(name, 0.0) for name in names)
        push = f.term_norms.get("reconstruction", 0.0)
        ratio = pull / push if push else 0.0
        text = f"at step 0 the penalty is {figure(added)} and pulls {figure(ratio)} times as hard as the reconstruction"
        facts.append(evidence("penalty against reconstruction", ratio, "below 0.1", text, "loss"))
        if d.started and d.parts:
            late = sum(d.parts.get(name, 0.0) for name in names)
            facts.append(evidence("penalty at the end", late, f"well below {figure(base)}",
                                  f"after {d.steps:,} steps the penalty is {figure(late)}", "loss"))  # fmt: skip
        outweighs = ratio > OUTWEIGHS or added > base
        suspicion = OUTWEIGHING if outweighs else TELLING if ratio > TELLS else FAINT_PENALTY
        remedies.append(Remedy(id="weaker", text="Weigh the penalty ten times less.", set=_weaker(d, names)))
        probes.append(Probe("without the penalty", Change(drop=names)))
    decay = float(f.options.get("weight_decay") or 0.0)
    strong = _DECAY.get(d.subject.optimizer, STRONG_DECAY)
    if decay > 0:
        facts.append(
            evidence("weight decay", decay, f"below {strong:g}", f"the weight decay is {figure(decay)}", "optimizer")
        )
        doubt = next((doubt for times, doubt in DECAYS if decay >= times * strong), FAINT_DECAY)
        if d.subject.optimizer == "adamw":
            doubt = next((doubt for least, doubt in DECOUPLED_DECAYS if decay >= least), FAINT_DECOUPLED)
        suspicion = max(suspicion, doubt)
        remedies.append(Remedy(id="no-decay", text="Turn the weight decay off.", set={"optim.weight_decay": 0.0}))
        probes.append(Probe("without weight decay", Change(weight_decay=False)))
    if not probes:
        return None
    return Suspect("penalty-too-strong", suspicion, tuple(facts), tuple(remedies), tuple(probes))


def _weaker(d: Dossier, names: tuple[str, ...]) -> dict[str, float]:
    settings = {"l1_code": "loss.l1_code", "variance": "loss.variance_weight"}
    section = getattr(d.subject.objective, "section", None)
    found: dict[str, float] = {}
    for name in names:
        path = settings.get(name)
        if path and section is not None:
            found[path] = float(f"{getattr(section, path.split('.')[1]) / WEAKER:.3g}")
    return found


def _noise(d: Dossier) -> Suspect | None:
    f, noise = d.facts, d.facts.noise
    if not noise or (d.facts.variational and "dropout" not in noise):
        return None
    facts: list[Evidence] = []
    suspicion = 0.0
    if "dropout" in noise:
        share = noise["dropout"]
        facts.append(evidence("dropout", share, "up to 0.3", f"dropout of {share:.0%} of the units", "network"))
        suspicion = next((doubt for most, doubt in DROPPED if share >= most), FAINT_NOISE)
    if "noise" in noise:
        size = noise["noise"]
        text = f"passes over the same rows in train mode differ by {figure(size)} standard deviations of the data"
        facts.append(evidence("noise", size, "below 0.5", text, "network"))
        suspicion = max(suspicion, graded(size, NOISY, SOME_NOISE))
    blind = f.separation.tried and f.separation.own == 0 and not (f.gradients.apart or f.gradients.lost)
    if blind and "noise" in noise and (f.mode_gap or 0.0) <= OTHER_PATH:
        text = "a row's reconstruction is the same whatever its input: noise or a mask leaves nothing of it"
        facts.append(evidence("dependence on the own input", 0.0, "above 0", text, "network"))
        suspicion = BLINDED
    remedies = (
        Remedy(
            id="less-noise", text="Lower dropout or noise, or mask less.",
            set={} if d.subject.spec is None else {"model.dropout": 0.0, "model.noise": 0.0},
        ),
    )  # fmt: skip
    return Suspect(
        "noise-too-strong", suspicion, tuple(facts), remedies, (Probe("without noise", Change(silent=True)),),
        certain=suspicion == BLINDED,
    )  # fmt: skip
