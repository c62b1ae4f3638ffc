"""What engine, gauges, diagnosis and record take of a training, whoever assembled it and whoever drives its loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from aetui import protocol as p
from aetui.training.records import Records

MODULE = "model."
"""How names of a checkpoint's tensors begin that are entries of the module's state_dict, where no spec knows them."""


PROBE_ROWS = 2048
"""Rows at most that gauges measure on."""
SAMPLES = 64
"""Rows at most that are shown beside their reconstructions."""


def spread(total: int, wanted: int) -> np.ndarray:
    """Up to `wanted` indices spread evenly over `total`."""
    return np.unique(np.linspace(0, total - 1, min(total, wanted)).round().astype(np.int64))


class Unknown(ValueError):
    """Something that a training does not tell, so that what needs it can't be shown; one sentence."""


@dataclass(frozen=True)
class Rows:
    """Rows to measure on, on the training's device.

    inputs: [rows, ...], as the module takes them. targets: [rows, features], as the loss compares them; the same
    tensor where the inputs are the targets. labels: the class of each row, or (). titles: a name for each, or ().
    shape: of an output, which the loss compares with a target, where it is not (features,).
    """

    inputs: Tensor
    targets: Tensor
    labels: tuple[int, ...] = ()
    titles: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()

    @property
    def wanted(self) -> Tensor:
        """The targets in the shape of the outputs, [rows, ...]; the inputs themselves where they are the targets."""
        wanted = self.targets.reshape(len(self.targets), *self.shape) if self.shape else self.targets
        same = wanted.data_ptr() == self.inputs.data_ptr() and wanted.shape == self.inputs.shape
        return self.inputs if same and wanted.dtype == self.inputs.dtype else wanted


@dataclass(frozen=True)
class Predicted:
    """What the module makes of rows in eval mode.

    output: [rows, features], as it is compared with the targets. code: [rows, code], None where it is not known how
    to get it. loss: the reconstruction term over the rows, None where the loss is not known. kl: of the code's
    distribution in nats, means over the rows, of each unit [code] or [1] for the total; None where it is not known.
    """

    output: Tensor
    code: Tensor | None
    loss: float | None
    kl: Tensor | None = None


@dataclass(frozen=True)
class Checkpoint:
    """A training's state between two steps: tensors on the host that nothing else changes, and plain values."""

    tensors: dict[str, Tensor]
    plain: dict[str, Any]

    @property
    def steps(self) -> int:
        return self.plain["steps"]


class CheckpointError(ValueError):
    """A checkpoint that does not fit the run; one sentence."""


class Steps(Protocol):
    """How far a training is, and what its steps left behind."""

    @property
    def done(self) -> int:
        """Completed steps."""
        ...

    @property
    def goal(self) -> int | None:
        """Step at which the training ends by itself, None for never."""
        ...

    @property
    def epoch(self) -> float:
        """Passes over the training rows so far."""
        ...

    @property
    def per_epoch(self) -> float:
        """Steps in one pass."""
        ...

    @property
    def after_non_finite(self) -> str:
        """What becomes of the update of a step whose loss or gradient is not finite, a clause."""
        ...

    def drain(self) -> Records:
        """All whole steps recorded since the last call; from any thread, also while a step is computed."""
        ...

    @property
    def advance(self) -> Callable[[], bool] | None:
        """Takes one step; False where loss or gradient was not finite. None where somebody else drives the loop."""
        ...

    @property
    def advance_measured(self) -> Callable[[], tuple[bool, dict[str, float]]] | None:
        """As `advance`, with the norm of each parameter's update by name; None where it is not known."""
        ...


class Settings(Protocol):
    """What can be set, and what is in force."""

    def table(self) -> tuple[p.Setting, ...]:
        """Every setting with its present value, in the order to show them."""
        ...

    @property
    def text(self) -> str:
        """The whole spec in force as TOML, '' where there is none."""
        ...

    @property
    def rate(self) -> float | None:
        """Learning rate of the next step, None where it is not known."""
        ...

    @property
    def base_rate(self) -> float | None:
        """What a schedule multiplies."""
        ...

    @property
    def threshold(self) -> float | None:
        """Where gradients are clipped, None where they aren't."""
        ...

    def check(self, changes: Mapping[str, str]) -> tuple[p.Change, ...]:
        """What `changes`, text by path, would change; () where all is in force already. Nothing is changed.

        Raises:
            SpecError: a path or a value is refused, or can't change while the run trains.
        """
        ...

    def put_in_force(self, changes: Mapping[str, str]) -> str:
        """Use checked changes from the next step on, all or none; what else is to be said, '' for nothing.

        Raises:
            SpecError: as with `check`.
        """
        ...


class Measured(Protocol):
    """What gauges and diagnosis look at. Whatever is asked here leaves weights, buffers, modes and randomness alone."""

    @property
    def module(self) -> nn.Module: ...

    @property
    def device(self) -> torch.device: ...

    @property
    def variational(self) -> bool:
        """Whether the code is a distribution."""
        ...

    @property
    def probe(self) -> Rows:
        """Some training rows, always the same."""
        ...

    @property
    def held_out(self) -> Rows | None:
        """Some rows that are not trained on, always the same."""
        ...

    @property
    def samples(self) -> Rows:
        """Rows to show beside their reconstruction, with titles."""
        ...

    @property
    def loss(self) -> str | Callable[[Any, Tensor], Tensor] | None:
        """The loss in force, as `aetui.diagnose` takes it; None where it is not known. Another loss is not equal."""
        ...

    @property
    def build_optimizer(self) -> Callable[[nn.Module], torch.optim.Optimizer] | None:
        """The optimizer in force, over the parameters of a copy of the module; None where it is not known."""
        ...

    @property
    def kl_weight(self) -> float | None:
        """What the KL, summed over the code, is multiplied by in the loss; None where there is none, or the loss has it
        inside, or it is not known."""
        ...

    @property
    def floors(self) -> p.Floors:
        """The floors under the loss in force, each None where it is not known."""
        ...

    def predict(self, rows: Rows) -> Predicted:
        """What the module makes of rows."""
        ...

    def errors(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Output [rows, features], as compared with the targets, and the loss of each row [rows].

        Where the loss is not known, the mean squared error of each row.
        """
        ...

    def gradients(self) -> Mapping[str, Tensor] | None:
        """Gradients of the last step by parameter name, None where there are none."""
        ...

    def finale(self) -> str:
        """What is to be said at the end of the run, '' for nothing."""
        ...


class Stored(Protocol):
    """The state of a training: saved, and put back."""

    @property
    def exact(self) -> bool:
        """Whether training on from a restored state takes the very steps that followed it."""
        ...

    def about(self) -> dict[str, Any]:
        """Plain facts that a record begins with: `source`, `rows`, `features`, `image_shape` and, of a run that a spec
        assembled, `spec` and the fingerprint `data`."""
        ...

    def capture(self) -> Checkpoint:
        """The present state.

        Of a run without a spec, tensors named by `MODULE` and a name of the module's state_dict are what
        `aetui export --to torch` writes.
        """
        ...

    def objection(self) -> str:
        """Why no state can be put back at present, one sentence; '' where it can."""
        ...

    def restore(self, checkpoint: Checkpoint) -> None:
        """Put back a state that `capture` saw; what was recorded since is dropped.

        Raises:
            CheckpointError: it does not fit.
        """
        ...

    def restore_start(self) -> None:
        """Put back the state of step 0.

        Raises:
            CheckpointError: it can't be had any more.
        """
        ...


class Training(Protocol):
    """One training in four parts."""

    @property
    def steps(self) -> Steps: ...

    @property
    def settings(self) -> Settings: ...

    @property
    def measured(self) -> Measured: ...

    @property
    def stored(self) -> Stored | None:
        """None where the state can't be saved, so that the run has no record."""
        ...

    def info(self) -> p.RunInfo:
        """What the run is; its number, name, log and record are the engine's to say."""
        ...
