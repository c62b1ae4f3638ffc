"""The caller's own scheduler and the scaling of half-precision gradients, on a copy of the training."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import CyclicLR, LRScheduler, OneCycleLR, ReduceLROnPlateau

EACH_STEP = (OneCycleLR, CyclicLR)
"""Schedulers that take a step after every batch; the others after every epoch."""
_GROWTH = 2000
"""Steps without overflow after which the scale doubles, as `torch.amp.GradScaler` has it."""


def follow(scheduler: Any, optimizer: torch.optim.Optimizer) -> Any:
    """A scheduler of `optimizer`: a copy of the caller's, or what their factory makes.

    Raises:
        TypeError: what the factory makes has no `step`.
    """
    if isinstance(scheduler, LRScheduler | ReduceLROnPlateau):
        return _copied(scheduler, optimizer)
    made = scheduler(optimizer)
    if not callable(getattr(made, "step", None)):
        raise TypeError(f"scheduler: the callable returned {made!r}; it has to return a torch.optim.lr_scheduler")
    return made


def _copied(scheduler: Any, optimizer: torch.optim.Optimizer) -> Any:
    made = copy.copy(scheduler)
    for name, value in vars(scheduler).items():
        if isinstance(value, torch.optim.Optimizer):
            setattr(made, name, optimizer)
        elif isinstance(value, LRScheduler | ReduceLROnPlateau):
            setattr(made, name, _copied(value, optimizer))
        elif isinstance(value, list) and any(isinstance(one, LRScheduler | ReduceLROnPlateau) for one in value):
            setattr(made, name, [_copied(one, optimizer) for one in value])
        elif isinstance(value, list | dict):
            setattr(made, name, copy.copy(value))
    return made


def turn(scheduler: Any, loss: float) -> None:
    """One step of a scheduler."""
    if isinstance(scheduler, ReduceLROnPlateau):
        scheduler.step(loss)
    else:
        scheduler.step()


class Scaling:
    """Gradients of a scaled loss, as `torch.amp.GradScaler` has them: a step whose gradients overflow is left out."""

    def __init__(self, parameters: list[Tensor]) -> None:
        self._parameters = parameters
        self.scale_of = 2.0**16
        self._sound = 0

    def scale(self, loss: Tensor) -> Tensor:
        return loss * self.scale_of

    def unscale(self) -> bool:
        """Bring the gradients back to their size; whether they overflow, so that the step is left out."""
        grads = [one.grad for one in self._parameters if one.grad is not None]
        if any(not bool(torch.isfinite(grad).all()) for grad in grads) and self.scale_of > 1:
            self.scale_of /= 2
            self._sound = 0
            return True
        for grad in grads:
            grad.div_(self.scale_of)
        self._sound += 1
        if self._sound >= _GROWTH:
            self.scale_of, self._sound = self.scale_of * 2, 0
        return False
