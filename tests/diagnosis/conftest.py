"""What the tests of a diagnosis share: small real and synthetic data, dense models, and the two outcomes."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from aetui.data import load
from aetui.diagnosis import budget, diagnose
from aetui.report import FINE, Report
from aetui.spec import sections

SURE = 0.5
"""Confidence from which a finding on a working run is a false alarm."""


@pytest.fixture
def one_thread_and_seed() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """No report depends on how busy the machine is: the clock that a diagnosis looks at stands still."""
    monkeypatch.setattr(budget, "clock", lambda: 0.0)


@pytest.fixture(scope="session")
def pixels() -> Tensor:
    """Digits as they come, 0 to 16, [720, 64]."""
    return torch.from_numpy(load(sections.Digits(scaling="none")).train[:720]).float()


@pytest.fixture(scope="session")
def unit(pixels: Tensor) -> Tensor:
    """Digits in 0..1, [720, 64]."""
    return pixels / 16


@pytest.fixture(scope="session")
def standardized(pixels: Tensor) -> Tensor:
    """Digits with mean 0 and standard deviation 1 in each feature that varies often, [720, features]."""
    spread = pixels.std(0)
    kept = spread > 1
    return ((pixels - pixels.mean(0)) / spread)[:, kept]


@pytest.fixture(scope="session")
def low_rank() -> Callable[..., Tensor]:
    """Gaussian rows of a given rank with a little noise, each feature of mean 0 and standard deviation 1."""

    def make(rank: int = 4, features: int = 24, rows: int = 600, noise: float = 0.1, seed: int = 0) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        signal = torch.randn(rows, rank, generator=generator) @ torch.randn(rank, features, generator=generator)
        x = signal / signal.std(0) + noise * torch.randn(rows, features, generator=generator)
        return (x - x.mean(0)) / x.std(0)

    return make


@pytest.fixture(scope="session")
def dense() -> Callable[..., nn.Sequential]:
    """A dense autoencoder: widths up to the code, mirrored; the code and the output are linear."""

    def make(*widths: int, activation: type[nn.Module] = nn.ReLU, output: nn.Module | None = None) -> nn.Sequential:
        sizes = [*widths, *widths[-2::-1]]
        last, code = len(sizes) - 2, len(widths) - 2
        layers: list[nn.Module] = []
        for index, (fan_in, fan_out) in enumerate(pairwise(sizes)):
            layers.append(nn.Linear(fan_in, fan_out))
            if index not in (code, last):
                layers.append(activation())
        return nn.Sequential(*layers, *([] if output is None else [output]))

    return make


@pytest.fixture(scope="session")
def names() -> Callable[..., Report]:
    """Diagnose, and hold the report to a faulty verdict with `cause` as its best finding."""

    def check(cause: str, model: nn.Module, data: Any, **options: Any) -> Report:
        report = diagnose(model, data, **options)
        assert report.wrong, f"\n{report}"
        assert report.findings and report.findings[0].cause == cause, f"\n{report}"
        return report

    return check


@pytest.fixture(scope="session")
def acquits() -> Callable[..., Report]:
    """Diagnose, and hold the report to a verdict under which nothing is wrong and no finding is sure."""

    def check(model: nn.Module, data: Any, **options: Any) -> Report:
        report = diagnose(model, data, **options)
        assert report.verdict in FINE, f"\n{report}"
        assert not [one.cause for one in report.findings if one.confidence >= SURE], f"\n{report}"
        return report

    return check
