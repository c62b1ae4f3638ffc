"""What the output layer can produce, read off the autograd graph of a reconstruction."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from aetui.diagnosis.observe import fit, probe_rows
from aetui.models.base import hooked

RANGES: dict[str, tuple[float, float]] = {
    "sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0), "relu": (0.0, math.inf), "softmax": (0.0, 1.0),
    "log_softmax": (-math.inf, 0.0), "softplus": (0.0, math.inf), "logsigmoid": (-math.inf, 0.0),
    "hardtanh": (-1.0, 1.0), "hardsigmoid": (0.0, 1.0), "elu": (-1.0, math.inf),
    "recurrent": (-1.0, 1.0),
}  # fmt: skip
"""What an output activation can produce."""


_NODES = {
    "Sigmoid": "sigmoid", "Tanh": "tanh", "Relu": "relu", "Softmax": "softmax", "LogSoftmax": "log_softmax",
    "Softplus": "softplus", "LogSigmoid": "logsigmoid", "Hardtanh": "hardtanh", "Hardsigmoid": "hardsigmoid",
    "Elu": "elu", "Clamp": "clamp", "ClampMin": "clamp", "ClampMax": "clamp",
}  # fmt: skip


_TRANSPARENT = (
    "View", "Reshape", "Squeeze", "Unsqueeze", "Permute", "Transpose", "T", "Clone", "Alias", "Unflatten", "Expand",
    "Slice", "Select", "Stack", "Cat", "Unbind", "Split", "Copy", "UnsafeView", "AsStrided", "Contiguous",
    "Upsample", "Narrow", "MoveAxis", "Flip", "Index",
)  # fmt: skip


def output_activation(reconstruction: Tensor) -> str:
    """The activation that the reconstruction comes from, read off its autograd graph; '' for any other."""
    return _output_node(reconstruction)[0]


def _output_node(reconstruction: Tensor) -> tuple[str, Any]:
    node: Any = reconstruction.grad_fn
    for _ in range(32):
        if node is None:
            return "", None
        name = type(node).__name__.removesuffix("Backward0").removesuffix("Backward1").removesuffix("Backward")
        found = _NODES.get(name)
        if found:
            return found, node
        if not any(name.startswith(kind) for kind in _TRANSPARENT):
            return "", None
        node = next((parent for parent, _ in node.next_functions if parent is not None), None)
    return "", None


def output_range(reconstruction: Tensor, kind: str) -> tuple[float, float]:
    """What an output activation `kind` can produce, with the bounds that it was called with."""
    low, high = RANGES.get(kind, (-math.inf, math.inf))
    node = _output_node(reconstruction)[1]
    if kind == "hardtanh":
        return float(node._saved_min_val), float(node._saved_max_val)
    if kind == "clamp":
        # A bound that was not given is missing or None, by PyTorch's node for the call.
        least, most = getattr(node, "_saved_min", None), getattr(node, "_saved_max", None)
        return (low if least is None else float(least)), (high if most is None else float(most))
    if kind == "elu":
        return -float(node._saved_alpha) * float(node._saved_scale), high
    return low, high


@contextmanager
def recurrent_outputs(model: nn.Module) -> Iterator[list[Tensor]]:
    """The hidden states that recurrent layers return during a forward; they lie in -1..1."""
    found: list[Tensor] = []

    def note(module: nn.Module, _inputs: object, output: Any) -> None:
        if getattr(module, "nonlinearity", "tanh") == "tanh" and not getattr(module, "proj_size", 0):
            found.extend(one for one in _tensors(output))

    kinds = (nn.RNNBase, nn.RNNCellBase)
    with hooked((module for module in model.modules() if isinstance(module, kinds)), note):
        yield found


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    return [one for part in value for one in _tensors(part)] if isinstance(value, tuple | list) else []


def is_one_of(tensor: Tensor, others: list[Tensor]) -> bool:
    return any(one.untyped_storage().data_ptr() == tensor.untyped_storage().data_ptr() for one in others)


def reach(targets: Tensor, low: float, high: float, kind: str) -> float:
    if kind in ("softmax", "log_softmax"):
        flat = targets[probe_rows(len(targets)).to(targets.device)].flatten(1).nan_to_num(0.0, 0.0, 0.0)
        shares = flat.clamp(min=0) / flat.clamp(min=0).sum(1, keepdim=True).clamp(min=1e-12)
        return fit(shares, flat).explained
    if math.isinf(low) and math.isinf(high):
        return 1.0
    flat = targets[probe_rows(len(targets)).to(targets.device)].flatten(1)
    flat = flat[torch.isfinite(flat).all(1)]
    return fit(flat.clamp(low, high), flat).explained if len(flat) > 1 else 1.0
