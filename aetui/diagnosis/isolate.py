"""Copies and random states of a diagnosis's own, so that the caller's stay as they were."""

from __future__ import annotations

import copy
import random
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from aetui.models.ownstate import HostStates


class Randomness:
    """Global random states (PyTorch's on the CPU and the model's device, NumPy's, Python's) of one run.

    A user's model draws from the global generators. Each run has states of its own, in force while
    it trains; outside of `own` the caller's are.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self._device = device
        with self._restored():
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)
            random.seed(seed)
            self._state = self._present()

    @contextmanager
    def own(self) -> Iterator[None]:
        with self._restored():
            self._set(self._state)
            yield
            self._state = self._present()

    @contextmanager
    def _restored(self) -> Iterator[None]:
        outer = self._present()
        try:
            yield
        finally:
            self._set(outer)

    def _present(self) -> tuple[Any, ...]:
        device = torch.cuda.get_rng_state(self._device) if self._device.type == "cuda" else None
        return torch.get_rng_state(), device, HostStates.present()

    def _set(self, state: tuple[Any, ...]) -> None:
        cpu, device, host = state
        torch.set_rng_state(cpu)
        if device is not None:
            torch.cuda.set_rng_state(device, self._device)
        host.put_in_force()


class _LocalBatchNorm(nn.modules.batchnorm._BatchNorm):
    """A `SyncBatchNorm` that takes the batch of this process for the whole."""

    def _check_input_dim(self, input: torch.Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected at least 2D input (got {input.dim()}D input)")


def clone(model: nn.Module) -> nn.Module:
    """A deep copy, with copies of the generators it draws from, and without gradients or cached tensors.

    Tensors that a forward left behind in attributes are part of an autograd graph, which can't be
    copied; the copy gets their values.
    """
    memo: dict[int, Any] = {}
    for module in model.modules():
        for value in vars(module).values():
            _prepare(value, memo)
        if isinstance(module, nn.SyncBatchNorm) and module.process_group is not None:
            memo[id(module.process_group)] = module.process_group
    made = copy.deepcopy(model, memo)
    for module in made.modules():
        if isinstance(module, nn.SyncBatchNorm):
            # The other processes have no such copy, and would be waited for.
            module.__class__ = _LocalBatchNorm  # pyright: ignore[reportAttributeAccessIssue]
    for parameter in made.parameters():
        parameter.grad = None
    return made


def _prepare(value: Any, memo: dict[int, Any]) -> None:
    if isinstance(value, torch.Generator):
        generator = torch.Generator(value.device)
        generator.set_state(value.get_state())
        memo[id(value)] = generator
    elif isinstance(value, torch.Tensor) and not value.is_leaf:
        memo[id(value)] = value.detach().clone()
    elif isinstance(value, list | tuple):
        for part in value:
            _prepare(part, memo)
    elif isinstance(value, dict):
        for part in value.values():
            _prepare(part, memo)


def rebound(function: Any, old: nn.Module, new: nn.Module) -> Any:
    """`function` speaking of `new` and its parts wherever it spoke of `old`.

    A penalty or loss is often a lambda over the caller's model, a method of it or of an object that
    holds it. Where it does not mention the model, it comes back as it is.
    """
    if old is new:
        return function
    return _Rebinding(twins_of(old, new)).of(function)


def twins_of(old: nn.Module, new: nn.Module) -> dict[int, Any]:
    """By id, what of a copy stands for which module, parameter and buffer; those in plain lists of a module too."""
    twins: dict[int, Any] = {id(one): two for one, two in zip(old.modules(), new.modules(), strict=True)}
    twins |= {id(one): two for one, two in zip(old.parameters(), new.parameters(), strict=True)}
    twins |= {id(one): two for one, two in zip(old.buffers(), new.buffers(), strict=True)}
    for one, two in zip(old.modules(), new.modules(), strict=True):
        for name, value in vars(one).items():
            if not name.startswith("_") and isinstance(value, list | tuple | dict):
                _pair(value, vars(two).get(name), twins)
    return twins


def _pair(old: Any, new: Any, twins: dict[int, Any]) -> None:
    if isinstance(old, nn.Module) and isinstance(new, nn.Module) and id(old) not in twins:
        twins.update(twins_of(old, new))
    elif isinstance(old, nn.Parameter) and isinstance(new, nn.Parameter):
        twins.setdefault(id(old), new)
    elif isinstance(old, dict) and isinstance(new, dict):
        for key in old.keys() & new.keys():
            _pair(old[key], new[key], twins)
    elif isinstance(old, list | tuple) and isinstance(new, list | tuple) and len(old) <= _LONGEST:
        for one, two in zip(old, new, strict=False):
            _pair(one, two, twins)


_DEEPEST = 6
"""Functions, objects and containers inside each other that are followed."""
_LONGEST = 10_000
"""Entries up to which a container is looked through."""
_LIBRARIES = ("torch", "numpy", "builtins")


class _Rebinding:
    """Copies of what mentions the model: functions, methods, partials, containers, objects that hold it."""

    def __init__(self, twins: dict[int, Any]) -> None:
        self._twins = twins
        self._made: dict[int, Any] = {}
        self._depth = 0

    def of(self, value: Any) -> Any:
        """`value` itself where it mentions nothing that has a twin."""
        key = id(value)
        if key in self._twins:
            return self._twins[key]
        if key in self._made or self._depth >= _DEEPEST:
            return self._made.get(key, value)
        self._made[key] = value
        self._depth += 1
        self._made[key] = self._copied(value)
        self._depth -= 1
        return self._made[key]

    def _copied(self, value: Any) -> Any:
        if isinstance(value, types.MethodType):
            owner, function = self.of(value.__self__), self.of(value.__func__)
            same = owner is value.__self__ and function is value.__func__
            return value if same else types.MethodType(function, owner)
        if isinstance(value, partial):
            function, args, keywords = self.of(value.func), self.of(value.args), self.of(value.keywords)
            same = function is value.func and args is value.args and keywords is value.keywords
            return value if same else partial(function, *args, **keywords)
        if isinstance(value, types.FunctionType):
            return value if _library(value.__module__) else self._function(value)
        if type(value) in (list, tuple, dict):
            return self._container(value)
        if _library(type(value).__module__) and not isinstance(value, nn.Module):
            return value
        held = getattr(value, "__dict__", None)
        if type(held) is not dict or (mine := self._container(held)) is held:
            return value
        made = copy.copy(value)
        vars(made).update(mine)
        return made

    def _container(self, value: Any) -> Any:
        if len(value) > _LONGEST:
            return value
        old = list(value.values()) if isinstance(value, dict) else value
        parts = [self.of(part) for part in old]
        if all(new is part for new, part in zip(parts, old, strict=True)):
            return value
        return dict(zip(value, parts, strict=True)) if isinstance(value, dict) else type(value)(parts)

    def _function(self, function: types.FunctionType) -> Any:
        cells = tuple(self._cell(cell) for cell in function.__closure__ or ())
        defaults, keywords = self.of(function.__defaults__), self.of(function.__kwdefaults__)
        scope = function.__globals__
        used = {name: scope[name] for name in _names(function.__code__) if name in scope}
        # Functions of other modules know nothing of the caller's model.
        mine = {
            name: value
            for name, value in used.items()
            if not isinstance(value, types.FunctionType) or value.__globals__ is scope
        }
        replaced = {name: new for name, value in mine.items() if (new := self.of(value)) is not value}
        same = all(new is old for new, old in zip(cells, function.__closure__ or (), strict=True))
        if same and not replaced and defaults is function.__defaults__ and keywords is function.__kwdefaults__:
            return function
        made: Callable[..., Any] = types.FunctionType(
            function.__code__, {**scope, **replaced} if replaced else scope, function.__name__, defaults, cells or None
        )
        made.__kwdefaults__ = keywords
        return made

    def _cell(self, cell: types.CellType) -> types.CellType:
        try:
            content = cell.cell_contents
        except ValueError:
            return cell
        again = self.of(content)
        return cell if again is content else types.CellType(again)


def _library(name: str | None) -> bool:
    return (name or "").partition(".")[0] in _LIBRARIES


def _names(code: types.CodeType) -> set[str]:
    """Names that a function looks up, comprehensions and functions inside it too."""
    inner = [part for part in code.co_consts if isinstance(part, types.CodeType)]
    return set(code.co_names).union(*map(_names, inner))
