"""Where the code of a model stands that nobody described: found by watching and by cutting."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

_MOST_CUTS = 200


@dataclass(frozen=True)
class Tap:
    """A place in a module where a tensor passes: what a call of a submodule takes or returns."""

    name: str
    """Of the submodule, as in `named_modules`."""
    side: Literal["in", "out"]
    call: int
    """Which call of that submodule within one forward, from 0."""
    place: int
    """Which of the tensors that are taken or returned."""

    def attach(self, module: nn.Module, catch: Callable[[Any], Any]) -> Any:
        """Hand what passes on this side of every call to `catch`; what it returns, if anything, goes on instead."""
        part = module.get_submodule(self.name)
        if self.side == "in":
            return part.register_forward_pre_hook(lambda _part, taken: catch(taken))
        return part.register_forward_hook(lambda _part, _taken, returned: catch(returned))


@dataclass(frozen=True)
class Seen:
    """A tensor that passed a tap. width: its values per row. weighted: the submodule has parameters."""

    tap: Tap
    shape: torch.Size
    width: int
    weighted: bool
    layer: nn.Module | None
    """The submodule, where it has parameters of its own."""


def tensors_in(value: Any) -> list[Tensor]:
    """The tensors in nested tuples, lists and mappings, in order."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    return [tensor for part in value for tensor in tensors_in(part)] if isinstance(value, list | tuple) else []


def rows_first(tensor: Tensor, rows: int) -> Tensor | None:
    """`tensor` as [rows, values]; None where neither its first nor its second dimension is the batch."""
    if tensor.ndim >= 2 and len(tensor) == rows:
        return tensor.flatten(1)
    if tensor.ndim >= 3 and tensor.shape[1] == rows:
        return tensor.transpose(0, 1).flatten(1)
    return None


def watch(module: nn.Module, given: Tensor) -> list[Seen]:
    """Every tensor with one row per row of `given` that passes between the submodules of `module`, in order."""
    seen: list[Seen] = []
    calls: dict[tuple[str, str], int] = {}
    hooks = []

    def note(name: str, part: nn.Module, side: Literal["in", "out"], value: Any) -> None:
        call = calls.get((name, side), 0)
        calls[name, side] = call + 1
        weighted = next(part.parameters(), None) is not None
        layer = part if next(part.parameters(recurse=False), None) is not None else None
        for place, tensor in enumerate(tensors_in(value)):
            flat = rows_first(tensor, len(given))
            if flat is not None and tensor.is_floating_point():
                seen.append(Seen(Tap(name, side, call, place), tensor.shape, flat.shape[1], weighted, layer))

    try:
        for name, part in module.named_modules():
            if name:
                hooks.append(part.register_forward_pre_hook(lambda p, x, n=name: note(n, p, "in", x)))
                hooks.append(part.register_forward_hook(lambda p, _, y, n=name: note(n, p, "out", y)))
        with torch.no_grad():
            module(given)
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def find(
    module: nn.Module, reconstruct: Callable[[Tensor], Tensor], given: Tensor, seen: list[Seen], wanted: int = 0
) -> Seen | None:
    """The narrowest tensor through which all of the output depends on the input; None where no submodule is called.

    Candidates lie between the first and the last layer with parameters. A candidate is a bottleneck where,
    with it detached, no gradient reaches the input from the output. Where none is, as with connections
    that skip the code, it is the narrowest. Among equals, what the next layers with parameters take
    comes first, so that an activation of the code counts.

    Args:
        reconstruct: the reconstruction that a call of `module` returns.
        wanted: width to prefer, 0 for the narrowest.
    """
    layers = [index for index, one in enumerate(seen) if one.layer is not None and one.tap.side == "out"]
    inside = seen[layers[0] : layers[-1]] if layers and layers[0] < layers[-1] else seen

    def order(index: int) -> tuple[bool, int, bool, int]:
        one = inside[index]
        consumed = one.tap.side == "in" and one.weighted
        return one.width != wanted and wanted > 0, one.width, not consumed, index if consumed else -index

    ranked = [inside[index] for index in sorted(range(len(inside)), key=order)]
    cut = next((one for one in ranked[:_MOST_CUTS] if _separates(module, reconstruct, given, one.tap)), None)
    if cut is not None and wanted and cut.width != wanted and ranked[0].width == wanted:
        return ranked[0]
    return cut or next(iter(ranked), None)


def _separates(module: nn.Module, reconstruct: Callable[[Tensor], Tensor], given: Tensor, tap: Tap) -> bool:
    calls = 0

    def detach(value: Any) -> Any:
        nonlocal calls
        calls += 1
        return _detached(value, tap.place) if calls == tap.call + 1 else None

    hook = tap.attach(module, detach)
    given = given.detach().requires_grad_()
    try:
        with torch.enable_grad():
            output = reconstruct(given * 1.0)
            if not output.requires_grad:
                return True
            return torch.autograd.grad(output.sum(), given, allow_unused=True)[0] is None
    except (RuntimeError, TypeError, ValueError):
        return False
    finally:
        hook.remove()


def _detached(value: Any, place: int) -> Any:
    """`value` with its tensor number `place` detached."""
    count = -1

    def walk(part: Any) -> Any:
        nonlocal count
        if isinstance(part, Tensor):
            count += 1
            return part.detach() if count == place else part
        if isinstance(part, Mapping):
            return {key: walk(one) for key, one in part.items()}
        if isinstance(part, list | tuple):
            parts = [walk(one) for one in part]
            return type(part)(*parts) if hasattr(part, "_fields") else type(part)(parts)
        return part

    return walk(value)


def widths(seen: list[Seen], code: int, features: int, *, variational: bool) -> str:
    """`64-128-[10]-128-64`: what the layers return per row, channels as `16c`, the code in brackets.

    With `variational`, the layer of the log-variances beside that of the means is left out.
    """
    outs = [one for one in seen if one.layer is not None and one.tap.side == "out" and one.tap.place == 0]
    words = [f"{one.shape[1]}c" if isinstance(one.layer, _ConvNd) else str(one.width) for one in outs]
    middle = next((index for index, one in enumerate(outs) if one.width == code), None)
    if middle is None:
        return f"{features}-[{code}]-{features}"
    left, right = words[:middle], words[middle + 1 :]
    if variational and right and outs[middle + 1].width == code:
        del right[0]
    if right and outs[-1].width == features:
        right.pop()
    ends = str(features)
    return "-".join([ends, *_shortened(left), f"[{code}]", *_shortened(right), ends])


def _shortened(words: list[str], most: int = 4) -> list[str]:
    return words if len(words) <= most else [*words[: most // 2], "..", *words[-(most // 2) :]]
