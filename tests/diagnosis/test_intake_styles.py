"""Models as other people write them: each is taken as it is, with three lines of glue at most."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from aetui.diagnosis import diagnose
from aetui.report import Report, render

pytestmark = pytest.mark.usefixtures("one_thread_and_seed")


def rows(count: int = 600, features: int = 20) -> Tensor:
    draw = torch.Generator().manual_seed(3)
    return torch.tanh(torch.randn(count, 4, generator=draw) @ torch.randn(4, features, generator=draw))


def loader(x: Tensor) -> DataLoader[Any]:
    """Rows with labels, as data sets of images have them."""
    return DataLoader(TensorDataset(x, torch.arange(len(x)) % 3), batch_size=50, shuffle=True)


def taken(report: Report) -> dict[str, str]:
    return {one.role: one.source for one in report.taken}


class ListVae(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(20, 32), nn.ReLU())
        self.mu, self.var, self.decoder = nn.Linear(32, 4), nn.Linear(32, 4), nn.Linear(4, 20)

    def forward(self, x: Tensor) -> list[Tensor]:
        hidden = self.encoder(x)
        mu, log_var = self.mu(hidden), self.var(hidden)
        return [self.decoder(mu + torch.randn_like(mu) * (0.5 * log_var).exp()), x, mu, log_var]

    def loss_function(self, *args: Tensor, **kwargs: float) -> dict[str, Tensor]:
        recons, given, mu, log_var = args
        recons_loss = F.mse_loss(recons, given)
        kld = torch.mean(-0.5 * torch.sum(1 + log_var - mu**2 - log_var.exp(), dim=1), dim=0)
        loss = recons_loss + kwargs["M_N"] * kld
        return {"loss": loss, "Reconstruction_Loss": recons_loss.detach(), "KLD": -kld.detach()}


def test_a_vanilla_vae_with_a_loss_function_of_its_own():
    report = diagnose(
        model=ListVae(), data=loader(rows()), steps=500, probes=False, lr=3e-3,
        step=lambda model, batch: model.loss_function(*model(batch[0]), M_N=0.002),
    )  # fmt: skip
    found = taken(report)
    assert report.verdict == "healthy"
    assert found["reconstruction"].startswith("first item of forward's list, compared with the target in mse_loss")
    assert found["target"] == "first item of the batch"
    assert found["mean"].startswith("third item of forward's list")
    assert found["log-variance"].startswith("fourth item of forward's list")
    assert found["parts of the loss"] == "reconstruction, kl"


class MappingVae(nn.Module):
    """Takes a mapping, and returns one with the loss in it."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(20, 8), nn.Linear(4, 20)

    def forward(self, inputs: dict[str, Tensor]) -> SimpleNamespace:
        mu, log_var = self.encoder(inputs["data"]).chunk(2, 1)
        std = torch.exp(0.5 * log_var)
        recon_x = self.decoder(mu + std * torch.randn_like(std))
        recon = F.mse_loss(recon_x.flatten(1), inputs["data"].flatten(1), reduction="none").sum(-1)
        kld = -0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp(), dim=-1)
        return SimpleNamespace(loss=(recon + 0.01 * kld).mean(), recon_loss=recon.mean(), recon_x=recon_x, z=mu)


def test_a_model_that_takes_and_returns_mappings():
    report = diagnose(
        MappingVae(), {"data": rows()}, step=lambda model, batch: model(batch), lr=1e-2, steps=500, probes=False
    )
    found = taken(report)
    assert report.verdict == "healthy"
    assert "recon_x" in found["reconstruction"] and found["target"].startswith("'data' of the batch")
    assert {"mean", "log-variance"} <= found.keys() and found["parts of the loss"] == "reconstruction, kl"


class Module(nn.Module):
    """A module with its step and its optimizer, without a framework."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(20, 4), nn.Linear(4, 20)

    def forward(self, x: Tensor) -> Tensor:
        return self.encoder(x)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, _ = batch
        return F.mse_loss(self.decoder(self.encoder(x)), x)

    def configure_optimizers(self) -> dict[str, Any]:
        return {"optimizer": torch.optim.Adam(self.parameters(), lr=5e-3)}


def test_a_module_with_a_training_step():
    model = Module()
    report = diagnose(model, loader(rows()), step=model.training_step, optimizer=model.configure_optimizers, steps=500)
    assert report.verdict == "healthy"
    assert taken(report)["reconstruction"].startswith("what decoder returns")


def test_layers_in_a_row_with_the_squared_distance_written_out():
    model = nn.Sequential(nn.Linear(20, 4), nn.BatchNorm1d(4), nn.Linear(4, 20))
    report = diagnose(
        model, rows(), step=lambda net, x: ((net(x) - x) ** 2).sum(1).mean(), lr=1e-2, steps=400, probes=False
    )
    assert report.verdict == "healthy" and "compared with the target by a difference" in taken(report)["reconstruction"]


class Sequences(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.LSTM(2, 12, batch_first=True), nn.LSTM(12, 24, batch_first=True)
        self.head = nn.Linear(24, 2)

    def forward(self, x: Tensor) -> Tensor:
        code = self.encoder(x)[1][0][-1]
        return self.head(self.decoder(code.unsqueeze(1).repeat(1, x.shape[1], 1))[0])


def test_sequences_of_different_lengths_by_batch():
    draw = torch.Generator().manual_seed(0)
    phases = torch.rand(30, 16, 1, generator=draw)
    batches = [
        torch.stack([torch.sin(6 * phases[n] + torch.linspace(0, 3, 5 + n % 4)), phases[n].expand(-1, 5 + n % 4)], 2)
        for n in range(30)
    ]
    report = diagnose(Sequences(), batches, step=lambda m, x: F.mse_loss(m(x), x), lr=1e-2, steps=400, probes=False)
    assert report.verdict == "healthy"
    assert taken(report)["batches"] == "30 as they came, whole"


class Sparse(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(20, 40), nn.Linear(40, 20)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        before = self.encoder(x)
        return before, torch.relu(before), self.decoder(torch.relu(before))


@pytest.mark.parametrize("weight", [1e-4, 5.0])
def test_a_sparse_autoencoder_with_its_loss_as_a_tuple(weight: float):
    def step(model: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
        _, code, made = model(x)
        return F.mse_loss(made, x) + weight * code.abs().mean(), made

    report = diagnose(Sparse(), rows(), step=step, lr=3e-3, steps=400)
    found = taken(report)
    assert not {"mean", "log-variance"} & found.keys() and found["parts of the loss"] == "reconstruction, penalty"
    assert report.cause == "penalty-too-strong" if weight > 1 else report.verdict == "healthy"
    assert "kl" not in render(report).lower()


def test_what_was_taken_is_in_text_and_json():
    report = diagnose(nn.Linear(20, 20), rows(), steps=5, probes=False)
    assert "reconstruction [64, 20]: what forward returns" in " ".join(render(report).split())
    assert [one["role"] for one in report.to_dict()["taken"]][:2] == ["reconstruction", "target"]


def snapshot(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[Tensor]:
    held = [one.clone() for group in optimizer.state.values() for one in group.values() if isinstance(one, Tensor)]
    return [*(one.detach().clone() for one in model.parameters()), *held]


@pytest.mark.parametrize("call", [lambda o: None, lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.9)])
def test_the_callers_optimizer_and_scheduler_are_never_touched(call: Callable[[Any], Any]):
    model = Module()
    optimizer = torch.optim.Adam([{"params": model.encoder.parameters(), "lr": 1e-2}], lr=1e-3)
    scheduler = call(optimizer)
    F.mse_loss(model(rows()), torch.ones(600, 4)).backward()
    optimizer.step()
    before, lr = snapshot(model, optimizer), optimizer.param_groups[0]["lr"]
    turns = None if scheduler is None else scheduler.last_epoch
    report = diagnose(
        model, loader(rows()), step=model.training_step, optimizer=optimizer, scheduler=scheduler, steps=300
    )
    assert all(map(torch.equal, before, snapshot(model, optimizer))) and optimizer.param_groups[0]["lr"] == lr
    assert scheduler is None or scheduler.last_epoch == turns
    # The decoder was forgotten in its groups.
    found = next(one for one in report.findings if one.cause == "frozen-parameters")
    assert any("decoder" in one.text and "not in the optimizer" in one.text for one in found.evidence)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"step": lambda m, b: {"a": b[0].mean()}}, "the loss can't be told"),
        ({"step": lambda m, b: m(b[0]).mean()}, "compares no output of the model with the batch"),
        ({"step": lambda m, b: m(b)}, "it can't take a batch of"),
        ({"step": lambda m, b: m(b[0]).mean(), "targets": rows()}, "not allowed together with step"),
        ({"reconstruct": lambda m, b: b}, "together with step only"),
    ],
)
def test_what_can_not_be_taken_is_one_sentence(given: dict[str, Any], said: str):
    with pytest.raises(ValueError, match=said) as caught:
        diagnose(Module(), loader(rows()) if "step" in given else rows(), **given)
    assert "\n" not in str(caught.value)


def test_a_loss_that_is_a_step_is_refused_with_the_way_to_give_it():
    model = Module()
    with pytest.raises(TypeError, match=r"step=model\.training_step"):
        diagnose(model, rows(), loss=model.training_step)
    with pytest.raises(TypeError, match=r"loss: \[1\] is not allowed"):
        diagnose(model, rows(), loss=[1])  # pyright: ignore[reportArgumentType]


class Whole(Module):
    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))


def test_a_closure_over_the_models_own_loss():
    model = Whole()
    report = diagnose(model, rows(), loss=lambda _, x: model.training_step((x, None), 0), lr=1e-2, steps=500)
    assert report.verdict == "healthy", str(report)
