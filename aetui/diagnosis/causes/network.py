"""Causes that lie in the network: units, initial weights, parameters that do not train, train and eval mode."""

from __future__ import annotations

from collections.abc import Iterator

from aetui.diagnosis.change import Change
from aetui.diagnosis.dossier import CONSTANT_OUTPUTS, DEAD_CODE, Dossier, Probe, Suspect, evidence, figure, graded
from aetui.diagnosis.facts import Weight
from aetui.diagnosis.modes import SQUASHING
from aetui.report import Evidence, Remedy

GAINS = (0.1, 4.0)
"""Root mean square weight times the root of the fan in: PyTorch's default has 0.58, Glorot's about 1, He's 1.41."""
UNTRAINED, HARDLY = ((0.97, 0.97), (0.2, 0.85), (0.04, 0.6)), 0.15
"""Suspicion by the share of the weights that do not train (above): biases alone are a few per cent; calibrated."""
BOOK_LEFT = 0.7
"""Suspicion where a codebook does not train: few of the weights, and all that the decoder gets; calibrated."""
ODD, HARDLY_ODD = ((8.0, 0.85), (3.0, 0.6), (1.5, 0.4)), 0.2
"""Suspicion by how far initial weights lie outside of GAINS, as a factor (above); calibrated."""
LONE_ODD = 0.8
"""Factor for a single odd layer among several; calibrated."""
TWINS, ZERO_LAST = 0.95, 0.1
"""Suspicion of layers whose units start out identical, and where that is a last layer of zeros, which learns to
differ at the first step."""
USUAL_INIT = 0.04
"""Suspicion of initial weights of a usual scale; calibrated."""
FADED = 1e-3
"""How much rows differ, in shares of an activation's size, below which the signal is lost on its way; calibrated."""
FADES, SILENCED = 0.3, 0.1
"""Suspicion of usual initial weights behind which the signal is lost, and where units that are flat or dead explain it;
calibrated."""
FADES_BESIDE, MOST_ODD = 0.1, 0.92
"""What a lost signal adds to the suspicion of odd initial weights, and up to where; calibrated."""
HALF_DEAD = 0.5
"""Share of a layer's units that is dead at step 0 from which that is a sign (50 %, Amazon SageMaker Debugger)."""
DEAD_AT_START, FEW_DEAD_AT_START = ((0.9, 0.85), (0.75, 0.5), (HALF_DEAD, 0.2)), 0.08
"""Suspicion by that share (from): behind a narrow code the biases decide at first, and half of a working layer may be
off; calibrated."""
DIED, DIED_SINCE = 0.3, 0.1
"""Share of dead units from which a layer died in the training, and by how much it has to exceed that at step 0;
calibrated."""
ALL_DEAD, MOST_DEAD = 0.9, 0.6
"""Share of dead units from which all of a layer counts as dead, and above which most of it does; calibrated."""
ALL_DIED, MOST_DIED, SOME_DIED = 0.5, 0.35, 0.2
"""Suspicion where all, most or fewer of the units died; calibrated."""
SINCE = 0.5
"""Share of the present dead units from which a snapshot had them already."""
RELU_CODE = 0.35
"""Suspicion of a ReLU on a code of few units; calibrated."""
SMALL_CODE = 2
"""Units up to which a layer counts as narrow whatever the width of the code."""
DEAD_OUTPUTS, RELU_OUTPUT = 0.15, 0.6
"""Share of dead outputs behind a ReLU, beyond constant features, that is a fault, and its suspicion; calibrated."""
OFFSET, SPREAD = 4.0, 20.0
"""Offset of the features and standard deviation of the data beyond which their scale may be why units die;
calibrated."""
UNSCALED_DIES, UNSCALED_SATURATES = 0.7, 0.5
"""Factors for dead and for saturated units where the data's scale may be why; calibrated."""
FLAT_SPREAD = 4.0
"""Standard deviation of the data beyond which their scale may be why units saturate; calibrated."""
FLAT, FLAT_LATER = 0.3, 0.5
"""Share of values in the flat part of an activation from which it is saturated, at step 0 and later (50 %, Amazon
SageMaker Debugger); calibrated."""
SATURATED, HALF_SATURATED = ((0.7, 0.8),), 0.5
"""Suspicion by the share at step 0 (from); calibrated."""
SATURATED_LATER, NOT_SATURATED = 0.4, 0.1
"""Suspicion where it saturated in the training, and where nothing is saturated; calibrated."""
LARGE_INIT_SATURATES = 0.6
"""Factor for saturated units where large initial weights may be why; calibrated."""
VANISHED, VANISHES = 0.03, 0.45
"""First layer's gradient over the last one's behind several sigmoids below which it vanishes, and the suspicion: the
slope of a sigmoid is a quarter at most (Glorot & Bengio 2010, section 3); calibrated."""
MODES_APART, MODES_WORK = 0.2, 0.3
"""Quality by which train mode exceeds eval mode, and that it has at least, where the modes are at fault; calibrated."""
MISMATCH = 0.93
"""Suspicion where they are: it is the difference itself that was measured."""
SEEN = 0.9
"""Suspicion of a fault that the verdict names: it is seen, and only what brought it about can be asked."""
OTHER_PATH = 0.02
"""Difference between the outputs of the two modes, without noise, in their standard deviations, that is a path of its
own in eval mode."""
REINIT = Remedy(
    id="reinit", set={"init.kind": "pytorch", "init.gain": 1.0},
    text="Start from the framework's default initial weights (He or Glorot for the activation in use).",
)  # fmt: skip


def suspects(dossier: Dossier) -> Iterator[Suspect]:
    for family in (_frozen, _symmetry, _init_scale, _dead, _saturated, _modes):
        found = family(dossier)
        if found is not None:
            yield found


def _frozen(d: Dossier) -> Suspect | None:
    g = d.facts.gradients
    if not (g.lost or g.unreachable):
        return None
    share = 1.0 if g.unreachable or not g.total else g.lost / g.total
    facts: list[Evidence] = [
        evidence(
            "weights that do not train", share, "0", f"{share:.0%} of the weights that the model uses do not train"
        )
    ]
    for names, what in (
        (g.none, "get no gradient: the graph is cut between them and the loss (detach, no_grad, .data, NumPy)"),
        (g.frozen, "have requires_grad set to False"),
        (g.outside, "are not in the optimizer"),
        (g.unmoved, "are in a group of the optimizer whose learning rate is 0"),
        (g.apart, _apart(d)),
    ):
        if names:
            facts.append(evidence("parameters", len(names), "0", f"{_listed(names)} {what}", _listed(names)))
    if g.unregistered:
        text = (
            f"{g.unregistered:,} weights are not registered with the model (modules in a plain list), "
            "nor in the optimizer"
        )
        facts.append(evidence("unregistered weights", g.unregistered, "0", text))
    rounded = bool(g.apart) and bool(d.facts.coarse)
    if rounded:
        text = f"a value without a gradient is made at {'; at '.join(d.facts.coarse[:3])}"
        facts.append(evidence("rounding and choices", len(d.facts.coarse), "0, or passed straight through", text))
    if (g.none or g.apart) and d.facts.cuts:
        text = f"the gradient is cut at {'; at '.join(d.facts.cuts[:3])}"
        facts.append(evidence("cuts of the graph", len(d.facts.cuts), "0", text))
    remedies = (
        Remedy(
            id="train-all",
            line=d.facts.cuts[0] if (g.none or g.apart) and len(d.facts.cuts) == 1 else "",
            text="Hand all parameters to the optimizer, with requires_grad True, keep modules in nn.ModuleList, and "
            "leave out detach and no_grad in forward.",
        ),
    )
    if rounded:
        text = "Pass the gradient straight through what is rounded or chosen: z + (chosen - z).detach()."
        through = Remedy(id="straight-through", line=d.facts.coarse[0], text=text)
        remedies = (through, *remedies) if d.facts.cuts else (through,)
    elif g.apart and _blind(d):
        remedies = (Remedy(id="own-code", text="Give the decoder what the encoder makes of the same row."), *remedies)
    suspicion = graded(share, UNTRAINED, HARDLY)
    # One that follows moving averages has no gradient.
    left = any(one.where in (*g.outside, *g.unmoved) and g.norms.get(one.where) for one in d.codebooks)
    suspicion = max(suspicion, BOOK_LEFT) if left else suspicion
    # What is chosen by size has no gradient that a probe could let through.
    return Suspect(
        "frozen-parameters", suspicion, tuple(facts), remedies, (Probe("everything trains", Change(unfreeze=True)),),
        certain=rounded or left,
    )  # fmt: skip


def _apart(d: Dossier) -> str:
    what = "get no gradient of the reconstruction, which is made of what they compute"
    if _blind(d):
        what = "get no gradient of the reconstruction, which is the same whatever the input of its row"
    others = [name for name in d.facts.terms if name not in ("reconstruction", "constant")]
    return f"{what}; only of {' and '.join(others)}" if others else what


def _blind(d: Dossier) -> bool:
    """Whether a row's reconstruction does not depend on its own input."""
    return d.facts.separation.tried and d.facts.separation.own == 0


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _symmetry(d: Dossier) -> Suspect | None:
    weights = d.facts.weights
    same = [weight for weight in weights if weight.same]
    if not same:
        return None
    last_only = len(same) == 1 and same[0] is weights[-1] and same[0].zero
    names = tuple(weight.name for weight in same)
    what = "zero" if all(weight.zero for weight in same) else "the same for every unit"
    text = f"the initial weights of {_listed(names)} are {what}"
    facts = (evidence("layers of identical units", len(same), "0", text, _listed(names)),)
    probes = (Probe("default initial weights", Change(reinit=True)),)
    return Suspect("init-symmetry", ZERO_LAST if last_only else TWINS, facts, (REINIT,), probes)


def _init_scale(d: Dossier) -> Suspect | None:
    weights = [weight for weight in d.facts.weights if not weight.same]
    if not weights:
        return None
    low, high = GAINS
    odd = sorted((w for w in weights if not low <= w.gain <= high), key=_oddness, reverse=True)
    facts: list[Evidence] = []
    suspicion = USUAL_INIT
    if odd:
        worst = odd[0]
        text = f"the initial weights of {worst.name} have {figure(worst.gain)} times the scale of 1/sqrt(fan in)"
        facts.append(evidence("scale of initial weights", worst.gain, "0.3 to 2", text, worst.name))
        factor = _oddness(worst)
        suspicion = graded(factor, ODD, HARDLY_ODD)
        if len(odd) == 1 and len(weights) > 2:
            suspicion *= LONE_ODD
    fading = _signal(d)
    if fading is not None:
        where, share = fading
        text = f"at {where} the rows differ by only {figure(share)} of the activations' size"
        facts.append(evidence("signal at step 0", share, "above 0.01", text, where))
        silenced = any(one.saturated >= FLAT or one.dead >= HALF_DEAD for one in d.facts.activities)
        alone = SILENCED if silenced else FADES
        suspicion = max(suspicion, alone if not odd else min(MOST_ODD, suspicion + FADES_BESIDE))
    probes = (Probe("default initial weights", Change(reinit=True)),)
    return Suspect("init-scale", suspicion, tuple(facts), (REINIT,), probes)


def _oddness(weight: Weight) -> float:
    low, high = GAINS
    return max(low / max(weight.gain, 1e-12), weight.gain / high)


def _signal(d: Dossier) -> tuple[str, float] | None:
    """The first activation at step 0 where rows differ by less than `FADED` of its size."""
    for one in d.facts.activities:
        if not one.output and one.size > 0 and one.spread / one.size < FADED:
            return one.where or one.kind, one.spread / one.size
    return None


def _dead(d: Dossier) -> Suspect | None:
    rectified = [one for one in d.facts.activities if one.kind == "relu"]
    if not rectified:
        return None
    start = max((one for one in rectified), key=lambda one: one.dead)
    now = max((one for one in d.activities if one.kind == "relu"), key=lambda one: one.dead, default=start)
    facts: list[Evidence] = []
    suspicion = FEW_DEAD_AT_START
    width = d.facts.linear.width
    # What is chosen out of a list is no code of units.
    chosen = bool(d.facts.coarse) or width is None
    narrow = [one for one in rectified if not chosen and not one.output and one.units <= max(width or 0, SMALL_CODE)]
    if start.dead >= HALF_DEAD:
        text = f"{start.dead:.0%} of the units of {start.where or 'a ReLU'} give the same for every row at step 0"
        facts.append(evidence("dead units at step 0", start.dead, "below 0.1", text, start.where))
        suspicion = next(doubt for least, doubt in DEAD_AT_START if start.dead >= least)
    if d.started and now.dead >= DIED and now.dead > start.dead + DIED_SINCE:
        first = next(
            (
                shot.step
                for shot in d.snapshots
                if any(
                    one.kind == "relu" and one.where == now.where and one.dead >= SINCE * now.dead
                    for one in shot.activities
                )
            ),
            d.steps,
        )
        text = (
            f"{now.dead:.0%} of the units of {now.where or 'a ReLU'} give the same for every row, "
            f"since about step {first:,}"
        )
        facts.append(evidence("dead units", now.dead, "below 0.1", text, now.where))
        died = ALL_DIED if now.dead >= ALL_DEAD else MOST_DIED if now.dead > MOST_DEAD else SOME_DIED
        suspicion = max(suspicion, died)
    if narrow:
        facts.append(evidence("activation of the code", "relu", "linear",
                              "a ReLU on the code leaves every unit that is negative for all rows without a gradient",
                              narrow[0].where or "code"))  # fmt: skip
        suspicion = max(suspicion, RELU_CODE)
    outputs = [one for one in d.activities if one.output and one.kind == "relu"]
    if outputs and outputs[0].dead > DEAD_OUTPUTS + d.facts.data.constant / max(1, d.facts.data.features):
        text = f"{outputs[0].dead:.0%} of the outputs are the same for every row behind the ReLU of the output layer"
        facts.append(evidence("dead outputs", outputs[0].dead, "0", text, "output"))
        suspicion = max(suspicion, RELU_OUTPUT)
    if (
        d.facts.data.std
        and (d.facts.data.offset > OFFSET or d.facts.data.std > SPREAD)
        and suspicion > FEW_DEAD_AT_START
    ):
        suspicion *= UNSCALED_DIES
    code = d.dead_code
    if d.symptom == DEAD_CODE and code is not None:
        count = round(code.dead * code.units)
        text = f"{count} of {code.units} code units give the same for every row"
        now = code
        facts.insert(0, evidence("dead code units", count, "0", text, code.where or "code"))
    shown = d.symptom == DEAD_CODE or (d.symptom == CONSTANT_OUTPUTS and bool(outputs) and outputs[0].dead > 0)
    suspicion = max(suspicion, SEEN) if shown else suspicion
    remedies = (
        Remedy(
            id="leaky", set=_instead(d, ("relu",), "leaky_relu"), line=now.line,
            text="Use an activation with a slope everywhere (LeakyReLU, ELU, GELU), none on the code or the output, "
            "and biases that start at zero.",
        ),
    )  # fmt: skip
    swaps = tuple((one.index, "leaky") for one in d.facts.activities if one.kind == "relu")
    probes = [Probe("leaky instead of ReLU", Change(swaps=swaps))]
    if start.dead >= HALF_DEAD:
        probes.append(Probe("default initial weights", Change(reinit=True)))
    return Suspect("dead-units", suspicion, tuple(facts), remedies, tuple(probes), certain=shown)


def _instead(d: Dossier, kinds: tuple[str, ...], hidden: str) -> dict[str, str]:
    """Another activation of the hidden layers, and none on code and output, wherever one of these kinds is."""
    model = None if d.subject.spec is None else d.subject.spec.model
    others = {"activation": hidden, "code_activation": "linear"}
    others |= {"output_activation": "linear"} if "relu" in kinds else {}
    return {f"model.{name}": other for name, other in others.items() if getattr(model, name, "") in kinds}


def _saturated(d: Dossier) -> Suspect | None:
    squashed = [one for one in d.facts.activities if one.kind in SQUASHING and not one.output]
    if not squashed:
        return None
    start = max(squashed, key=lambda one: one.saturated)
    later = [one for one in d.activities if one.kind in SQUASHING and not one.output]
    now = max(later, key=lambda one: one.saturated, default=start)
    facts: list[Evidence] = []
    suspicion = NOT_SATURATED
    if start.saturated >= FLAT:
        text = f"{start.saturated:.0%} of the values of {start.where or start.kind} lie in its flat part at step 0"
        facts.append(evidence("saturated units at step 0", start.saturated, "below 0.2", text, start.where))
        suspicion = next((doubt for least, doubt in SATURATED if start.saturated >= least), HALF_SATURATED)
        if d.facts.data.std > FLAT_SPREAD or d.facts.data.offset > OFFSET:
            suspicion *= UNSCALED_SATURATES
        if any(weight.gain > GAINS[1] for weight in d.facts.weights):
            suspicion *= LARGE_INIT_SATURATES
    elif d.started and now.saturated >= FLAT_LATER:
        text = f"{now.saturated:.0%} of the values of {now.where or now.kind} lie in its flat part"
        facts.append(evidence("saturated units", now.saturated, "below 0.3", text, now.where))
        suspicion = SATURATED_LATER
    sigmoids = [one for one in squashed if one.kind == "sigmoid"]
    fade = _fading(d)
    if len(sigmoids) >= 2 and fade is not None and fade < VANISHED:
        text = (
            f"the first layer's gradient is {figure(fade)} of the last one's: each sigmoid passes on a quarter at most"
        )
        facts.append(evidence("gradient of the first layer against the last", fade, "above 0.1", text, "encoder"))
        suspicion = max(suspicion, VANISHES)
    remedies = (
        Remedy(
            id="unsaturated", set=_instead(d, SQUASHING, "relu"), line=now.line,
            text="Use an activation that does not flatten (ReLU, GELU), smaller initial weights, or scaled inputs.",
        ),
    )  # fmt: skip
    probes = [Probe("no squashing in hidden layers", Change(swaps=tuple((one.index, "elu") for one in squashed)))]
    if start.saturated >= FLAT:
        gentle = tuple((one.index, f"gentle {one.kind}") for one in squashed)
        probes.insert(0, Probe("inputs of the squashing layers centered and brought to size 1", Change(swaps=gentle)))
    return Suspect("saturated-units", suspicion, tuple(facts), remedies, tuple(probes))


def _fading(d: Dossier) -> float | None:
    """Gradient norm per weight of the first weight matrix over that of the last, at step 0."""
    names = [weight.name for weight in d.facts.weights if weight.name in d.facts.gradients.norms]
    if len(names) < 2:
        return None
    last = d.facts.gradients.norms[names[-1]]
    return d.facts.gradients.norms[names[0]] / last if last else None


def _modes(d: Dossier) -> Suspect | None:
    f = d.facts
    if d.train_fit is None:
        return None
    train, eval_ = d.quality_of(d.train_fit), d.quality_of(d.fit)
    if train - eval_ < MODES_APART or train < MODES_WORK:
        return None
    text = (
        f"explained variance is {figure(d.train_fit.explained)} in train mode "
        f"and {figure(d.fit.explained)} in eval mode"
    )
    facts = [evidence("explained variance in train mode", d.train_fit.explained, "the same in eval mode", text)]
    if f.batch_norms:
        name, momentum = f.batch_norms[0]
        shown = "None" if momentum is None else figure(momentum)
        text = f"{name} keeps running statistics with momentum {shown}, over batches of {d.subject.batch_size}"
        facts.append(evidence("batch normalization", f"momentum {shown}", "0.1", text, name))
    statistics = Remedy(
        id="statistics", set={"model.batch_norm": False},
        text="Use larger batches, momentum 0.1, or normalization that does not depend on the batch (LayerNorm, "
        "GroupNorm), and train longer than the running statistics need.",
    )  # fmt: skip
    remedies = (statistics,)
    if f.mode_gap is not None and f.mode_gap > OTHER_PATH:
        text = (
            "at step 0, without noise and statistics of the batch, outputs of the two modes differ by "
            f"{figure(f.mode_gap)} standard deviations: forward computes something else in eval mode"
        )
        facts.append(evidence("difference of the modes", f.mode_gap, "0", text))
        text = "Have forward decode the same in both modes; under self.training belongs noise alone."
        same = Remedy(id="same-path", text=text)
        remedies = (same, statistics) if f.batch_norms else (same,)
    return Suspect("train-eval-mismatch", MISMATCH, tuple(facts), remedies, certain=True)
