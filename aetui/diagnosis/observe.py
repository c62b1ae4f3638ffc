"""What is measured of a training in its course: snapshots of fit, units and updates, from step 0 on."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from aetui.diagnosis.codebook import CodeUse, Sparse
from aetui.diagnosis.modes import SQUASHING, Call, Watcher
from aetui.gauges.variance import variance_ratio_summary
from aetui.models.moments import feature_variance
from aetui.models.units import VARIES

PROBE_ROWS = 512
"""Rows that a snapshot looks at, spread evenly over the data."""
_FLAT = {"sigmoid": 0.02, "tanh": 0.05}
"""How near to its end a squashing activation counts as saturated: its slope is then below a tenth of the largest."""


@dataclass(frozen=True)
class Fit:
    """How the outputs compare with the targets, in eval mode, in the caller's units.

    explained: 1 - FVU. features: mean over the features that vary of their explained variance, each
    at least 0. median: of the median feature. lost: share of them explained by less than 0.1.
    ratio: `aetui.gauges.variance.variance_ratio_summary`. offset: squared distance between the
    mean output and the mean target, in total variances. finite: whether the outputs are. constant: features whose
    target varies and whose output does not. unanswered: their share of the targets' variance.
    """

    explained: float
    features: float
    median: float
    lost: float
    ratio: dict[str, float | int | None]
    offset: float
    finite: bool = True
    constant: int = 0
    unanswered: float = 0.0

    @property
    def spread(self) -> float:
        """The median variance ratio, 0 where no feature varies."""
        return float(self.ratio.get("median") or 0.0)


@torch.no_grad()
def fit(output: Tensor, target: Tensor, mask: Tensor | None = None) -> Fit:
    """Compare outputs with targets, both [rows, features]; with a mask of 0 and 1, only the entries under a 1."""
    if mask is not None:
        output, target = _under(mask, output, target)
    finite = bool(torch.isfinite(output).all())
    output, target = output.double(), target.double()
    variance = feature_variance(target)
    varies = variance > 0
    total = float(variance.sum())
    if not finite or not total:
        nothing = not total and finite and bool((output - target).abs().max() <= 1e-3 * target.abs().max())
        value = 1.0 if nothing else -math.inf if not finite else 0.0
        return Fit(
            value,
            max(0.0, value),
            value,
            0.0 if nothing else 1.0,
            variance_ratio_summary(output.nan_to_num(0.0, 0.0, 0.0), target),
            0.0,
            finite,
        )
    missed = (output - target).square().mean(0)
    shares = (1 - missed / variance.clamp(min=1e-300))[varies]
    still = varies & (output.amax(0) - output.amin(0) <= VARIES * output.abs().amax())
    offset = float((output.mean(0) - target.mean(0)).square().sum()) / total
    return Fit(
        explained=1 - float(missed.sum()) / total,
        features=float(shares.clamp(min=0).mean()),
        median=float(shares.median()),
        lost=float((shares < 0.1).double().mean()),
        ratio=variance_ratio_summary(output, target),
        offset=offset,
        constant=int(still.sum()),
        unanswered=float(variance[still].sum()) / total,
    )


def _under(mask: Tensor, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs and targets with their own means, feature by feature, where the mask is 0: squares of deviations are
    then those under a 1, and the ratio of the variances is as it is there."""
    mask, output, target = mask.double(), output.double(), target.double()
    seen = mask.sum(0).clamp(min=1)
    middle = (target * mask).sum(0) / seen
    offset = ((output - target) * mask).sum(0) / seen
    # The mean error is spread over all entries, so that it counts once and no more.
    share = (mask.sum(0) / len(mask)).sqrt()
    kept = torch.where(mask > 0, target, middle)
    made = torch.where(mask > 0, output - offset, middle)
    return made + offset * share, kept


@dataclass(frozen=True)
class Activity:
    """One activation of the network over the probe rows, in eval mode.

    dead: share of its units that do not vary although what they are given does. zero: share of its values that are 0.
    saturated: share of its values in the flat part of a squashing activation. spread: standard deviation over the rows,
    averaged over units. size: root mean square.
    """

    where: str
    kind: str
    units: int
    dead: float
    zero: float
    saturated: float
    spread: float
    size: float
    output: bool = False
    """Whether its values are the reconstruction."""
    index: int = 0
    """Its number among the forward's activations."""
    line: str = ""
    """Of the caller's own code, where it is called there."""


@dataclass(frozen=True)
class Snapshot:
    """A training at a step."""

    step: int
    fit: Fit
    activities: tuple[Activity, ...]
    updates: dict[str, float] = field(default_factory=dict)
    """Norm of each parameter's last update over the norm of the parameter."""
    codes: tuple[CodeUse, ...] = ()
    """The codebooks of a discrete code, as the rows use them."""
    sparse: Sparse | None = None
    """How a code is used of which only the largest units are kept."""


@contextmanager
def watching(model: nn.Module) -> Iterator[Watcher]:
    """A watcher that knows which module each activation is computed in; the hooks end with it."""
    watcher = Watcher()
    names = {module: name for name, module in model.named_modules()}

    def enter(module: nn.Module, _inputs: object) -> None:
        watcher.stack.append(names[module])
        watcher.called.add(names[module])

    def leave(_module: nn.Module, _inputs: object, _output: object) -> None:
        watcher.stack.pop()

    hooks = [module.register_forward_pre_hook(enter) for module in names]
    hooks += [module.register_forward_hook(leave) for module in names]
    try:
        with watcher:
            yield watcher
    finally:
        for hook in hooks:
            hook.remove()


def activity(call: Call, *, output: bool) -> Activity | None:
    """The activation's units over the rows; None where its first dimension is not that of the rows."""
    values = call.output.detach()
    if values.ndim < 2 or len(values) < 2:
        return None
    values = values.flatten(1).float()
    largest = values.abs().amax()
    ranges = values.amax(0) - values.amin(0)
    still = ranges <= VARIES * largest
    if call.fixed is not None and call.fixed.shape == still.shape:
        still = still & ~call.fixed
    saturated = 0.0
    if call.kind in SQUASHING:
        near = _FLAT[call.kind]
        low, high = (near, 1 - near) if call.kind == "sigmoid" else (near - 1, 1 - near)
        saturated = float(((values < low) | (values > high)).float().mean())
    return Activity(
        where=call.where,
        kind=call.kind,
        units=values.shape[1],
        dead=float(still.float().mean()),
        zero=float((values == 0).float().mean()),
        saturated=saturated,
        spread=float(values.std(0).mean()),
        size=float(values.square().mean().sqrt()),
        output=output,
        index=call.index,
        line=call.line,
    )


def probe_rows(total: int, wanted: int = PROBE_ROWS) -> Tensor:
    """Up to `wanted` row numbers spread evenly over `total`."""
    return torch.linspace(0, total - 1, min(total, wanted)).round().long().unique()


def measured(watcher: Watcher, made: Tensor) -> tuple[Activity, ...]:
    """The activations that a watcher saw, the one that `made` comes from marked as the output."""
    found = (activity(call, output=_is_output(call.output, made)) for call in watcher.calls)
    return tuple(one for one in found if one is not None)


def _is_output(values: Tensor, made: Tensor) -> bool:
    return values is made or (values.numel() == made.numel() and values.data_ptr() == made.data_ptr())
