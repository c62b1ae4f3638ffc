"""What a run is measured by: what its inputs tell of its targets, and what the weight of its KL leaves."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from aetui.diagnosis.api import subject_of
from aetui.diagnosis.dossier import Dossier
from aetui.diagnosis.facts import gather

pytestmark = pytest.mark.usefixtures("one_thread_and_seed")


def rows(count: int = 600, features: int = 20) -> Tensor:
    draw = torch.Generator().manual_seed(3)
    return torch.sigmoid(torch.randn(count, 4, generator=draw) @ torch.randn(4, features, generator=draw))


def dossier(model: nn.Module, step: Any, data: Any) -> Dossier:
    subject = subject_of(model, data, step=step, steps=100)
    return Dossier(subject, gather(subject))


def test_a_denoiser_is_measured_by_what_the_noisy_rows_tell():
    data = rows()

    def noisy(model: nn.Module, x: Tensor) -> Tensor:
        return functional.mse_loss(model(x + 0.5 * torch.randn_like(x)), x)

    limit = dossier(nn.Linear(20, 20), noisy, data).limit
    centered = data - data.mean(0)
    seen = centered + 0.5 * torch.randn(centered.shape, generator=torch.Generator().manual_seed(9))
    fitted = seen @ torch.linalg.lstsq(seen, centered).solution
    expected = 1 - float((fitted - centered).square().sum() / centered.square().sum())
    assert limit == pytest.approx(expected, abs=0.04) and expected < 0.9


def test_a_step_that_hides_nothing_is_measured_by_pca():
    def plain(model: nn.Module, x: Tensor) -> Tensor:
        return functional.mse_loss(model(x.view(len(x), -1)), x)

    found = dossier(nn.Sequential(nn.Linear(20, 4), nn.Linear(4, 20)), plain, rows())
    assert found.facts.linear.told is None and found.limit == found.facts.linear.explained


class Vae(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(20, 8), nn.Linear(4, 20)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mu, logvar = self.encoder(x).chunk(2, 1)
        return self.decoder(mu + torch.randn_like(mu) * (0.5 * logvar).exp()), mu, logvar


@pytest.mark.parametrize("logits", [True, False])
@pytest.mark.parametrize(
    ("reduction", "weight", "beta"), [("sum", 1.0, 1.0), ("mean", 1.0, 20.0 * 64), ("mean", 1e-3, 20.0 * 64e-3)]
)
def test_the_weight_of_a_kl_follows_from_how_both_terms_are_summed(
    logits: bool, reduction: str, weight: float, beta: float
):
    """The KL summed over the batch beside a cross-entropy that is summed or averaged over all entries of 64 rows."""

    def step(model: nn.Module, x: Tensor) -> Tensor:
        made, mu, logvar = model(x)
        if logits:
            error = functional.binary_cross_entropy_with_logits(made, x, reduction=reduction)
        else:
            error = functional.binary_cross_entropy(made.sigmoid(), x, reduction=reduction)
        return error - weight * 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())

    assert dossier(Vae(), step, rows()).facts.beta == pytest.approx(beta, rel=1e-3)
