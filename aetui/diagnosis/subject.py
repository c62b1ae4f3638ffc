"""What is diagnosed: a model, its data and how it is trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from aetui.diagnosis.change import Change
from aetui.diagnosis.intake import Stepped
from aetui.diagnosis.isolate import clone, rebound
from aetui.diagnosis.losses import Loss
from aetui.diagnosis.outputs import Output, Places
from aetui.diagnosis.parted import KL, RECONSTRUCTION, parts_of
from aetui.diagnosis.touched import DATA, WEIGHTS, Touch, tensors_in
from aetui.report import Taken
from aetui.spec import RunSpec
from aetui.spec import sections as s

Penalty = Callable[[nn.Module, Output, int], Tensor]
"""(model, its output, number of the step from 0) -> 0-dim."""
BuildOptimizer = Callable[[nn.Module], torch.optim.Optimizer]

__all__ = ["KL", "RECONSTRUCTION", "Bound", "Penalty", "Subject", "takes_raw"]

OUT_OF_DOMAIN = "between 0 and 1"
"""Part of what PyTorch's cross-entropy says where outputs or targets leave its domain."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A model as it was found, and everything that its training needs; nothing here is ever changed.

    inputs, targets: [rows, ...], on the model's device; the same tensor unless targets were given.
    held_out: rows that are not trained on, with their targets, or None. Where a step of the caller's own is
    diagnosed, both are the numbers of rows of its feed.
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
    stepped: Stepped | None = None
    """The caller's own training step, where it is that what is diagnosed."""
    compared: Tensor | None = None
    """What a step compares its reconstructions with, [rows, ...]."""
    places: Places | None = None
    """Where in what the forward returned the loss finds reconstruction and code distribution, if it was seen."""
    plan: tuple[str, ...] = ()
    """Names of the addends of a caller's loss, in order; empty where it was not seen or is none."""
    broadcasts: bool | None = None
    """Whether the loss was seen to spread output or target over the other; None where it was not seen."""
    exchanged: tuple[str, str] = ("", "")
    """Name of the loss that was seen to be given output and target in each other's place, and the caller's line; '' for
    none."""
    masked: bool = False
    """Whether the loss was seen to look at a part of the entries only."""
    indices: Tensor | None = None
    """Which values of a row, in its shape, the model uses as indices; these are never shifted or scaled."""
    taken: tuple[Taken, ...] = ()
    """What was taken as what, for the report."""
    clip_call: Callable[[list[Tensor]], Any] | None = None
    """The caller's own clipping, of the parameters that are trained."""
    follow: Callable[[torch.optim.Optimizer], Any] | None = None
    """From the optimizer to the caller's own scheduler."""
    averaged: bool = False
    """Whether the optimizer's rate is the mean of a schedule so far."""
    steps_per_turn: int = 1
    """Steps after which the scheduler takes one."""
    caller_model: nn.Module | None = None
    """Whose parts the caller's callables may mention."""

    @cached_property
    def device(self) -> torch.device:
        return self.inputs.device

    @property
    def judged(self) -> Tensor:
        """What the outputs are to be like, [rows, ...]; the data are measured by it."""
        return self.targets if self.compared is None else self.compared

    @cached_property
    def rows(self) -> int:
        return len(self.inputs)

    def copy(self) -> nn.Module:
        """A copy of the model in its initial state."""
        return clone(self.model)

    def allows(self, change: Change) -> bool:
        """Whether a change can be made of this training."""
        return self.stepped is None or change.scale == "none" or self.stepped.scales()

    def bound(self, function: Any, copy: nn.Module) -> Any:
        """A caller's callable speaking of `copy`."""
        return rebound(function, self.caller_model or self.model, copy)

    def terms(self, model: nn.Module, output: Output, target: Tensor, step: int, bound: Bound) -> dict[str, Tensor]:
        """The parts of the loss, 0-dim each, by name; their sum is what is minimized.

        A callable may have the KL and other parts inside; they are told apart at the calls that it makes.
        """
        if output.look is not None:
            return dict(output.look.parts.terms)
        terms = self._parted(output, target, bound) if self.plan else {RECONSTRUCTION: bound.loss(output, target)}
        for name, penalty in bound.penalties.items():
            terms[name] = penalty(model, output, step)
        return terms

    def _parted(self, output: Output, target: Tensor, bound: Bound) -> dict[str, Tensor]:
        raw = output.raw if bound.takes_raw else output.reconstruction
        touch = Touch(target)
        for one in tensors_in(raw):
            touch.mark(one, DATA | WEIGHTS if one.requires_grad else DATA)
        with touch:
            value = bound.loss(output, target)
        return parts_of(touch, value, 0, plan=self.plan).terms


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
