"""Causes that lie in the data, the loss and the output layer."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

from msgspec.structs import replace

from aetui.diagnosis.change import Change
from aetui.diagnosis.dossier import OUTLIER, UNEVEN, Dossier, Probe, Suspect, evidence, figure, graded
from aetui.diagnosis.losses import ENTROPIC
from aetui.diagnosis.touched import ONE_WAY
from aetui.report import Evidence, Remedy

STANDARDIZE = Remedy(
    id="standardize", set={"data.scaling": "standardize"},
    text="Subtract each feature's mean and divide by its standard deviation.",
)  # fmt: skip
MINMAX = Remedy(id="minmax", set={"data.scaling": "minmax"}, text="Bring the data into 0..1.")
LINEAR_OUTPUT = Remedy(
    id="linear-output", set={"model.output_activation": "linear"}, text="Leave out the activation of the output layer."
)
MSE = Remedy(id="mse", set={"loss.kind": "mse"}, text="Use the mean squared error.")

UNREACHED, REACHED = ((0.3, 0.93), (0.1, 0.75), (0.03, 0.4)), 0.15
"""Suspicion by the share of the targets' variance that the output layer can't produce (above); calibrated."""
SOFTMAX_REACHES, SOFTMAX = 0.9, 0.92
"""Share of the targets' variance that softmax outputs can explain above which they are no fault, and the suspicion;
calibrated."""
ONE_SIDED = 0.88
"""Suspicion of an activation that keeps logits from one side; calibrated."""
OUT_OF_REACH = 0.005
"""Share of target values beyond a bounded output above which that is said; calibrated."""
NEEDS_LINEAR = 0.01
"""Share of target values beyond the output layer above which the squared error needs another one."""
BAD_VALUES, OTHER_SHAPE, REFUSED = 0.99, 0.97, 0.95
"""Suspicion of values that are not finite, of an output that the loss broadcasts, and of a loss that refuses to
compute: each is the fault itself."""
UNIT_SLACK = 1e-3
"""How far targets of a cross-entropy may lie outside of 0..1: rounding of scaled data."""
WRONG_LOSS = 0.9
"""Suspicion of a cross-entropy on other targets or outputs than it is defined for; calibrated."""
UNDEFINED = 0.92
"""Suspicion of a loss that is not finite at outputs and targets that are; calibrated."""
NEGATIVE_BEYOND, NEGATIVE = 0.8, 0.5
"""Suspicion of a loss below zero, where targets leave 0..1 and where not; calibrated."""
EXCHANGED = 0.95
"""Suspicion of output and target in each other's place: it is seen in the call."""
NO_COMPARISON = 0.85
"""Suspicion of a loss for classes, and of one that a perfect copy does not have the least of; calibrated."""
LATE = 20
"""Steps that a late loss is the mean of."""
LARGE, HUGE, ENORMOUS = 4.0, 10.0, 40.0
"""Root mean square of the values, of which 1 is usual, from which they are large (above), and its next grades;
calibrated."""
LARGE_FELT, LARGE_ALONE, HUGE_DOUBT, ENORMOUS_DOUBT = 0.6, 0.25, 0.6, 0.85
"""Suspicion of large values where activations are saturated by them and where not, and of the next grades;
calibrated."""
FELT = 0.3
"""Share of saturated values at step 0 from which large inputs are felt; calibrated."""
OFFSET, OFFSET_SHARE, OFFSET_SIZE = 2.0, 4.0, 0.5
"""Features' means in their standard deviations above which rows look alike; the least of the overall mean squared, in
those of its chance value std^2 / features; and the least root mean square of the values; calibrated."""
OFFSETS, FAR_OFFSET = ((4.0, 0.2), (10.0, 0.45)), 0.8
"""Suspicion by that offset (below), and where it is larger; calibrated."""
TINY, TINIER = 0.1, 0.03
"""Root mean square below which values are small, and down to which that is a weak sign (above); calibrated."""
TINY_DOUBT, TINIER_DOUBT = 0.35, 0.75
"""Suspicion of these; calibrated."""
VERY_UNEVEN, UNEVEN_DOUBT, VERY_UNEVEN_DOUBT = 100.0, 0.3, 0.6
"""Ratio of the features' ranges from which it is a strong sign, and the suspicion below and from there; calibrated."""
UNSCALED_REACH, UNSCALED_HIGH, MOST_UNSCALED = 0.5, 2.0, 0.85
"""Values that a bounded output reaches less than this share of, and that go beyond this, are rather unscaled data than
a wrong activation; the suspicion is cut there, so that both can be first; calibrated."""
FLAT_DATA = 0.02
"""Suspicion of values of a usual size; calibrated."""
_CLASSES = {"cross_entropy": "CrossEntropyLoss", "nll": "NLLLoss", "kl_div": "KLDivLoss"}


_AT_THE_OUTPUT = ("linear-output", "sigmoid-output", "logits")
"""Remedies that change the output layer's activation."""


def suspects(dossier: Dossier) -> Iterator[Suspect]:
    for family in (_bad_values, _shape, _loss_domain, _output_range, _input_scaling):
        found = family(dossier)
        if found is not None:
            yield dataclasses.replace(found, remedies=_located(dossier, found.remedies))


def _located(d: Dossier, remedies: tuple[Remedy, ...]) -> tuple[Remedy, ...]:
    """The remedies with the line of the output activation, where that is the caller's own."""
    line = d.facts.output_line
    return tuple(replace(one, line=line) if line and one.id in _AT_THE_OUTPUT else one for one in remedies)


def _bad_values(d: Dossier) -> Suspect | None:
    bad = d.facts.data.bad
    if not bad:
        return None
    facts = (evidence("values that are not finite", bad, "0", f"{bad:,} values of the data are NaN or infinite"),)
    remedy = Remedy(
        id="clean",
        text="Drop these rows, or fill the values with their column's mean.",
        set={"data.non_finite": "mean"},
    )
    return Suspect("bad-values", BAD_VALUES, facts, (remedy,), certain=True)


def _shape(d: Dossier) -> Suspect | None:
    made, wanted = d.facts.shape, d.facts.target_shape
    if made == wanted or d.facts.handles_shape:
        return None
    text = f"the output is {_shape_text(made)} and the target {_shape_text(wanted)}; the loss broadcasts them"
    facts = (evidence("shape of the output", _shape_text(made), _shape_text(wanted), text, "output"),)
    remedy = Remedy(id="reshape", text=f"Return the reconstruction in the target's shape, {_shape_text(wanted)}.")
    same = math.prod(made) == math.prod(wanted)
    probes = (Probe("output in the target's shape", Change(reshape=True)),) if same else ()
    return Suspect("shape-broadcast", OTHER_SHAPE, facts, (remedy,), probes, certain=True)


def _shape_text(shape: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, shape))}]"


def _loss_domain(d: Dossier) -> Suspect | None:
    f, kind = d.facts, d.subject.loss.kind
    facts: list[Evidence] = []
    remedies: list[Remedy] = []
    probes: list[Probe] = []
    suspicion = 0.0
    unit = Probe("data in 0..1", Change(scale="unit"))
    name, line = d.subject.exchanged
    if name:
        text = f"{name} is given the target where it takes the output, and the output where it takes the target"
        facts.append(evidence("order of the arguments", "target, output", "output, target", text, line))
        remedies.append(Remedy(id="exchange", line=line, text=f"Call {name}(output, target)."))
        if ONE_WAY[name]:
            probes.append(Probe("output and target in their own places", Change(loss=ONE_WAY[name])))
        suspicion = EXCHANGED
    beyond = f.data.low < -UNIT_SLACK or f.data.high > 1 + UNIT_SLACK
    if f.loss_error:
        facts.append(
            evidence("loss at the first step", "error", "a number", f"the loss refused to compute: {f.loss_error}")
        )
        suspicion = REFUSED
    if kind in ("bce", "bce_logits") and beyond:
        text = f"cross-entropy is for targets from 0 to 1; these run from {figure(f.data.low)} to {figure(f.data.high)}"
        facts.append(evidence("targets", f"{figure(f.data.low)} to {figure(f.data.high)}", "0 to 1", text))
        remedies += [MINMAX, _squared(d)]
        probes += [unit, Probe("loss mse", Change(loss="mse", swaps=_output_off(d)))]
        suspicion = max(suspicion, WRONG_LOSS)
    if kind == "bce" and f.output not in ("sigmoid", "softmax", "hardsigmoid") and (f.loss_error or _leaves_unit(d)):
        name = f.output or "linear"
        facts.append(
            evidence(
                "output activation",
                name,
                "sigmoid",
                f"{name} outputs leave 0..1, where this cross-entropy is defined",
                "output",
            )
        )
        remedies += [
            Remedy(
                id="sigmoid-output", text="End the model with a sigmoid.", set={"model.output_activation": "sigmoid"}
            ),
            Remedy(
                id="logits", text="Use the cross-entropy on logits.",
                set={"loss.kind": "bce-logits", **LINEAR_OUTPUT.set},
            ),
        ]  # fmt: skip
        probes.append(Probe("cross-entropy on logits", Change(loss="bce_logits", scale="unit" if beyond else "none")))
        suspicion = max(suspicion, WRONG_LOSS)
    if kind == "bce_logits" and f.output in ("sigmoid", "softmax", "hardsigmoid"):
        text = (
            f"the loss applies a sigmoid itself, and the model ends with {f.output}: probabilities stay in 0.5 to 0.73"
        )
        facts.append(evidence("output activation", f.output, "linear", text, "output"))
        remedies += [
            LINEAR_OUTPUT,
            Remedy(id="bce", text="Use the cross-entropy on probabilities.", set={"loss.kind": "bce"}),
        ]
        probes.append(Probe("no activation at the output", Change(swaps=_output_off(d))))
        suspicion = max(suspicion, WRONG_LOSS)
    first = f.terms.get("reconstruction", 0.0)
    if not math.isfinite(first) and f.fit.finite and not f.data.bad:
        text = "the loss of the first outputs is not a number although outputs and targets are: it is not defined there"
        facts.append(evidence("loss at the first step", None, "a number", text))
        suspicion = max(suspicion, UNDEFINED)
    late = sum(d.losses[-LATE:]) / len(d.losses[-LATE:]) if d.losses and d.broken is None else first
    if min(late, first, f.perfect if f.perfect is not None else first) < 0 and kind not in ("bce", "bce_logits"):
        lowest = min(late, first, f.perfect if f.perfect is not None else first)
        text = (
            f"the loss reaches {figure(lowest)}: below zero it rewards something else than agreement with the targets"
        )
        facts.append(evidence("least value of the loss", lowest, "0", text))
        suspicion = max(suspicion, NEGATIVE_BEYOND if beyond else NEGATIVE)
    if kind in _CLASSES:
        text = f"{_CLASSES[kind]} is for classes or distributions: it does not compare each value with its target"
        facts.append(evidence("loss", _CLASSES[kind], "mse, or bce for 0..1", text))
        suspicion = max(suspicion, NO_COMPARISON)
    if f.better is not None and f.perfect is not None:
        text = f"the loss of a perfect copy is {figure(f.perfect)}; {f.better_text} it is {figure(f.better)}"
        facts.append(evidence("loss of a perfect copy", f.perfect, "the least there is", text))
        suspicion = max(suspicion, NO_COMPARISON)
    if not facts:
        return None
    if not name and not any(remedy.id == MSE.id for remedy in remedies):
        remedies.append(_squared(d))
        probes.append(Probe("loss mse", Change(loss="mse", swaps=_output_off(d) if f.outside > NEEDS_LINEAR else ())))
    return Suspect("loss-domain", suspicion, tuple(facts), tuple(remedies), tuple(probes))


def _squared(d: Dossier) -> Remedy:
    """The squared error, with an output layer that reaches the targets."""
    return replace(MSE, set={**MSE.set, **(LINEAR_OUTPUT.set if d.facts.outside > NEEDS_LINEAR else {})})


def _leaves_unit(d: Dossier) -> bool:
    """Whether outputs were seen outside of 0..1, or nothing keeps them inside."""
    return d.facts.low < 0 or d.facts.high > 1


def _output_off(d: Dossier) -> tuple[tuple[int, str], ...]:
    index = d.facts.output_index
    return () if index is None or not d.facts.output else ((index, "identity"),)


def _output_range(d: Dossier) -> Suspect | None:
    f = d.facts
    if f.output == "softmax":
        return _softmax(d)
    if d.subject.loss.kind in ("bce", "bce_logits"):
        return _logits_range(d)
    if not f.output or f.outside <= OUT_OF_REACH:
        return None
    low, high = _bound(f.low), _bound(f.high)
    text = (
        f"{f.outside:.0%} of the target values lie outside of {low} to {high}, where {f.output} can produce none: "
        f"at best {f.reach:.0%} of the variance can be explained"
    )
    facts = [
        evidence("targets out of reach", float(f.outside), "0", text, "output"),
        evidence("targets", f"{figure(f.data.low)} to {figure(f.data.high)}", f"{low} to {high}",
                 f"the targets run from {figure(f.data.low)} to {figure(f.data.high)}"),
    ]  # fmt: skip
    scale = "symmetric" if f.output == "tanh" else "unit"
    remedies = [LINEAR_OUTPUT]
    if f.output in ("sigmoid", "tanh", "relu", "softplus"):
        span = "-1..1" if f.output == "tanh" else "0..1"
        remedies.append(
            Remedy(id="rescale", text=f"Bring the data into {span}.", set={} if f.output == "tanh" else MINMAX.set)
        )
    missing = 1 - max(-1.0, f.reach)
    suspicion = graded(missing, UNREACHED, REACHED)
    probes = (
        Probe("no activation at the output", Change(swaps=_output_off(d))),
        Probe(f"data in {'-1..1' if f.output == 'tanh' else '0..1'}", Change(scale=scale)),
    )
    return Suspect("output-range", suspicion, tuple(facts), tuple(remedies), probes)


def _softmax(d: Dossier) -> Suspect | None:
    f = d.facts
    if f.reach > SOFTMAX_REACHES:
        return None
    text = (
        "softmax makes the outputs of a row sum to 1, which the targets do not: at best "
        f"{max(0.0, f.reach):.0%} of their variance can be explained"
    )
    facts = (evidence("output activation", "softmax", "linear or sigmoid", text, "output"),)
    remedy = Remedy(id="sigmoid-output", text="End the model with a sigmoid, or with no activation.",
                    set={"model.output_activation": "sigmoid"})  # fmt: skip
    off = "identity" if d.subject.loss.kind != "bce" else "sigmoid"
    index = () if f.output_index is None else ((f.output_index, off),)
    return Suspect("output-range", SOFTMAX, facts, (remedy,), (Probe("no softmax at the output", Change(swaps=index)),))


def _logits_range(d: Dossier) -> Suspect | None:
    """Activations that keep logits from one side, so that probabilities stay above or below a half."""
    f = d.facts
    bounded = {"relu": "at least 0.5", "softplus": "at least 0.5", "tanh": "0.27 to 0.73", "elu": "at least 0.27",
               "log_softmax": "at most 0.5", "logsigmoid": "at most 0.5"}  # fmt: skip
    if d.subject.loss.kind != "bce_logits" or f.output not in bounded:
        return None
    text = f"{f.output} before a cross-entropy on logits keeps every probability {bounded[f.output]}"
    facts = (evidence("output activation", f.output, "linear", text, "output"),)
    return Suspect(
        "output-range", ONE_SIDED, facts, (LINEAR_OUTPUT,),
        (Probe("no activation at the output", Change(swaps=_output_off(d))),),
    )  # fmt: skip


def _bound(value: float) -> str:
    return "any" if math.isinf(value) else f"{value:g}"


def _input_scaling(d: Dossier) -> Suspect | None:
    data = d.facts.data
    if not (math.isfinite(data.std) and data.std > 0) or data.distinct == 1:
        return None
    # A few rows far off are no matter of scale.
    size = data.typical if data.outliers >= OUTLIER else math.hypot(data.mean, data.std)
    facts: list[Evidence] = []
    doubts = [FLAT_DATA]
    if size > LARGE:
        facts.append(
            evidence("size of the values", size, "about 1", f"the values are {figure(size)} in size (root mean square)")
        )
        squashed = d.saturated_at_start
        felt = squashed is not None and squashed.saturated >= FELT
        large = LARGE_FELT if felt else LARGE_ALONE
        doubts.append(large if size < HUGE else HUGE_DOUBT if size < ENORMOUS else ENORMOUS_DOUBT)
    chance = data.std * data.std / max(1, data.features)
    if data.offset > OFFSET and data.mean * data.mean > OFFSET_SHARE * chance and size > OFFSET_SIZE:
        text = f"the features' means are {figure(data.offset)} times their standard deviations: every row looks alike"
        facts.append(evidence("offset", data.offset, "below 1", text))
        doubts.append(next((doubt for most, doubt in OFFSETS if data.offset < most), FAR_OFFSET))
    if size < TINY:
        facts.append(evidence("size of the values", size, "about 1", f"the values are only {figure(size)} in size"))
        doubts.append(TINY_DOUBT if size > TINIER else TINIER_DOUBT)
    if data.uneven > UNEVEN:
        text = f"the ranges of the features differ by a factor of {figure(data.uneven)}"
        facts.append(evidence("spread of the features' scales", data.uneven, "below 10", text))
        doubts.append(UNEVEN_DOUBT if data.uneven < VERY_UNEVEN else VERY_UNEVEN_DOUBT)
    if d.facts.output in ("sigmoid", "softmax") and d.facts.reach < UNSCALED_REACH and data.high > UNSCALED_HIGH:
        doubts = [min(MOST_UNSCALED, value) for value in doubts]
    swaps = _bounded_off(d)
    remedies = (STANDARDIZE, MINMAX)
    if d.subject.loss.kind in ENTROPIC:
        remedies = (MINMAX,)
    elif swaps:
        # Standardized values leave every bounded output's range, those of 0..1 none.
        unbound = f"{STANDARDIZE.text.removesuffix('.')}, and leave out the activation of the output layer."
        remedies = (MINMAX, replace(STANDARDIZE, text=unbound, set={**STANDARDIZE.set, **LINEAR_OUTPUT.set}))
    probes = [Probe("standardized data", Change(scale="standardize", swaps=swaps))]
    return Suspect("input-scaling", max(doubts), tuple(facts), remedies, tuple(probes))


def _bounded_off(d: Dossier) -> tuple[tuple[int, str], ...]:
    """Standardized targets need an output layer without bounds."""
    return _output_off(d) if d.facts.output in ("sigmoid", "tanh", "relu", "softmax", "softplus") else ()
