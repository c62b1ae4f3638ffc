"""What a caller's loss is seen to do: no shape is guessed where its own calls tell."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from aetui.diagnosis import diagnose
from aetui.diagnosis.api import subject_of
from aetui.diagnosis.change import Change
from aetui.diagnosis.loop import Loop

pytestmark = pytest.mark.usefixtures("one_thread_and_seed")


class Flat(nn.Module):
    def __init__(self, *, extra: bool = False) -> None:
        super().__init__()
        self.extra, self.a, self.b = extra, nn.Linear(64, 8), nn.Linear(8, 64)

    def forward(self, x: Tensor) -> Tensor:
        made = self.b(self.a(x.flatten(1)))
        return made.unsqueeze(1) if self.extra else made


@pytest.mark.parametrize("extra", [False, True])
def test_a_loss_that_flattens_its_target_broadcasts_only_where_it_does(extra: bool):
    images = (torch.randn(600, 8) @ torch.randn(8, 64)).view(600, 1, 8, 8) / 3
    report = diagnose(
        Flat(extra=extra), images, loss=lambda out, x: F.mse_loss(out, x.flatten(1)), steps=300, probes=False, lr=1e-2
    )
    assert (report.cause == "shape-broadcast") is extra


def test_a_data_set_of_pairs_trains_input_to_target():
    clean = torch.randn(500, 4) @ torch.randn(4, 20) / 2
    noisy = clean + torch.randn_like(clean)
    net = nn.Sequential(nn.Linear(20, 4), nn.Linear(4, 20))
    paired = diagnose(net, TensorDataset(noisy, clean), steps=150, probes=False)
    given = diagnose(net, noisy, targets=clean, steps=150, probes=False)
    assert paired.explained_variance == given.explained_variance
    assert {one.role: one.source for one in paired.taken}["target"] == "the targets"
    labels = diagnose(net, TensorDataset(noisy, torch.arange(500) % 3), steps=150, probes=False)
    assert labels.explained_variance == diagnose(net, noisy, steps=150, probes=False).explained_variance


class Categorical(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.a, self.b = nn.Embedding(10, 4), nn.Linear(24, 6), nn.Linear(10, 20)

    def forward(self, x: Tensor) -> Tensor:
        c = self.embed(x[:, 20].long())
        return self.b(torch.cat([self.a(torch.cat([x[:, :20], c], 1)).detach(), c], 1))


def test_columns_that_are_indices_are_never_scaled():
    x = torch.randn(400, 5) @ torch.randn(5, 20) * 5
    table = torch.cat([x, torch.randint(0, 10, (400, 1)).float()], 1)
    subject = subject_of(Categorical(), table, targets=x)
    for scale in ("standardize", "unit", "symmetric", "minmax"):
        loop = Loop(subject, Change(scale=scale))
        assert torch.equal(loop.inputs[:, 20], subject.inputs[:, 20])
        assert not torch.equal(loop.inputs[:, 0], subject.inputs[:, 0])
    assert diagnose(Categorical(), table, targets=x, steps=200).cause == "frozen-parameters"


class Masked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(30, 48), nn.ReLU(), nn.Linear(48, 30))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        hidden = (torch.rand_like(x) < 0.5).float()
        made = self.net(x * (1 - hidden))
        made = made * hidden - made.detach() * (1 - hidden)
        return {"loss": ((made - x) ** 2 * hidden).sum() / hidden.sum(), "recon": made}


def test_a_masked_loss_is_judged_where_it_looks():
    x = torch.randn(800, 3) @ torch.randn(3, 30) / 2
    report = diagnose(Masked(), x, loss=lambda out, _: out["loss"], lr=3e-3, steps=500, probes=False)
    assert report.verdict == "healthy"
    assert "mask" in {one.role for one in report.taken}


@pytest.mark.parametrize("form", ["log-variance", "standard deviation", "no KL"])
def test_a_kl_is_one_by_its_form_alone(form: str):
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.d = nn.Linear(12, 4), nn.Linear(12, 4), nn.Linear(4, 12)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            mean, spread = self.a(x), self.b(x)
            spread = F.softplus(spread) if form == "standard deviation" else spread
            return self.d(mean), mean, spread

    def loss(out: tuple[Tensor, Tensor, Tensor], x: Tensor) -> Tensor:
        made, mean, spread = out
        rest = mean.square().sum(1) + spread.square().sum(1)
        if form == "log-variance":
            rest = -0.5 * (1 + spread - mean**2 - spread.exp()).sum(1)
        if form == "standard deviation":
            normal = torch.distributions.Normal(mean, spread)
            rest = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).sum(1)
        return F.mse_loss(made, x) + 0.01 * rest.mean()

    found = {one.role for one in subject_of(Net(), torch.randn(100, 12), loss=loss).taken}
    assert ("log-variance" in found) is (form != "no KL")
