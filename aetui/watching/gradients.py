"""Gradients as an optimizer's hook finds them: their joint norm, and clipping in place."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch._utils import _flatten_dense_tensors

from aetui.spec import sections as s
from aetui.training.clipping import clip_on_device, clip_on_host

Figure = float | Tensor
"""A number on the host, or a 0-dim tensor on another device, which nobody waits for."""
_FEW = 50_000
"""Entries of all gradients up to which one copy of them side by side costs less than a call for each."""
_HALVES = (torch.float16, torch.bfloat16)


def of_optimizer(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """The gradients that a step is about to use; of sparse ones, the values."""
    return [
        grad if grad.layout is torch.strided else grad.coalesce()._values()
        for group in optimizer.param_groups
        for parameter in group["params"]
        if (grad := parameter.grad) is not None
    ]


def joint_norm(grads: Sequence[Tensor]) -> Tensor | None:
    """Of all of them, 0-dim, in float32 or better; None where there are none."""
    if not grads:
        return None
    # The norm of half-precision gradients, scaled ones above all, may lie beyond what half precision holds.
    wide = [grad.float() if grad.dtype in _HALVES else grad for grad in grads]
    if len({(grad.dtype, grad.device) for grad in wide}) > 1:
        return torch.nn.utils.get_total_norm(wide, 2.0)
    # The same arithmetic at less than half of the calls, which are most of what a small step costs.
    norms = torch._foreach_norm(wide)  # pyright: ignore[reportPrivateImportUsage]
    return torch.linalg.vector_norm(torch.stack(norms))


def _host_norm(grads: Sequence[Tensor]) -> float:
    """The same on the host, where the calls of a small step cost more than its arithmetic."""
    if sum([grad.numel() for grad in grads]) > _FEW or {grad.dtype for grad in grads} != {torch.float32}:
        return float(joint_norm(grads) or 0.0)
    flat = _flatten_dense_tensors(grads)
    return math.sqrt(torch.dot(flat, flat).item())


def measured(grads: list[Tensor], clip: s.Clip, scale: Tensor | float | None = None) -> tuple[Figure, Figure]:
    """Joint norm before clipping, and whether clipping changed anything; clips in place.

    scale: factor that a scaler has put on the gradients; norm and threshold are of the true ones.
    """
    if not all(grad.is_cpu for grad in grads):
        found = joint_norm(grads)
        assert found is not None
        return _on_device(grads, clip, found, scale)
    factor = 1.0 if scale is None else float(scale)
    norm = _host_norm(grads) / factor
    if isinstance(clip, s.NoClip):
        return norm, 0.0
    with torch.no_grad():
        section = type(clip)(threshold=clip.threshold * factor)
        return norm, float(clip_on_host(section, grads, grads, norm * factor))


@torch.no_grad()
def _on_device(grads: list[Tensor], clip: s.Clip, found: Tensor, scale: Tensor | float | None) -> tuple[Figure, Figure]:
    norm = found if scale is None else found / scale
    if isinstance(clip, s.NoClip):
        return norm, 0.0
    if scale is not None:
        # A threshold is a number of the host's, and reading the scale would wait: gradients are brought to their
        # own size, clipped, and brought back.
        for grad in grads:
            grad.div_(scale)
    changed = clip_on_device(clip, grads, grads, norm)
    if scale is not None:
        for grad in grads:
            grad.mul_(scale)
    return norm, 0.0 if changed is None else changed
