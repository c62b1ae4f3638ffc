"""A training as a subject of the diagnosis, whoever assembled it."""

from __future__ import annotations

import torch
from torch import nn

from aetui.diagnosis import losses
from aetui.diagnosis.of_spec import subject_of_trainer
from aetui.diagnosis.outputs import Output
from aetui.diagnosis.subject import KL, Penalty, Subject
from aetui.training.interface import Training, Unknown
from aetui.training.spec_training import SpecTraining

_SAME_RATE = 0.01
"""Share by which the mean of a schedule's rates differs from the present one where it is told apart."""


def subject_of_training(training: Training, initial: nn.Module) -> Subject:
    """A training under the settings in force; `initial`: its module with the initial weights.

    Raises:
        Unknown: the training does not tell its loss.
    """
    if isinstance(training, SpecTraining):
        return subject_of_trainer(training.trainer, initial)
    measured = training.measured
    if measured.loss is None:
        raise Unknown("the loss is not known, so nothing can be said of what it does")
    probe, held_out = measured.probe, measured.held_out
    build, rate = measured.build_optimizer or _unknown, training.settings.rate
    built = None if build is _unknown else build(initial)
    return Subject(
        model=initial,
        inputs=probe.inputs,
        targets=probe.wanted,
        held_out=None if held_out is None else (held_out.inputs, held_out.wanted),
        loss=losses.resolve(measured.loss),
        build_optimizer=build,
        optimizer="" if built is None else type(built).__name__.lower(),
        averaged=built is not None and rate is not None and not _near(float(built.param_groups[0]["lr"]), rate),
        horizon=training.steps.goal,
        penalties={} if measured.kl_weight is None else {KL: _weighted(measured.kl_weight)},
    )


def _weighted(weight: float) -> Penalty:
    def kl(_model: nn.Module, output: Output, _step: int) -> torch.Tensor:
        value = output.kl()
        return torch.zeros((), device=output.reconstruction.device) if value is None else weight * value

    return kl


def _near(one: float, other: float) -> bool:
    return abs(one - other) <= _SAME_RATE * abs(one)


def _unknown(_model: nn.Module) -> torch.optim.Optimizer:
    raise Unknown("the optimizer is not known, so no copy can be trained")
