"""What a gauge needs to know of a loss; `aetui.training.losses.Objective` is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

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

    @property
    def entropic(self) -> bool:
        """Whether it compares probabilities with targets in 0..1."""
        ...

    @property
    def constant(self) -> Literal["mean", "median"] | Callable[[Tensor], Tensor]:
        """The constant prediction with the least loss: mean, median, or where these slopes of the errors balance."""
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
