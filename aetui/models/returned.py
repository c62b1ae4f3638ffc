"""What a user's forward returned: the reconstruction, and the code where it is among it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

RECONSTRUCTIONS = (
    "recon", "reconstruction", "reconstructed", "reconstructions", "recon_x", "x_recon", "x_rec", "rec", "x_hat",
    "xhat", "output", "outputs", "out", "decoded", "decoder_output", "decoding", "prediction", "pred", "y", "y_hat",
    "x_out", "sample", "logits",
)  # fmt: skip
"""Usual names of the reconstruction, in order of preference."""
MEANS = ("mu", "mean", "z_mean", "mean_z", "loc", "mus", "means")
LOG_VARIANCES = ("logvar", "log_var", "log_variance", "logvariance", "z_log_var", "z_logvar", "lv", "logvars")
CODES = ("code", "codes", "z", "latent", "latents", "embedding", "bottleneck", "encoded", "h", "hidden")


class Returned(NamedTuple):
    """A forward's return value, taken apart.

    output: the reconstruction, as returned. code: [batch, ...] or None. mean and log_variance: of the
    code's distribution, one shape, [batch, ...], or both None.
    """

    output: Tensor
    code: Tensor | None = None
    mean: Tensor | None = None
    log_variance: Tensor | None = None


def take_apart(raw: Any, rows: int, features: int) -> Returned | None:
    """Find reconstruction and code in what a forward returned for `rows` rows; None where there is no tensor.

    A tensor is the reconstruction. In a mapping, dataclass or named tuple it is the one under a usual
    name, otherwise, as in a plain tuple or list (nested ones are spread out), the first with `features`
    values per row, and failing that the first. Mean and log-variance of the code are found by name, or
    as the last two of a tuple that holds two further tensors of one shape, and besides these at most
    one that is shaped like the reconstruction. The code is found by name; in a pair of tensors it is
    the other one.
    """
    if isinstance(raw, Tensor):
        return Returned(raw)
    named = _named(raw)
    if named is not None:
        chosen = _first(named, RECONSTRUCTIONS)
        if chosen is None:
            chosen = _fitting(list(named.values()), rows, features)
        if chosen is None:
            return None
        mean, log_variance = _first(named, MEANS), _first(named, LOG_VARIANCES)
        if mean is None or log_variance is None or mean.shape != log_variance.shape or len(mean) != rows:
            mean = log_variance = None
        code = _first(named, CODES) if mean is None else mean
        return Returned(chosen, code if code is not chosen and _is_code(code, rows) else None, mean, log_variance)
    tensors = _spread(raw)
    chosen = _fitting(tensors, rows, features)
    if chosen is None:
        return None
    others = [one for one in tensors if one is not chosen and _is_code(one, rows)]
    if len(others) == 3 and others[0].shape == chosen.shape:
        del others[0]
    if len(others) == 2 and others[0].shape == others[1].shape:
        return Returned(chosen, others[0], *others)
    alone = others[0] if len(tensors) == 2 and others and others[0].shape != chosen.shape else None
    return Returned(chosen, alone)


def _named(raw: Any) -> dict[str, Tensor] | None:
    if isinstance(raw, Mapping):
        found = dict(raw)
    elif dataclasses.is_dataclass(raw):
        found = {field.name: getattr(raw, field.name) for field in dataclasses.fields(raw)}
    elif hasattr(raw, "_asdict"):
        found = raw._asdict()
    elif hasattr(raw, "__dict__") and not isinstance(raw, list | tuple):
        found = vars(raw)
    else:
        return None
    return {str(key).lower(): value for key, value in found.items() if isinstance(value, Tensor)}


def _spread(raw: Any) -> list[Tensor]:
    if isinstance(raw, Tensor):
        return [raw]
    if isinstance(raw, Mapping):
        raw = list(raw.values())
    return [tensor for part in raw for tensor in _spread(part)] if isinstance(raw, list | tuple) else []


def _first(named: Mapping[str, Tensor], names: tuple[str, ...]) -> Tensor | None:
    return next((named[name] for name in names if name in named), None)


def _fitting(tensors: list[Tensor], rows: int, features: int) -> Tensor | None:
    fitting = [one for one in tensors if one.ndim and len(one) == rows and one.numel() == rows * features]
    return next(iter(fitting or tensors), None)


def _is_code(tensor: Tensor | None, rows: int) -> bool:
    return tensor is not None and tensor.ndim >= 2 and len(tensor) == rows and tensor.is_floating_point()
