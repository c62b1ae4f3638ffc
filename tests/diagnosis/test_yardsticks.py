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


def masked(hidden: bool, share: float = 0.3) -> Any:
    """A step that judges masked entries, which the model sees or not."""

    def step(model: nn.Module, x: Tensor) -> Tensor:
        mask = (torch.rand_like(x) < share).float()
        made = model(x * (1 - mask) if hidden else x)
        return ((made - x) ** 2 * mask).sum() / mask.sum()

    return step


def test_entries_that_the_model_does_not_see_are_measured_by_what_the_others_tell():
    data = rows(1500)
    found = dossier(nn.Linear(20, 20), masked(True), data).facts.linear.told
    # The same from scratch: each entry from the others of its row, where it is masked.
    draw = torch.Generator().manual_seed(5)
    mask = (torch.rand(data.shape, generator=draw) < 0.3).float()
    given = torch.cat([(data - data.mean(0)) * (1 - mask), mask, torch.ones(len(data), 1)], 1)
    total = missed = 0.0
    for place in range(20):
        chosen = mask[:, place] > 0
        x, y = given[chosen], data[chosen, place]
        rest = y - x @ torch.linalg.lstsq(x, y[:, None], driver="gelsd").solution[:, 0]
        total, missed = total + float((y - y.mean()).square().sum()), missed + float(rest.square().sum())
    assert found == pytest.approx(1 - missed / total, abs=0.05) and found < 0.95


def test_entries_that_the_model_sees_have_no_such_limit():
    assert dossier(nn.Linear(20, 20), masked(False), rows(1500)).facts.linear.told is None


def test_a_step_that_writes_into_its_batch_is_left_in_peace():
    def step(model: nn.Module, x: Tensor) -> Tensor:
        mask = (torch.rand_like(x) < 0.3).float()
        wanted = x.clone()
        x *= 1 - mask
        return ((model(x) - wanted) ** 2 * mask).sum() / mask.sum()

    assert dossier(nn.Linear(20, 20), step, rows(1500)).facts.linear.told is None
