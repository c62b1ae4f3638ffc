"""Failures of the gallery as scripts that somebody wrote: the verdict of the watched loop names the cause."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from aetui.data.builtin import read_digits

Step = Callable[[nn.Module, Tensor], tuple[Tensor, dict[str, Tensor]]]


def digits(top: float = 1.0) -> Tensor:
    return torch.from_numpy(read_digits().values).float() * (top / 16)


def mlp(*last: nn.Module, bias: float = 0.0) -> nn.Module:
    torch.manual_seed(0)
    made = nn.Sequential(
        nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 8), nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 64), *last
    )
    if bias:
        for layer in (made[0], made[3]):
            nn.init.constant_(layer.bias, bias)  # pyright: ignore[reportArgumentType]
    return made


def standardized() -> Tensor:
    rows = digits()
    return (rows - rows.mean(0)) / rows.std(0).clamp(min=1e-3)


def images() -> Tensor:
    return digits().reshape(-1, 1, 8, 8)


def convolutional() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(128, 8), nn.Linear(8, 128), nn.ReLU(),
        nn.Unflatten(1, (8, 4, 4)), nn.ConvTranspose2d(8, 1, 3, 2, 1, 1),
    )  # fmt: skip


class Vae(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 16))
        self.decoder = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 64))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_variance = self.encoder(x).chunk(2, dim=1)
        return self.decoder(mean + torch.randn_like(mean) * (0.5 * log_variance).exp()), mean, log_variance


def with_kl(model: nn.Module, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    made, mean, log_variance = model(x)
    error = functional.mse_loss(made, x)
    kl = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(1).mean()
    return error + kl, {"reconstruction": error, "kl": kl}


def plain(model: nn.Module, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    return functional.mse_loss(model(x), x), {}


def frozen() -> nn.Module:
    model = mlp()
    for layer in list(model.children())[:4]:
        layer.requires_grad_(False)
    return model


CASES: dict[str, tuple[Callable[[], nn.Module], Callable[[], Tensor], Step, dict[str, Any], tuple[str, ...]]] = {
    "high-rate": (mlp, digits, plain, {"lr": 1.0}, ("lr-too-high",)),
    "low-rate": (mlp, digits, plain, {"lr": 1e-7}, ("lr-too-low",)),
    "low-rate-of-images": (convolutional, images, plain, {"lr": 1e-7}, ("lr-too-low",)),
    "raw-into-sigmoid": (lambda: mlp(nn.Sigmoid()), standardized, plain, {}, ("output-range",)),
    "negative-bias": (lambda: mlp(bias=-20.0), digits, plain, {}, ("dead-units",)),
    "kl-against-mean": (Vae, digits, with_kl, {}, ("posterior-collapse",)),
    "frozen": (frozen, digits, plain, {}, ("frozen-parameters",)),
    "weight-decay": (mlp, digits, plain, {"weight_decay": 1.0}, ("penalty-too-strong",)),
}


@pytest.mark.parametrize("name", CASES)
def test_the_verdict_names_the_cause_first(watched, name: str):
    build, rows_of, step, options, causes = CASES[name]
    model, rows = build(), rows_of()
    optimizer = torch.optim.Adam(model.parameters(), **{"lr": 1e-3, **options})
    run = watched(model, rows, loss="mse")
    torch.manual_seed(1)
    for _ in range(10):
        for part in torch.randperm(len(rows)).split(64):
            optimizer.zero_grad()
            loss, parts = step(model, rows[part])
            loss.backward()
            optimizer.step()
            run.log(loss, **parts)
    report = run.report()
    assert report is not None and report.verdict not in ("healthy", "at-limit")
    assert report.cause in causes, [(one.cause, one.confidence) for one in report.findings]


@pytest.mark.parametrize("weight", [0.5, 1e-3])
def test_the_weight_of_the_kl_follows_from_what_is_logged(watched, weight: float):
    model, rows = Vae(), digits()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    run = watched(model, rows, loss="mse")
    assert run._training.measured.kl_weight is None
    torch.manual_seed(1)
    for part in torch.randperm(len(rows)).split(64)[:5]:
        optimizer.zero_grad()
        _, parts = with_kl(model, rows[part])
        loss = parts["reconstruction"] + weight * parts["kl"]
        loss.backward()
        optimizer.step()
        run.log(loss, **parts)
    assert run._training.measured.kl_weight == pytest.approx(weight, rel=0.6)


class Quantized(nn.Module):
    """A codebook, which a term of the loss trains that is made in the loop."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder, self.decoder, self.codebook = nn.Linear(64, 4), nn.Linear(4, 64), nn.Embedding(16, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        code = self.encoder(x)
        chosen = self.codebook(torch.cdist(code, self.codebook.weight).argmin(1))
        return self.decoder(code + (chosen - code).detach()), code, chosen


@pytest.mark.parametrize("trained", [True, False])
def test_a_codebook_that_another_term_trains_is_not_frozen(watched, trained: bool):
    model, rows = Quantized(), digits()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-5)
    run = watched(model, rows, loss="mse", reconstruct=lambda module, x: module(x)[0])
    for part in rows.split(64)[:12]:
        optimizer.zero_grad()
        made, code, chosen = model(part)
        loss = functional.mse_loss(made, part)
        if trained:
            loss = loss + functional.mse_loss(chosen, code.detach())
        loss.backward()
        optimizer.step()
        run.log(loss)
    report = run.report()
    assert report is not None
    assert ("frozen-parameters" in [one.cause for one in report.findings]) is not trained
