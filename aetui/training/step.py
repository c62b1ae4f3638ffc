"""The arithmetic of a step once its loss is known; the trainer, a diagnosis and an exported script all have this."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def joint_norm(grads: list[Tensor]) -> Tensor:
    """Norm of all values of the tensors taken together, 0-dim."""
    return torch.linalg.vector_norm(grads[0]) if len(grads) == 1 else torch.nn.utils.get_total_norm(grads)


def set_rates(optimizer: torch.optim.Optimizer, rates: Sequence[float]) -> None:
    """Set the learning rate of each group of parameters; without any they stay."""
    if rates:
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate


def update_on_host(
    optimizer: torch.optim.Optimizer,
    rates: Sequence[float],
    clip: Callable[[float], bool],
    total: float,
    norm: float,
) -> tuple[bool, bool]:
    """Clip and update where loss and gradient are finite; whether they are, and whether clipping changed anything."""
    if not (math.isfinite(norm) and math.isfinite(total)):
        return False, False
    clipped = clip(norm)
    set_rates(optimizer, rates)
    optimizer.step()
    return True, clipped


@torch.no_grad()
def update_on_device(
    optimizer: torch.optim.Optimizer,
    rates: Sequence[float],
    clip: Callable[[Tensor], Tensor | None],
    grads: list[Tensor],
    total: Tensor,
    norm: Tensor,
) -> Tensor | None:
    """The same without waiting: a gradient that is not finite counts as zero. What `clip` returns."""
    for grad in grads:
        grad.masked_fill_(~(norm.isfinite() & total.isfinite()), 0.0)
    clipped = clip(norm)
    set_rates(optimizer, rates)
    optimizer.step()
    return clipped
