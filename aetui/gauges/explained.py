"""Explained variance: how much better than predicting the mean."""

from __future__ import annotations

import torch
from torch import Tensor

from aetui.models.moments import feature_variance


@torch.no_grad()
def explained_variance(output: Tensor, target: Tensor) -> float:
    """1 - FVU of predictions and targets, [rows, features]; 0 is predict-the-mean, 1 perfect.

    FVU is the sum of squared errors over the sum of squared deviations from each feature's mean
    over these rows. Targets that do not vary at all give 1.0 for a perfect output and 0.0 for any
    other. Not finite where the output is not.
    """
    errors = (output - target).float().square()
    error = float(errors.mean(0).sum())
    deviation = float(feature_variance(target).sum())
    if deviation == 0:
        return 1.0 if error == 0 else 0.0
    return 1 - error / deviation
