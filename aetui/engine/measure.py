"""The gauges of a run in training, measured on a fixed probe set in eval mode."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from msgspec.structs import replace
from torch import Tensor

from aetui import data as data_
from aetui import protocol as p
from aetui.diagnosis.live import LiveDiagnosis, same
from aetui.diagnosis.probing import Progress
from aetui.engine.history import History
from aetui.gauges import explained
from aetui.gauges.code import measure_code
from aetui.gauges.layers import measure_layers
from aetui.gauges.pairs import measure_pairs
from aetui.gauges.variance import measure_variance
from aetui.models.moments import finite_range
from aetui.report import Report
from aetui.training.trainer import Trainer

PROBE_ROWS = 2048
SAMPLES = 64
PAGE = 16
"""Pairs in one view."""


class Gauges:
    """What is measured of a trainer; nothing here changes its weights, buffers or randomness."""

    def __init__(self, trainer: Trainer, history: History, diagnosis: LiveDiagnosis | None = None) -> None:
        """`diagnosis` is that of the same trainer from before it moved to another step."""
        self.trainer, self.history = trainer, history
        self.diagnosis = diagnosis or LiveDiagnosis(trainer)
        self._shown: p.Diagnosis | None = None
        self.resting = True
        """Whether the run does not train at present."""
        dataset = trainer.dataset
        rows = _spread(len(dataset.train), PROBE_ROWS)
        self._probe = trainer.train_data[torch.from_numpy(rows).to(trainer.device)]
        self._labels = None if dataset.train_labels is None else dataset.train_labels[rows].tolist()
        self._samples, self._titles = _samples(trainer)
        self._low, self._high = finite_range(self._samples)
        self._updates: dict[str, float] | None = None
        self._updated: int | None = None
        """Step that the updates are of."""
        self.diagnosed: int | None = None
        """Step that was diagnosed last."""
        self._probed: tuple[tuple[int, object], Tensor, Tensor] | None = None
        self._versions = 0

    def _predicted(self) -> tuple[Tensor, Tensor]:
        """Prediction and code of the probe set, computed once per step and loss for all gauges."""
        now = (self.trainer.steps, self.trainer.objective)
        if self._probed is None or self._probed[0] != now:
            output, code, *_ = self.trainer.predict(self._probe)
            self._probed = now, output, code
        return self._probed[1:]

    def fit(self) -> p.Point:
        """Explained variance on the probe set and loss on the validation part."""
        trainer = self.trainer
        output, _ = self._predicted()
        held_out = trainer.validation_data
        return p.Point(
            step=trainer.steps,
            validation=None if held_out is None else trainer.predict(held_out[:PROBE_ROWS])[2],
            explained=explained.explained_variance(output, self._probe),
        )

    @property
    def has_updates(self) -> bool:
        return self._updates is not None

    def remember_updates(self, updates: dict[str, float]) -> None:
        """Keep the update norms of a step for the layers gauge."""
        self._updates, self._updated = updates, self.trainer.steps

    def diagnose(self, *, stage: str = "", probed: bool = False) -> p.Diagnosis:
        """The report on the present step; the same message as before where nothing of it has changed."""
        before, self.diagnosed = self._shown, self.trainer.steps
        report = self.diagnosis.look(*self.history.sampled(), self._broken(), resting=self.resting)
        probed = probed or (before is not None and before.probed and report.probe_steps > 0)
        unchanged = before is not None and (before.stage, before.probed) == (stage, probed)
        # A run at rest shows its own step, whatever the report says.
        here = before is not None and (not self.resting or before.step == self.trainer.steps)
        if before is not None and unchanged and here and same(before.report, report):
            return before
        return self._show(report, stage, probed)

    def staged(self, stage: str) -> p.Diagnosis:
        """The last report, with what its probes are busy with."""
        shown = self._shown or self.diagnose()
        return self._show(shown.report, stage, shown.probed)

    def probe(self) -> Iterator[Progress]:
        """Check the suspects on copies, a slice of work at a time."""
        return self.diagnosis.probe(*self.history.sampled(), self._broken())

    def _show(self, report: Report, stage: str, probed: bool) -> p.Diagnosis:
        self._versions += 1
        self._shown = p.Diagnosis(
            version=self._versions, step=self.trainer.steps, report=report, stage=stage, probed=probed
        )
        return self._shown

    def _broken(self) -> int | None:
        """The last step, where it was not finite."""
        last = self.history.last_finite()
        steps = len(self.history)
        return None if not steps or (last is not None and last[0] == steps) else steps

    def measure(self, name: str, first: int) -> p.Diagnosis | p.Variance | p.Code | p.Pairs | p.Layers:
        """One gauge of `protocol.GAUGES`; `first` is the first pair wanted."""
        if name == "diagnosis":
            return self.diagnose()
        self._versions += 1
        trainer, version = self.trainer, self._versions
        if name == "variance":
            output, _ = self._predicted()
            return measure_variance(output, self._probe, step=trainer.steps, version=version)
        if name == "code":
            _, code = self._predicted()
            return measure_code(code, self._labels, step=trainer.steps, version=version, vae=trainer.model.variational)
        if name == "layers":
            grads = trainer.flat.named_grads() if trainer.has_gradient else None
            layers = measure_layers(
                trainer.model, self._probe, step=trainer.steps, version=version, grads=grads, updates=self._updates
            )
            return replace(layers, updated=self._updated)
        return measure_pairs(
            trainer.model, trainer.objective, self._samples, self._titles, first, PAGE,
            step=trainer.steps, version=version, low=self._low, high=self._high,
        )  # fmt: skip


def _spread(total: int, wanted: int) -> np.ndarray:
    """Up to `wanted` indices spread evenly over `total`."""
    return np.unique(np.linspace(0, total - 1, min(total, wanted)).round().astype(np.int64))


def _samples(trainer: Trainer) -> tuple[Tensor, list[str]]:
    """Rows to show beside their reconstruction: held-out ones where there are any."""
    dataset = trainer.dataset
    held_out = dataset.validation is not None
    rows = dataset.validation if held_out else dataset.train
    labels = dataset.validation_labels if held_out else dataset.train_labels
    assert rows is not None
    chosen = _spread(len(rows), SAMPLES)
    part = "held-out" if held_out else "training"
    titles = [f"{part} {index}" if labels is None else dataset.classes[labels[index]] for index in chosen]
    samples = rows[chosen]
    fresh = data_.fresh_sample(trainer.spec.data, dataset, seed=trainer.spec.train.seed)
    if fresh is not None:
        samples = np.concatenate([fresh[None], samples])
        titles = ["fresh random input", *titles]
    return torch.from_numpy(np.ascontiguousarray(samples)).to(trainer.device, trainer.dtype), titles
