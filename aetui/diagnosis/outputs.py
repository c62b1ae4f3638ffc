"""What a model's forward returned, as a diagnosis needs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
        replaced = [part for part in (self.mean, self.log_variance) if part is not None]

        def other(part: Any) -> Any:
            return torch.zeros_like(part) if any(part is one for one in replaced) else part

        if isinstance(self.raw, Mapping):
            return {key: other(part) for key, part in self.raw.items()}
        if isinstance(self.raw, list | tuple):
            make: Callable[..., Any] = type(self.raw)
            parts = [other(part) for part in self.raw]
            return make(*parts) if hasattr(self.raw, "_fields") else make(parts)
        return self.raw

    def kl(self) -> Tensor | None:
        """KL to the standard normal, summed over the code and averaged over the batch, 0-dim.

        Closed form for Gaussians: Kingma & Welling 2014, appendix B.
        """
        if self.mean is None or self.log_variance is None:
            return None
        mean, log_variance = self.mean, self.log_variance
        terms = mean.square() + log_variance.exp() - 1.0 - log_variance
        return 0.5 * terms.reshape(len(terms), -1).sum(1).mean()


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
