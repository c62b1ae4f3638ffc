"""One thing changed in a copy of the training, to see whether it repairs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from aetui.diagnosis.modes import Altered
from aetui.models.moments import feature_variance


@dataclass(frozen=True)
class Change:
    """What differs from the training as it was given; the default changes nothing.

    lr: factor on the learning rate. adam: train with Adam at this rate instead. momentum: of plain
    gradient descent. scale: bring the data into this form. drop: terms of the loss to leave out.
    weight_decay: False sets it to 0. silent: no dropout and no noise. reinit: PyTorch's own
    initial weights. swaps, every: other activations, by number of the call and by kind (see
    `aetui.diagnosis.modes.Altered`). clip: another joint norm, 0 for none. unfreeze: train all
    parameters, with gradients through `detach`. reshape: bring the output into the target's shape.
    loss: the name of another loss. float32: weights, data and computation in float32. eps: that of the optimizer.
    steady: no schedule, the optimizer's own rate throughout.
    """

    lr: float = 1.0
    adam: float | None = None
    momentum: float | None = None
    scale: str = "none"
    """`none`, `standardize`, `unit` (all values into 0..1) or `symmetric` (into -1..1)."""
    drop: tuple[str, ...] = ()
    weight_decay: bool = True
    silent: bool = False
    reinit: bool = False
    swaps: tuple[tuple[int, str], ...] = ()
    every: tuple[tuple[str, str], ...] = ()
    clip: float | None = None
    unfreeze: bool = False
    reshape: bool = False
    loss: str | None = None
    float32: bool = False
    eps: float | None = None
    steady: bool = False

    def mode(self) -> Altered:
        """The function mode that a forward runs in."""
        return Altered(
            swaps={number: _INSTEAD[name] for number, name in self.swaps},
            every={kind: _INSTEAD[name] for kind, name in self.every},
            silent=self.silent,
            attached=self.unfreeze,
        )


def _identity(x: Tensor) -> Tensor:
    return x


def _leaky(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0.1 * x)


def _smooth(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, torch.expm1(x.clamp(max=0)))


def _gentle(squash: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The same activation of inputs without their offset, brought to a size of at most 1."""

    def call(x: Tensor) -> Tensor:
        means = x.detach().mean(0)
        moved = x - torch.where(means.abs() > _OFFSET, means, 0.0)
        return squash(moved / moved.detach().square().mean().sqrt().clamp(min=1.0))

    return call


_OFFSET = 2.0
"""Mean input of a unit, over the batch, from which a squashing activation sits in its flat part."""


def _squash(x: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-x))


_INSTEAD: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": _identity,
    "leaky": _leaky,
    "elu": _smooth,
    "sigmoid": _squash,
    "gentle sigmoid": _gentle(torch.sigmoid),
    "gentle tanh": _gentle(torch.tanh),
}


@dataclass(frozen=True)
class Affine:
    """(x - shift) / scale, per feature or for all alike."""

    shift: Tensor
    scale: Tensor

    def apply(self, x: Tensor) -> Tensor:
        return (x - self.shift) / self.scale

    def undo(self, x: Tensor) -> Tensor:
        return x * self.scale + self.shift


def affine(kind: str, x: Tensor, indices: Tensor | None = None) -> Affine | None:
    """The map that brings `x`, [rows, ...], into the form `kind`; None for `none` and for data without spread.

    indices: the values of a row that stay as they are.

    `standardize`, `center` and `minmax` are per feature (constant ones are only shifted), `unit`, `symmetric` and `max`
    the same for all values.
    """
    if kind == "none":
        return None
    if indices is not None and indices.shape == x.shape[1:] and not bool(indices.all()):
        inner = affine(kind, x[:, ~indices])
        if inner is None:
            return None
        shift, scale = torch.zeros_like(x[0]), torch.ones_like(x[0])
        shift[~indices], scale[~indices] = inner.shift, inner.scale
        return Affine(shift, scale)
    if kind in ("minmax", "center"):
        low = x.amin(0) if kind == "minmax" else x.double().mean(0).to(x.dtype)
        width = x.amax(0) - low if kind == "minmax" else torch.ones_like(low)
        return Affine(low, torch.where(width > 0, width, 1.0))
    if kind == "max":
        largest = x.abs().max()
        return Affine(torch.zeros_like(largest), largest) if largest > 0 else None
    if kind == "standardize":
        flat = x.reshape(len(x), -1).double()
        spread = feature_variance(flat).sqrt()
        spread = torch.where(spread > 0, spread, 1.0).to(x.dtype).reshape(x.shape[1:])
        return Affine(flat.mean(0).to(x.dtype).reshape(x.shape[1:]), spread)
    low, high = x.min(), x.max()
    if not high > low:
        return None
    if kind == "unit":
        return Affine(low, high - low)
    return Affine((low + high) / 2, (high - low) / 2)


def reset(model: nn.Module) -> None:
    """PyTorch's own initial weights in every module that knows how to draw them, from the global generator."""
    for module in model.modules():
        again = getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)
        if callable(again):
            again()
