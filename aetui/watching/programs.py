"""The way from the inputs of a step to its reconstruction: a program of calls that can be run again on other rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from aetui.diagnosis.paths import Path, found_in


@dataclass(frozen=True)
class Input:
    """One of the inputs, by number."""

    number: int


@dataclass(frozen=True)
class RowCount:
    """How many rows there are."""


@dataclass(frozen=True)
class Other:
    """A tensor with a row for each of the inputs', on which the reconstruction does not depend."""

    rows: Tensor


@dataclass(frozen=True)
class Forward:
    """What a module, by its name in the model, returns; or one of the modules within it does, at a path."""

    module: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    path: Path
    inner: str = ""
    key: int = 0
    """The same for the parts of one call."""


@dataclass(frozen=True)
class Function:
    """What one of PyTorch's functions makes."""

    function: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    key: int = 0


class Seen(nn.Module):
    """Somebody's modules as one that takes rows and returns the reconstruction, by the way that their script took.

    It holds the modules themselves. Several inputs come as one tensor, [rows, all values], and are taken apart.
    """

    def __init__(
        self,
        held: Mapping[str, nn.Module],
        program: Mapping[str, Any],
        shapes: Sequence[tuple[torch.Size, torch.dtype]],
    ) -> None:
        super().__init__()
        for name, module in held.items():
            self.add_module(name, module)
        self._program, self._shapes = dict(program), tuple(shapes)

    def forward(self, rows: Tensor) -> Any:
        given = [rows]
        if len(self._shapes) > 1:
            parts = rows.split([shape.numel() for shape, _ in self._shapes], 1)
            given = [
                part.reshape(-1, *shape).to(kind if not kind.is_floating_point else rows.dtype)
                for part, (shape, kind) in zip(parts, self._shapes, strict=True)
            ]
        memo: dict[int, Any] = {}
        return {name: self._value(node, given, memo) for name, node in self._program.items()}

    def _value(self, node: Any, given: list[Tensor], memo: dict[int, Any]) -> Any:
        if isinstance(node, Input):
            return given[node.number]
        if isinstance(node, RowCount):
            return len(given[0])
        if isinstance(node, Other):
            return node.rows[torch.arange(len(given[0]), device=node.rows.device) % len(node.rows)]
        if isinstance(node, Forward):
            return self._forward(node, given, memo)
        if isinstance(node, Function):
            if node.key not in memo:
                args = self._value(node.args, given, memo)
                memo[node.key] = node.function(*args, **self._value(node.kwargs, given, memo))
            return memo[node.key]
        if isinstance(node, list | tuple) and not hasattr(node, "_fields"):
            return type(node)([self._value(one, given, memo) for one in node])
        if isinstance(node, dict):
            return {name: self._value(one, given, memo) for name, one in node.items()}
        return node

    def _forward(self, node: Forward, given: list[Tensor], memo: dict[int, Any]) -> Any:
        module = self.get_submodule(node.module)
        args, kwargs = self._value(node.args, given, memo), self._value(node.kwargs, given, memo)
        if not node.inner:
            if node.key not in memo:
                memo[node.key] = module(*args, **kwargs)
            return found_in(memo[node.key], node.path)
        kept: list[Any] = []
        # Not on the training's path: it is gone before the next step.
        hook = module.get_submodule(node.inner).register_forward_hook(lambda _one, _given, made: kept.append(made))
        try:
            module(*args, **kwargs)
        finally:
            hook.remove()
        return found_in(kept[-1], node.path)


def packed(inputs: Sequence[Tensor]) -> Tensor:
    """One input as it is; several as one tensor, [rows, all values]."""
    if len(inputs) == 1:
        return inputs[0]
    kind = next((one.dtype for one in inputs if one.is_floating_point()), torch.float32)
    return torch.cat([one.reshape(len(one), -1).to(kind) for one in inputs], 1)
