"""Losses that need no training: the yardsticks of a loss curve."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from aetui.gauges.objective import Objective
from aetui.protocol import Floors

ENTRIES = 40_000_000
"""Entries of the data that are looked at; of larger data, a random subset of rows."""
SIDE = 2000
"""Largest matrix whose eigenvectors are computed exactly."""
WIDEST = 256
"""Largest code for which the leading eigenvectors of a larger matrix are approximated."""
EDGE = 1e-3
"""Predictions of PCA are kept this far inside 0..1 under a cross-entropy."""

_CHUNK = 4_000_000
_ROUNDING = 1e-12


@torch.no_grad()
def floors(train: Tensor, objective: Objective, code_width: int) -> Floors:
    """Mean, linear and entropy floor of the targets `train`, [rows, features], in float64.

    mean: loss of the best constant under the loss in force. It is each feature's mean under
    squared error and cross-entropy (as a probability), its median under the absolute error, and
    where the slopes balance, found by bisection, under the Huber and log-cosh losses.

    linear: loss of PCA with `code_width` components, which is the optimum of a linear autoencoder
    (Baldi & Hornik 1989). With weighted features, the components are those of the weighted data,
    for the same reason. Under a cross-entropy the reconstruction counts as a probability, kept
    within EDGE..1 - EDGE. linear_explained is the explained variance of that reconstruction.

    entropy: the least cross-entropy that the targets allow, 0 where they are all 0 or 1; None
    under other losses.

    All but linear_explained are None under a cross-entropy whose targets leave 0..1, where it has
    no floor; all are None where a target is not finite. Data of more than ENTRIES entries are
    represented by a random subset of rows, always the same; the linear floor of a subset is a
    little low, since its components fit fewer rows. Up to SIDE rows or features the components
    are exact; above, they come from subspace iteration, and the floor is up to about 1 % high. The
    linear floor is None where that is too costly (a code above WIDEST) or the subset says too
    little (fewer than ten rows per component).
    """
    x = _sample(train, ENTRIES).to("cpu" if train.device.type == "mps" else train.device, torch.float64)
    if not bool(torch.isfinite(x).all()):
        return Floors()
    entropic = objective.entropic
    unbounded = entropic and bool((x.amin() < 0) | (x.amax() > 1))
    entropy = mean = linear = explained = None
    if not unbounded:
        mean = _finite(_loss(x, best_constant(x, objective), objective))
    if entropic and not unbounded:
        entropy = _finite(_loss(x, None, objective))
    enough = len(x) == len(train) or len(x) >= 10 * code_width
    if enough and (min(x.shape) <= SIDE or code_width <= WIDEST):
        linear, explained = _linear(x, objective, code_width)
        if unbounded:
            linear = None
        elif linear is not None and mean is not None and not entropic and linear < _ROUNDING * mean:
            linear = 0.0
    return Floors(mean=mean, linear=linear, entropy=entropy, linear_explained=explained)


@torch.no_grad()
def best_constant(x: Tensor, objective: Objective) -> Tensor:
    """The constant prediction of each feature with the least loss on `x`, [rows, features] -> [features]."""
    match objective.constant:
        case "mean":
            return x.mean(0)
        case "median":
            return x.median(0).values
        case slope:
            return _balance(_sample(x, _CHUNK), slope)


def _balance(x: Tensor, slope: Callable[[Tensor], Tensor]) -> Tensor:
    """Per column, the root c of sum(slope(c - x)) by bisection, for a slope that never falls."""
    low, high = x.amin(0), x.amax(0)
    for _ in range(50):
        middle = (low + high) / 2
        pull = slope(middle - x).sum(0)
        low, high = torch.where(pull <= 0, middle, low), torch.where(pull >= 0, middle, high)
    return (low + high) / 2


def _sample(x: Tensor, entries: int) -> Tensor:
    """`x`, or as many random rows of it as make `entries` entries, always the same ones and in order."""
    rows = max(2, entries // max(1, x.shape[1]))
    if rows >= len(x):
        return x
    chosen = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:rows]
    return x[chosen.sort().values.to(x.device)]


def _loss(x: Tensor, prediction: Tensor | None, objective: Objective) -> float:
    """Loss of predicting the same row for all, or for None the targets themselves."""
    total = torch.zeros(x.shape[1], dtype=x.dtype, device=x.device)
    for part in _chunks(x):
        total += _pointwise(part if prediction is None else prediction.expand_as(part), part, objective).sum(0)
    return float(objective.reduce(total / len(x)))


def _pointwise(prediction: Tensor, target: Tensor, objective: Objective) -> Tensor:
    if objective.entropic:
        return -(torch.xlogy(target, prediction) + torch.special.xlog1py(1 - target, -prediction))
    return objective.elementwise(prediction, target)


def _linear(x: Tensor, objective: Objective, width: int) -> tuple[float | None, float | None]:
    """Loss and explained variance of PCA with `width` components."""
    mean = x.mean(0)
    scale = torch.ones_like(mean) if objective.weights is None else objective.weights.to(x).sqrt()
    centered = (x - mean) * scale
    components = principal_components(centered, width)
    entropic = objective.entropic
    total = torch.zeros_like(mean)
    missed = deviation = 0.0
    for part, targets in zip(_chunks(centered), _chunks(x), strict=True):
        predicted = mean + (part @ components) @ components.T / scale
        missed += float((predicted - targets).square().sum())
        deviation += float((targets - mean).square().sum())
        if entropic:
            predicted = predicted.clamp(EDGE, 1 - EDGE)
        total += _pointwise(predicted, targets, objective).sum(0)
    explained = 1 - missed / deviation if deviation > 0 else 1.0
    if 1 - explained < _ROUNDING:
        explained = 1.0
    return _finite(float(objective.reduce(total / len(x)))), _finite(explained)


@torch.no_grad()
def principal_components(centered: Tensor, width: int) -> Tensor:
    """The leading principal directions of centered rows, [rows, features] -> [features, at most width]."""
    rows, features = centered.shape
    if min(rows, features) > SIDE:
        return _leading(centered, min(width, rows, features))
    if features <= rows:
        return torch.linalg.eigh(centered.T @ centered).eigenvectors[:, -width:]
    values, vectors = torch.linalg.eigh(centered @ centered.T)
    kept = (values > _ROUNDING * values[-1].clamp(min=0))[-width:]
    directions = centered.T @ vectors[:, -width:][:, kept]
    return torch.linalg.qr(directions).Q


def _leading(centered: Tensor, width: int) -> Tensor:
    """The same by subspace iteration (Halko et al. 2011) from a fixed start, until it gains 0.1 % of what it misses."""
    features = centered.shape[1]
    block = min(width + 16, *centered.shape)
    start = torch.randn(features, block, generator=torch.Generator().manual_seed(0), dtype=centered.dtype)
    basis = torch.linalg.qr(start.to(centered.device)).Q
    total, before = float(centered.square().sum()), 0.0
    for _ in range(30):
        image = centered @ basis
        captured = float(image.square().sum())
        if captured - before <= 1e-3 * (total - captured):
            break
        before = captured
        basis = torch.linalg.qr(centered.T @ image).Q
    image = centered @ basis
    return basis @ torch.linalg.eigh(image.T @ image).eigenvectors[:, -width:]


def _chunks(x: Tensor) -> tuple[Tensor, ...]:
    return x.split(max(1, _CHUNK // max(1, x.shape[1])))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
