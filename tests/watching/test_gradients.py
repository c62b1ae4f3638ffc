from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from aetui.spec import sections as s
from aetui.watching import gradients


def some() -> list[Tensor]:
    draw = torch.Generator().manual_seed(0)
    sizes = [(3, 5), (7,), (200, 300), (64, 64, 3)]
    made = [torch.randn(size, generator=draw) for size in sizes]
    return [*made, made[2].t(), made[1].double(), made[1].half()]


@pytest.mark.parametrize("scale", [None, 1024.0])
def test_the_norm_is_that_of_all_gradients_together(scale: float | None):
    grads = some()
    expected = math.sqrt(sum(float(grad.double().square().sum()) for grad in grads))
    norm, clipped = gradients.measured([grad * (scale or 1) for grad in grads], s.NoClip(), scale)
    assert norm == pytest.approx(expected, rel=1e-3 if scale else 1e-5) and clipped == 0


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_gradient_that_is_not_finite_has_a_norm_that_is_not(value: float):
    norm, _ = gradients.measured([torch.ones(3), torch.tensor([1.0, value])], s.NoClip())
    assert not math.isfinite(float(norm))


def test_no_gradient_has_no_norm():
    assert gradients.measured([], s.NoClip()) == (0.0, 0.0)
