"""Backwards that ran in a script, and what the losses of them are made of."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import mul
from typing import Any

import torch
from torch import Tensor

from aetui.diagnosis.parted import Parts, addends, parts_of
from aetui.diagnosis.taken import main_comparison
from aetui.diagnosis.touched import WEIGHTS, Comparison, Touch


@dataclass
class Backward:
    """A backward that ran: its loss as it was before a scaler, and what the loss is made of.

    main: the comparison that is the reconstruction. divisors: numbers that the loss was divided by, the last first.
    term: what the comparison adds to the loss, None where that can't be told. more: whether anything else is in the
    loss.
    """

    loss: Tensor
    site: tuple[Any, int]
    main: Comparison | None
    parts: Parts | None
    divisors: tuple[float, ...] = ()
    term: Tensor | None = None
    more: bool = False
    depth: int = 0
    """How many of the divisors are there since the loss is that of one of several batches of a step."""

    def settle(self, others: Sequence[Backward]) -> None:
        """A division by a number is one by the batches of a step, where it has so many."""
        batches = sum(one.site == self.site for one in others)
        # A trainer divides by 1 too, and a loss is divided by numbers of its own before that.
        divided = list(accumulate(self.divisors, mul))
        self.depth = divided.index(batches) + 1 if batches in divided else 0

    def times(self, depth: int) -> float:
        """What the loss was divided by, as far as `depth` divisors go."""
        return math.prod(self.divisors[:depth])


def backward_of(touch: Touch, loss: Tensor, site: tuple[Any, int]) -> Backward:
    """Take a loss apart; to be called before its backward frees the graph."""
    single = loss if loss.ndim == 0 else loss.mean()
    main = main_comparison(touch, loss)
    parts = term = None
    more = False
    if main is not None:
        found = addends(touch, loss)
        mine = [one for one in found if touch.compared_in(one.core) >> main.number & 1]
        more = any(touch.depends(one.core) & WEIGHTS for one in found if not any(one is other for other in mine))
        if mine:
            term = torch.stack([one.value.detach().mean() for one in mine]).sum()
        try:
            parts = parts_of(touch, single, main.number)
        except RuntimeError:
            parts = None
    return Backward(loss.detach(), site, main, parts, tuple(_divisors(touch, loss)), term, more)


def _divisors(touch: Touch, loss: Tensor) -> Iterator[float]:
    """Numbers that a loss was divided by, one after the other, the last first."""
    while (record := touch.records.get(id(loss))) is not None and record.name == "div" and len(record.args) == 2:
        loss, by = record.args
        if not isinstance(loss, Tensor) or not isinstance(by, int | float):
            return
        yield float(by)


def divided_by(loss: Tensor, depth: int) -> float:
    """What a loss was divided by in its last `depth` calls, as its graph tells; an epoch may end with fewer batches."""
    product, node = 1.0, loss.grad_fn
    for _ in range(depth):
        by = getattr(node, "_saved_other", None)
        if node is None or not isinstance(by, Tensor) or by.numel() != 1:
            break
        product *= float(by)
        node = node.next_functions[0][0]
    return product
