"""What a gauge needs to know of a loss; `aetui.training.losses.Objective` is one."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from aetui.spec.sections import Loss


class Objective(Protocol):
    """A reconstruction loss over [rows, features]."""

    @property
    def section(self) -> Loss:
        """The loss's settings."""
        ...

    @property
    def weights(self) -> Tensor | None:
        """Factor on each feature's loss, [features], or None for all 1."""
        ...

    def elementwise(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of each entry, unweighted, in the shape of `output`."""
        ...

    def reduce(self, losses: Tensor) -> Tensor:
        """Weight and reduce over the features, the last dimension."""
        ...

    def prediction(self, output: Tensor) -> Tensor:
        """What to compare with the targets."""
        ...
