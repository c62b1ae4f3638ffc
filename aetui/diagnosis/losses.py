"""The losses a diagnosis knows by name, and what it can find out about any other."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aetui.training.losses import LOSSES

Pointwise = Callable[[Tensor, Tensor], Tensor]

_BY_NAME: dict[str, Pointwise] = {
    **{kind.name: kind.of_entries({}) for kind in LOSSES.values()},
    "smooth_l1": partial(F.smooth_l1_loss, reduction="none"),
}
_ALIASES = {"l1": "mae", "l2": "mse", "bcewithlogits": "bce_logits", "bce_with_logits": "bce_logits"}
NAMES = (*_BY_NAME, *(f"{name}_sum" for name in _BY_NAME))

_KINDS: dict[Any, str] = {
    **{known: kind.name for kind in LOSSES.values() for known in kind.known_as},
    nn.SmoothL1Loss: "smooth_l1", F.smooth_l1_loss: "smooth_l1", nn.CrossEntropyLoss: "cross_entropy",
    F.cross_entropy: "cross_entropy", nn.NLLLoss: "nll", F.nll_loss: "nll", nn.KLDivLoss: "kl_div",
    F.kl_div: "kl_div",
}  # fmt: skip
ENTROPIC = tuple(kind.name for kind in LOSSES.values() if kind.entropic)
_LOGITS = tuple(kind.name for kind in LOSSES.values() if kind.logits)


@dataclass(frozen=True)
class Loss:
    """A reconstruction loss, by name or as the caller's own callable.

    kind: the name without `_sum`, a known PyTorch loss's name, or `` for any other callable.
    summed: whether it is summed over the features, where that is known.
    """

    kind: str
    summed: bool
    call: Callable[[Any, Tensor], Tensor]
    named: bool

    @property
    def probabilities(self) -> Callable[[Tensor], Tensor]:
        """From the model's output to what is compared with the targets."""
        return torch.sigmoid if self.kind in _LOGITS else _same


def resolve(loss: str | Callable[..., Tensor]) -> Loss:
    """A loss from its name or from a callable `(output, target)`.

    Named losses are averaged over the batch, and averaged or, with `_sum`, summed over the features.

    Raises:
        ValueError: there is no loss of that name.
    """
    if callable(loss):
        key = type(loss) if isinstance(loss, nn.Module) else getattr(loss, "func", loss)
        kind = _KINDS.get(key, "") if isinstance(key, type) or callable(key) else ""
        if kind == "" and isinstance(loss, nn.Module):
            kind = next((name for cls, name in _KINDS.items() if isinstance(cls, type) and isinstance(loss, cls)), "")
        reduction = getattr(loss, "reduction", None) or getattr(loss, "keywords", {}).get("reduction", "mean")
        return Loss(kind, reduction == "sum", loss, named=False)
    name = str(loss).lower().replace("-", "_")
    summed = name.endswith("_sum")
    kind = name.removesuffix("_sum")
    kind = _ALIASES.get(kind, kind)
    if kind not in _BY_NAME:
        raise ValueError(f"loss: {loss!r} is not known; {hint(name, NAMES)}, or a callable (output, target)")
    return Loss(kind, summed, partial(_reduced, _BY_NAME[kind], summed), named=True)


def hint(word: object, known: Iterable[str]) -> str:
    """A clause that names the known word closest to `word`, or lists the known ones."""
    close = difflib.get_close_matches(str(word), list(known), 1)
    return f"did you mean {close[0]!r}" if close else f"it takes {', '.join(known)}"


def _reduced(pointwise: Pointwise, summed: bool, output: Tensor, target: Tensor) -> Tensor:
    losses = pointwise(*torch.broadcast_tensors(output, target))
    return losses.reshape(len(losses), -1).sum(1).mean() if summed else losses.mean()


def _same(output: Tensor) -> Tensor:
    return output
