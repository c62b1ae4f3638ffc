"""What is diagnosed: a model, its data and how it is trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from aetui.diagnosis.isolate import clone, rebound
from aetui.diagnosis.losses import Loss
from aetui.diagnosis.outputs import Output
from aetui.spec import RunSpec
from aetui.spec import sections as s

Penalty = Callable[[nn.Module, Output, int], Tensor]
"""(model, its output, number of the step from 0) -> 0-dim."""
BuildOptimizer = Callable[[nn.Module], torch.optim.Optimizer]

RECONSTRUCTION = "reconstruction"
KL = "kl"
OUT_OF_DOMAIN = "between 0 and 1"
"""Part of what PyTorch's cross-entropy says where outputs or targets leave its domain."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A model as it was found, and everything that its training needs; nothing here is ever changed.

    inputs, targets: [rows, ...], on the model's device; the same tensor unless targets were given.
    held_out: rows that are not trained on, with their targets, or None.
    """

    model: nn.Module
    inputs: Tensor
    targets: Tensor
    held_out: tuple[Tensor, Tensor] | None = None
    loss: Loss
    build_optimizer: BuildOptimizer
    optimizer: str
    """Lower-case name of its class."""
    batch_size: int = 64
    least: int = 1
    """Rows of the smallest batch; a smaller rest of an epoch is left out."""
    clip: s.Clip = field(default_factory=s.NoClip)
    schedule: s.Schedule = field(default_factory=s.Constant)
    horizon: int | None = None
    """Length of the training, for schedules that need it."""
    seed: int = 0
    order_seed: int = 0
    penalties: dict[str, Penalty] = field(default_factory=dict)
    """What is added to the reconstruction term, by name."""
    weights: Tensor | None = None
    """Factor on each feature's loss, as the spec's weighting has it."""
    objective: Any = None
    """The spec's objective, where there is a spec."""
    spec: RunSpec | None = None
    """What the training was described by, so that remedies name its settings."""
    code_width: int | None = None
    takes_raw: bool = False
    """Whether the loss takes all that the forward returned."""
    caller_model: nn.Module | None = None
    """Whose parts the caller's callables may mention."""

    @cached_property
    def device(self) -> torch.device:
        return self.inputs.device

    @cached_property
    def rows(self) -> int:
        return len(self.inputs)

    def copy(self) -> nn.Module:
        """A copy of the model in its initial state."""
        return clone(self.model)

    def bound(self, function: Any, copy: nn.Module) -> Any:
        """A caller's callable speaking of `copy`."""
        return rebound(function, self.caller_model or self.model, copy)

    def terms(self, model: nn.Module, output: Output, target: Tensor, step: int, bound: Bound) -> dict[str, Tensor]:
        """The parts of the loss, 0-dim each, by name; their sum is what is minimized.

        A callable that takes the whole of what the forward returned may have the KL inside; it is
        told apart by calling it again with a standard normal code.
        """
        terms = {RECONSTRUCTION: bound.loss(output, target)}
        if bound.takes_raw and output.variational:
            without = bound.loss_of(output.without_kl(), target)
            terms = {RECONSTRUCTION: without, KL: terms[RECONSTRUCTION] - without}
        for name, penalty in bound.penalties.items():
            terms[name] = penalty(model, output, step)
        return terms


class Bound:
    """A subject's loss and penalties, speaking of one copy of its model."""

    def __init__(self, subject: Subject, copy: nn.Module) -> None:
        self.loss_of: Callable[[Any, Tensor], Tensor] = subject.bound(subject.loss.call, copy)
        self.penalties: dict[str, Penalty] = {
            name: subject.bound(penalty, copy) for name, penalty in subject.penalties.items()
        }
        self.takes_raw = subject.takes_raw

    def loss(self, output: Output, target: Tensor) -> Tensor:
        """The loss of an output, 0-dim."""
        value = self.loss_of(output.raw if self.takes_raw else output.reconstruction, target)
        return value if value.ndim == 0 else value.mean()


def takes_raw(loss: Callable[[Any, Tensor], Tensor], output: Output, target: Tensor) -> bool:
    """Whether a caller's loss takes all that a forward returned, and not the reconstruction alone.

    The whole is tried first: a loss that indexes a tuple would take samples of a tensor for its parts.
    """
    if isinstance(output.raw, Tensor):
        return False
    try:
        value = loss(output.raw, target)
    except RuntimeError as error:
        return OUT_OF_DOMAIN in str(error)
    except (TypeError, AttributeError, ValueError, KeyError, IndexError):
        return False
    return isinstance(value, Tensor) and value.numel() == 1
