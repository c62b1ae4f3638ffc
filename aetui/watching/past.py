"""Steps that a script took before a run of it began."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from torch.optim import Optimizer

from aetui.watching import gradients
from aetui.watching.backwards import Backward
from aetui.watching.gathering import Round
from aetui.watching.steps import WatchedSteps


class Past:
    """Losses and gradient norms of steps, until a run has them."""

    def __init__(self) -> None:
        self._steps: list[tuple[int, list[Backward], Any]] = []
        """Optimizer, losses and gradient norm."""

    def __len__(self) -> int:
        return len(self._steps)

    def remember(self, optimizer: Optimizer, now: Round) -> int:
        """An optimizer has stepped; how many backwards of the round its step before has seen."""
        key = id(optimizer)
        told, inside = now.told.get(key, 0), now.inside_from.pop(key, len(now.backs))
        # A line search asks several times; the loss of the step is that of the weights it began with.
        backs = [*now.backs[told:inside], *now.backs[max(told, inside) :][:1]]
        now.told[key] = len(now.backs)
        losses = [Backward(one.loss, one.site, None, None, one.divisors) for one in backs]
        self._steps.append((key, losses, gradients.joint_norm(gradients.of_optimizer(optimizer))))
        return told

    def recall(self, optimizer: Optimizer, steps: WatchedSteps, sites: Collection[Any], depth: int) -> int:
        """Have the steps of an optimizer in a record; how many there were.

        sites: of the losses that count, all where there are none. depth: of the divisors that are the batches' number.
        """
        taken = 0
        for key, losses, norm in self._steps:
            if key != id(optimizer):
                continue
            for one in losses:
                if not sites or one.site in sites:
                    steps.log(one.loss * one.times(depth), {})
            steps.add(0.0 if norm is None else float(norm) if norm.device.type == "cpu" else norm, 0.0)
            taken += 1
        steps.close()
        self._steps = []
        return taken
