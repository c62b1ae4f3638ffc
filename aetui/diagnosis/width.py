"""The code: the narrowest place between input and output."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from aetui.diagnosis.isolate import Randomness, clone
from aetui.diagnosis.observe import watching
from aetui.diagnosis.outputs import Output, OutputError
from aetui.models.base import hooked


@dataclass(frozen=True)
class Code:
    """width: values per row. shape: of a batch. where: the layer that passes it on."""

    width: int
    shape: tuple[int, ...]
    where: str


def find_code(
    model: nn.Module, rows: int, device: torch.device, run: Callable[[nn.Module], Output], seed: int = 0
) -> Code | None:
    """The least number of values per row that any layer passes on.

    A code distribution that the loss uses has its mean's width. The cells of a recurrent layer
    count as one state per row. None where no layer's output is per row.

    Args:
        run: computes an output for `rows` rows on a copy of the model in eval mode.
    """
    copy = clone(model).eval()
    found: list[Code] = []
    names = {module: name for name, module in copy.named_modules()}

    def note(_module: nn.Module, _inputs: object, output: Any) -> None:
        where = names[_module] or type(_module).__name__
        if isinstance(_module, nn.RNNBase):
            states = output[1] if isinstance(output, tuple) else None
            state = states[0] if isinstance(states, tuple) else states
            if isinstance(state, Tensor) and state.ndim == 3 and state.shape[1] == rows:
                found.append(Code(state.shape[0] * state.shape[2], tuple(state.shape), f"the last state of {where}"))
            return
        add(output, f"what {where} returns")

    def add(output: Any, where: str) -> None:
        if isinstance(output, Tensor) and output.ndim >= 2 and len(output) == rows and output[0].numel():
            found.append(Code(output[0].numel(), tuple(output.shape), where))

    leaves = [module for module in copy.modules() if next(module.children(), None) is None]
    try:
        with hooked(leaves, note), Randomness(seed, device).own(), torch.no_grad(), watching(copy) as watcher:
            output = run(copy)
    except OutputError:
        return None
    for call in watcher.calls:
        add(call.output, f"{call.kind} in {call.where}" if call.where else f"{call.kind} in forward")
    for where, result in watcher.sums:
        add(result, f"what {where} computes" if where else "a product in forward")
    if output.mean is not None:
        return Code(output.mean[0].numel(), tuple(output.mean.shape), "the mean")
    narrowest = min(found, key=lambda one: one.width, default=None) if output.reconstruction.ndim else None
    if narrowest is not None and narrowest.width >= output.reconstruction[:1].numel():
        return replace(narrowest, where=f"{narrowest.where}; no layer is narrower than the data")
    return narrowest
