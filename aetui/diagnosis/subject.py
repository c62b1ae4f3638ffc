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
from aetui.spec import sections as s

Penalty = Callable[[nn.Module, Output, int], Tensor]
"""(model, its output, number of the step from 0) -> 0-dim."""
BuildOptimizer = Callable[[nn.Module], torch.optim.Optimizer]

RECONSTRUCTION = "reconstruction"
KL = "kl"


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
    settings: bool = False
    """Whether there is a spec, so that remedies name its settings."""
    code_width: int | None = None
    code_penalized: bool = False
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
        if bound.takes_raw and output.places is not None:
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
        self._named = subject.loss.named or bool(subject.loss.kind)
        self._tried = self._named
        self.takes_raw = False
        """Whether the caller's loss takes all that the forward returned."""

    def loss(self, output: Output, target: Tensor) -> Tensor:
        """The loss of an output. A caller's callable gets the whole return value if it can use it, else the
        reconstruction: the other way round, one that indexes a tuple would take samples for its parts."""
        if not self._tried and not isinstance(output.raw, Tensor):
            self._tried = True
            try:
                value = self.loss_of(output.raw, target)
            except (TypeError, AttributeError, ValueError, KeyError, IndexError, RuntimeError):
                self.takes_raw = False
            else:
                self.takes_raw = isinstance(value, Tensor) and value.numel() == 1
        value = self.loss_of(output.raw if self.takes_raw else output.reconstruction, target)
        return value if value.ndim == 0 else value.mean()
