"""One fork: a pure function of a checkpoint or a spec, the changes, and the steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from msgspec import Struct
from safetensors.torch import load, save

from aetui.data import Dataset
from aetui.diagnosis.examine import quiet
from aetui.diagnosis.while_training import LiveDiagnosis
from aetui.models.errors import message
from aetui.spec import RunSpec
from aetui.training.checkpoint import restore
from aetui.training.interface import Checkpoint
from aetui.training.records import Records
from aetui.training.spec_training import SpecTraining
from aetui.training.trainer import Trainer, seeds
from aetui.whatif.experiment import Figures, Point, Status
from aetui.whatif.measure import Yardstick, by_diagnosis, recent_loss, soundness

POINTS = 24
"""Points of a curve between the step that a fork leaves from and the full horizon."""
_BEFORE = 12
"""Points of the curve of a restart up to the step that the others leave from."""
_OTHER = 0x5EED
"""Sets the seeds of another order and other noise apart from those of every run."""


class Saved(Struct, frozen=True):
    """A checkpoint as bytes, so that it can be handed to another process."""

    tensors: bytes
    """In the safetensors format."""
    plain: dict[str, Any]

    @staticmethod
    def of(checkpoint: Checkpoint) -> Saved:
        return Saved(save(checkpoint.tensors), checkpoint.plain)

    def checkpoint(self) -> Checkpoint:
        return Checkpoint(load(self.tensors), self.plain)


class Job(Struct, frozen=True, kw_only=True):
    """What to train, and where to look at it."""

    name: str
    spec: RunSpec
    """That the training begins with."""
    continues: bool = False
    """Whether it goes on from the experiment's checkpoint."""
    changes: dict[str, str] = {}
    """Live settings, as text by path, put in force after `change_at` steps."""
    change_at: int = 0
    end: int
    half: int
    full: int
    grid: tuple[int, ...] = ()
    """Steps at which the curve has a point."""
    reorder: int = 0
    """Above 0, the number of another order of the batches and of other noise."""
    threads: int = 1


class At(Struct, frozen=True, tag=True):
    """A fork has come to a step."""

    name: str
    point: Point


class Horizon(Struct, frozen=True, tag=True):
    """A fork has come to a horizon."""

    name: str
    figures: Figures
    full: bool


class Ended(Struct, frozen=True, tag=True):
    """A fork has ended."""

    name: str
    status: Status
    step: int
    why: str = ""
    weights: str = ""
    seconds: float = 0.0


News = At | Horizon | Ended


def grid(start: int, full: int, half: int, base: int) -> tuple[int, ...]:
    """Steps of a fork's curve from step `start` to the horizon `full`, for one that leaves the run at step `base`.

    Those after `base` are the same for every fork of an experiment, so that curves can be compared step by step.
    """
    span = full - base
    after = {base + round(span * number / POINTS) for number in range(1, POINTS + 1)} | {half, full}
    before = {round(base * number / _BEFORE) for number in range(1, _BEFORE + 1)} if start < base else set()
    return tuple(sorted(step for step in (*before, *after) if step > start))


def other_seeds(seed: int, number: int) -> tuple[int, int]:
    """Seeds of another order of the batches and of other noise than those of a run with `seed`."""
    _, order, noise = seeds((seed + _OTHER * number) % 2**32)
    return order, noise


def train(
    job: Job, saved: Saved | None = None, *, dataset: Dataset | None = None, leave: Callable[[], bool] | None = None
) -> Iterator[News]:
    """Train a fork; what it came to is told as it comes.

    Args:
        saved: the checkpoint that it continues from, where it does.
        dataset: the data of `job.spec`, where they are loaded already.
        leave: asked at every point of the curve whether to leave off.
    """
    began = time.perf_counter()
    fork = None
    try:
        with quiet():
            fork = _Fork(job, saved, dataset)
            status, why = yield from fork.run(leave or (lambda: False))
            yield Ended(job.name, status, fork.trainer.steps, why, fork.weights(status), time.perf_counter() - began)
    except MemoryError:
        yield _failed(job, fork, "there is not enough memory for it", began)
    except Exception as error:  # noqa: BLE001 - whatever a model raises is an outcome of its fork alone
        text = message(error)
        if isinstance(error, torch.OutOfMemoryError) or "not enough memory" in text:
            text = f"there is not enough memory for it: {text}"
        yield _failed(job, fork, text, began)


def _failed(job: Job, fork: _Fork | None, text: str, began: float) -> Ended:
    step = 0 if fork is None else fork.trainer.steps
    return Ended(job.name, "failed", step, text, "", time.perf_counter() - began)


class _Fork:
    """A trainer on its way through a job."""

    def __init__(self, job: Job, saved: Saved | None, dataset: Dataset | None) -> None:
        self.job = job
        self.trainer = Trainer(job.spec, dataset=dataset, strict=False)
        if job.continues:
            if saved is None:
                raise ValueError("the checkpoint that it continues from is missing")
            restore(self.trainer, saved.checkpoint())
        torch.set_num_threads(job.threads)
        if job.reorder:
            _reorder(self.trainer, job.reorder)
        self._yardstick = Yardstick(self.trainer)
        self._records: list[Records] = []
        self._changed = False

    def run(self, leave: Callable[[], bool]) -> Iterator[Any]:
        """Train to the end; returns the status and why."""
        job, trainer = self.job, self.trainer
        stops = sorted({*job.grid, job.half, job.full, job.end})
        for stop in stops:
            if stop <= trainer.steps or stop > job.end:
                continue
            broken = self._advance(stop)
            recent = trainer.recorder.drain()
            self._records.append(recent)
            if broken is None and recent.bad.any():
                # Devices other than the CPU tell of it in the record.
                broken = trainer.steps - len(recent) + int(recent.bad.argmax()) + 1
            loss = recent_loss(recent)
            if broken is not None:
                yield At(job.name, Point(broken, None, None))
                yield from self._lost(broken)
                return "diverged", f"loss or gradient was not finite at step {broken:,}"
            yield At(job.name, Point(stop, loss, self._yardstick.explained()))
            if stop == job.half:
                yield Horizon(job.name, self._yardstick.figures(loss=loss), full=False)
            if stop == self._compared:
                yield Horizon(job.name, self._yardstick.figures(loss=loss, sound=self._sound()), full=True)
            if stop != job.end and leave():
                return "stopped", ""
        return "done", ""

    @property
    def _compared(self) -> int:
        """Step of the figures that the fork is judged by: one that is to train longer is judged where it ends."""
        return max(self.job.full, self.job.end)

    def _advance(self, stop: int) -> int | None:
        """Train up to a step; that at which loss or gradient was not finite, None while they are."""
        trainer, job = self.trainer, self.job
        while trainer.steps < stop:
            if trainer.steps >= job.change_at and not self._changed:
                self._changed = True
                if job.changes:
                    trainer.set(job.changes, text=True)
            if not trainer.advance():
                return trainer.steps
        return None

    def _lost(self, broken: int) -> Iterator[Horizon]:
        """The horizons that a training does not come to whose loss is not finite any more."""
        job = self.job
        if broken <= job.half:
            yield Horizon(job.name, Figures(step=job.half), full=False)
        yield Horizon(job.name, Figures(step=self._compared), full=True)

    def _sound(self) -> bool | None:
        """What a diagnosis says of the present state, where PCA is no yardstick for it."""
        if not by_diagnosis(self.trainer):
            return None
        return soundness(LiveDiagnosis(SpecTraining(self.trainer)), Records.joined(self._records), None)

    def weights(self, status: Status) -> str:
        return self.trainer.weights_sha256() if status == "done" else ""


def _reorder(trainer: Trainer, number: int) -> None:
    """Let a trainer take the rows that are left of its epoch, and all further ones, in another order, with other
    noise; its weights stay."""
    order_seed, noise_seed = other_seeds(trainer.spec.train.seed, number)
    batches = trainer.batches
    batches.generator.manual_seed(order_seed)
    if batches.order is not None:
        rest = batches.order[batches.position :]
        mixed = rest[torch.randperm(len(rest), generator=batches.generator).to(rest.device)]
        batches.order = torch.cat([batches.order[: batches.position], mixed])
        batches.ready = []
    trainer.model.set_generator(torch.Generator(trainer.device).manual_seed(noise_seed))
