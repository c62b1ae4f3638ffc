"""A diagnosis ends in the time it has, says what it left out for that, and survives a probe that fails."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from aetui.diagnosis import budget, diagnose
from aetui.diagnosis.budget import BEYOND, BRIEF, Budget
from aetui.diagnosis.dossier import Probe, Suspect
from aetui.diagnosis.examine import examine, finish
from aetui.diagnosis.probing import Progress, further, length_of
from aetui.report import LEARNING, render

pytestmark = pytest.mark.usefixtures("one_thread_and_seed")


class Slow(nn.Module):
    """An autoencoder with an output that can't reach its targets, whose every forward takes a while on `Hands`."""

    def __init__(self, hands: "Hands", seconds: float) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(24, 12), nn.ReLU(), nn.Linear(12, 4), nn.Linear(4, 24), nn.Sigmoid())
        self.hands, self.seconds = [hands], seconds

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.hands[0].now += self.seconds
        return self.body(x)


class Hands:
    """A clock that only work moves."""

    def __init__(self) -> None:
        self.now = 0.0


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Hands:
    made = Hands()
    monkeypatch.setattr(budget, "clock", lambda: made.now)
    return made


def shared(model: Slow, hands: Hands) -> Slow:
    """The copies of a model move the same clock."""
    model.__deepcopy__ = lambda _memo: shared(_again(model), hands)  # pyright: ignore[reportAttributeAccessIssue]
    model.hands = [hands]
    return model


def _again(model: Slow) -> Slow:
    made = Slow(model.hands[0], model.seconds)
    made.load_state_dict(model.state_dict())
    return made


@pytest.mark.parametrize("seconds", [3.0, 20.0, 60.0])
def test_the_whole_takes_no_longer_than_it_may(hands, low_rank, seconds: float):
    report = diagnose(shared(Slow(hands, 0.05), hands), 3 * low_rank(), steps=1000, seconds=seconds)
    # The last slice of work and the closing measurements come on top: some forwards.
    assert hands.now <= seconds + 40 * 0.05
    note = " ".join(report.notes)
    assert f"its {seconds:.3g} s were over" in note or "not enough for all of it" in note
    assert "steps" in note
    assert note in " ".join(render(report, 10_000).split("\n"))


def test_by_default_it_takes_three_times_the_training(hands, low_rank):
    model = shared(Slow(hands, 0.05), hands)
    began: list[float] = []

    def progress(state: Progress) -> None:
        if state.stage.startswith("probe") and not began:
            began.append(hands.now)

    report = diagnose(model, 3 * low_rank(), steps=300, progress=progress)
    assert report.wrong and began
    assert hands.now <= 3 * began[0] + 2
    assert "probes (" in " ".join(report.notes)


@pytest.mark.parametrize(("training", "whole"), [(0.2, 0.2 + BRIEF), (10.0, 30.0), (600.0, 600.0 + BEYOND)])
def test_the_limit_follows_from_the_training(hands, training: float, whole: float):
    made = Budget()
    hands.now = training
    made.trained()
    assert made.limit == pytest.approx(whole)
    assert not made.over()
    hands.now = whole
    assert made.over()


def test_a_short_training_s_probes_are_not_many_times_its_length(low_rank):
    for steps in (1600, 2000, 5000):
        assert further(steps, 10**9) + 1.5 * steps <= 2.5 * steps
        assert further(steps, 0) <= 2 * steps
    assert length_of(60) == 200


def test_a_slow_step_makes_short_slices(hands, low_rank):
    seen: list[float] = []
    diagnose(shared(Slow(hands, 1.0), hands), low_rank(), steps=40, probes=False,
             progress=lambda _state: seen.append(hands.now))  # fmt: skip
    apart = [b - a for a, b in pairwise(seen)]
    assert max(apart[1:]) <= 6.0  # a step, and the forwards of a snapshot


def test_a_training_that_was_cut_short_gets_no_verdict_that_the_rest_may_change(hands, low_rank):
    report = diagnose(shared(Slow(hands, 0.05), hands), low_rank(), steps=2000, seconds=4)
    assert report.verdict == LEARNING
    assert f"after {report.steps:,} of 2,000 steps" in report.headline


def test_an_interrupted_diagnosis_says_what_is_known(low_rank):
    from aetui.diagnosis.api import subject_of

    subject = subject_of(nn.Sequential(nn.Linear(24, 4), nn.Linear(4, 24), nn.Sigmoid()), 3 * low_rank(), steps=400)
    made = Budget()

    def stop(state: Progress) -> None:
        if state.stage.startswith("probe 2"):
            made.stop()

    report = finish(examine(subject, steps=400, budget=made), stop)
    assert report.steps == 400 and report.findings
    assert "it was interrupted" in " ".join(report.notes)


def test_a_probe_that_fails_is_skipped_and_said(low_rank, monkeypatch):
    from aetui.diagnosis import causes
    from aetui.diagnosis.change import Change

    real = causes.suspects

    def with_one_that_fails(d):
        broken = Probe("an activation that is not known", Change(swaps=((0, "identity"),), loss="no such loss"))
        return [Suspect("optimizer", 0.6, probes=(broken,)), *real(d)]

    monkeypatch.setattr(causes, "suspects", with_one_that_fails)
    report = diagnose(nn.Sequential(nn.Linear(24, 4), nn.Linear(4, 24), nn.Sigmoid()), 3 * low_rank(), steps=300)
    found = {one.cause: one for one in report.findings}
    assert report.cause == "output-range"
    assert "skipped, since it can't be computed (ValueError" in found["optimizer"].evidence[-1].text
    assert found["optimizer"].confidence == pytest.approx(0.6)


@pytest.mark.parametrize("seconds", [0, -1, "5", float("nan"), True])
def test_a_limit_that_is_none_is_refused(seconds):
    with pytest.raises(ValueError, match=r"seconds: .* is not allowed"):
        diagnose(nn.Linear(4, 4), torch.rand(50, 4), seconds=seconds)
