"""Whether a change of settings still mends a training where it stands, or only from an earlier step on."""

from __future__ import annotations

import math
from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from aetui.diagnosis.dossier import Dossier, figure
from aetui.diagnosis.modes import SQUASHING

BAD = ("collapsed", "diverged", "worse-than-linear")
"""Verdicts under which a training can be beyond mending."""
DEAD = 0.9
"""Share of a layer's ReLUs from which too little of the layer is left to learn with. Layers that work reach 0.55 in
the presets; 0.5 (Amazon SageMaker Debugger) and 0.7 (AutoTrainer) are published as warnings, not as the end.
Batch normalization still brings the last few back."""
SATURATED = 0.9
"""Share of a squashing layer's values in its flat part, likewise; 0.5 is published as a warning."""
RISE = 0.3
"""By how much more these shares have to be than at step 0: what was so from the start is no different there."""
GROWN = 50.0
"""Growth of a weight matrix that steps of an ordinary size don't take back: of LeakyReLU networks trained at too high
a rate, those with weights grown 30-fold come back at 0.001 within 1,000 steps, and those grown 65-fold do not.
"""
LARGE = 20.0
"""Size of a weight matrix, as `Weight.gain`, that is beyond what any initialization or training gives."""
SLOW = 0.01
"""Momentum below which running statistics keep what they have seen for hundreds of steps; PyTorch's own is 0.1."""
APART = 0.2
"""Quality by which train mode exceeds eval mode where the running statistics are at fault."""


def slow_norms(model: nn.Module) -> bool:
    """Whether a batch normalization keeps running statistics that hardly follow the batches."""
    return any(
        module.track_running_stats and (module.momentum is None or module.momentum < SLOW) for module in _norms(model)
    )


def unsound_norms(model: nn.Module) -> tuple[str, ...]:
    """Batch normalizations whose running statistics are not finite; no later batch makes them so again."""
    return tuple(
        name
        for name, module in model.named_modules()
        if isinstance(module, _BatchNorm)
        and any(
            isinstance(one, Tensor) and not one.isfinite().all() for one in (module.running_mean, module.running_var)
        )
    )


def _norms(model: nn.Module) -> Iterator[_BatchNorm]:
    return (module for module in model.modules() if isinstance(module, _BatchNorm))


def ruined(d: Dossier, verdict: str) -> str:
    """Why no change of settings mends the training from where it stands, in one sentence; '' where one may."""
    if verdict not in BAD or not d.started or not d.steps or d.facts.data.bad or d.facts.loss_error:
        return ""
    return _not_finite(d) or _statistics(d) or _units(d) or _weights(d)


def _not_finite(d: Dossier) -> str:
    if d.unsound:
        return f"the running statistics of {d.unsound[0]} are not finite, and no batch makes them so again"
    lost = next((weight.name for weight in d.weights if not math.isfinite(weight.gain)), "")
    if lost:
        return f"the weights of {lost} are not finite, and no step makes them so again"
    return ""


def _statistics(d: Dossier) -> str:
    if d.train_fit is None or not d.facts.batch_norms:
        return ""
    slow = next((name for name, momentum in d.facts.batch_norms if momentum is None or momentum < SLOW), "")
    if not slow or d.quality_of(d.train_fit) - d.quality < APART:
        return ""
    return f"the running statistics of {slow} are far from what its batches have, and follow them too slowly"


def _units(d: Dossier) -> str:
    """The layer with the largest share of units without a gradient, where that is nearly all of them."""
    start = {one.index: one for one in d.facts.activities}
    dead = 1.0 if d.facts.batch_norms else DEAD
    worst, text = 0.0, ""
    for one in d.hidden:
        first = start.get(one.index, one)
        if one.kind in SQUASHING:
            now, then, limit, what = one.saturated, first.saturated, SATURATED, "saturated"
        else:
            # A unit that is the same for all rows but not 0 still has a gradient.
            now, then, limit, what = min(one.dead, one.zero), min(first.dead, first.zero), dead, "0 for every row"
        if now >= max(limit, then + RISE) and now > worst:
            worst = now
            text = (
                f"{now:.0%} of the units of {one.where or one.kind} are {what} ({then:.0%} at step 0), "
                "and get no gradient that could bring them back"
            )
    return text


def _weights(d: Dossier) -> str:
    first = {weight.name: weight.gain for weight in d.facts.weights}
    grown = [
        (weight.gain / first[weight.name], weight.name)
        for weight in d.weights
        if weight.gain >= LARGE and first.get(weight.name) and weight.gain >= GROWN * first[weight.name]
    ]
    if not grown:
        return ""
    factor, name = max(grown)
    return f"the weights of {name} are {figure(factor)} times as large as at step 0, too large for steps to take back"
