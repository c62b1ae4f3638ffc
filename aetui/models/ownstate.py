"""What a user's module keeps outside of its parameters and buffers, and what it draws from outside of PyTorch."""

from __future__ import annotations

import base64
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

_PLAIN = (bool, int, float, str, type(None))
"""Types of attributes that are taken as state: counters, annealed weights, flags."""
_OF_EVERY_MODULE = frozenset(vars(nn.Module()))

GENERATOR = "generator"
"""Key of the kind in a generator's state as plain values."""


def attributes(inner: nn.Module) -> dict[str, Any]:
    """Plain values and tensors that the modules keep as attributes, by `module:name`.

    Generators of PyTorch, NumPy and Python among them are given as plain values: a mapping with their kind
    and state.
    """
    found: dict[str, Any] = {}
    for path, module in inner.named_modules():
        for name, value in vars(module).items():
            if name in _OF_EVERY_MODULE:
                continue
            if type(value) in _PLAIN or type(value) is Tensor:
                found[f"{path}:{name}"] = value
            elif (state := _generator_state(value)) is not None:
                found[f"{path}:{name}"] = state
    return found


def put_back(inner: nn.Module, values: Mapping[str, Any], device: torch.device) -> None:
    """Give the attributes the values that `attributes` found; tensors as copies, on `device` where they are new."""
    modules = dict(inner.named_modules())
    for key, value in values.items():
        path, _, name = key.rpartition(":")
        if path not in modules:
            continue
        present = vars(modules[path]).get(name)
        if isinstance(value, Mapping) and GENERATOR in value:
            _restore_generator(present, value)
        elif isinstance(value, Tensor):
            where = present.device if isinstance(present, Tensor) else device
            setattr(modules[path], name, value.to(where, copy=True))
        else:
            setattr(modules[path], name, value)


@contextmanager
def unchanged(inner: nn.Module) -> Iterator[None]:
    """Attributes and buffers are afterwards as they were before; measuring must not be seen in the training."""
    kept = attributes(inner)
    copies = {key: value.clone() for key, value in kept.items() if isinstance(value, Tensor)}
    buffers = [(buffer, buffer._version, buffer.clone()) for buffer in inner.buffers()]
    try:
        yield
    finally:
        changed = {key: value for key, value in attributes(inner).items() if not _same(value, kept.get(key))}
        for key, copy in copies.items():
            if key in changed or not torch.equal(kept[key], copy):
                changed[key] = copy
        put_back(inner, {key: copies.get(key, kept[key]) for key in changed if key in kept}, torch.device("cpu"))
        with torch.no_grad():
            for buffer, version, copy in buffers:
                if buffer._version != version:
                    buffer.copy_(copy)


def _same(one: Any, other: Any) -> bool:
    return one is other if isinstance(one, Tensor) or isinstance(other, Tensor) else one == other


class HostStates:
    """The states of Python's and NumPy's global generators."""

    def __init__(self, python: Any, numpy: Any) -> None:
        self._python, self._numpy = python, numpy

    @staticmethod
    def present() -> HostStates:
        return HostStates(random.getstate(), np.random.get_state())

    @staticmethod
    def seeded(seed: int) -> HostStates:
        return HostStates(random.Random(seed).getstate(), np.random.RandomState(seed % 2**32).get_state())

    def put_in_force(self) -> None:
        random.setstate(self._python)
        np.random.set_state(self._numpy)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, HostStates):
            return False
        alike = all(np.array_equal(mine, theirs) for mine, theirs in zip(self._numpy, other._numpy, strict=True))
        return alike and self._python == other._python

    __hash__ = None  # type: ignore[assignment]

    def encoded(self) -> Tensor:
        """As uint32 words."""
        version, words, gauss = self._python
        _, key, position, has_gauss, cached = self._numpy
        spare = np.array([0.0 if gauss is None else gauss, cached]).view(np.uint32)
        head = np.array([version, gauss is not None, position, has_gauss], dtype=np.uint32)
        every = np.concatenate([head, spare, np.array(words, dtype=np.uint32), np.asarray(key, dtype=np.uint32)])
        return torch.from_numpy(every.view(np.int32).copy())

    @staticmethod
    def decoded(words: Tensor) -> HostStates:
        every = words.numpy().view(np.uint32)
        version, has_python, position, has_gauss = (int(word) for word in every[:4])
        gauss, cached = every[4:8].copy().view(np.float64).tolist()
        python = (version, tuple(every[8:633].tolist()), gauss if has_python else None)
        return HostStates(python, ("MT19937", every[633:].copy(), position, has_gauss, cached))


@contextmanager
def host_untouched() -> Iterator[None]:
    """Python's and NumPy's global generators are afterwards as they were before."""
    host = HostStates.present()
    try:
        yield
    finally:
        host.put_in_force()


def _generator_state(value: Any) -> dict[str, Any] | None:
    """A generator's state as plain values, None for anything else."""
    if isinstance(value, torch.Generator):
        return {GENERATOR: "torch", "state": base64.b64encode(value.get_state().numpy().tobytes()).decode()}
    if isinstance(value, np.random.Generator):
        return {GENERATOR: "numpy", "state": _plain(value.bit_generator.state)}
    if isinstance(value, np.random.RandomState):
        return {GENERATOR: "numpy", "state": _plain(value.get_state(legacy=False))}
    if isinstance(value, random.Random):
        version, words, gauss = value.getstate()
        return {GENERATOR: "python", "state": [version, list(words), gauss]}
    return None


def _restore_generator(present: Any, value: Mapping[str, Any]) -> None:
    kind, state = value[GENERATOR], value["state"]
    if kind == "torch" and isinstance(present, torch.Generator):
        present.set_state(torch.frombuffer(bytearray(base64.b64decode(state)), dtype=torch.uint8))
    elif kind == "numpy" and isinstance(present, np.random.Generator):
        present.bit_generator.state = _arrays(state)
    elif kind == "numpy" and isinstance(present, np.random.RandomState):
        present.set_state(_arrays(state))
    elif kind == "python" and isinstance(present, random.Random):
        version, words, gauss = state
        present.setstate((version, tuple(words), gauss))


def _plain(value: Any) -> Any:
    """NumPy's nested state without arrays."""
    if isinstance(value, np.ndarray):
        return {"array": value.tolist(), "dtype": str(value.dtype)}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value.item() if isinstance(value, np.generic) else value


def _arrays(value: Any) -> Any:
    if isinstance(value, Mapping) and value.keys() == {"array", "dtype"}:
        return np.array(value["array"], dtype=value["dtype"])
    return {key: _arrays(item) for key, item in value.items()} if isinstance(value, Mapping) else value
