"""Gradient clipping as Keras and PyTorch define it, with the share of steps that it changed.

`per-tensor` is Keras's clipnorm: g * c / max(|g|, c) for each tensor. `global` is Keras's
global_clipnorm and PyTorch's clip_grad_norm_: all tensors times min(1, c / (|g| + 1e-6)).
`value` is clipvalue: each entry clamped to -c..c.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from aetui.spec import sections as s
from aetui.training.kinds import complete


@dataclass(frozen=True)
class ClipKind:
    """A way to clip gradients in place; an exported script has the source of both functions.

    Each takes the gradients as few tensors as there are, the same memory as one tensor per parameter,
    the threshold and the joint norm.
    """

    on_host: Callable[[list[Tensor], list[Tensor], float, float], bool]
    """Where the norm is known to the host and above the threshold; whether anything changed."""
    on_device: Callable[[list[Tensor], list[Tensor], float | Tensor, Tensor], Tensor]
    """Without waiting for the device, whatever the norm; 0-dim, nonzero where anything changed. The threshold may be a
    0-dim tensor."""


def clip_per_tensor(grads: list[Tensor], views: list[Tensor], limit: float, norm: float) -> bool:
    changed = False
    for view in views:
        size = float(torch.linalg.vector_norm(view))
        if size > limit:
            view.mul_(limit / size)
            changed = True
    return changed


def clip_per_tensor_on_device(grads: list[Tensor], views: list[Tensor], limit: float | Tensor, norm: Tensor) -> Tensor:
    norms = torch.stack([torch.linalg.vector_norm(view) for view in views])
    # A number divided by a tensor is its reciprocal times the number, and a threshold in a tensor has to give the same.
    for view, scale in zip(views, (norms.clamp(min=limit).reciprocal() * limit).unbind(), strict=True):
        view.mul_(scale)
    return norms.amax() > limit


def clip_global(grads: list[Tensor], views: list[Tensor], limit: float, norm: float) -> bool:
    for grad in grads:
        grad.mul_(min(1.0, limit / (norm + 1e-6)))
    return True


def clip_global_on_device(grads: list[Tensor], views: list[Tensor], limit: float | Tensor, norm: Tensor) -> Tensor:
    # Gradients masked for a norm that is NaN are zeros, and have to stay so.
    scale = ((norm + 1e-6).reciprocal() * limit).clamp_(max=1.0).nan_to_num_(nan=1.0)
    for grad in grads:
        grad.mul_(scale)
    return norm > limit


def clip_value(grads: list[Tensor], views: list[Tensor], limit: float, norm: float) -> bool:
    changed = False
    for grad in grads:
        low, high = torch.aminmax(grad)
        if max(-float(low), float(high)) > limit:
            grad.clamp_(-limit, limit)
            changed = True
    return changed


def clip_value_on_device(grads: list[Tensor], views: list[Tensor], limit: float | Tensor, norm: Tensor) -> Tensor:
    largest = torch.stack([grad.abs().amax() for grad in grads]).amax()
    for grad in grads:
        grad.clamp_(-limit, limit)  # pyright: ignore[reportArgumentType, reportCallIssue] - both, or tensors both
    return largest > limit


CLIPS: dict[type, ClipKind | None] = complete(
    {
        s.NoClip: None,
        s.PerTensor: ClipKind(clip_per_tensor, clip_per_tensor_on_device),
        s.GlobalNorm: ClipKind(clip_global, clip_global_on_device),
        s.ValueClip: ClipKind(clip_value, clip_value_on_device),
    },
    s.Clip,
)
"""How each kind of a spec clips, None for not at all."""


def clip_on_host(section: s.Clip, grads: list[Tensor], views: list[Tensor], norm: float) -> bool:
    """Clip in place where the norm is already known to the host; returns whether anything changed.

    Args:
        grads: all gradients, in as few tensors as there are.
        views: the same memory, one tensor per parameter.
        norm: joint norm of `grads`.
    """
    kind = CLIPS[type(section)]
    if kind is None or norm <= section.threshold:  # pyright: ignore[reportAttributeAccessIssue]
        return False  # no tensor's norm and no entry exceeds the joint norm
    return kind.on_host(grads, views, section.threshold, norm)  # pyright: ignore[reportAttributeAccessIssue]


def clip_on_device(
    section: s.Clip, grads: list[Tensor], views: list[Tensor], norm: Tensor, limit: Tensor | None = None
) -> Tensor | None:
    """The same without waiting for the device; returns a 0-dim tensor, nonzero where it changed anything.

    limit: the threshold where it is on the device already, 0-dim; a kind that clips at none needs none.
    """
    kind = CLIPS[type(section)]
    if kind is None:
        return None
    threshold = section.threshold if limit is None else limit  # pyright: ignore[reportAttributeAccessIssue]
    return kind.on_device(grads, views, threshold, norm)
