"""Nested states of optimizers, schedulers and loaders as tensors and plain values, and back; without pickle."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any

import numpy as np
import torch
from torch import Tensor

_PLAIN = (str, int, float, bool, type(None))


class _Left:
    """What could not be packed, such as a function; whoever unpacks keeps what there is."""


LEFT = _Left()


def pack(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """`value` as JSON takes it; its tensors go into `tensors` under names that begin with `name`, as copies."""
    if isinstance(value, Tensor):
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        return {"tensor": name}
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        tensors[name] = torch.from_numpy(value.copy())
        return {"array": name}
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, dict):
        kind = "counter" if isinstance(value, Counter) else "dict"
        items = [
            [pack(key, f"{name}.key{index}", tensors), pack(part, f"{name}.{index}", tensors)]
            for index, (key, part) in enumerate(value.items())
        ]
        return {kind: items}
    for kind, word in ((list, "list"), (tuple, "tuple"), (set, "set"), (deque, "deque")):
        if isinstance(value, kind):
            return {word: [pack(part, f"{name}.{index}", tensors) for index, part in enumerate(value)]}
    return {"left": type(value).__name__}


def unpack(packed: Any, tensors: dict[str, Tensor]) -> Any:
    """What `pack` made; `LEFT` stands for each part that it could not take."""
    if not isinstance(packed, dict):
        return packed
    ((kind, held),) = packed.items()
    match kind:
        case "tensor":
            return tensors[held]
        case "array":
            return tensors[held].numpy()
        case "dict":
            return {unpack(key, tensors): unpack(part, tensors) for key, part in held}
        case "counter":
            return Counter({unpack(key, tensors): unpack(part, tensors) for key, part in held})
        case "left":
            return LEFT
    parts = [unpack(part, tensors) for part in held]
    makes: dict[str, Any] = {"list": list, "tuple": tuple, "set": set, "deque": deque}
    return makes[kind](parts)


def filled(new: Any, present: Any) -> Any:
    """`new` with what is present wherever it was left out."""
    if new is LEFT:
        return present
    if isinstance(new, dict) and isinstance(present, dict):
        made = {key: filled(part, present.get(key, LEFT)) for key, part in new.items()}
        return {key: part for key, part in made.items() if part is not LEFT}
    if isinstance(new, list | tuple) and isinstance(present, list | tuple) and len(new) == len(present):
        return type(new)(filled(part, other) for part, other in zip(new, present, strict=True))
    return new
