"""Whether a change of settings still mends a training where it stands, or only from an earlier step on."""

from __future__ import annotations

import math
from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from aetui.diagnosis.dossier import Dossier
from aetui.diagnosis.modes import SQUASHING
from aetui.diagnosis.observe import Activity

BAD = ("collapsed", "diverged", "worse-than-linear")
"""Verdicts under which a training can be beyond mending."""
DEAD = 0.9
"""Share of a layer's units that are flat and the same for every row from which too little of it is left to learn with.
Layers of the presets that a tweak still mends reach 0.55, and units that are saturated but vary come back by
themselves; 0.5 (Amazon SageMaker Debugger) and 0.7 (AutoTrainer) are published as warnings, not as the end."""
RISE = 0.3
"""By how much more this share has to be than at step 0: what was so from the start is no different there."""
GROWN = 100.0
"""Growth of a weight matrix that steps of an ordinary size don't take back: of networks trained at too high a rate,
those with weights grown 50-fold come back at 0.001 within 1,000 steps, and those grown 190-fold or more do not."""
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
    if d.facts.batch_norms:
        return ""  # whose inputs are centered anew with each batch
    start = {one.index: one for one in d.facts.activities}
    worst = max(
        d.hidden, key=lambda one: _without_gradient(one) - _without_gradient(start.get(one.index)), default=None
    )
    if worst is None:
        return ""
    now, then = _without_gradient(worst), _without_gradient(start.get(worst.index))
    if now < DEAD or now < then + RISE:
        return ""
    what = "saturated in the same way" if worst.kind in SQUASHING else "0"
    return (
        f"{now:.0%} of the units of {worst.where or worst.kind} are {what} for every row ({then:.0%} at step 0), "
        "and get no gradient that could bring them back"
    )


def _without_gradient(one: Activity | None) -> float:
    """Share of units that are the same for every row, in the flat part of their activation; about, from its shares."""
    if one is None:
        return 0.0
    return min(one.dead, one.saturated if one.kind in SQUASHING else one.zero)


def _weights(d: Dossier) -> str:
    first = {weight.name: weight.gain for weight in d.facts.weights}
    grown = [
        (weight.gain / first[weight.name], weight.name)
        for weight in d.weights
        if weight.gain >= LARGE and first.get(weight.name) and weight.gain >= GROWN * first[weight.name]
    ]
    if not grown:
        return ""
    _, name = max(grown)
    return f"the weights of {name} are over {GROWN:g} times as large as at step 0, too large for steps to take back"
