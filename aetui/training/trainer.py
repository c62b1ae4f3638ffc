"""Training one autoencoder, step by step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aetui import data as data_
from aetui.gauges import explained, floors, variance
from aetui.models.build import build
from aetui.models.custom import OwnAutoencoder
from aetui.models.moments import feature_variance
from aetui.protocol import Floors
from aetui.spec import RunSpec, changed, differences
from aetui.spec import sections as s
from aetui.spec.errors import Problem, SpecError
from aetui.training import clipping, optimizers, weights_fingerprint
from aetui.training.batches import Batches, least_rows
from aetui.training.flat import FlatParameters
from aetui.training.knobs import Knob
from aetui.training.late import LateLosses
from aetui.training.lengths import goal_of
from aetui.training.losses import Objective
from aetui.training.machine import pick_device, pick_threads, seeds
from aetui.training.recorder import Recorder
from aetui.training.records import Records
from aetui.training.schedules import RateSchedule
from aetui.training.step import joint_norm, set_rates, update_on_device, update_on_host

_SAMPLE = 64
"""Rows that a user's own model is tried out on before it is trained."""
_CHUNK = 8192
"""Rows per forward pass in evaluation."""


@dataclass(frozen=True)
class Step:
    """One training step: its number, the loss with penalties, the gradient norm before clipping."""

    step: int
    loss: float
    grad_norm: float


@dataclass(frozen=True)
class Evaluation:
    """A run measured in eval mode over the whole training part (and validation part).

    loss and validation_loss are the objective with its penalties; explained_variance and
    variance_ratio compare predictions with targets as the loss sees them.
    """

    steps: int
    loss: float
    reconstruction_loss: float
    validation_loss: float | None
    explained_variance: float
    floors: Floors
    variance_ratio: dict[str, Any]


class Trainer:
    """An autoencoder in training, as a spec describes it.

    All randomness comes from generators that the trainer owns, seeded by `train.seed`, and for a user's own
    model from states of PyTorch's global ones that it puts back; the same spec gives the same weights bit
    for bit on the same machine and thread count. The number of threads within an operation is the process's
    own: a new trainer sets it.

    Raises:
        SpecError, DataError, ModelError: the spec, its data or its model can't be used; one sentence.

    Args:
        dataset: the data instead of those that the spec names.
        strict: whether a user's own model is refused where its output can't be a reconstruction.
        on_host: whether steps read their numbers as they go, as on a CPU; False has them leave all on the device, also
            where that is the CPU. None decides by the device.
    """

    def __init__(
        self,
        spec: RunSpec | None = None,
        *,
        dataset: data_.Dataset | None = None,
        strict: bool = True,
        on_host: bool | None = None,
    ) -> None:
        self.spec = changed(spec or RunSpec(), {})
        train = self.spec.train
        self.device = pick_device(train.device)
        self.on_host = self.device.type == "cpu" if on_host is None else on_host
        self.dtype: torch.dtype = getattr(torch, train.dtype)
        self.dataset = dataset or data_.load(self.spec.data)
        self.train_data = self._tensor(self.dataset.train)
        self.validation_data = None if self.dataset.validation is None else self._tensor(self.dataset.validation)

        init_seed, order_seed, noise_seed = seeds(train.seed)
        self.model = build(
            self.spec,
            self.dataset.features,
            self.dataset.image_shape,
            seed=init_seed,
            sample=torch.from_numpy(self.dataset.train[:_SAMPLE]),
            strict=strict,
        )
        self.model.to(device=self.device, dtype=self.dtype)
        self.model.set_generator(torch.Generator(self.device).manual_seed(noise_seed))
        self.model.apply_live(self.spec.model)
        self.model.train()
        self.flat = FlatParameters(self.model)
        batch = train.batch_size or len(self.train_data)
        torch.set_num_threads(pick_threads(train.threads, self.flat.values.numel() * min(batch, len(self.train_data))))

        # Not in the training dtype: small variances underflow in float16.
        self._target_variance = feature_variance(self.train_data.double()).float()
        self.objective = Objective(self.spec.loss, self._target_variance)
        self.optimizer = optimizers.build(self.spec.optim, self.flat.values, on_host=self.on_host)
        self.schedule = RateSchedule(self.spec.schedule)
        order = torch.Generator().manual_seed(order_seed)
        self.batches = Batches(self.train_data, train.batch_size, order, least_rows(self.model))
        self._check_batch(train.batch_size)
        self.recorder = Recorder(None if self.on_host else self.device)
        self.late = None if self.on_host else LateLosses(self.device)
        """Losses on their way to a schedule that follows them; None where they are read at once."""
        self._kl_knob, self._limit_knob = Knob(self.device, self.dtype), Knob(self.device, self.dtype)
        self.steps = 0
        """Completed steps."""
        self.has_gradient = False
        """Whether the gradients are those of the last step."""
        self._floors: Floors | None = None

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(device=self.device, dtype=self.dtype)

    # --- stepping -------------------------------------------------------------------------------

    @property
    def goal(self) -> int | None:
        """Step at which the spec ends the run, None where it sets no end."""
        return goal_of(self.spec.train, len(self.train_data), self.batches.least)

    @property
    def rate(self) -> float:
        """Learning rate of the next step."""
        return self.spec.optim.lr * self.schedule.factor(self.steps, self.goal)

    @property
    def code_width(self) -> int:
        """Width of the code, as the linear floor has it."""
        return self.model.code_width if isinstance(self.model, OwnAutoencoder) else self.spec.model.code

    @property
    def kl_weight(self) -> float:
        """Weight of the KL term at the next step; 0 where the model has none."""
        return kl_weight(self.spec.model, self.steps)

    def advance(self) -> bool:
        """Train one step without waiting for the device.

        Where loss or gradient is not finite, the step is counted and recorded and the weights are left as
        they were. On a CPU it returns False then; elsewhere it shows in the records.
        """
        flat = self.flat
        flat.grads.zero_()
        self.has_gradient = True
        batch = self.batches.next()
        kl_weight = self.kl_weight if self.on_host or not self.kl_weight else self._kl_knob.at(self.kl_weight)
        loss, total = self.objective(self.model(batch), batch, kl_weight)
        objective = loss if total is None else total
        objective.backward()
        norm = joint_norm(flat.all_grads)
        rates = (self.rate,) if self.schedule.moves else ()
        self.steps += 1
        if not self.on_host:
            self._finish_on_device(loss, total, norm, rates)
            return True
        return self._finish_on_host(loss.item(), objective.item(), norm.item(), rates)

    def _finish_on_host(self, loss: float, total: float, norm: float, rates: tuple[float, ...]) -> bool:
        clip = partial(clipping.clip_on_host, self.spec.clip, self.flat.all_grads, self.flat.grad_views)
        finite, clipped = update_on_host(self.optimizer, rates, clip, total, norm)
        if finite and self.schedule.needs_loss:
            self.schedule.observe(total)
        self.recorder.add_values(loss, total, norm, clipped)
        return finite

    def _finish_on_device(self, loss: Tensor, total: Tensor | None, norm: Tensor, rates: tuple[float, ...]) -> None:
        loss, section = loss.detach(), self.spec.clip
        objective = loss if total is None else total.detach()
        limit = None if isinstance(section, s.NoClip) else self._limit_knob.at(section.threshold)
        clip = partial(clipping.clip_on_device, section, self.flat.all_grads, self.flat.grad_views, limit=limit)
        lost, clipped = update_on_device(self.optimizer, rates, clip, objective, norm)
        self.recorder.add_tensors(loss, None if total is None else objective, norm, clipped)
        if self.schedule.needs_loss and self.late is not None:
            self.late.add(objective, lost)
            self._observe(self.late.due())

    def _observe(self, losses: list[float]) -> None:
        for loss in losses:
            self.schedule.observe(loss)

    def take_late(self, losses: list[float | None]) -> None:
        """Have the schedule told these losses of the last steps in its turn, where a training was restored."""
        if self.late is None:
            self._observe([loss for loss in losses if loss is not None])
        else:
            self.late.restore(losses)

    def advance_measured(self) -> tuple[bool, dict[str, float]]:
        """One step, with the norm of each parameter's update."""
        before = self.flat.values.detach().clone()
        finite = self.advance()
        return finite, self.flat.norms_of(self.flat.values.detach() - before)

    def step(self) -> Step:
        """Train one step and wait for it.

        Raises:
            FloatingPointError: loss or gradient is not finite; the weights are left as they were.
        """
        self.advance()
        records = self.recorder.drain()
        loss, norm = float(records.total[-1]), float(records.grad_norm[-1])
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise FloatingPointError(f"step {self.steps}: loss {loss}, gradient norm {norm}")
        return Step(self.steps, loss, norm)

    def run(self, steps: int | None = None) -> Records:
        """Train `steps` steps, or up to the spec's own end, and return what each recorded.

        Raises:
            SpecError: no number of steps is given and the spec sets no end.
            FloatingPointError: loss or gradient is not finite; the weights are left as they were.
        """
        if steps is None:
            if self.goal is None:
                raise SpecError([Problem("train.steps", "0 with train.epochs 0 has no end; say how many steps")])
            steps = max(0, self.goal - self.steps)
        for _ in range(steps):
            if not self.advance():
                raise FloatingPointError(f"loss or gradient is not finite at step {self.steps}")
        records = self.recorder.drain()
        bad = ~(np.isfinite(records.total) & np.isfinite(records.grad_norm))
        if bad.any():
            at = self.steps - len(records) + int(bad.argmax()) + 1
            raise FloatingPointError(f"loss or gradient is not finite at step {at}")
        return records

    # --- changing -------------------------------------------------------------------------------

    def set(self, changes: Mapping[str, Any], *, text: bool = False) -> RunSpec:
        """Change live settings before the next step, all or nothing; returns the spec in force.

        Raises:
            SpecError: a value is refused, or a setting is structural and needs a new run.
        """
        new = self.planned(changes, text=text)
        self.put_in_force(new)
        return new

    def planned(self, changes: Mapping[str, Any], *, text: bool = False) -> RunSpec:
        """The spec that `set` would put in force.

        Raises:
            SpecError: as with `set`.
        """
        new = changed(self.spec, changes, text=text)
        found = differences(self.spec, new)
        structural = [item for item in found if not item.live]
        if structural:
            raise SpecError(
                [Problem(item.path, "can't change while a run trains; it needs a new run") for item in structural]
            )
        self._check_batch(new.train.batch_size)
        return new

    def _check_batch(self, size: int) -> None:
        """Refuse batches that the model can't take in training, where its section can't know."""
        if 0 < size < self.batches.least:
            least = self.batches.least
            raise SpecError(
                [Problem("train.batch_size", f"{size} does not work with batch normalization; take at least {least}")]
            )

    def put_in_force(self, new: RunSpec) -> None:
        """Use the live settings of a checked spec from the next step on."""
        old, self.spec = self.spec, new
        if new.model != old.model:
            self.model.apply_live(new.model)
        if new.loss != old.loss:
            self.objective = Objective(new.loss, self._target_variance)
            self._floors = None
        if type(new.optim) is not type(old.optim):
            self.optimizer = optimizers.build(new.optim, self.flat.values, on_host=self.on_host)
        elif new.optim != old.optim:
            optimizers.change(self.optimizer, new.optim)
        if new.schedule != old.schedule:
            if type(new.schedule) is not type(old.schedule) and self.late is not None:
                self.late.restore([])
            self.schedule.change(new.schedule, self.steps)
        if new.train.batch_size != old.train.batch_size:
            self.batches.resize(new.train.batch_size)
        set_rates(self.optimizer, [self.rate])

    # --- measuring ------------------------------------------------------------------------------

    def floors(self) -> Floors:
        """The floors under the loss in force, over the training part."""
        if self._floors is None:
            self._floors = floors.floors(self.train_data, self.objective, self.code_width)
        return self._floors

    def predict(self, data: Tensor) -> tuple[Tensor, Tensor, float, float]:
        """Eval-mode prediction [n, features], code [n, code], reconstruction loss and objective over `data`.

        The model's mode, buffers and generators are left as they were.
        """
        outputs: list[Tensor] = []
        codes: list[Tensor] = []
        loss_sum = total_sum = 0.0
        self.model.eval()
        try:
            with torch.no_grad():
                for chunk in data.split(_CHUNK):
                    result = self.model(chunk)
                    loss, total = self.objective(result, chunk, self.kl_weight)
                    outputs.append(self.objective.prediction(result.output))
                    codes.append(result.code)
                    loss_sum += float(loss) * len(chunk)
                    total_sum += float(loss if total is None else total) * len(chunk)
        finally:
            self.model.train()
        return torch.cat(outputs), torch.cat(codes), loss_sum / len(data), total_sum / len(data)

    def evaluate(self) -> Evaluation:
        """Measure the run over the whole training part, in eval mode."""
        output, _, loss, total = self.predict(self.train_data)
        held_out = None if self.validation_data is None else self.predict(self.validation_data)[3]
        return Evaluation(
            steps=self.steps,
            loss=total,
            reconstruction_loss=loss,
            validation_loss=held_out,
            explained_variance=explained.explained_variance(output, self.train_data),
            floors=self.floors(),
            variance_ratio=variance.variance_ratio_summary(output, self.train_data),
        )

    def encode(self, x: np.ndarray | Tensor) -> np.ndarray:
        """Codes [n, code] of rows [n, features] in the data's own units (the mean, for a VAE)."""
        return self.predict(self._scaled(x))[1].float().cpu().numpy()

    def reconstruct(self, x: np.ndarray | Tensor) -> np.ndarray:
        """Reconstructions [n, features] of rows [n, features], both in the data's own units."""
        output = self.predict(self._scaled(x))[0].float().cpu().numpy()
        return self.dataset.scaler.inverse(output)

    def _scaled(self, x: np.ndarray | Tensor) -> Tensor:
        rows = x.detach().cpu().numpy() if isinstance(x, Tensor) else np.asarray(x)
        rows = np.asarray(rows, dtype=np.float32)
        if rows.ndim == 1:
            rows = rows[None]
        rows = rows.reshape(len(rows), -1)
        if rows.shape[1] != self.dataset.features:
            raise ValueError(f"rows have {rows.shape[1]} features; the run's data has {self.dataset.features}")
        return self._tensor(self.dataset.scaler.transform(rows))

    def weights_sha256(self) -> str:
        return weights_fingerprint.sha256(self.model.state_dict())


def kl_weight(model: s.Model, steps: int) -> float:
    """Weight of the KL term at the step after `steps` ones; 0 where the model has none."""
    if isinstance(model, s.OwnModel):
        return model.kl_weight
    if not isinstance(model, s.Vae):
        return 0.0
    return model.kl_weight * min(1.0, (steps + 1) / model.kl_warmup) if model.kl_warmup else model.kl_weight
