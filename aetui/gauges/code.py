"""What the code looks like over the probe set."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from aetui.models.moments import feature_variance
from aetui.protocol import Array, Code

ACTIVE = 0.01
"""Variance above which a VAE's unit is active (Burda et al. 2016); elsewhere the share of the largest variance."""


@torch.no_grad()
def measure_code(
    code: Tensor,
    labels: Sequence[int] | Tensor | None,
    *,
    step: int,
    version: int,
    vae: bool,
    max_points: int = 500,
) -> Code:
    """Projection, effective rank and active units of a code, [rows, width].

    The points are the first two principal components, at `max_points` evenly spaced rows; a code
    one unit wide has zeros as its second. Each component points where its largest loading is
    positive, so that pictures of consecutive steps do not flip. Units that do not vary beyond
    rounding, or are not finite, count as constant.
    """
    code = code.detach().to("cpu", torch.float64)
    rows, width = code.shape
    variances = feature_variance(code)
    centered = torch.where(variances > 0, code - code.mean(0), 0.0)
    values, directions = _spectrum(centered)
    chosen = torch.arange(min(rows, max_points)) * rows // max(1, min(rows, max_points))
    points = torch.zeros(len(chosen), 2, dtype=torch.float64)
    points[:, : directions.shape[1]] = centered[chosen] @ directions
    total = float(values.sum())
    shares = [float(value) / total if total > 0 else 0.0 for value in values[:2]] + [0.0]
    threshold = ACTIVE if vae else ACTIVE * float(variances.amax())
    return Code(
        version=version,
        step=step,
        points=Array.of(points.numpy()),
        shares=(shares[0], shares[1]),
        labels=() if labels is None or not len(labels) else tuple(int(labels[int(row)]) for row in chosen),
        width=width,
        effective_rank=_effective_rank(values.clamp(min=0).sqrt()),
        active=int((variances > threshold).sum()),
        variances=Array.of(variances.numpy()),
    )


@torch.no_grad()
def effective_rank(code: Tensor) -> float:
    """exp of the entropy of the normalized singular values of the centered rows (Roy & Vetterli 2007).

    From 1 to the width of the code, [rows, width]; 0.0 where nothing varies.
    """
    code = code.detach().to("cpu", torch.float64)
    centered = torch.where(feature_variance(code) > 0, code - code.mean(0), 0.0)
    return _effective_rank(_spectrum(centered)[0].clamp(min=0).sqrt())


def _spectrum(centered: Tensor) -> tuple[Tensor, Tensor]:
    """Squared singular values, largest first, and the first two right singular vectors as columns."""
    rows, width = centered.shape
    if width <= rows:
        values, vectors = torch.linalg.eigh(centered.T @ centered)
        leading = vectors[:, -2:].flip(1)
    else:
        values, vectors = torch.linalg.eigh(centered @ centered.T)
        leading = torch.nn.functional.normalize(centered.T @ vectors[:, -2:].flip(1), dim=0)
    largest = leading.gather(0, leading.abs().argmax(0, keepdim=True))
    return values.flip(0), torch.where(largest < 0, -leading, leading)


def _effective_rank(singular: Tensor) -> float:
    total = singular.sum()
    if total == 0:
        return 0.0
    shares = singular / total
    return float(torch.exp(-torch.xlogy(shares, shares).sum()))
