"""What the gradient of the reconstruction does not reach, whatever else does; and what needs none."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aetui.diagnosis import diagnose, preflight

pytestmark = pytest.mark.usefixtures("one_thread_and_seed")


def table(rows: int = 300) -> Tensor:
    made = torch.Generator().manual_seed(0)
    return torch.tanh(torch.randn(rows, 6, generator=made) @ torch.randn(6, 30, generator=made)) * 1.5


class Vae(nn.Module):
    """A VAE that does something with its code on the way to the decoder."""

    def __init__(self, code: str = "drawn") -> None:
        super().__init__()
        self.code = code
        self.encoder, self.mean, self.spread = nn.Linear(30, 48), nn.Linear(48, 8), nn.Linear(48, 8)
        self.decoder = nn.Sequential(nn.Linear(8, 48), nn.ReLU(), nn.Linear(48, 30))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        hidden = torch.relu(self.encoder(x))
        mean, spread = self.mean(hidden), self.spread(hidden)
        z = mean + torch.randn_like(mean) * (spread / 2).exp()
        match self.code:
            case "detached":
                z = z.detach()
            case "noise alone":
                z = torch.randn_like(mean)
            case "the mean":
                z = mean
            case "rounded":
                z = torch.round(4 * z) / 4
            case "binary":
                z = (z > 0).float()
            case "binary, straight through":
                z = z + ((z > 0).float() - z).detach()
            case "without gradients":
                with torch.no_grad():
                    z = self.mean(torch.relu(self.encoder(x)))
        return self.decoder(z), mean, spread


def elbo(output: tuple[Tensor, Tensor, Tensor], x: Tensor) -> Tensor:
    made, mean, spread = output
    kl = -0.5 * (1 + spread - mean**2 - spread.exp()).sum(1).mean()
    return F.mse_loss(made, x, reduction="sum") / len(x) + kl


class Quantized(nn.Module):
    def __init__(self, through: bool) -> None:
        super().__init__()
        self.through, self.encoder, self.decoder = through, nn.Linear(30, 8), nn.Linear(8, 30)
        self.book = nn.Embedding(32, 8)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z = self.encoder(x)
        q = self.book(torch.cdist(z, self.book.weight).argmin(1))
        extra = F.mse_loss(q, z.detach()) + 0.25 * F.mse_loss(q.detach(), z)
        return self.decoder(z + (q - z).detach() if self.through else q), extra


def quantized_loss(output: tuple[Tensor, Tensor], x: Tensor) -> Tensor:
    return F.mse_loss(output[0], x) + output[1]


@pytest.mark.parametrize("code", ["detached", "noise alone", "rounded", "binary", "without gradients"])
def test_an_encoder_that_only_the_kl_trains_is_frozen(code: str) -> None:
    finding = preflight(Vae(code), table(), loss=elbo)[0]
    assert finding.cause == "frozen-parameters"
    text = " ".join(one.text for one in finding.evidence)
    assert "encoder.weight" in text and "decoder" not in text.replace("the decoder", "")
    assert ("whatever the input" in text) == (code == "noise alone")


@pytest.mark.parametrize("code", ["drawn", "the mean", "binary, straight through"])
def test_an_encoder_that_the_reconstruction_trains_is_not(code: str) -> None:
    assert "frozen-parameters" not in [one.cause for one in preflight(Vae(code), table(), loss=elbo)]


def test_codes_that_are_chosen_need_a_straight_path() -> None:
    finding = preflight(Quantized(False), table(), loss=quantized_loss)[0]
    assert finding.cause == "frozen-parameters" and finding.remedies[0].id == "straight-through"
    assert "argmin(1)" in finding.remedies[0].line
    assert not preflight(Quantized(True), table(), loss=quantized_loss)


def test_heads_that_make_nothing_of_the_reconstruction_need_no_gradient_of_it() -> None:
    class Headed(Vae):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(8, 3)

    def step(model: Headed, batch: Tensor) -> Tensor:
        output = model(batch)
        labels = (batch[:, 0] > 0).long()
        return elbo(output, batch) + 0.1 * F.cross_entropy(model.head(output[1].detach()), labels)

    assert not preflight(Headed(), table(), step=step)


def test_a_group_with_a_rate_of_zero_is_frozen() -> None:
    model = Vae()
    groups = [
        {"params": model.encoder.parameters(), "lr": 0.0},
        {"params": [*model.mean.parameters(), *model.spread.parameters(), *model.decoder.parameters()]},
    ]
    finding = preflight(model, table(), loss=elbo, optimizer=torch.optim.Adam(groups, lr=1e-3))[0]
    assert finding.cause == "frozen-parameters"
    assert any("learning rate is 0" in one.text for one in finding.evidence)


def test_a_probe_shows_that_letting_the_gradient_through_repairs_it() -> None:
    report = diagnose(Vae("detached"), table(600), loss=elbo, lr=3e-3, steps=300)
    assert report.cause == "frozen-parameters" and report.findings[0].confidence >= 0.9
    assert "z = z.detach()" in report.findings[0].remedies[0].line
