"""Causes in the width of the code, and data that leave nothing or little to learn."""

import pytest
import torch
from torch import nn

from aetui.diagnosis import diagnose

pytestmark = pytest.mark.usefixtures("one_thread_and_seed")


def found(report):
    return {one.cause: one.confidence for one in report.findings}


# --- code-too-small ---


@pytest.mark.parametrize("code", [1, 2])
def test_a_code_far_below_the_rank(dense, low_rank, code):
    """A training can be as good as its code allows, and the code too narrow all the same."""
    report = diagnose(dense(24, 48, code), low_rank(rank=8), lr=3e-3, steps=400)
    assert found(report).get("code-too-small", 0) >= 0.5, f"\n{report}"
    assert report.findings[0].cause == "code-too-small", f"\n{report}"


def test_a_code_as_wide_as_the_rank_is_fine(acquits, dense, low_rank):
    acquits(dense(24, 64, 8), low_rank(rank=8), lr=3e-3, steps=600)


def test_a_code_far_below_the_width_of_noise_is_at_the_limit(acquits, dense, low_rank):
    """Each unit more would hold one value more, and none is worth more than another."""
    generator = torch.Generator().manual_seed(0)
    report = acquits(dense(24, 48, 3), torch.randn(600, 24, generator=generator), lr=3e-3, steps=400)
    assert report.verdict == "at-limit"


# --- code-too-large ---


def test_few_rows_that_are_memorized(dense):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(160, 24, generator=generator)
    report = diagnose(dense(24, 256, 20), x[:40], validation=x[40:], lr=3e-3, steps=600)
    assert found(report).get("code-too-large", 0) >= 0.5, f"\n{report}"
    assert report.findings[0].cause == "code-too-large", f"\n{report}"


def test_a_code_as_wide_as_the_data_that_copies(dense, low_rank):
    report = diagnose(dense(24, 64, 24, activation=nn.ELU), low_rank(rank=24), lr=5e-3, steps=800)
    assert found(report).get("code-too-large", 0) >= 0.5, f"\n{report}"


def test_few_rows_of_low_rank_are_fine(acquits, dense, low_rank):
    x = low_rank(rank=2, rows=200)
    acquits(dense(24, 32, 2), x[:60], validation=x[60:], lr=5e-3, steps=400)


def test_a_wide_code_with_noise_on_the_input_is_fine(acquits, low_rank):
    class Denoising(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(24, 64), nn.ELU(), nn.Linear(64, 24))

        def forward(self, x):
            return self.net(x + 0.3 * torch.randn_like(x) if self.training else x)

    acquits(Denoising(), low_rank(), lr=3e-3, steps=400)


# --- nothing to learn ---


@pytest.mark.parametrize("value", [0.0, 0.7])
def test_identical_rows_are_no_fault_of_the_model(dense, value):
    report = diagnose(dense(24, 32, 4), torch.full((100, 24), value), steps=200)
    assert report.verdict == "trivial-data", f"\n{report}"
    assert not [cause for cause, confidence in found(report).items() if confidence >= 0.5], f"\n{report}"


def test_mostly_constant_features_are_fine(acquits, dense, low_rank):
    x = torch.full((600, 120), 0.5)
    x[:, ::5] = low_rank()
    acquits(dense(120, 48, 4), x, lr=3e-3, steps=600)


def test_independent_bits_are_at_the_limit(acquits, dense):
    """The cross-entropy stays near its floor, the entropy of the bits."""
    generator = torch.Generator().manual_seed(0)
    bits = (torch.rand(600, 24, generator=generator) < 0.5).float()
    report = acquits(dense(24, 48, 2), bits, loss="bce_logits", lr=3e-3, steps=400)
    assert report.verdict == "at-limit"
