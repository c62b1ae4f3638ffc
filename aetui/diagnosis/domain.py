"""Whether a loss fits its outputs and targets: its terms, its least value, the shapes, the weight of a KL."""

from __future__ import annotations

import math
import sys

import torch
from torch import Tensor, nn
from torch.nn import functional

from aetui.diagnosis.loop import Loop
from aetui.diagnosis.losses import ENTROPIC
from aetui.diagnosis.outputs import Output
from aetui.diagnosis.subject import KL, RECONSTRUCTION
from aetui.models.returned import LOG_VARIANCES, MEANS

_MARGIN = 0.02
"""Share of the loss of a perfect copy by which another has to be lower; calibrated."""
_LITTLE = 0.01
"""The same as a share of what rows that are all alike cost: logits of a copy are finite, so larger ones cost a trace
less."""


def terms_of(loop: Loop, output: Output, target: Tensor) -> tuple[dict[str, Tensor], str]:
    """The parts of the loss, and what it raised, '' if it did not."""
    try:
        return loop.terms(output, target), ""
    except RuntimeError as error:
        # What the loss refuses because of the values, it may take from values inside its domain.
        inside = output.reconstruction.sigmoid()
        safe = target.clamp(0, 1)
        try:
            loop.bound.loss(Output(inside, inside), safe)
        except (RuntimeError, ValueError, TypeError, AttributeError):
            raise error from None
        return {}, str(error).splitlines()[0]


def least_near_perfect(
    loop: Loop, made: Tensor, finite: Tensor, target: Tensor, batch: Tensor | None = None
) -> tuple[float | None, float | None, str]:
    """The loss of a perfect copy of the targets, and a lower one near it.

    A loss for reconstruction is least where output and target agree. Outputs may be logits, so
    these are tried too; only a loss that rewards leaving both is out of its domain.

    batch: numbers of the rows, where a step of the caller's own is run with other outputs in place of its own.
    """
    if not finite.numel() or made.shape != target.shape or (loop.subject.takes_raw and batch is None):
        return None, None, ""
    target = target.nan_to_num(0.0, 0.0, 0.0)
    spread = max(float(target.std()), 1e-6)
    copies = {"a perfect copy": target}
    if float(target.min()) >= 0 and float(target.max()) <= 1:
        copies["its logits"] = torch.logit(target, eps=1e-4)
    best: tuple[float, float, str] | None = None
    with torch.no_grad():
        for name, copy in copies.items():
            value = _loss_at(loop, copy, target, batch)
            if value is None:
                continue
            mean = copy.mean(0, keepdim=True)
            nearby = {
                "pushed away from the mean": mean + 1.5 * (copy - mean),
                "pulled to the mean": mean + 0.7 * (copy - mean),
                "moved up": copy + 0.3 * spread,
                "moved down": copy - 0.3 * spread,
                "made ten times larger": 10 * copy,
            }
            found = {text: _loss_at(loop, other, target, batch) for text, other in nearby.items()}
            lower = {text: other for text, other in found.items() if other is not None}
            if not lower:
                continue
            text, least = min(lower.items(), key=lambda item: item[1])
            alike = _loss_at(loop, mean.expand_as(copy), target, batch)
            margin = max(_MARGIN * max(abs(value), abs(least), 1e-9), _LITTLE * abs((alike or value) - value))
            if least >= value - margin:
                return value, None, ""
            if best is None or value - least < best[0] - best[1]:
                best = value, least, f"{name} {text}"
    return (best[0], best[1], best[2]) if best else (None, None, "")


def _loss_at(loop: Loop, output: Tensor, target: Tensor, batch: Tensor | None = None) -> float | None:
    try:
        if batch is not None:
            return loop.loss_with(output, batch)
        value = float(loop.bound.loss(Output(output, output), target))
    except (RuntimeError, ValueError, TypeError, IndexError, AttributeError):
        return None
    return value if math.isfinite(value) else None


def handles_shape(loop: Loop, output: Output, target: Tensor) -> bool:
    """Whether the loss itself brings output and target into one shape, tried on random outputs in 0..1."""
    if output.look is not None:
        return output.look.main is None or not output.look.main.broadcasts
    if loop.subject.broadcasts is not None:
        return not loop.subject.broadcasts
    made = output.reconstruction
    if made.shape == target.shape:
        return True
    if loop.subject.takes_raw or loop.subject.loss.named or made.numel() != target.numel():
        return False
    generator = torch.Generator(made.device).manual_seed(0)
    other = torch.rand(made.shape, generator=generator, device=made.device, dtype=made.dtype)
    as_is, fitted = (_loss_at(loop, one, target) for one in (other, other.reshape(target.shape)))
    if as_is is None or fitted is None:
        return False
    return abs(as_is - fitted) <= 1e-5 * max(abs(as_is), abs(fitted), 1e-12)


def true_kl(model: nn.Module, output: Output) -> Tensor | None:
    """The KL of the code's distribution, unweighted: from what forward returned, or left behind in attributes."""
    if output.kl() is not None:
        return output.kl()
    returned = getattr(output.raw, "kl", None)
    if isinstance(returned, Tensor):
        return returned
    for module in model.modules():
        left = {name.lower(): value for name, value in vars(module).items() if isinstance(value, Tensor)}
        mean = next((left[name] for name in MEANS if name in left), None)
        log_variance = next((left[name] for name in LOG_VARIANCES if name in left), None)
        if mean is not None and log_variance is not None and mean.shape == log_variance.shape and mean.ndim >= 2:
            return Output(output.raw, output.reconstruction, mean.detach(), log_variance.detach()).kl()
    return None


def kl_weight(loop: Loop, terms: dict[str, Tensor], output: Output, target: Tensor, kl: Tensor | None) -> float | None:
    """Weight of the KL summed over the code, against half the squared error summed over the features.

    For a cross-entropy, against the cross-entropy summed over the features. It is that of the last step,
    since a warm-up hides it at first. None where there is no KL or it can't be told apart.
    """
    subject, reconstruction = loop.subject, terms.get(RECONSTRUCTION)
    weighted = terms.get(KL)
    if KL in loop.bound.penalties:
        weighted = loop.bound.penalties[KL](loop.model, output, (subject.horizon or sys.maxsize) - 1)
    if weighted is None and kl is not None and len(subject.penalties) == 1:
        weighted = terms.get(next(iter(subject.penalties)))
    if reconstruction is None or weighted is None or output.reconstruction.numel() != target.numel():
        return None
    made = output.reconstruction.detach().reshape(target.shape)
    each = (
        _cross_entropy(made, target, subject.loss.kind)
        if subject.loss.kind in ENTROPIC
        else (0.5 * (made - target).square())
    )
    summed = float(each.flatten(1).sum(1).mean())
    factor = float(reconstruction.detach()) / summed if summed else 0.0
    if kl is None or not factor:
        return None
    true = float(kl.detach())
    return float(weighted.detach()) / true / factor if abs(true) > 1e-9 else None


def _cross_entropy(made: Tensor, target: Tensor, kind: str) -> Tensor:
    """That of each entry, of outputs as the loss of that kind takes them; logarithms end at -100 as PyTorch's do."""
    if kind == "bce_logits":
        return functional.binary_cross_entropy_with_logits(made, target.to(made.dtype), reduction="none")
    return -(target * made.log().clamp(min=-100) + (1 - target) * (1 - made).log().clamp(min=-100))
