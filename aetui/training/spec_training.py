"""A trainer, which a spec assembles, as a `Training`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from aetui import data as data_
from aetui import protocol as p
from aetui.gauges.pairs import through
from aetui.models.build import architecture
from aetui.models.custom import OwnAutoencoder
from aetui.spec import differences, dumps
from aetui.spec import sections as s
from aetui.training import fingerprint, optimizers
from aetui.training.checkpoint import capture, restore
from aetui.training.interface import PROBE_ROWS, SAMPLES, Checkpoint, Predicted, Rows, Training, spread
from aetui.training.records import Records
from aetui.training.remarks import finale, warnings
from aetui.training.setting_table import table
from aetui.training.trainer import Trainer


class SpecTraining:
    """What engine, gauges, diagnosis and record see of a trainer."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.steps = SpecSteps(trainer)
        self.settings = SpecSettings(trainer)
        self.measured = SpecMeasured(trainer)
        self.stored = SpecStored(trainer)

    def info(self) -> p.RunInfo:
        trainer = self.trainer
        spec, dataset = trainer.spec, trainer.dataset
        return p.RunInfo(
            run=0,
            name="",
            spec=self.settings.text,
            source=dataset.source,
            architecture=trainer.model.architecture
            if isinstance(trainer.model, OwnAutoencoder)
            else architecture(spec, dataset.features, dataset.image_shape),
            code=trainer.code_width,
            parameters=trainer.flat.values.numel(),
            features=dataset.features,
            train_rows=len(dataset.train),
            validation_rows=0 if dataset.validation is None else len(dataset.validation),
            image_shape=dataset.image_shape,
            feature_names=dataset.feature_names,
            labels=dataset.classes,
            device=str(trainer.device),
            dtype=spec.train.dtype,
            goal=trainer.goal,
            floors=trainer.floors(),
            warnings=warnings(trainer),
            title=spec.about.title,
            text=f"{spec.about.text} Source: {spec.about.source}." if spec.about.source else spec.about.text,
            knobs=spec.about.knobs,
            settings=self.settings.table(),
        )


def trainer_of(training: Training) -> Trainer:
    """The trainer of a training that a spec assembled.

    Raises:
        TypeError: it is another.
    """
    if not isinstance(training, SpecTraining):
        raise TypeError(f"{type(training).__name__} has no trainer")
    return training.trainer


class SpecSteps:
    """The steps that a trainer takes."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer

    @property
    def advance(self) -> Callable[[], bool]:
        return self._trainer.advance

    @property
    def advance_measured(self) -> Callable[[], tuple[bool, dict[str, float]]]:
        return self._trainer.advance_measured

    def drain(self) -> Records:
        return self._trainer.recorder.drain()

    @property
    def done(self) -> int:
        return self._trainer.steps

    @property
    def goal(self) -> int | None:
        return self._trainer.goal

    @property
    def epoch(self) -> float:
        return self._trainer.batches.epoch

    @property
    def per_epoch(self) -> float:
        return self._trainer.batches.steps_per_epoch

    @property
    def after_non_finite(self) -> str:
        return "the step's update was not applied"


class SpecSettings:
    """The settings of a trainer's spec."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer

    def table(self) -> tuple[p.Setting, ...]:
        return table(self._trainer.spec)

    @property
    def text(self) -> str:
        return dumps(self._trainer.spec)

    @property
    def rate(self) -> float:
        return self._trainer.rate

    @property
    def base_rate(self) -> float:
        return self._trainer.spec.optim.lr

    @property
    def threshold(self) -> float | None:
        clip = self._trainer.spec.clip
        return None if isinstance(clip, s.NoClip) else clip.threshold

    def check(self, changes: Mapping[str, str]) -> tuple[p.Change, ...]:
        trainer = self._trainer
        found = differences(trainer.spec, trainer.planned(changes, text=True))
        return tuple(p.Change(item.path, item.old, item.new) for item in found)

    def put_in_force(self, changes: Mapping[str, str]) -> str:
        trainer = self._trainer
        old, old_rate = trainer.spec, trainer.rate
        trainer.set(changes, text=True)
        fresh = type(trainer.spec.optim) is not type(old.optim)
        text = " (the new optimizer starts with fresh state)" if fresh else ""
        rate, kind = trainer.rate, trainer.spec.schedule
        if not isinstance(kind, s.Constant) and rate != old_rate:
            factor = trainer.schedule.factor(trainer.steps, trainer.goal)
            text += f"; rate in force {rate:.3g} (schedule {kind.__struct_config__.tag} x {factor:.3g})"
        return text


class SpecMeasured:
    """A trainer's model, and rows of its data."""

    kl_weight = None
    """Its diagnosis has the whole loss from the spec."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer

    @property
    def module(self) -> nn.Module:
        return self._trainer.model

    @property
    def device(self) -> torch.device:
        return self._trainer.device

    @property
    def variational(self) -> bool:
        return self._trainer.model.variational

    @property
    def probe(self) -> Rows:
        return self._probe

    @cached_property
    def _probe(self) -> Rows:
        dataset, device = self._trainer.dataset, self._trainer.device
        chosen = spread(len(dataset.train), PROBE_ROWS)
        rows = self._trainer.train_data[torch.from_numpy(chosen).to(device)]
        return Rows(rows, rows, () if dataset.train_labels is None else tuple(dataset.train_labels[chosen].tolist()))

    @property
    def held_out(self) -> Rows | None:
        return self._held_out

    @cached_property
    def _held_out(self) -> Rows | None:
        held_out = self._trainer.validation_data
        return None if held_out is None else Rows(held_out[:PROBE_ROWS], held_out[:PROBE_ROWS])

    @property
    def samples(self) -> Rows:
        return self._samples

    @cached_property
    def _samples(self) -> Rows:
        """Held-out rows where there are any; of random data a fresh one before them."""
        trainer, dataset = self._trainer, self._trainer.dataset
        held_out = dataset.validation is not None
        rows = dataset.validation if held_out else dataset.train
        labels = dataset.validation_labels if held_out else dataset.train_labels
        assert rows is not None
        chosen = spread(len(rows), SAMPLES)
        part = "held-out" if held_out else "training"
        titles = [f"{part} {index}" if labels is None else dataset.classes[labels[index]] for index in chosen]
        samples = rows[chosen]
        fresh = data_.fresh_sample(trainer.spec.data, dataset, seed=trainer.spec.train.seed)
        if fresh is not None:
            samples = np.concatenate([fresh[None], samples])
            titles = ["fresh random input", *titles]
        tensor = torch.from_numpy(np.ascontiguousarray(samples)).to(trainer.device, trainer.dtype)
        return Rows(tensor, tensor, titles=tuple(titles))

    @property
    def loss(self) -> Callable[[Any, Tensor], Tensor]:
        return self._trainer.objective.reconstruction

    @property
    def build_optimizer(self) -> Callable[[nn.Module], torch.optim.Optimizer]:
        section = self._trainer.spec.optim
        return lambda model: optimizers.over(section, list(model.parameters()))

    @property
    def floors(self) -> p.Floors:
        return self._trainer.floors()

    def predict(self, rows: Rows) -> Predicted:
        output, code, loss, _ = self._trainer.predict(rows.inputs)
        return Predicted(output, code, loss)

    def errors(self, rows: Rows) -> tuple[Tensor, Tensor]:
        return through(self._trainer.model, self._trainer.objective, rows.targets)(rows.inputs)

    def gradients(self) -> Mapping[str, Tensor] | None:
        return self._trainer.flat.named_grads() if self._trainer.has_gradient else None

    def finale(self) -> str:
        return finale(self._trainer)


class SpecStored:
    """A trainer's state; training on from it is the same, bit for bit."""

    exact = True

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._start = trainer.spec
        """As the run began."""

    def about(self) -> dict[str, Any]:
        trainer = self._trainer
        return {
            "spec": dumps(trainer.spec),
            "source": trainer.dataset.source,
            "data": fingerprint.of(trainer.train_data),
            "rows": len(trainer.train_data),
            "features": trainer.dataset.features,
            "image_shape": trainer.dataset.image_shape,
            "device": trainer.device.type,
        }

    def capture(self) -> Checkpoint:
        return capture(self._trainer)

    def objection(self) -> str:
        return ""

    def restore(self, checkpoint: Checkpoint) -> None:
        restore(self._trainer, checkpoint)

    def restore_start(self) -> None:
        self.restore(capture(Trainer(self._start, dataset=self._trainer.dataset)))
