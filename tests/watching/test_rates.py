"""A rate set by hand with every scheduler class of PyTorch: what follows is the schedule, so many times itself."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler as schedulers

from aetui.watching import rates
from aetui.watching.settings import WatchedSettings

WARMUP = 4
MAKE = {
    "LambdaLR": lambda o: schedulers.LambdaLR(o, lambda step: 0.9**step),
    "MultiplicativeLR": lambda o: schedulers.MultiplicativeLR(o, lambda step: 0.95),
    "StepLR": lambda o: schedulers.StepLR(o, 3),
    "MultiStepLR": lambda o: schedulers.MultiStepLR(o, [3, 6, 9]),
    "ConstantLR": lambda o: schedulers.ConstantLR(o, total_iters=6),
    "LinearLR": lambda o: schedulers.LinearLR(o, total_iters=12),
    "ExponentialLR": lambda o: schedulers.ExponentialLR(o, 0.9),
    "PolynomialLR": lambda o: schedulers.PolynomialLR(o, total_iters=20, power=2),
    "CosineAnnealingLR": lambda o: schedulers.CosineAnnealingLR(o, 6, eta_min=1e-4),
    "CosineAnnealingWarmRestarts": lambda o: schedulers.CosineAnnealingWarmRestarts(o, 5, eta_min=1e-4),
    "OneCycleLR": lambda o: schedulers.OneCycleLR(o, 0.1, total_steps=40),
    "CyclicLR": lambda o: schedulers.CyclicLR(o, 0.01, 0.1, step_size_up=5, cycle_momentum=False),
    "SequentialLR": lambda o: schedulers.SequentialLR(
        o, [schedulers.LinearLR(o, total_iters=WARMUP + 2), schedulers.ExponentialLR(o, 0.9)], [WARMUP + 2]
    ),
    "ChainedScheduler": lambda o: schedulers.ChainedScheduler(
        [schedulers.ConstantLR(o, total_iters=6), schedulers.ExponentialLR(o, 0.9)]
    ),
    "ReduceLROnPlateau": lambda o: schedulers.ReduceLROnPlateau(o, patience=4),
    "SWALR": lambda o: torch.optim.swa_utils.SWALR(o, swa_lr=0.02, anneal_epochs=8),
}


def test_every_scheduler_class_of_torch_is_tried():
    known = {
        name
        for name, kind in vars(schedulers).items()
        if isinstance(kind, type) and issubclass(kind, schedulers.LRScheduler) and not name.startswith("_")
    }
    assert known - {"LRScheduler", "Optimizer"} <= set(MAKE)


def optimizer_of(tensor_rate: bool, groups: int) -> torch.optim.Optimizer:
    parts = [{"params": [nn.Parameter(torch.ones(2))], "lr": 0.05 / (n + 1)} for n in range(groups)]
    made = torch.optim.Adam(parts, lr=0.05)
    for group in made.param_groups:
        group["lr"] = torch.tensor(group["lr"], dtype=torch.float64) if tensor_rate else group["lr"]
    return made


def rates_over(name: str, tensor_rate: bool, groups: int, factor: float) -> list[list[float]]:
    """The rates of 20 steps, of which the first few are as they come."""
    optimizer = optimizer_of(tensor_rate, groups)
    scheduler = MAKE[name](optimizer)
    settings = WatchedSettings(lambda text: None)
    settings.of([optimizer], [])
    found = []
    for step in range(20):
        if step == WARMUP and factor != 1:
            assert settings.rate is not None
            settings.put_in_force({"optim.lr": repr(settings.rate * factor)})
        found.append([float(group["lr"]) for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step(*([1.0] if name == "ReduceLROnPlateau" else []))
    return found


@pytest.mark.parametrize("tensor_rate", [False, True])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("name", MAKE)
def test_the_rest_of_the_schedule_is_scaled(name: str, groups: int, tensor_rate: bool):
    plain, scaled = (rates_over(name, tensor_rate, groups, factor) for factor in (1, 0.1))
    assert scaled[:WARMUP] == plain[:WARMUP]
    for step in range(WARMUP, 20):
        assert scaled[step] == pytest.approx([rate * 0.1 for rate in plain[step]], rel=1e-6), step


def test_a_tensor_rate_is_filled_in_place():
    optimizer = optimizer_of(True, 1)
    held = optimizer.param_groups[0]["lr"]
    settings = WatchedSettings(lambda text: None)
    settings.of([optimizer], [])
    settings.put_in_force({"optim.lr": "0.01"})
    assert optimizer.param_groups[0]["lr"] is held and float(held) == 0.01


def test_one_group_alone_is_set_and_its_schedule_alone_scaled():
    optimizer = optimizer_of(False, 2)
    scheduler = MAKE["LambdaLR"](optimizer)
    settings = WatchedSettings(lambda text: None)
    settings.of([optimizer], [])
    settings.put_in_force({"group[1].lr": "0.0025"})
    optimizer.step()
    scheduler.step()
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.045, 0.00225])


def test_a_scheduler_that_overwrites_the_rate_is_told_of_and_can_be_held():
    class Own:
        """Writes from numbers that nobody knows of."""

        def __init__(self, optimizer: torch.optim.Optimizer) -> None:
            self.optimizer = optimizer

        def step(self) -> None:
            self.optimizer.param_groups[0]["lr"] = 0.05

    said: list[str] = []
    optimizer = optimizer_of(False, 1)
    own = Own(optimizer)
    settings = WatchedSettings(said.append)
    settings.of([optimizer], [])
    settings.put_in_force({"optim.lr": "0.001"})
    own.step()
    settings.before_step()
    assert said == ["your scheduler changed the rate from 0.001 to 0.05; optim.hold true holds what is set here"]
    settings.put_in_force({"optim.lr": "0.001", "optim.hold": "true"})
    for _ in range(3):
        own.step()
        settings.before_step()
        assert optimizer.param_groups[0]["lr"] == 0.001
    assert len(said) == 1


def test_schedulers_of_other_optimizers_are_left_alone():
    mine, other = optimizer_of(False, 1), optimizer_of(False, 1)
    own, strange = MAKE["StepLR"](mine), MAKE["StepLR"](other)
    assert rates.schedulers_of([mine]) == [own] and strange.base_lrs == [0.05]
