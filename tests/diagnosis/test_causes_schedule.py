"""A schedule that does not fit the run is named; one that ends with the run, rises or cycles is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import lr_scheduler

from aetui.diagnosis import diagnose, diagnose_spec, preflight
from aetui.diagnosis.examine import preflight_findings
from aetui.diagnosis.of_spec import subject_of_trainer
from aetui.report import FINE, Report
from aetui.spec import RunSpec, changed
from aetui.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("one_thread_and_seed")
STEPS = 600
Scheduler = Callable[[torch.optim.Optimizer], Any]


@pytest.fixture(scope="module")
def rows() -> Tensor:
    draw = torch.Generator().manual_seed(0)
    return torch.randn(640, 4, generator=draw) @ torch.randn(4, 20, generator=draw) / 2


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 4), nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 20))


def step(model: nn.Module, batch: Tensor) -> Tensor:
    return (model(batch) - batch).square().mean()


def report_of(rows: Tensor, scheduler: Any, **options: Any) -> Report:
    return diagnose(net(), rows, step=step, lr=3e-3, steps=STEPS, scheduler=scheduler, **options)


SPENT: dict[str, Scheduler] = {
    "exponential": lambda o: lr_scheduler.ExponentialLR(o, 0.9),
    "drops": lambda o: lr_scheduler.StepLR(o, 10),
    "zero": lambda o: lr_scheduler.LinearLR(o, 1.0, 0.0, 20),
    "rate for a factor": lambda o: lr_scheduler.LambdaLR(o, lambda _: 1e-3),
    "rise without end": lambda o: lr_scheduler.LambdaLR(o, lambda turn: turn / 1e6),
    "plateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=0.1, patience=0),
    "growing": lambda o: lr_scheduler.ExponentialLR(o, 1.05),
}
REPAIRED = ("exponential", "plateau")


@pytest.mark.parametrize("name", SPENT)
def test_a_schedule_that_does_not_fit_is_named_with_its_figures(rows: Tensor, name: str):
    report = report_of(rows, SPENT[name], scheduler_each="step", probes=name in REPAIRED)
    assert report.verdict not in FINE and report.cause == "lr-schedule", str(report)
    finding = report.findings[0]
    shown = {one.measure: one.value for one in finding.evidence}
    last = shown["learning rate at the end"]
    assert isinstance(last, float)
    assert last > 1 if name == "growing" else last < 3e-4
    python = [remedy.python for remedy in finding.remedies]
    assert "scheduler=None" in python and all(python) and not any(remedy.set for remedy in finding.remedies)
    if name in REPAIRED:
        # The first remedy that keeps the kind of schedule.
        line = next(one for one in python if "torch.optim" in one)
        scheduler = eval(line.removeprefix("scheduler="), {"torch": torch})
        assert report_of(rows, scheduler, scheduler_each="step").verdict == "healthy", line


SOUND: dict[str, Scheduler] = {
    "cosine to zero": lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS),
    "one cycle": lambda o: lr_scheduler.OneCycleLR(o, 1e-2, total_steps=STEPS),
    "warm-up from zero": lambda o: lr_scheduler.LambdaLR(o, lambda turn: min(1.0, turn / 60)),
    "drops at half and three quarters": lambda o: lr_scheduler.MultiStepLR(o, [STEPS // 2, 3 * STEPS // 4]),
    "warm-up, then cosine": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.LinearLR(o, 0.01, 1.0, 50), lr_scheduler.CosineAnnealingLR(o, STEPS - 50)], [50]
    ),
    "cosine over and over": lambda o: lr_scheduler.CosineAnnealingLR(o, 25),
}


def test_a_rate_that_a_cycle_writes_is_mended_in_the_cycle(rows: Tensor):
    def scheduler(optimizer: torch.optim.Optimizer) -> Any:
        return lr_scheduler.OneCycleLR(optimizer, 30.0, total_steps=STEPS)

    report = report_of(rows, scheduler, scheduler_each="step", probes=False)
    remedy = next(one for one in report.findings if one.cause == "lr-too-high").remedies[0]
    assert "max_lr of OneCycleLR" in remedy.text and not remedy.set
    assert 0 < float(remedy.python.removeprefix("max_lr=")) < 10


@pytest.mark.parametrize("name", SOUND)
def test_a_schedule_that_fits_is_no_reason(rows: Tensor, name: str):
    report = report_of(rows, SOUND[name], scheduler_each="step")
    assert report.verdict == "healthy", str(report)
    ahead = preflight(net(), rows, step=step, lr=3e-3, steps=STEPS, scheduler=SOUND[name], scheduler_each="step")
    assert ahead == ()


def test_it_is_not_blamed_for_what_something_else_does(rows: Tensor):
    model = net()
    for parameter in model.parameters():
        parameter.data.zero_()
    report = diagnose(
        model, rows, step=step, lr=3e-3, steps=STEPS, scheduler=SOUND["cosine to zero"], scheduler_each="step"
    )
    assert report.verdict not in FINE and "lr-schedule" not in [one.cause for one in report.findings], str(report)


def test_a_scheduler_meant_for_epochs_is_seen_before_the_first_step_and_to_be_called_once_in_each(rows: Tensor):
    def scheduler(optimizer: torch.optim.Optimizer) -> Any:
        return lr_scheduler.ExponentialLR(optimizer, 0.95)

    given = {"step": step, "lr": 3e-3, "steps": STEPS, "scheduler": scheduler}
    (finding, *_) = preflight(net(), rows, scheduler_each="step", **given)
    assert finding.cause == "lr-schedule" and finding.remedies[0].python == 'scheduler_each="epoch"'
    assert preflight(net(), rows, scheduler_each="epoch", **given) == ()


def test_the_callers_scheduler_and_optimizer_are_left_alone(rows: Tensor):
    model = net()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    scheduler = lr_scheduler.ExponentialLR(optimizer, 0.9)
    report = diagnose(
        model,
        rows,
        step=step,
        optimizer=optimizer,
        scheduler=scheduler,
        scheduler_each="step",
        steps=STEPS,
        probes=False,
    )
    assert report.cause == "lr-schedule"
    assert optimizer.param_groups[0]["lr"] == 3e-3 and scheduler.last_epoch == 0 and not optimizer.state


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({"schedule.kind": "exponential", "schedule.decay": "0.9"}, "schedule.decay"),
        ({"schedule.kind": "cosine", "schedule.steps": "20"}, "schedule.steps"),
    ],
)
def test_the_remedy_of_a_spec_changes_the_number_that_is_wrong_and_repairs(settings: dict[str, str], path: str):
    fixed = {"data.scaling": "max", "train.steps": "900", "data.rows": "0:800", "optim.lr": "2e-3"}
    spec = changed(RunSpec(), {**fixed, **settings}, text=True)
    report = diagnose_spec(spec, probes=False)
    assert report.cause == "lr-schedule", str(report)
    remedies = report.findings[0].remedies
    assert path in remedies[0].set and remedies[-1].set == {"schedule.kind": "constant"}
    for remedy in remedies:
        assert diagnose_spec(changed(spec, remedy.set), probes=False).verdict in FINE, remedy


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({"schedule.kind": "step", "schedule.every": "5", "schedule.factor": "0.1"},
         {"schedule.every": 300, "schedule.factor": 0.3}),
        ({"schedule.kind": "warmup", "schedule.warmup": "1000000"}, {"schedule.warmup": 45}),
        ({"schedule.kind": "one-cycle", "schedule.steps": "30"}, {"schedule.steps": 0}),
    ],
)  # fmt: skip
def test_the_remedies_of_further_kinds_of_schedule_fit_the_run(settings: dict[str, str], wanted: dict[str, Any]):
    spec = changed(RunSpec(), {"train.steps": "900", "data.rows": "0:200", **settings}, text=True)
    (finding, *_) = preflight_findings(subject_of_trainer(Trainer(spec)))
    assert finding.cause == "lr-schedule" and finding.remedies[0].set == wanted
    mended = changed(spec, finding.remedies[0].set)
    assert "lr-schedule" not in [one.cause for one in preflight_findings(subject_of_trainer(Trainer(mended)))]
