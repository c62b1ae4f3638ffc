"""The diagnosis of a spec: the same model, data order, loss and schedule as its trainer's."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from aetui.data import Dataset
from aetui.diagnosis.budget import Budget
from aetui.diagnosis.examine import Examination, examine, finish
from aetui.diagnosis.isolate import clone
from aetui.diagnosis.losses import Loss
from aetui.diagnosis.outputs import Output
from aetui.diagnosis.probing import Progress
from aetui.diagnosis.spec_taken import taken_of
from aetui.diagnosis.subject import KL, Penalty, Subject
from aetui.models.base import Reconstruction, evaluating
from aetui.models.custom import OwnAutoencoder
from aetui.report import Report
from aetui.spec import RunSpec
from aetui.spec import sections as s
from aetui.training import optimizers
from aetui.training.losses import LOSSES
from aetui.training.machine import seeds
from aetui.training.trainer import Trainer, kl_weight


def diagnose_spec(
    spec: RunSpec, *, steps: int | None = None, dataset: Dataset | None = None, probes: bool = True,
    budget: Budget | None = None, progress: Callable[[Progress], None] | None = None,
) -> Report:  # fmt: skip
    """Train as the spec says, watch it, and say what is wrong with the training, if anything.

    Args:
        steps: length of the training; without it the spec's own, and where it sets none, the diagnosis
            decides how long to look.
        probes: whether suspects are checked in short trainings of copies.
        budget: how long it may take, and what somebody stops it by.

    Raises:
        SpecError, DataError, ModelError: the spec, its data or its model can't be used.
    """
    trainer = Trainer(spec, dataset=dataset, strict=False)
    return finish(examination(trainer, steps=steps or trainer.goal, probes=probes, budget=budget), progress)


def examination(
    trainer: Trainer, *, steps: int | None = None, probes: bool = True, budget: Budget | None = None
) -> Examination:
    """The diagnosis of a fresh trainer, step by step; the trainer itself is not trained."""
    return examine(subject_of_trainer(trainer), steps=steps, probes=probes, budget=budget)


def subject_of_trainer(trainer: Trainer, model: nn.Module | None = None) -> Subject:
    """A trainer's run as a subject, under the settings in force.

    Args:
        model: with the initial weights; a copy of the trainer's own as it is now by default.
    """
    spec, objective = trainer.spec, trainer.objective
    _, order_seed, _ = seeds(spec.train.seed)
    held = trainer.validation_data
    targets = trainer.train_data
    if isinstance(trainer.model, OwnAutoencoder) and _misshapen(trainer.model, targets[:4]):
        # The user's loop would compare the output with rows in the shape that the model takes.
        targets = trainer.model.shaped(targets)
        held = None
    model = clone(trainer.model) if model is None else model
    return Subject(
        model=model,
        inputs=trainer.train_data,
        targets=targets,
        held_out=None if held is None else (held, held),
        loss=Loss(LOSSES[type(spec.loss)].name, spec.loss.reduction == "sum", objective.reconstruction, named=True),
        build_optimizer=_Builder(spec.optim),
        optimizer=type(spec.optim).__name__.lower(),
        batch_size=spec.train.batch_size,
        least=trainer.batches.least,
        clip=spec.clip,
        schedule=spec.schedule,
        horizon=trainer.goal,
        seed=spec.train.seed,
        order_seed=order_seed,
        penalties=_penalties(trainer),
        objective=objective,
        spec=spec,
        code_width=trainer.code_width,
        taken=taken_of(spec, model, trainer.train_data[: spec.train.batch_size or len(trainer.train_data)]),
    )


def _misshapen(model: OwnAutoencoder, rows: Tensor) -> bool:
    """Whether the output is not in the shape of flat rows."""
    with evaluating(model):
        return model(rows).output.shape != rows.shape


class _Builder:
    """The spec's optimizer over a copy's parameters."""

    def __init__(self, section: s.Optim) -> None:
        self.section = section

    def __call__(self, model: nn.Module) -> torch.optim.Optimizer:
        return optimizers.over(self.section, list(model.parameters()))


def _penalties(trainer: Trainer) -> dict[str, Penalty]:
    found: dict[str, Penalty] = {name: _penalty(*parts) for name, parts in trainer.objective.penalties.items()}
    model_section = trainer.spec.model
    if isinstance(model_section, s.Vae | s.OwnModel) and model_section.kl_weight:
        zero = torch.zeros((), device=trainer.device)

        def kl(_model: nn.Module, output: Output, step: int) -> Tensor:
            value = getattr(output.raw, "kl", None)
            return zero if value is None else kl_weight(model_section, step) * value

        found[KL] = kl
    return found


def _penalty(weight: float, term: Callable[[Reconstruction], Tensor]) -> Penalty:
    return lambda _model, output, _step: weight * term(output.raw)
