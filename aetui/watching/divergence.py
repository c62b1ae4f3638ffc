"""The KL of a code's distribution, as the user says how to get it or as the forward's mean and log variance give it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from aetui.diagnosis.outputs import Output

KlOf = Callable[[nn.Module, Tensor], Any]
"""(model, rows) to the KL in nats: [rows, units], [units], [rows] or 0-dim."""
_TAKES = "it takes the KL of each row and unit, of each unit, of each row, or the total"


def checked_kl(kl: object) -> KlOf | None:
    """The callable that `kl=` is, None where it is a switch.

    Raises:
        TypeError: it is neither.
    """
    if kl is None or isinstance(kl, bool):
        return None
    if callable(kl):
        return kl
    raise TypeError(f"kl: {kl!r} is not allowed; it takes True, or a callable (model, rows) to the KL")


def kl_of(kl: KlOf, module: nn.Module, rows: Tensor, width: int | None) -> Tensor:
    """What the user's callable says of rows, in nats, means over them: of each unit, [units], or one entry for all.

    Args:
        width: of the code, None where it is not known.

    Raises:
        TypeError, ValueError: it is no such tensor; one sentence.
    """
    made = kl(module, rows)
    if not isinstance(made, Tensor):
        raise TypeError(f"kl= returned {type(made).__name__}; {_TAKES}")
    made = made.detach().float()
    if made.ndim == 0:
        return made.reshape(1)
    if made.ndim >= 2 and len(made) == len(rows):
        return made.flatten(1).mean(0)
    if made.ndim == 1 and len(made) == width:
        return made
    if made.ndim == 1 and len(made) == len(rows):
        return made.mean().reshape(1)
    if made.ndim == 1 and width is None:
        return made
    raise ValueError(f"kl= returned shape {list(made.shape)} of {len(rows):,} rows; {_TAKES}")


def told_kl(found: Output) -> Tensor | None:
    """The same of what a forward returned, against the standard normal (Kingma & Welling 2014, appendix B)."""
    if found.mean is None or found.log_variance is None:
        return None
    mean, log_variance = found.mean.detach().float(), found.log_variance.detach().float()
    terms = mean.square() + log_variance.exp() - 1.0 - log_variance
    return 0.5 * terms.flatten(1).mean(0)
