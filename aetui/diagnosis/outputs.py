"""What a model's forward returned: the reconstruction, and the code's distribution where there is one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

NAMES = (
    "reconstruction", "recon", "recon_x", "x_recon", "x_hat", "xhat", "x_rec", "rec", "output", "outputs", "out",
    "decoded", "decoder_output", "prediction", "pred", "y", "sample", "logits",
)  # fmt: skip
"""Usual names of the reconstruction in a mapping, in order of preference."""
_MEANS = ("mu", "mean", "z_mean", "mean_z", "loc")
_LOG_VARIANCES = ("logvar", "log_var", "log_variance", "z_log_var", "lv")


class OutputError(ValueError):
    """A forward whose return value holds no reconstruction; one sentence."""


@dataclass(frozen=True)
class Output:
    """A forward's return value, taken apart.

    raw: as returned. reconstruction: [batch, ...]. mean and log_variance: of q(z|x), both
    [batch, code], None where the model returned none. places: where those two stand in `raw`.
    """

    raw: Any
    reconstruction: Tensor
    mean: Tensor | None = None
    log_variance: Tensor | None = None
    places: tuple[Any, Any] | None = None

    def without_kl(self) -> Any:
        """`raw` with a standard normal code distribution, whose KL is 0."""
        if self.places is None or self.mean is None:
            return self.raw
        zeros = torch.zeros_like(self.mean)
        if isinstance(self.raw, Mapping):
            return {**self.raw, self.places[0]: zeros, self.places[1]: zeros}
        parts = [zeros if index in self.places else part for index, part in enumerate(self.raw)]
        make: Callable[..., Any] = type(self.raw)
        return make(*parts) if hasattr(self.raw, "_fields") else make(parts)

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
    """Find the reconstruction in what a forward returned.

    A tensor is it. In a tuple or list it is the first tensor shaped like the target, or else the
    first tensor; in a mapping the one under a usual name, or else found in the same way.

    Raises:
        OutputError: there is no tensor in it.
    """
    if isinstance(raw, Tensor):
        return Output(raw, raw)
    if isinstance(raw, Mapping):
        named = {key: value for key, value in raw.items() if isinstance(value, Tensor)}
        chosen = next((name for name in NAMES if name in named), None)
        if chosen is None:
            chosen = _first({key: tensor for key, tensor in named.items()}, target_shape)
        if chosen is None:
            raise OutputError(_nothing(raw))
        return _with_code(raw, chosen, named)
    if hasattr(raw, "__dataclass_fields__") or (hasattr(raw, "__dict__") and not isinstance(raw, list | tuple)):
        return take_apart({key: value for key, value in vars(raw).items()}, target_shape)
    if isinstance(raw, list | tuple):
        parts = {index: value for index, value in enumerate(raw) if isinstance(value, Tensor)}
        chosen = _first(parts, target_shape)
        if chosen is None:
            nested = [value for value in raw if isinstance(value, list | tuple | Mapping)]
            if nested:
                return take_apart(nested[0], target_shape)
            raise OutputError(_nothing(raw))
        return _with_code(raw, chosen, parts)
    raise OutputError(_nothing(raw))


def _first(parts: dict[Any, Tensor], shape: torch.Size) -> Any:
    matching = [key for key, tensor in parts.items() if tensor.shape == shape]
    return matching[0] if matching else next(iter(parts), None)


def _with_code(raw: Any, chosen: Any, parts: dict[Any, Tensor]) -> Output:
    reconstruction = parts[chosen]
    others = {key: tensor for key, tensor in parts.items() if key != chosen and tensor.ndim >= 1}
    names = getattr(raw, "_fields", None)
    label = {key: str(names[key] if names and isinstance(key, int) else key).lower() for key in others}
    mean = next((key for key in others if label[key] in _MEANS), None)
    log_variance = next((key for key in others if label[key] in _LOG_VARIANCES), None)
    if mean is None or log_variance is None:
        mean, log_variance = _unnamed_pair(others, len(reconstruction))
    if mean is None or log_variance is None or others[mean].shape != others[log_variance].shape:
        return Output(raw, reconstruction)
    return Output(raw, reconstruction, others[mean], others[log_variance], (mean, log_variance))


def _unnamed_pair(others: dict[Any, Tensor], batch: int) -> tuple[Any, Any]:
    """The first two of a tuple's further tensors of one shape, [batch, code], mean first as everybody writes it."""
    keys = [key for key, tensor in others.items() if isinstance(key, int) and tensor.ndim >= 2 and len(tensor) == batch]
    for first, second in zip(keys, keys[1:], strict=False):
        if others[first].shape == others[second].shape:
            return first, second
    return None, None


def _nothing(raw: Any) -> str:
    return (
        f"the model's forward returned {type(raw).__name__}, which holds no tensor; it has to return the "
        "reconstruction, or a tuple or mapping with it first"
    )
