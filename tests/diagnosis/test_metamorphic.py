"""What must not change a verdict does not, and a milder fault is never judged worse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from aetui.diagnosis import diagnose, diagnose_spec
from aetui.report import VERDICTS, Report
from aetui.spec import RunSpec
from aetui.spec import sections as s

BADNESS = {
    "healthy": 0, "at-limit": 0, "trivial-data": 0,
    "partial": 1, "under-trained": 1, "worse-than-linear": 1,
    "collapsed": 2, "diverged": 3,
}  # fmt: skip
"""How bad a verdict is."""


def test_every_verdict_has_its_place():
    assert set(BADNESS) == set(VERDICTS)


def rows(features: int = 10, count: int = 220, rank: int = 3, seed: int = 0) -> Tensor:
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(count, rank)) @ draw.normal(size=(rank, features)) / 1.7
    return torch.from_numpy(x + 0.05 * draw.normal(size=x.shape)).float()


DATA = rows()
UNIT = torch.sigmoid(2 * DATA)


def dense(act: type[nn.Module] = nn.ReLU, last: nn.Module | None = None, seed: int = 0, gain: float = 1.0) -> nn.Module:
    torch.manual_seed(seed)
    layers = [nn.Linear(10, 24), act(), nn.Linear(24, 4), nn.Linear(4, 24), act(), nn.Linear(24, 10)]
    with torch.no_grad():
        for layer in layers:
            if isinstance(layer, nn.Linear):
                layer.weight.mul_(gain)
    return nn.Sequential(*layers, *([last] if last else []))


class Noise(nn.Module):
    def __init__(self, deviation: float) -> None:
        super().__init__()
        self.net, self.deviation = dense(), deviation

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x + self.deviation * torch.randn_like(x) if self.training else x)


class Vae(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder, self.decoder = nn.Sequential(nn.Linear(10, 24), nn.ReLU(), nn.Linear(24, 8)), nn.Linear(4, 10)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_variance = self.encoder(x).chunk(2, 1)
        return self.decoder(mean + (log_variance / 2).exp() * torch.randn_like(mean)), mean, log_variance


def elbo(weight: float) -> Callable[[Any, Tensor], Tensor]:
    def loss(output: Any, target: Tensor) -> Tensor:
        made, mean, log_variance = output
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()
        return nn.functional.mse_loss(made, target) + weight * kl

    return loss


def squared(weight: float) -> Callable[[nn.Module], Tensor]:
    return lambda m: weight * torch.stack([p.square().sum() for p in m.parameters()]).sum()


Case = Callable[[], tuple[nn.Module, Tensor, dict[str, Any]]]
CASES: dict[str, Case] = {
    "fine": lambda: (dense(), DATA, {"lr": 5e-3}),
    "slow": lambda: (dense(), DATA, {"lr": 1e-6}),
    "fast": lambda: (dense(), DATA, {"lr": 30.0, "optimizer": "sgd"}),
    "range": lambda: (dense(last=nn.Sigmoid()), 40 + 10 * DATA, {"lr": 5e-3}),
    "domain": lambda: (dense(last=nn.Sigmoid()), 3 * DATA, {"lr": 5e-3, "loss": "bce"}),
    "kl": lambda: (Vae(), DATA, {"lr": 5e-3, "loss": elbo(3.0)}),
    "decay": lambda: (dense(), DATA, {"lr": 5e-3, "penalty": squared(1.0)}),
    "column": lambda: (nn.Sequential(nn.Linear(10, 24), nn.ReLU(), nn.Linear(24, 1)), DATA, {"lr": 5e-3}),
}
"""A working run and failures, each with a cause of its own."""
STEPS = 300


def outcome(report: Report) -> tuple[str, str | None]:
    return report.verdict, report.cause if report.wrong else None


def run(
    case: str, change: Callable[..., tuple[nn.Module, Tensor, dict[str, Any]]] | None = None
) -> tuple[str, str | None]:
    model, data, options = CASES[case]()
    if change is not None:
        model, data, options = change(model, data, options)
    return outcome(diagnose(model, data, steps=STEPS, **options))


@pytest.fixture(scope="module")
def plain() -> dict[str, tuple[str, str | None]]:
    return {case: run(case) for case in CASES}


def test_the_cases_are_what_they_are_meant_to_be(plain: dict[str, tuple[str, str | None]]):
    causes = {case: cause for case, (_, cause) in plain.items()}
    assert causes == {
        "fine": None, "slow": "lr-too-low", "fast": "lr-too-high", "range": "output-range", "domain": "loss-domain",
        "kl": "posterior-collapse", "decay": "penalty-too-strong", "column": "shape-broadcast",
    }  # fmt: skip
    assert plain["fine"][0] == "healthy"


@pytest.mark.parametrize("rate", [10.0, 100.0, 1000.0])
def test_a_learning_rate_that_is_further_off_has_the_same_cause(rate: float):
    report = diagnose(dense(), DATA, lr=rate, optimizer="sgd", steps=STEPS)
    assert (report.verdict, report.cause) == ("diverged", "lr-too-high"), str(report)


@pytest.mark.parametrize("case", CASES)
def test_order_of_the_features(case: str, plain: dict[str, tuple[str, str | None]]):
    order = torch.from_numpy(np.random.default_rng(4).permutation(10))
    assert run(case, lambda model, data, options: (model, data[:, order], options)) == plain[case]


@pytest.mark.parametrize("case", CASES)
def test_order_of_the_rows(case: str, plain: dict[str, tuple[str, str | None]]):
    order = torch.from_numpy(np.random.default_rng(5).permutation(len(DATA)))
    assert run(case, lambda model, data, options: (model, data[order], options)) == plain[case]


@pytest.mark.parametrize("case", CASES)
def test_seed(case: str, plain: dict[str, tuple[str, str | None]]):
    assert run(case, lambda model, data, options: (model, data, {**options, "seed": 11})) == plain[case]


class Renamed(nn.Module):
    """The same network under other names."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        for number, layer in enumerate(net):  # pyright: ignore[reportArgumentType]
            setattr(self, f"schicht_{'abcdefgh'[number]}", layer)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.children():
            x = layer(x)
        return x


@pytest.mark.parametrize("case", [case for case in CASES if case != "kl"])
def test_names_of_the_layers(case: str, plain: dict[str, tuple[str, str | None]]):
    assert run(case, lambda model, data, options: (Renamed(model), data, options)) == plain[case]


@pytest.mark.parametrize("case", ["fine", "slow", "fast", "decay"])
def test_scaling_that_undoes_a_rescaling(case: str):
    factors = torch.logspace(-2, 3, 10)

    def standardized(
        model: nn.Module, data: Tensor, options: dict[str, Any]
    ) -> tuple[nn.Module, Tensor, dict[str, Any]]:
        return model, data, {**options, "scaling": "standardize"}

    def rescaled(model: nn.Module, data: Tensor, options: dict[str, Any]) -> tuple[nn.Module, Tensor, dict[str, Any]]:
        return standardized(model, data * factors + 100 * factors, options)

    assert run(case, standardized) == run(case, rescaled)


@pytest.mark.parametrize("rate", [1e-6, 5e-3])
def test_scaling_of_a_spec_that_undoes_a_rescaling(rate: float, tmp_path: Any):
    found = []
    for name, data in (("plain", DATA), ("rescaled", 50 * DATA + 300)):
        np.save(tmp_path / f"{name}.npy", data.numpy())
        spec = RunSpec(
            data=s.File(path=str(tmp_path / f"{name}.npy"), scaling="standardize"),
            model=s.Mlp(code=3, hidden=(24,)),
            optim=s.Adam(lr=rate),
        )
        found.append(outcome(diagnose_spec(spec, steps=STEPS)))
    assert found[0] == found[1]
    assert found[0] == (("healthy", None) if rate > 1e-3 else ("collapsed", "lr-too-low"))


@settings(max_examples=6)
@given(st.permutations(range(10)), st.integers(0, 2**20))
def test_any_order_and_seed_of_a_working_run(order: list[int], seed: int):
    report = diagnose(dense(), DATA[:, order], lr=5e-3, steps=STEPS, seed=seed)
    assert report.verdict == "healthy"


LADDERS: dict[str, list[Case]] = {
    "learning rate too low": [lambda lr=lr: (dense(), DATA, {"lr": lr}) for lr in (1e-6, 1e-5, 1e-4, 1e-3, 5e-3)],
    "learning rate too high": [
        lambda lr=lr: (dense(), DATA, {"lr": lr, "optimizer": "sgd"}) for lr in (1e3, 1e2, 10.0, 1.0, 0.3)
    ],
    "weight of the KL": [
        lambda w=w: (Vae(), DATA, {"lr": 1e-2, "loss": elbo(w)}) for w in (10.0, 1.0, 0.1, 0.01, 1e-3)
    ],
    "weight decay": [
        lambda w=w: (dense(), DATA, {"lr": 5e-3, "optimizer_options": {"weight_decay": w}})
        for w in (10.0, 1.0, 0.1, 0.01, 1e-4)
    ],
    "penalty": [lambda w=w: (dense(), DATA, {"lr": 5e-3, "penalty": squared(w)}) for w in (1.0, 0.1, 0.01, 1e-4, 1e-5)],
    "dropout": [
        lambda p=p: (nn.Sequential(nn.Dropout(p), *dense()), DATA, {"lr": 5e-3})  # pyright: ignore[reportGeneralTypeIssues]
        for p in (0.99, 0.9, 0.5, 0.1, 0.01)
    ],
    "noise of the input": [lambda d=d: (Noise(d), DATA, {"lr": 5e-3}) for d in (100.0, 10.0, 3.0, 0.3, 0.03)],
    "scale against a sigmoid": [
        lambda f=f: (dense(last=nn.Sigmoid()), f * UNIT, {"lr": 1e-2}) for f in (255.0, 20.0, 4.0, 1.5, 1.0)
    ],
    "clipping": [
        lambda c=c: (dense(), DATA, {"lr": 0.3, "optimizer": "sgd", "clip": c}) for c in (1e-6, 1e-4, 1e-3, 0.1, 10.0)
    ],
    "scale of the initial weights": [
        lambda g=g: (dense(gain=g), DATA, {"lr": 5e-3}) for g in (1e-6, 1e-3, 0.1, 0.5, 1.0)
    ],
}  # fmt: skip
"""From a strong fault to none."""


@pytest.mark.parametrize("fault", LADDERS)
def test_a_milder_fault_is_never_judged_worse(fault: str):
    found: list[str] = []
    for case in LADDERS[fault]:
        model, data, options = case()
        found.append(diagnose(model, data, steps=STEPS, probes=False, **options).verdict)
    badness = [BADNESS[verdict] for verdict in found]
    assert badness == sorted(badness, reverse=True), found
    assert badness[0] > 0 and badness[-1] == 0, found
