"""When a training is beyond mending where it stands: measured on real ones, mended ones among them."""

from typing import Any

import pytest
import torch

from aetui import Trainer, presets
from aetui.diagnosis.while_training import LiveDiagnosis
from aetui.report import TOO_LATE, Report, render
from aetui.spec import RunSpec, changed
from aetui.training.recorder import Records
from aetui.training.spec_training import SpecTraining


def advanced(trainer: Trainer, steps: int) -> Records:
    for _ in range(steps):
        if not trainer.advance():
            break
    return trainer.recorder.drain()


def trained(spec: RunSpec, steps: int) -> tuple[Trainer, LiveDiagnosis, Report]:
    """A trainer after some steps, and what is said of it at rest."""
    trainer = Trainer(spec, strict=False)
    live = LiveDiagnosis(SpecTraining(trainer))
    live.look([], [], None)
    records = advanced(trainer, steps)
    return trainer, live, live.look(records.loss.tolist(), records.grad_norm.tolist(), None, resting=True)


def explained(trainer: Trainer) -> float:
    return trainer.evaluate().explained_variance


HIGH = presets.load("clinic/high-rate")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "are 0 for every row"),
        ({"model.activation": "tanh"}, "saturated in the same way for every row"),
        ({"model.activation": "leaky_relu", "optim.lr": 1.0}, "times as large as at step 0"),
    ],
)
def test_a_rate_far_too_high_ruins_the_run_and_a_lower_one_helps_only_from_the_start(
    settings: dict[str, Any], said: str
) -> None:
    spec = changed(HIGH, settings)
    trainer, _, report = trained(spec, 400)
    assert report.wrong
    assert said in report.ruined
    trainer.set({"optim.lr": 1e-3})
    advanced(trainer, 400)
    fresh = Trainer(changed(spec, {"optim.lr": 1e-3}))
    advanced(fresh, 400)
    assert explained(fresh) > 0.5
    assert explained(trainer) < 0.1


def test_before_the_first_step_nothing_is_ruined() -> None:
    assert trained(HIGH, 0)[2].ruined == ""


@pytest.mark.parametrize("name", ["digits", "digits-vae", "digits-conv", "clinic/slow-but-fine"])
def test_a_healthy_run_is_not_ruined(name: str) -> None:
    assert trained(presets.load(name), 600)[2].ruined == ""


@pytest.mark.parametrize(
    ("name", "remedy", "reaches"),
    [
        ("clinic/low-rate", {"optim.lr": 1e-3}, 0.7),
        ("clinic/kl-against-mean", {"model.kl_weight": 0.003}, 0.7),
        ("clinic/buried-in-noise", {"model.dropout": 0.0, "model.noise": 0.0}, 0.6),
    ],
)
def test_a_collapse_that_a_tweak_undoes_is_not_ruined(name: str, remedy: dict[str, Any], reaches: float) -> None:
    trainer, _, report = trained(presets.load(name), 600)
    assert report.verdict == "collapsed"
    assert report.ruined == ""
    trainer.set(remedy)
    advanced(trainer, 1000)
    assert explained(trainer) > reaches


def test_units_that_were_dead_from_the_start_are_no_reason_to_go_back_there() -> None:
    report = trained(presets.load("clinic/negative-bias"), 1000)[2]
    assert report.verdict == "collapsed"
    assert report.ruined == ""


def test_units_that_come_back_by_themselves_are_no_reason_either() -> None:
    report = trained(presets.load("clinic/raw-into-sigmoid"), 374)[2]
    assert report.verdict == "collapsed"
    assert report.ruined == ""


def test_batch_normalization_brings_dead_units_back() -> None:
    report = trained(changed(presets.load("digits"), {"model.batch_norm": True, "optim.lr": 0.1}), 250)[2]
    assert report.verdict == "collapsed"
    assert report.ruined == ""


def test_running_statistics_that_are_not_finite_stay_so() -> None:
    spec = changed(RunSpec(), {"model.batch_norm": True})
    trainer, live, report = trained(spec, 100)
    assert report.ruined == ""
    norm = next(module for module in trainer.model.modules() if isinstance(module, torch.nn.BatchNorm1d))
    assert norm.running_mean is not None
    norm.running_mean.fill_(torch.nan)
    records = advanced(trainer, 100)
    report = live.look(records.loss.tolist(), records.grad_norm.tolist(), None, resting=True)
    assert "running statistics" in report.ruined and "not finite" in report.ruined


def test_running_statistics_that_hardly_follow_are_told_from_those_that_do() -> None:
    stale = trained(presets.load("clinic/stale-norm"), 1000)[2]
    assert "follow them too slowly" in stale.ruined
    assert stale.findings[0].cause == "train-eval-mismatch"


def test_looking_leaves_the_running_statistics_alone() -> None:
    looked, *_ = trained(presets.load("clinic/stale-norm"), 20)
    plain = Trainer(presets.load("clinic/stale-norm"), strict=False)
    advanced(plain, 20)
    assert all(
        torch.equal(one, other)
        for one, other in zip(looked.model.state_dict().values(), plain.model.state_dict().values(), strict=True)
    )


def test_the_text_says_it_before_the_remedies() -> None:
    report = trained(HIGH, 400)[2]
    text = " ".join(render(report).split())
    assert f"{TOO_LATE} {report.ruined}. The remedies are for a new run." in text
    assert text.index(TOO_LATE) < text.index("Remedy:")
    assert report.to_dict()["ruined"] == report.ruined
