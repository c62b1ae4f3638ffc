"""The learning rates of other people's optimizers, and the schedulers that write them.

Schedulers of two kinds look after the same number. Those that multiply go on from the group's rate, whatever it is.
Those that write from their own numbers (`LambdaLR`, `OneCycleLR`, `CyclicLR`, warm restarts) would put back at once
what somebody changed, unless these numbers are scaled by the same factor. All of them are, so that a schedule as a
whole becomes so many times itself.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

_OF_GROUP = ("initial_lr", "max_lr", "min_lr", "swa_lr")
"""What schedulers keep in a group beside its rate."""
_PER_GROUP = ("base_lrs", "max_lrs", "base_values", "_last_lr")
"""What schedulers keep of every group, in the order of the groups."""
_OF_ALL = ("eta_min",)
"""What is one number for all groups."""

Group = dict[str, Any]


def number(value: Any) -> float:
    """A rate as a number; it may be a tensor."""
    return float(value)


def put(holder: Any, key: Any, value: float) -> None:
    """Set a number; one that is a tensor is filled in place, a compiled or captured step has it at its address."""
    present = holder[key]
    if isinstance(present, Tensor):
        with torch.no_grad():
            present.fill_(value)
    else:
        holder[key] = value


def own(optimizer: Any) -> Any:
    """The optimizer whose step does the work, within what a trainer put around it, which has no hooks."""
    while isinstance(optimizer, torch.optim.Optimizer) and "_optimizer_step_pre_hooks" not in vars(optimizer):
        inner = getattr(optimizer, "optimizer", None)
        if not isinstance(inner, torch.optim.Optimizer):
            break
        optimizer = inner
    return optimizer


def schedulers_of(optimizers: Sequence[torch.optim.Optimizer], given: Iterable[Any] = ()) -> list[Any]:
    """Every scheduler of these optimizers: those given, those that live anywhere else, and what they are made of."""
    mine = {id(optimizer) for optimizer in optimizers}
    found: dict[int, Any] = {}
    # Among hundreds of thousands of objects, a look into a set takes a sixth of what asking for a class's bases does.
    kinds = {LRScheduler, ReduceLROnPlateau, *_derived(LRScheduler), *_derived(ReduceLROnPlateau)}
    waiting = [*given, *(one for one in gc.get_objects() if type(one) in kinds)]
    named = {id(one) for one in given}
    while waiting:
        one = waiting.pop(0)
        if id(one) in found or (id(one) not in named and id(own(getattr(one, "optimizer", None))) not in mine):
            continue
        found[id(one)] = one
        parts = getattr(one, "_schedulers", None)
        waiting += parts if isinstance(parts, list | tuple) else ()
    return list(found.values())


def _derived(kind: type) -> Iterator[type]:
    for one in kind.__subclasses__():
        yield one
        yield from _derived(one)


def scale(
    groups: Sequence[Group], factors: Sequence[float], schedulers: Iterable[Any], of: Sequence[Sequence[int]]
) -> None:
    """Multiply each group's rate, and all that its schedulers will write it from.

    Args:
        factors: one for each group; 1 leaves it alone.
        schedulers: as `schedulers_of` found them.
        of: of each scheduler, which groups it looks after, in its order.
    """
    done: set[int] = set()
    for group, factor in zip(groups, factors, strict=True):
        for key in ("lr", *_OF_GROUP):
            if key in group and factor != 1:
                _multiply(group, key, factor, done)
    for scheduler, indices in zip(schedulers, of, strict=True):
        mine = [factors[index] for index in indices]
        for name in _PER_GROUP:
            values = getattr(scheduler, name, None)
            if isinstance(values, list) and len(values) == len(mine):
                for index, factor in enumerate(mine):
                    if factor != 1:
                        _multiply(values, index, factor, done)
        if mine and len(set(mine)) == 1:
            for name in _OF_ALL:
                if isinstance(getattr(scheduler, name, None), int | float | Tensor):
                    _multiply(vars(scheduler), name, mine[0], done)


def _multiply(holder: Any, key: Any, factor: float, done: set[int]) -> None:
    """Multiply one number; a tensor that is held in several places once."""
    present = holder[key]
    if isinstance(present, Tensor):
        if id(present) not in done:
            done.add(id(present))
            with torch.no_grad():
                present.mul_(factor)
    elif isinstance(present, int | float):
        holder[key] = present * factor


def names(schedulers: Iterable[Any]) -> Iterator[str]:
    """What the schedulers are called, each once."""
    yield from dict.fromkeys(type(one).__name__ for one in schedulers)
