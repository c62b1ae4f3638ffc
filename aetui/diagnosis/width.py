"""The width of the code: the narrowest place between input and output."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from aetui.diagnosis.isolate import Randomness, clone
from aetui.diagnosis.observe import watching
from aetui.diagnosis.outputs import OutputError, take_apart


def code_width(model: nn.Module, x: Tensor, seed: int = 0) -> int | None:
    """Least number of values per row that any layer passes on, over a few rows of `x`, [rows, ...].

    A code distribution that the model returns has its mean's width. The cells of a recurrent layer
    count as one state per row. None where no layer's output is per row.
    """
    copy, rows = clone(model).eval(), x[: min(8, len(x))].clone()
    batch = len(rows)
    widths: list[int] = []

    def note(_module: nn.Module, _inputs: object, output: Any) -> None:
        if isinstance(_module, nn.RNNBase):
            states = output[1] if isinstance(output, tuple) else None
            state = states[0] if isinstance(states, tuple) else states
            if isinstance(state, Tensor) and state.ndim == 3 and state.shape[1] == batch:
                widths.append(state.shape[0] * state.shape[2])
            return
        if isinstance(output, Tensor) and output.ndim >= 2 and len(output) == batch:
            widths.append(output[0].numel())

    leaves = [module for module in copy.modules() if next(module.children(), None) is None]
    hooks = [module.register_forward_hook(note) for module in leaves]
    try:
        with Randomness(seed, rows.device).own(), torch.no_grad(), watching(copy) as watcher:
            raw = copy(rows)
        output = take_apart(raw, rows.shape)
    except OutputError:
        return None
    finally:
        for hook in hooks:
            hook.remove()
    widths += [call.output[0].numel() for call in watcher.calls if call.output.ndim >= 2 and len(call.output) == batch]
    widths += [result[0].numel() for _, result in watcher.sums if result.ndim >= 2 and len(result) == batch]
    if output.mean is not None:
        return output.mean[0].numel()
    size = output.reconstruction[0].numel() if output.reconstruction.ndim else 0
    narrow = [width for width in widths if width > 0]
    return min(narrow, default=None) if size else None
