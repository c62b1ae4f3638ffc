"""Layers that shape the reconstruction while its gradient does not reach them, whatever else does."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from aetui.diagnosis.loop import Loop
from aetui.diagnosis.parameters import Gradients
from aetui.diagnosis.subject import Subject
from aetui.models.ownstate import unchanged
from aetui.models.units import weight_layers

MOVED = 1e-4
"""Change of an output, in shares of the largest, from which it counts as shaped by a layer whose weights were moved."""
_PUSH, _FAR_PUSH = 0.5, 30.0
"""By how much weights are moved for that, in shares of their own size, and where all is rounded to the same."""
_ROWS = 64
"""Rows of the batch that is tried at most."""
_MOST = 24
"""Layers that are tried."""


def layers_apart(subject: Subject, gradients: Gradients, *, coarse: bool, blind: bool) -> tuple[str, ...]:
    """Names of weights that the reconstruction is made of and its gradient does not reach.

    A head of its own, as for the variance of a code that is not drawn, makes nothing of the reconstruction; a codebook
    is trained by what it is matched with. Both are left out, and so is what gets no gradient at all.

    Args:
        coarse: whether forward has calls whose gradient is zero everywhere, as rounding.
        blind: whether the reconstruction does not depend on its own input at all; no layer that reads the
            input then makes anything of it.
    """
    try:
        loop = Loop(subject)
        wanted = _unreached(loop, gradients, coarse)
        if blind and not coarse:
            return tuple(wanted)
        found = _shaping(loop, wanted, _FAR_PUSH if blind else _PUSH) if wanted else {}
        return tuple(name for name, reached in found.items() if not coarse or not reached)
    except Exception:  # noqa: BLE001 - what a caller's model makes of other weights is its own affair
        return ()


def _unreached(loop: Loop, gradients: Gradients, coarse: bool) -> list[str]:
    """Weights of layers without a gradient of the reconstruction, or where it is coarse with one of zero."""
    named = dict(loop.model.named_parameters())
    layers = [module for _, module in weight_layers(loop.model)]
    layers += [module for module in loop.model.modules() if isinstance(module, nn.RNNBase | nn.MultiheadAttention)]
    own = {id(one) for module in layers for one in module.parameters()}
    wanted = [name for name, one in named.items() if id(one) in own and one.requires_grad and name in gradients.norms]
    return [name for name, grad in _gradients(loop, wanted) if grad is None or (coarse and not bool(grad.any()))][
        :_MOST
    ]


def _gradients(loop: Loop, names: list[str]) -> list[tuple[str, Tensor | None]]:
    """Those of the reconstruction, summed with positive weights; nothing where it has none at all."""
    named = dict(loop.model.named_parameters())
    rows = _rows(loop)
    with loop.looking(train=True), unchanged(loop.model), torch.enable_grad():
        made = loop.forward(loop.inputs[rows].clone(), loop.targets[rows]).reconstruction
        if not made.requires_grad or not names:
            return []
        weights = torch.rand(made.shape, generator=torch.Generator().manual_seed(0)).to(made) + 0.5
        grads = torch.autograd.grad((made * weights).sum(), [named[name] for name in names], allow_unused=True)
    return list(zip(names, grads, strict=True))


def _rows(loop: Loop) -> Tensor:
    subject = loop.subject
    count = min(loop.chunk, subject.rows, subject.batch_size or subject.rows, _ROWS)
    return torch.arange(max(count, min(subject.least, subject.rows)), device=subject.device)


def _shaping(loop: Loop, names: list[str], push: float) -> dict[str, bool]:
    """Those that shape the reconstruction, and whether its gradient reaches them where they were moved to: units that
    are off get one once they are on, what is rounded or chosen never."""
    rows = _rows(loop)
    before = loop.made(rows, train=True)
    largest = float(before.abs().max())
    if float((loop.made(rows, train=True) - before).abs().max()) > MOVED * largest:
        return {}
    named = dict(loop.model.named_parameters())
    found: dict[str, bool] = {}
    for name in names:
        weight = named[name].data
        kept = weight.clone()
        noise = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)).to(weight)
        weight.add_(noise * push * max(float(weight.square().mean().sqrt()), 1e-3))
        made = loop.made(rows, train=True)
        if made.shape == before.shape and float((made - before).abs().max()) > MOVED * largest:
            found[name] = any(grad is not None and bool(grad.any()) for _, grad in _gradients(loop, [name]))
        weight.copy_(kept)
    return found
