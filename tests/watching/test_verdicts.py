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
    "raw-into-sigmoid": (lambda: mlp(nn.Sigmoid()), standardized, plain, {}, ("output-range",)),
    "negative-bias": (lambda: mlp(bias=-20.0), digits, plain, {}, ("dead-units",)),
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
