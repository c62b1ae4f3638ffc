"""What a model is told of its targets, where that is not the targets themselves: noisy rows, other columns, the
entries that a mask leaves; and how much of the targets a linear map makes of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from aetui.diagnosis.feed import mapped
from aetui.diagnosis.figures import SAMPLE, told_linear
from aetui.diagnosis.loop import Loop
from aetui.diagnosis.observe import probe_rows
from aetui.diagnosis.subject import Subject
from aetui.diagnosis.taken import whole

LEAST_MASKED = 8
"""Rows in which a feature has to be masked for a linear map to it to be fitted, for each 10 of its inputs."""
RIDGE = 1e-3
"""Of the largest eigenvalue, added to all: masked entries are zeros and columns of a mask nearly constant."""
UNSEEN = 1e-6
"""Share of a gradient up to which it is rounding."""


@dataclass(frozen=True)
class _Batch:
    """read: what the model computes with, None where that is not known. wanted: what its outputs are compared with.
    mask: the entries that count, None for all."""

    read: Tensor | None
    wanted: Tensor
    mask: Tensor | None


def told(subject: Subject) -> float | None:
    """Explained variance of the targets by a linear map of what the model is told; None where that is the targets
    themselves, or the rows are too few to say."""
    if subject.stepped is None:
        if subject.targets is subject.inputs:
            return None
        return told_linear(subject.inputs, subject.targets, subject.code_width)
    loop = Loop(subject)
    batches = _batches(subject, loop)
    if not batches or len({one.wanted.shape[1:] for one in batches}) > 1:
        return None
    wanted = torch.cat([one.wanted for one in batches]).flatten(1)
    if any(one.mask is not None for one in batches):
        masks = [one.mask for one in batches if one.mask is not None]
        if len(masks) < len(batches) or not _hides(subject, loop):
            return None
        return told_masked(wanted, torch.cat(masks).flatten(1))
    reads = [one.read for one in batches if one.read is not None and len(one.read) == len(one.wanted)]
    if len(reads) < len(batches) or len({one.shape[1:] for one in reads}) > 1:
        return None
    read = torch.cat(reads).flatten(1)
    if read.shape == wanted.shape and torch.equal(read.sort().values, wanted.sort().values):
        return None
    return told_linear(read, wanted, subject.code_width)


def _batches(subject: Subject, loop: Loop) -> list[_Batch]:
    """What the step does with rows of the training, each with noise and masks of its own."""
    found: list[_Batch] = []
    with loop.looking():
        for part in subject.inputs[probe_rows(subject.rows, SAMPLE)].split(loop.chunk):
            if len(part) < subject.least:
                continue
            look = loop.forward(part, part).look
            if look is None or look.main is None:
                return []
            _, wanted, mask = whole(look.touch, look.main)
            if not wanted.is_floating_point() or wanted.ndim == 0:
                return []
            if mask is not None:
                mask = mask.detach().expand(wanted.shape).float() if mask.numel() == wanted.numel() else None
            read = look.touch.read
            found.append(_Batch(None if read is None else read.detach(), wanted.detach().float(), mask))
    return found


def _hides(subject: Subject, loop: Loop) -> bool:
    """Whether no output under the mask depends on a value of the batch that is a target under it."""
    stepped = subject.stepped
    assert stepped is not None
    leaves: list[Tensor] = []

    def leaf(one: Tensor) -> Tensor:
        if not one.is_floating_point():
            return one
        leaves.append(one.detach().clone().requires_grad_(True))
        return leaves[-1]

    rows = subject.inputs[: max(subject.least, min(loop.chunk, 32))]
    batch = mapped(loop.batch(rows), leaf)
    try:
        with loop.looking():
            found = stepped.look(
                loop.model, batch, loop.step_of, lambda one: subject.bound(one, loop.model), loop.change
            )
        if found.main is None:
            return False
        made, wanted, mask = whole(found.touch, found.main)
        if mask is None or not wanted.requires_grad:
            return False
        signs = torch.randn(made.shape, generator=torch.Generator().manual_seed(0)).to(made)
        judged = torch.autograd.grad((wanted * mask).sum(), leaves, retain_graph=True, allow_unused=True)
        read = torch.autograd.grad((made * mask * signs).sum(), leaves, allow_unused=True)
    except (RuntimeError, ValueError, TypeError, IndexError):
        # A step that writes into its batch can't be asked this way.
        return False
    seen = total = 0.0
    for target, source in zip(judged, read, strict=True):
        if source is None:
            continue
        total += float(source.abs().sum())
        seen += 0.0 if target is None else float(source[target != 0].abs().sum())
    return seen <= UNSEEN * max(total, 1e-12)


def told_masked(targets: Tensor, mask: Tensor) -> float | None:
    """Explained variance of the entries under a mask, [rows, features], by linear maps of all others and of where the
    mask is: one for each feature, fitted to the rows in which it is masked (ridge regression). None where these are
    too few, or there is no variance."""
    y, m = targets.double().cpu(), mask.double().cpu()
    if not torch.isfinite(y).all():
        return None
    counts = m.sum(0)
    middle = (y * m).sum(0) / counts.clamp(min=1)
    y = y - middle
    given = torch.cat([y * (1 - m), m], dim=1)
    if float(counts.min()) < LEAST_MASKED * given.shape[1] / 10:
        return None
    total = missed = 0.0
    for place in range(y.shape[1]):
        rows = m[:, place] > 0
        x, wanted = given[rows], y[rows, place]
        x = x - x.mean(0)
        square = x.T @ x
        ridge = RIDGE * float(torch.linalg.matrix_norm(square, 2)) * torch.eye(len(square), dtype=x.dtype)
        rest = wanted - wanted.mean() - x @ torch.linalg.solve(square + ridge, x.T @ (wanted - wanted.mean()))
        total += float((wanted - wanted.mean()).square().sum())
        missed += float(rest.square().sum())
    return 1 - missed / total if total else None
