"""Yardsticks, weights and widths that a verdict rests on, against a closed form or a computation of its own."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from aetui.diagnosis.api import subject_of
from aetui.diagnosis.dossier import Dossier
from aetui.diagnosis.facts import gather
from aetui.diagnosis.figures import measure_linear, told_linear
from aetui.diagnosis.outputs import take_apart
from aetui.diagnosis.weighing import Outcome, confidence, recovery
from aetui.diagnosis.width import find_code


def draw(rows: int, features: int, seed: int = 0) -> np.ndarray:
    """Rows of uneven variance, with a constant feature and an offset."""
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(rows, features)) * np.linspace(0.5, 3, features)
    x[:, : features // 2] += x[:, [-1]]
    x[:, 1] = 4.0
    return x + 2.0


SIX = torch.from_numpy(draw(30, 6)).float()


# --- the limit of the KL ------------------------------------------------------------------------


def trained_linear_vae(x: Tensor, width: int, beta: float, *, draws: bool = False) -> float:
    """Explained variance of a linear VAE at the optimum of its exact objective: half the squared error plus beta KL.

    draws: of outputs from drawn codes, not from their means.
    """
    generator = torch.Generator().manual_seed(0)
    centered = x - x.mean(0)
    covariance = centered.T @ centered / len(x)
    features = x.shape[1]
    encoder = (0.1 * torch.randn(width, features, generator=generator, dtype=torch.float64)).requires_grad_()
    decoder = (0.1 * torch.randn(features, width, generator=generator, dtype=torch.float64)).requires_grad_()
    log_variance = torch.zeros(width, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([encoder, decoder, log_variance], max_iter=4000, line_search_fn="strong_wolfe",
                                  tolerance_grad=1e-10, tolerance_change=1e-14)  # fmt: skip

    def missed() -> Tensor:
        rest = torch.eye(features, dtype=torch.float64) - decoder @ encoder
        return torch.trace(rest @ covariance @ rest.T)

    def objective() -> Tensor:
        optimizer.zero_grad()
        means = torch.diagonal(encoder @ covariance @ encoder.T)
        kl = 0.5 * (log_variance.exp() + means - 1 - log_variance).sum()
        noise = (decoder.square().sum(0) * log_variance.exp()).sum()
        loss = 0.5 * (missed() + noise) + beta * kl
        loss.backward()
        return loss

    optimizer.step(objective)  # pyright: ignore[reportArgumentType]
    passed_on = (decoder.square().sum(0) * log_variance.exp()).sum().detach() if draws else 0.0
    return 1 - float((missed().detach() + passed_on) / torch.trace(covariance))


@pytest.mark.parametrize("draws", [False, True])
@pytest.mark.parametrize("beta", [0.1, 1.0, 4.0, 200.0])
def test_limit_of_the_kl_against_a_linear_vae(beta: float, draws: bool):
    x = torch.from_numpy(draw(60, 6))
    facts = SimpleNamespace(linear=measure_linear(x, 3), beta=beta, draws=draws)
    subject = SimpleNamespace(loss=SimpleNamespace(kind="mse"))
    limit = Dossier(subject, facts).kl_limit  # pyright: ignore[reportArgumentType]
    assert limit == pytest.approx(trained_linear_vae(x, 3, beta, draws=draws), abs=1e-5)


class Vae(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder, self.decoder = nn.Linear(6, 4), nn.Linear(2, 6)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_variance = self.encoder(x).chunk(2, 1)
        made = self.decoder(mean + (log_variance / 2).exp() * torch.randn_like(mean))
        self.kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)
        return made.sigmoid(), mean, log_variance


@pytest.mark.parametrize("noise", [0.0, 0.5, 2.0])
def test_what_noisy_inputs_tell_linearly_is_what_a_trained_linear_map_reaches(noise: float):
    generator = torch.Generator().manual_seed(0)
    y = torch.randn(400, 3, generator=generator, dtype=torch.float64) @ torch.randn(3, 6, generator=generator).double()
    x = y + noise * torch.randn(400, 6, generator=generator, dtype=torch.float64)
    down = torch.randn(6, 2, generator=generator, dtype=torch.float64).requires_grad_()
    up = torch.randn(2, 6, generator=generator, dtype=torch.float64).requires_grad_()
    optimizer = torch.optim.LBFGS([down, up], max_iter=2000, line_search_fn="strong_wolfe", tolerance_grad=1e-12)
    a, b = x - x.mean(0), y - y.mean(0)

    def missed() -> Tensor:
        optimizer.zero_grad()
        loss = (a @ down @ up - b).square().sum()
        loss.backward()
        return loss

    optimizer.step(missed)  # pyright: ignore[reportArgumentType]
    reached = 1 - float(missed().detach() / b.square().sum())
    assert told_linear(x, y, 2) == pytest.approx(reached, abs=1e-6)


def test_too_few_rows_tell_nothing_linear():
    assert told_linear(torch.randn(20, 6), torch.randn(20, 6), 2) is None


def test_codes_drawn_in_eval_mode_are_seen():
    x = SIX.sigmoid()
    assert gather(subject_of(Vae(), x, penalty=lambda m: m.kl.mean())).draws
    assert not gather(subject_of(nn.Linear(6, 6), x)).draws


@pytest.mark.parametrize(
    ("loss", "weight", "beta"),
    [("mse_sum", 1.0, 0.5), ("mse", 1.0, 3.0), ("mse", 0.01, 0.03), ("bce_sum", 1.0, 1.0), ("bce", 1.0, 6.0)],
)
def test_weight_of_the_kl(loss: str, weight: float, beta: float):
    x = SIX.sigmoid()
    facts = gather(subject_of(Vae(), x, loss=loss, penalty=lambda m: weight * m.kl.mean()))
    assert facts.beta == pytest.approx(beta, rel=1e-3) and facts.variational

    def whole(output: Any, target: Tensor) -> Tensor:
        made, mean, log_variance = output
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()
        return F.mse_loss(made, target, reduction="none").sum(1).mean() + weight * kl

    assert gather(subject_of(Vae(), x, loss=whole)).beta == pytest.approx(weight / 2, rel=1e-3)


# --- weighing -----------------------------------------------------------------------------------

SHARE = st.floats(0, 1)


@given(SHARE, SHARE, SHARE, SHARE)
def test_confidence_grows_with_suspicion_and_recovery(a: float, b: float, c: float, d: float):
    low, high = sorted((a, b))
    less, more = sorted((c, d))
    assert 0 <= confidence(low, less) <= confidence(high, more) <= 1
    assert confidence(low, None) <= confidence(high, None)
    assert confidence(low, 0.0) <= confidence(low, None) <= confidence(low, 1.0)


def test_confidence_multiplies_odds():
    assert confidence(0.5, None) == pytest.approx(0.5)
    assert confidence(0.25, 1.0) == pytest.approx((8 / 3) / (1 + 8 / 3))
    assert confidence(0.5, 0.0) == pytest.approx(0.12 / 1.12)


@given(SHARE, SHARE, SHARE)
def test_recovery_is_a_share_of_the_gap(control: float, one: float, two: float):
    outcomes = [Outcome(None, 10, None, quality) for quality in (one, two)]  # pyright: ignore[reportArgumentType]
    share = recovery(outcomes, control, goal=1.0)
    assert share is not None and 0 <= share <= 1
    if control <= 0.95:
        assert share == pytest.approx(min(1.0, max(0.0, (max(one, two) - control) / (1 - control))))
    assert recovery([], control, 1.0) is None


# --- width --------------------------------------------------------------------------------------


class Functional(nn.Module):
    """Weights as bare parameters, code by a product."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Parameter(torch.randn(6, 3)), nn.Parameter(torch.randn(3, 6))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x @ self.down) @ self.up


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.encoder, self.decoder = kind(4, 5, batch_first=True), kind(5, 9, batch_first=True)
        self.out = nn.Linear(9, 4)

    def forward(self, x: Tensor) -> Tensor:
        _, state = self.encoder(x)
        last = (state[0] if isinstance(state, tuple) else state)[-1]
        return self.out(self.decoder(last[:, None].expand(-1, x.shape[1], -1))[0])


@pytest.mark.parametrize(
    ("model", "shape", "width"),
    [
        (nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 2), nn.Linear(2, 6)), (6,), 2),
        (nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 6)), (6,), 6),
        (nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), nn.Conv2d(8, 4, 3, 2, 1),
                       nn.ConvTranspose2d(4, 8, 2, 2), nn.ConvTranspose2d(8, 1, 2, 2)), (1, 8, 8), 4 * 2 * 2),
        (nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), nn.Flatten(), nn.Linear(128, 3), nn.Linear(3, 64),
                       nn.Unflatten(1, (1, 8, 8))), (1, 8, 8), 3),
        (Recurrent(nn.LSTM), (12, 4), 5), (Recurrent(nn.GRU), (12, 4), 5), (Vae(), (6,), 2), (Functional(), (6,), 3),
    ],
    ids=["mlp", "wide", "conv", "conv-dense", "lstm", "gru", "vae", "functional"],
)  # fmt: skip
def test_width_of_the_code(model: nn.Module, shape: tuple[int, ...], width: int):
    x = torch.rand(8, *shape)
    found = find_code(model, 8, x.device, lambda copy: take_apart(copy(x), x.shape))
    assert found is not None and found.width == width
