"""Gradient clipping as Keras and PyTorch define it, with the share of steps that it changed.

`per-tensor` is Keras's clipnorm: g * c / max(|g|, c) for each tensor. `global` is Keras's
global_clipnorm and PyTorch's clip_grad_norm_: all tensors times min(1, c / (|g| + 1e-6)).
`value` is clipvalue: each entry clamped to -c..c.
"""

import torch
from torch import Tensor

from aetui.spec import sections as s

_TINY = 1e-6


def clip_on_host(section: s.Clip, grads: Tensor, views: list[Tensor], norm: float) -> bool:
    """Clip in place where the norm is already known to the host; returns whether anything changed.

    Args:
        grads: all gradients as one flat tensor.
        views: the same memory, one tensor per parameter.
        norm: joint norm of `grads`.
    """
    if isinstance(section, s.NoClip) or norm <= section.threshold:
        return False  # no tensor's norm and no entry exceeds the joint norm
    limit = section.threshold
    if isinstance(section, s.GlobalNorm):
        grads.mul_(min(1.0, limit / (norm + _TINY)))
        return True
    if isinstance(section, s.ValueClip):
        low, high = torch.aminmax(grads)
        if max(-float(low), float(high)) <= limit:
            return False
        grads.clamp_(-limit, limit)
        return True
    changed = False
    for view in views:
        size = float(torch.linalg.vector_norm(view))
        if size > limit:
            view.mul_(limit / size)
            changed = True
    return changed


def clip_on_device(section: s.Clip, grads: Tensor, views: list[Tensor], norm: Tensor) -> Tensor | None:
    """The same without waiting for the device; returns a 0-dim tensor, nonzero where it changed anything."""
    if isinstance(section, s.NoClip):
        return None
    limit = section.threshold
    if isinstance(section, s.GlobalNorm):
        # Gradients masked for a norm that is NaN are zeros, and have to stay so.
        grads.mul_((limit / (norm + _TINY)).clamp_(max=1.0).nan_to_num_(nan=1.0))
        return norm > limit
    if isinstance(section, s.ValueClip):
        changed = grads.abs().amax() > limit
        grads.clamp_(-limit, limit)
        return changed
    norms = torch.stack([torch.linalg.vector_norm(view) for view in views])
    for view, scale in zip(views, (limit / norms.clamp(min=limit)).unbind(), strict=True):
        view.mul_(scale)
    return norms.amax() > limit
