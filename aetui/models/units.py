"""What a model's units do on a set of inputs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from aetui.models.base import TiedLinear, evaluating

VARIES = 1e-6
"""A unit varies where its range over the inputs exceeds this share of the layer's largest activation."""


@dataclass(frozen=True)
class Units:
    """The units of one layer on a set of inputs, after normalization and nonlinearity."""

    spread: Tensor
    """Largest minus smallest activation over the inputs, [units]; for a channel at its widest position."""
    scale: Tensor
    """The layer's largest absolute activation, 0-dim."""

    def dead(self) -> Tensor:
        """Number of units that do not vary, 0-dim."""
        return (self.spread <= VARIES * self.scale).sum()


def weight_layers(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """The layers that multiply by weights, with their names, in the order of definition."""
    return [
        (name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear | _ConvNd | TiedLinear)
    ]


def measure_units(model: nn.Module, probe: Tensor) -> dict[nn.Module, Units]:
    """Activations of every weight layer's units on `probe`, [rows, features], in eval mode.

    A layer's units are read after the last module that follows it and keeps the number of
    values: its normalization and its nonlinearity. Hooks exist only during this call.
    """
    layers = {module for _, module in weight_layers(model)}
    found: dict[nn.Module, Units] = {}
    current: nn.Module | None = None
    shape = torch.Size()

    def watch(module: nn.Module, _inputs: object, output: object) -> None:
        nonlocal current, shape
        if not isinstance(output, Tensor):
            return
        if module in layers:
            current, shape = module, output.shape
        elif current is None or output.numel() != shape.numel():
            return
        values = output.reshape(shape)
        if values.ndim > 2 and not isinstance(current, _ConvNd):
            values = values.movedim(-1, 1)  # a dense layer over a sequence has its units last
        spread = values.amax(0) - values.amin(0)
        if spread.ndim > 1:
            spread = spread.flatten(1).amax(1)
        found[current] = Units(spread, values.abs().amax())

    hooks = [part.register_forward_hook(watch) for part in model.modules() if next(part.children(), None) is None]
    try:
        with evaluating(model):
            model(probe)
    finally:
        for hook in hooks:
            hook.remove()
    return found
