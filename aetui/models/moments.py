"""Variance per feature, and what counts as constant."""

from __future__ import annotations

import math

import torch
from torch import Tensor

CONSTANT = 1e-13
"""A feature is constant where its variance is at most this share of its mean square: its standard
deviation is then below 3e-7 of its size, which is where float32 ends."""


def finite_range(x: Tensor) -> tuple[float, float]:
    """Smallest and largest of the finite entries; 0 and 0 where there is none."""
    low, high = float(x.min()), float(x.max())
    if math.isfinite(low) and math.isfinite(high):
        return low, high
    finite = x[x.isfinite()]
    return (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)


def feature_variance(x: Tensor) -> Tensor:
    """Variance of each column of [rows, features], float32 at least, exactly 0 where it is constant.

    Divides by the number of rows.
    """
    if x.dtype not in (torch.float32, torch.float64):
        x = x.float()
    variance, mean = torch.var_mean(x, dim=0, correction=0)
    return variance.masked_fill(variance <= CONSTANT * (variance + mean.square()), 0.0)
