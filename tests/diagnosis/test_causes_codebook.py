"""A codebook of which hardly anything is in use is named; discrete and sparse codes that work are left alone."""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aetui.diagnosis import diagnose
from aetui.diagnosis.causes import code
from aetui.diagnosis.codebook import SPACE, CodeUse, Picks, allowed, uses_of
from aetui.diagnosis.weighing import LIKELY
from aetui.report import FINE

pytestmark = pytest.mark.usefixtures("one_thread_and_seed")


@pytest.fixture(scope="module")
def rows() -> Tensor:
    draw = torch.Generator().manual_seed(0)
    return torch.randn(800, 5, generator=draw) @ torch.randn(5, 24, generator=draw) / 2


class Quantized(nn.Module):
    def __init__(self, lookup: str = "embedding", begin: str = "small", entries: int = 64) -> None:
        super().__init__()
        self.lookup = lookup
        self.encoder = nn.Sequential(nn.Linear(24, 32), nn.ReLU(), nn.Linear(32, 16))
        self.decoder = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 24))
        self.book = nn.Embedding(entries, 4)
        self.book.weight.data.uniform_(-1 / entries, 1 / entries)
        if begin == "far":
            self.book.weight.data[1:] += 100

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z = self.encoder(x)
        flat, entries = z.reshape(-1, 4), self.book.weight
        distance = flat.square().sum(1, keepdim=True) + entries.square().sum(1) - 2 * flat @ entries.t()
        if self.lookup == "embedding":
            q = self.book(torch.cdist(flat, entries).argmin(1))
        elif self.lookup == "ones":
            ones = torch.zeros(len(flat), len(entries)).scatter_(1, distance.argmin(1).unsqueeze(1), 1)
            q = torch.matmul(ones, entries)
        else:
            q = entries[torch.min(distance, dim=1)[1]]
        q = q.view_as(z)
        match = F.mse_loss(q, z.detach()) + 0.25 * F.mse_loss(q.detach(), z)
        return self.decoder(z + (q - z).detach()), match


def step(model: nn.Module, batch: Tensor) -> Tensor:
    made, match = model(batch)
    return F.mse_loss(made, batch) + match


@pytest.mark.parametrize("lookup", ["embedding", "ones", "index"])
def test_picks_are_counted_however_they_are_looked_up(rows: Tensor, lookup: str):
    model = Quantized(lookup).eval()
    with Picks(model) as picks, torch.no_grad():
        model(rows[:100])
    (use,) = uses_of([(picks, 100)])
    flat = model.encoder(rows[:100]).reshape(-1, 4)
    counts = torch.bincount(torch.cdist(flat, model.book.weight).argmin(1), minlength=64).double()
    shares = counts[counts > 0] / counts.sum()
    assert (use.where, use.entries, use.used, use.picks, use.each) == ("book.weight", 64, len(shares), 400, 4)
    assert use.bits == 24 and use.perplexity == pytest.approx(float((-shares * shares.log()).sum().exp()))
    assert use.line.startswith("tests/diagnosis/test_causes_codebook.py:")


def test_what_is_picked_from_no_table_or_by_nothing_learned_is_no_codebook(rows: Tensor):
    class Labels(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lin, self.words = nn.Linear(24, 24), nn.Embedding(8, 24)

        def forward(self, x: Tensor) -> Tensor:
            guess = self.lin(x).argmax(1)
            known = self.words(torch.arange(len(x)) % 8)
            return self.lin(x) + known + F.one_hot(guess, 24)

    model = Labels()
    with Picks(model) as picks:
        model(rows[:50])
    assert picks.lookups == [] and picks.sparse is None


@pytest.mark.parametrize("lookup", ["embedding", "ones"])
def test_a_codebook_of_one_entry_is_named(rows: Tensor, lookup: str):
    report = diagnose(Quantized(lookup, "far"), rows, step=step, lr=2e-3, steps=200, probes=False)
    assert report.verdict not in FINE and report.cause == "codebook-collapse", str(report)
    finding = report.findings[0]
    shown = {one.measure: one.value for one in finding.evidence}
    assert shown["entries in use"] == 1 and shown["perplexity"] == 1
    assert any("at step 0" in one.text and "at step 200" in one.text for one in finding.evidence)
    assert "model.book.weight.data[unused]" in finding.remedies[0].python
    assert "test_causes_codebook.py:" in finding.remedies[0].line


def test_one_that_works_is_healthy_and_measured_by_its_bits(rows: Tensor):
    report = diagnose(Quantized(), rows, step=step, lr=5e-3, steps=300, probes=False)
    assert report.verdict == "healthy" and report.findings == (), str(report)
    assert "a discrete code of 24 bits a row" in report.notes[0] and "of 64 entries in use" in report.notes[0]


def test_few_bits_are_no_fault_of_the_training(rows: Tensor):
    class Coarse(Quantized):
        """One pick of 16 entries for a row, 4 bits, where the data have five directions."""

        def __init__(self) -> None:
            super().__init__(entries=16)
            self.encoder[2], self.decoder[0] = nn.Linear(32, 4), nn.Linear(4, 32)
            self.book.weight.data.normal_()

    report = diagnose(Coarse(), rows, step=step, lr=5e-3, steps=400, probes=False)
    assert report.verdict in FINE, str(report)
    assert "4 bits a row" in report.headline
    assert report.explained_variance.whole is not None and report.explained_variance.linear is not None
    assert report.explained_variance.whole < 0.8 * report.explained_variance.linear


def test_what_bits_allow_is_the_distortion_rate_of_a_gaussian():
    # One component alone: each bit divides the error by four.
    assert allowed(3, (1.0,)) == pytest.approx(1 - SPACE / 64)
    # Bits go to the components above the level only, and are shared there.
    assert allowed(1, (0.96, 0.04)) == pytest.approx(0.96 - SPACE * 0.24)
    even = allowed(4, (0.5, 0.5))
    assert even == pytest.approx(1 - SPACE / 16)
    assert allowed(0, (0.5, 0.5)) == 0 and allowed(200, (0.5, 0.3)) == pytest.approx(0.8)
    steps = [allowed(bits, (0.4, 0.3, 0.2, 0.1)) for bits in range(1, 40)]
    assert all(a <= b for a, b in itertools.pairwise(steps)) and math.isclose(steps[-1], 1, abs_tol=1e-3)


class TopK(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(24, 96), nn.Linear(96, 24)

    def forward(self, x: Tensor) -> Tensor:
        code = self.encoder(x)
        values, places = code.relu().topk(8, dim=1)
        return self.decoder(torch.zeros_like(code).scatter_(1, places, values))


def test_a_sparse_code_that_works_is_healthy_and_what_of_it_is_in_use_is_said(rows: Tensor):
    report = diagnose(TopK(), rows, lr=5e-3, steps=600)
    assert report.verdict == "healthy", str(report)
    assert [one.cause for one in report.findings if one.cause != "code-too-large"] == []
    note = next(one for one in report.notes if "sparse code" in one)
    assert "of 96 units are active for a row (L0)" in note


def test_the_callers_model_is_as_it_was(rows: Tensor):
    model = Quantized(begin="far")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    diagnose(model, rows, step=step, steps=100, probes=False)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(("course", "blamed"), [((1, 2, 10), False), ((40, 12, 10), True), ((64, 64, 64), False)])
def test_a_codebook_that_is_coming_into_use_is_not_blamed(course: tuple[int, ...], blamed: bool):
    shots = [
        SimpleNamespace(step=at, codes=(CodeUse("book.weight", 64, used, used * 0.7, 8000, 16),))
        for at, used in zip((0, 100, 400), course, strict=True)
    ]
    seen: Any = SimpleNamespace(
        started=True, steps=400, snapshots=shots, codebooks=shots[-1].codes, facts=SimpleNamespace(terms={})
    )
    found = code._codebook(seen)
    assert (found is not None and found.suspicion >= LIKELY) == blamed
