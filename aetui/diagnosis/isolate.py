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
        return torch.get_rng_state(), device, np.random.get_state(), random.getstate()

    def _set(self, state: tuple[Any, ...]) -> None:
        host, device, numpy_state, python_state = state
        torch.set_rng_state(host)
        if device is not None:
            torch.cuda.set_rng_state(device, self._device)
        np.random.set_state(numpy_state)
        random.setstate(python_state)


def clone(model: nn.Module) -> nn.Module:
    """A deep copy, with copies of the generators it draws from, and without gradients or cached tensors.

    Tensors that a forward left behind in attributes are part of an autograd graph, which can't be
    copied; the copy gets their values.
    """
    memo: dict[int, Any] = {}
    for module in model.modules():
        for value in vars(module).values():
            _prepare(value, memo)
    made = copy.deepcopy(model, memo)
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

    A penalty or loss is often a lambda over the caller's model, or a method of it. Where it is
    neither, or does not mention the model, it comes back as it is.
    """
    twins: dict[int, Any] = {id(one): two for one, two in zip(old.modules(), new.modules(), strict=True)}
    twins |= {id(one): two for one, two in zip(old.parameters(), new.parameters(), strict=True)}
    return _rebound(function, twins)


def _rebound(function: Any, twins: dict[int, Any]) -> Any:
    if isinstance(function, types.MethodType) and id(function.__self__) in twins:
        return types.MethodType(function.__func__, twins[id(function.__self__)])
    if isinstance(function, partial):
        args = [twins.get(id(value), value) for value in function.args]
        keywords = {key: twins.get(id(value), value) for key, value in function.keywords.items()}
        return partial(_rebound(function.func, twins), *args, **keywords)
    if not isinstance(function, types.FunctionType):
        return function
    # A function calls other functions of its closure and module, which may mention the model too.
    cells = tuple(_cell(cell, twins) for cell in function.__closure__ or ())
    used = {name: function.__globals__[name] for name in function.__code__.co_names if name in function.__globals__}
    replaced = {name: twins[id(value)] for name, value in used.items() if id(value) in twins}
    if not replaced and all(new is old for new, old in zip(cells, function.__closure__ or (), strict=True)):
        return function
    scope = {**function.__globals__, **replaced} if replaced else function.__globals__
    made: Callable[..., Any] = types.FunctionType(
        function.__code__, scope, function.__name__, function.__defaults__, cells or None
    )
    made.__kwdefaults__ = function.__kwdefaults__
    return made


def _cell(cell: types.CellType, twins: dict[int, Any]) -> types.CellType:
    try:
        content = cell.cell_contents
    except ValueError:
        return cell
    if id(content) in twins:
        return types.CellType(twins[id(content)])
    if isinstance(content, types.FunctionType | types.MethodType | partial):
        again = (
            _rebound(content, twins)
            if not (isinstance(content, types.FunctionType) and cell in (content.__closure__ or ()))
            else content
        )
        return cell if again is content else types.CellType(again)
    return cell
