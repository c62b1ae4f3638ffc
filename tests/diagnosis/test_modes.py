"""A forward computed with some of its functions changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aetui.diagnosis.change import Change
from aetui.diagnosis.modes import Watcher

G = torch.Generator().manual_seed(0)
X = torch.randn(5, 8, generator=G)


def mode(**change: Any) -> Any:
    return Change(**change).mode()


DROPOUT = nn.Dropout(0.9).train()


@pytest.mark.parametrize(
    ("noisy", "quiet"),
    [
        (lambda x: DROPOUT(x), X), (lambda x: F.dropout(x, 0.9), X),
        (lambda x: nn.Dropout2d(0.9)(x[..., None, None]), X),
        (lambda x: nn.AlphaDropout(0.5)(x), X), (lambda x: x + torch.randn_like(x), X),
        (lambda x: x + 0.1 * torch.randn(x.shape), X), (lambda x: x + 0.1 * torch.randn(*x.shape), X),
        (lambda x: x + torch.empty_like(x).normal_(), X), (lambda x: x + torch.empty_like(x).normal_(2.0, 3.0), X + 2),
        (lambda x: x + torch.zeros_like(x).normal_(mean=1.0, std=3.0), X + 1), (lambda x: torch.normal(x, 1.0), X),
        (lambda x: torch.normal(x, torch.ones_like(x)), X), (lambda x: x + torch.normal(0.0, 1.0, x.shape), X),
        (lambda x: x + torch.normal(mean=0.5, std=1.0, size=x.shape), X + 0.5),
        (lambda x: torch.distributions.Normal(x, torch.ones_like(x)).rsample(), X),
        (lambda x: torch.bernoulli(torch.full_like(x, 0.25)), torch.full_like(X, 0.25)),
        (lambda x: torch.empty_like(x).bernoulli_(0.25), torch.full_like(X, 0.25)),
        (lambda x: x * (torch.rand_like(x) > 0.5), X), (lambda x: x * (torch.rand(x.shape) > 0.5).float(), X),
    ],
)  # fmt: skip
def test_randomness_is_silenced(noisy: Callable[[Tensor], Tensor], quiet: Tensor):
    torch.manual_seed(0)
    assert not torch.allclose(noisy(X).reshape(X.shape), quiet)
    with mode(silent=True):
        made = noisy(X)
    assert torch.allclose(made.reshape(X.shape), quiet)
    with Watcher() as watcher:
        noisy(X)
    assert watcher.noise


class Mixed(nn.Module):
    """Activations as modules, functions and methods."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(F.relu(self.act(x - 1) - 1).tanh() + x)


@pytest.mark.parametrize(
    ("change", "by_hand"),
    [
        ({"swaps": ((0, "identity"),)}, lambda x: torch.sigmoid(F.relu(x - 2).tanh() + x)),
        ({"swaps": ((1, "leaky"),)}, lambda x: torch.sigmoid(F.leaky_relu(F.relu(x - 1) - 1, 0.1).tanh() + x)),
        ({"swaps": ((2, "identity"),)}, lambda x: torch.sigmoid(F.relu(F.relu(x - 1) - 1) + x)),
        ({"swaps": ((3, "identity"),)}, lambda x: F.relu(F.relu(x - 1) - 1).tanh() + x),
        ({"every": (("relu", "leaky"),)},
         lambda x: torch.sigmoid(F.leaky_relu(F.leaky_relu(x - 1, 0.1) - 1, 0.1).tanh() + x)),
        ({"every": (("relu", "elu"),), "swaps": ((0, "identity"),)}, lambda x: torch.sigmoid(F.elu(x - 2).tanh() + x)),
        ({"every": (("tanh", "sigmoid"),)}, lambda x: torch.sigmoid(F.relu(F.relu(x - 1) - 1).sigmoid() + x)),
        ({}, Mixed()),
    ],
)  # fmt: skip
def test_activations_are_swapped(change: dict[str, Any], by_hand: Callable[[Tensor], Tensor]):
    x, altered = 4 * X, mode(**change)
    for _ in range(2):
        with altered:
            made = Mixed()(x)
        assert torch.allclose(made, by_hand(x))


@pytest.mark.parametrize(
    "cut", [lambda x: x.detach(), lambda x: torch.detach(x), lambda x: x.data, lambda x: (x * 1).detach_()]
)
def test_gradients_through_detach(cut: Callable[[Tensor], Tensor]):
    x = X.clone().requires_grad_()
    with mode(unfreeze=True):
        made = cut(x) * 2
    made.sum().backward()
    assert x.grad is not None and bool((x.grad == 2).all())


def test_gradients_through_no_grad():
    layer, x = nn.Linear(8, 3), X.clone()
    with mode(unfreeze=True), torch.no_grad():
        made = layer(x) * 2
    assert made.requires_grad
    with torch.no_grad():
        assert not (layer(x) * 2).requires_grad
