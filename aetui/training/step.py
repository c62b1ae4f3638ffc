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
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
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
def step_unless(optimizer: torch.optim.Optimizer, lost: Tensor) -> None:
    """An update that does nothing where `lost`, 0-dim bool on the device; nothing waits to know.

    PyTorch's fused kernels skip it themselves. For any other optimizer the values before are put back, zeros where its
    state has only begun; its counter of steps is the host's, which does not know, and counts on.
    """
    fused = bool(optimizer.param_groups[0].get("fused"))
    if fused and lost.device.type in ("cuda", "cpu"):
        for group in optimizer.param_groups:
            # A first step that is skipped would leave the momentum that it makes without any value.
            if group.get("momentum"):
                for parameter in group["params"]:
                    if optimizer.state[parameter].get("momentum_buffer") is None:
                        optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        vars(optimizer)["found_inf"] = lost.float()
        optimizer.step()
        return
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    before = {id(parameter): parameter.detach().clone() for parameter in parameters}
    for parameter in parameters:
        before |= {id(value): value.clone() for value in optimizer.state[parameter].values() if torch.is_tensor(value)}
    optimizer.step()
    for parameter in parameters:
        for value in (parameter, *optimizer.state[parameter].values()):
            if torch.is_tensor(value) and value.device == lost.device and (value.ndim or fused):
                old = before.get(id(value))
                value.copy_(torch.where(lost, torch.zeros_like(value) if old is None else old, value))


@torch.no_grad()
def update_on_device(
    optimizer: torch.optim.Optimizer,
    rates: Sequence[float],
    clip: Callable[[Tensor], Tensor | None],
    total: Tensor,
    norm: Tensor,
) -> tuple[Tensor, Tensor | None]:
    """The same without waiting; whether loss or gradient is not finite, 0-dim, and what `clip` returns."""
    lost = ~(norm.isfinite() & total.isfinite())
    clipped = clip(norm)
    set_rates(optimizer, rates)
    step_unless(optimizer, lost)
    return lost, clipped
