"""A step that is not finite is masked on a device; clipping must not bring the NaN back."""

import math

import pytest
import torch

from aetui.spec import sections as s
from aetui.training.clipping import clip_on_device


@pytest.mark.parametrize("norm", [math.nan, math.inf])
@pytest.mark.parametrize("section", [s.PerTensor(), s.GlobalNorm(), s.ValueClip()])
def test_masked_gradients_stay_zero(section: s.Clip, norm: float):
    grads = torch.zeros(6)
    clip_on_device(section, [grads], list(grads.split(3)), torch.tensor(norm))
    assert torch.equal(grads, torch.zeros(6))
