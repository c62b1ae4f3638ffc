"""What a model's forward returned, as a diagnosis needs it."""

from __future__ import annotations

import copy
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from aetui.models import returned


class OutputError(ValueError):
    """A forward whose return value holds no reconstruction; one sentence."""


@dataclass(frozen=True)
class Output:
    """A forward's return value, taken apart.

    raw: as returned. reconstruction: [batch, ...]. mean and log_variance: of q(z|x), both
    [batch, ...], None where the model returned none.
    """

    raw: Any
    reconstruction: Tensor
    mean: Tensor | None = None
    log_variance: Tensor | None = None

    @property
    def variational(self) -> bool:
        return self.mean is not None

    def without_kl(self) -> Any:
        """`raw` with a standard normal code distribution, whose KL is 0; `raw` itself where it holds none."""
        zeros = {id(part): torch.zeros_like(part) for part in (self.mean, self.log_variance) if part is not None}
        return _replaced(self.raw, zeros)

    def kl(self) -> Tensor | None:
        """KL to the standard normal, summed over the code and averaged over the batch, 0-dim.

        Closed form for Gaussians: Kingma & Welling 2014, appendix B.
        """
        if self.mean is None or self.log_variance is None:
            return None
        mean, log_variance = self.mean, self.log_variance
        terms = mean.square() + log_variance.exp() - 1.0 - log_variance
        return 0.5 * terms.reshape(len(terms), -1).sum(1).mean()


def _replaced(raw: Any, others: dict[int, Tensor]) -> Any:
    """`raw`, of the same kind, with other tensors in place of those with these ids."""
    if isinstance(raw, Tensor):
        return others.get(id(raw), raw)
    if isinstance(raw, list | tuple):
        make: Callable[..., Any] = type(raw)
        parts = [_replaced(part, others) for part in raw]
        return make(*parts) if hasattr(raw, "_fields") else make(parts)
    if isinstance(raw, MutableMapping):
        made = copy.copy(raw)
        for key, part in raw.items():
            made[key] = _replaced(part, others)
        return made
    if hasattr(raw, "__dict__"):
        other = copy.copy(raw)
        vars(other).update({name: _replaced(part, others) for name, part in vars(raw).items()})
        return other
    return raw


def take_apart(raw: Any, target_shape: torch.Size) -> Output:
    """Find the reconstruction in what a forward returned, as `aetui.models.returned` does.

    Raises:
        OutputError: there is no tensor in it.
    """
    if isinstance(raw, Tensor):
        return Output(raw, raw)
    rows = target_shape[0] if target_shape else 1
    found = returned.take_apart(raw, rows, target_shape.numel() // max(1, rows))
    if found is None:
        raise OutputError(
            f"the model's forward returned {type(raw).__name__}, which holds no tensor; it has to return the "
            "reconstruction, or a tuple or mapping with it first"
        )
    return Output(raw, found.output, found.mean, found.log_variance)
