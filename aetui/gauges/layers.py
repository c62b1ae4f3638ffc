"""Weights, gradients, updates and dead units, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from aetui.models.base import TiedLinear
from aetui.models.custom import OwnAutoencoder
from aetui.models.units import measure_units, weight_layers
from aetui.protocol import Layer, Layers


@torch.no_grad()
def measure_layers(
    model: nn.Module,
    probe: Tensor,
    *,
    step: int,
    version: int,
    grads: Mapping[str, Tensor] | None = None,
    updates: Mapping[str, float] | None = None,
) -> Layers:
    """One entry per layer with weights, in the order of definition, biases left out.

    A tied decoder shows the norms of the weights that it shares. A unit is dead where its
    activation, after the nonlinearity, moves over the probe set by no more than 1e-6 of the layer's
    largest activation; a channel of a convolution where none of its positions moves more.

    Args:
        probe: [rows, features], run through the model in eval mode.
        grads: gradients by parameter name, as in `model.named_parameters()`.
        updates: norm of the last update, by parameter name. The ratio is None for zero weights.
    """
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    units = measure_units(model, probe)
    rows: list[tuple[str, nn.Module, str]] = []
    figures: list[Tensor] = []
    nothing = torch.zeros((), device=probe.device)
    for name, module in weight_layers(model):
        weight = module.source.weight if isinstance(module, TiedLinear) else module.weight
        assert isinstance(weight, Tensor)
        key = names.get(id(weight), "")
        gradient = None if grads is None else grads.get(key)
        figures += [
            torch.linalg.vector_norm(weight.detach().float()),
            nothing if gradient is None else torch.linalg.vector_norm(gradient.float()),
            units[module].dead().float() if module in units else nothing,
        ]
        rows.append((name, module, key))
    # One transfer for all layers: each would wait for the device.
    numbers = torch.stack(figures).tolist() if figures else []
    layers = []
    for index, (name, module, key) in enumerate(rows):
        norm, gradient, dead = numbers[3 * index : 3 * index + 3]
        update = None if updates is None else updates.get(key)
        weight = module.weight
        assert isinstance(weight, Tensor)
        layers.append(
            Layer(
                name=name.removeprefix("inner.") if isinstance(model, OwnAutoencoder) else name,
                shape=tuple(weight.shape),
                weight_norm=norm,
                grad_norm=gradient if grads is not None and key in grads else None,
                update_ratio=update / norm if update is not None and norm else None,
                dead=int(dead) if module in units else None,
                units=len(units[module].spread) if module in units else None,
            )
        )
    return Layers(version=version, step=step, layers=tuple(layers))
