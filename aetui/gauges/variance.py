"""How much each output feature varies, against how much the data vary."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from aetui.models.moments import feature_variance
from aetui.protocol import Array, Variance

LOW = 0.1
"""Variance ratio below which a feature counts as low."""

_QUANTILES = (0.0, 0.1, 0.5, 0.9, 1.0)


@torch.no_grad()
def measure_variance(output: Tensor, target: Tensor, *, step: int, version: int, max_groups: int = 16384) -> Variance:
    """Variance of predictions and targets, [rows, features], per feature over the rows.

    Above `max_groups` features, the two arrays hold means over groups of neighbors of equal size
    (the last may be smaller); `low`, `constant` and `quantiles` are over all features. A feature is
    constant where its variance is at most CONSTANT (`aetui.models.moments`) of its mean square.
    """
    made, given = feature_variance(output), feature_variance(target)
    features = len(given)
    group = math.ceil(features / max_groups)
    ratios = _ratios(made, given)
    return Variance(
        version=version,
        step=step,
        output=Array.of(_grouped(made, group).cpu().numpy()),
        data=Array.of(_grouped(given, group).cpu().numpy()),
        group=group,
        features=features,
        low=int((ratios < LOW).sum()),
        constant=features - len(ratios),
        quantiles=_quantiles(ratios),
    )


@torch.no_grad()
def variance_ratio_summary(output: Tensor, target: Tensor) -> dict[str, float | int | None]:
    """Quantiles of Var(output_j)/Var(target_j) over the features that vary in the data.

    Keys min, p10, median, p90, max (None if no feature varies), `below_0.1` (a count), and
    `features`, the number of features that vary.
    """
    ratios = _ratios(feature_variance(output), feature_variance(target))
    quantiles = _quantiles(ratios) or (None,) * len(_QUANTILES)
    named = dict(zip(("min", "p10", "median", "p90", "max"), quantiles, strict=True))
    return {**named, "below_0.1": int((ratios < LOW).sum()), "features": len(ratios)}


def _ratios(made: Tensor, given: Tensor) -> Tensor:
    varies = given > 0
    return made[varies] / given[varies]


def _quantiles(ratios: Tensor) -> tuple[float, ...]:
    if not len(ratios):
        return ()
    # torch.quantile refuses more than 16 million values, sorting does not.
    ordered = ratios.double().cpu().sort().values
    places = torch.tensor(_QUANTILES, dtype=torch.float64) * (len(ordered) - 1)
    below, above = ordered[places.floor().long()], ordered[places.ceil().long()]
    return tuple(torch.lerp(below, above, places.frac()).tolist())


def _grouped(values: Tensor, group: int) -> Tensor:
    if group == 1:
        return values
    whole = len(values) // group * group
    groups = values[:whole].view(-1, group).mean(1)
    return torch.cat([groups, values[whole:].mean().reshape(1)]) if whole < len(values) else groups
