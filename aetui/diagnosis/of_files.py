"""The diagnosis of a spec with a loss or a training step from the user's own file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.utils.data import TensorDataset

from aetui import data as data_
from aetui.diagnosis.api import subject_of
from aetui.diagnosis.budget import Budget
from aetui.diagnosis.examine import examine, finish
from aetui.diagnosis.intake import takes
from aetui.diagnosis.probing import Progress
from aetui.diagnosis.subject import Subject
from aetui.models import userfile
from aetui.models.custom import OwnAutoencoder, give_weights
from aetui.models.errors import ModelError
from aetui.report import Report, Taken
from aetui.spec import RunSpec
from aetui.spec import sections as s
from aetui.training import optimizers
from aetui.training.batches import least_rows
from aetui.training.lengths import goal_of
from aetui.training.machine import pick_device, pick_threads, seeds
from aetui.training.trainer import Trainer

_ERRORS = (ValueError, TypeError)


def diagnose_files(
    spec: RunSpec, *, loss: str | None = None, step: str | None = None, steps: int | None = None, probes: bool = True,
    budget: Budget | None = None, progress: Callable[[Progress], None] | None = None,
) -> Report:  # fmt: skip
    """As `diagnose_spec`, with a loss `(output, target)` or a step `(model, batch)` as `file.py:name`.

    Raises:
        SpecError, DataError, ModelError: the spec, its data, its model or the file can't be used.
    """
    subject = subject_of_files(spec, loss=loss, step=step, steps=steps)
    return finish(examine(subject, steps=subject.horizon, probes=probes, budget=budget), progress)


def subject_of_files(
    spec: RunSpec, *, loss: str | None = None, step: str | None = None, steps: int | None = None
) -> Subject:
    """A spec's data, model, optimizer, schedule and clipping with a loss or a step of the user's own; not both.

    Raises:
        SpecError, DataError, ModelError: as `diagnose_files`.
    """
    subject = _of_loss(spec, loss) if step is None and loss is not None else _of_step(spec, step or "")
    goal = steps or goal_of(spec.train, subject.rows, subject.least)
    return replace(
        subject, spec=spec, clip=spec.clip, schedule=spec.schedule, horizon=goal,
        optimizer=type(spec.optim).__name__.lower(),
    )  # fmt: skip


def _options(spec: RunSpec) -> dict[str, Any]:
    def build(parameters: Any) -> torch.optim.Optimizer:
        return optimizers.over(spec.optim, list(parameters))

    return {"optimizer": build, "batch_size": spec.train.batch_size, "seed": spec.train.seed}


def _of_loss(spec: RunSpec, path: str) -> Subject:
    trainer = Trainer(spec, strict=False)
    call = userfile.function(path, "--loss")
    model, rows = trainer.model, trainer.train_data
    held = trainer.validation_data
    if isinstance(model, OwnAutoencoder):
        rows, held = model.shaped(rows), None if held is None else model.shaped(held)
        model = model.inner
    try:
        # One that takes more than output and target is no loss, whatever it comes to.
        if not takes(getattr(call, "forward", call), 2):
            raise ModelError("--loss", f"{path.rpartition(':')[2]} does not take (output, target)")
        subject = subject_of(model, rows, loss=call, validation=held, **_options(spec))
    except _ERRORS as error:
        raise _said(error, "--loss") from error
    return replace(subject, order_seed=seeds(spec.train.seed)[1])


def _of_step(spec: RunSpec, path: str) -> Subject:
    dataset = data_.load(spec.data)
    device, dtype = pick_device(spec.train.device), getattr(torch, spec.train.dtype)
    model = _model(spec, dataset).to(device=device, dtype=dtype)
    step = userfile.function(path, "--step")
    rows = torch.from_numpy(dataset.train).to(dtype)
    labels = None if dataset.train_labels is None else torch.from_numpy(dataset.train_labels)
    torch.set_num_threads(pick_threads(spec.train.threads, sum(p.numel() for p in model.parameters()) * 64))
    refused: Exception | None = None
    for text, data in _forms(rows, labels, dataset.image_shape):
        size = spec.train.batch_size or len(rows)
        try:
            subject = subject_of(model, data, step=step, **{**_options(spec), "batch_size": size})
        except _ERRORS as error:
            refused = refused or error
            continue
        least = max(subject.least, least_rows(model))
        batches = Taken(role="a batch", source=text)
        return replace(subject, least=least, order_seed=seeds(spec.train.seed)[1], taken=(*subject.taken, batches))
    assert refused is not None
    raise _said(refused, "--step") from refused


def _model(spec: RunSpec, dataset: data_.Dataset) -> nn.Module:
    """The module as a step of its author's has it."""
    if not isinstance(spec.model, s.OwnModel):
        return Trainer(spec, dataset=dataset).model
    seed = seeds(spec.train.seed)[0]
    made = userfile.make(spec.model.path, spec, dataset.features, dataset.image_shape, seed)
    give_weights(made, spec, torch.Generator().manual_seed(seed))
    return made.train()


def _forms(rows: torch.Tensor, labels: torch.Tensor | None, image_shape: tuple[int, ...]) -> Iterator[tuple[str, Any]]:
    """Batches as a step may take them, with what each is in words: items first, since `batch[0]` of a tensor alone
    would be its first row."""
    shapes = [rows]
    if image_shape:
        planes = image_shape if len(image_shape) == 3 else (1, *image_shape)
        shapes.append(rows.reshape(-1, *planes))
        if planes[0] == 1:
            shapes.append(rows.reshape(-1, *planes[1:]))
    for shaped in shapes:
        if labels is not None:
            yield "(rows, labels)", TensorDataset(shaped, labels)
        yield "(rows,)", TensorDataset(shaped)
        yield "(rows, rows)", TensorDataset(shaped, shaped)
        yield "rows", shaped


def _said(error: Exception, option: str) -> ModelError:
    if isinstance(error, ModelError):
        return error
    name, _, rest = str(error).partition(": ")
    return ModelError(option, rest if rest and name in ("loss", "step") else str(error))
