"""The parts of a loss, read off the calls that made it, and the KL among them, recognized by its form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from aetui.diagnosis.touched import DATA, WEIGHTS, Touch

RECONSTRUCTION = "reconstruction"
KL = "kl"
MATCHING = "matching"
"""Terms that bring two of the model's own tensors together, as of a code and its codebook."""
CLOSE = 2e-3
"""Deviation from the form of a KL's gradient, in shares of its largest entry, up to which it is one."""

Apply = Callable[[Tensor], Tensor]

SPREADS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "log-variance": (lambda s: 0.5 * (s.exp() - 1), lambda s: s),
    "standard deviation": (lambda s: s - 1 / s, lambda s: 2 * s.abs().log()),
    "logarithm of the standard deviation": (lambda s: (2 * s).exp() - 1, lambda s: 2 * s),
    "variance": (lambda s: 0.5 * (1 - 1 / s), lambda s: s.abs().log()),
}
"""How the spread of a Gaussian code may be given: the derivative of its KL, and its log-variance."""


@dataclass(frozen=True)
class Addend:
    """A part of a loss: `apply(core)`, where `core` is what was computed before factors and averages."""

    core: Tensor
    apply: Apply

    @property
    def value(self) -> Tensor:
        return self.apply(self.core)


@dataclass(frozen=True)
class Gaussian:
    """Mean and spread of a code whose KL to the standard normal is in the loss."""

    mean: Tensor
    spread: Tensor
    form: str
    """A key of SPREADS."""

    @property
    def log_variance(self) -> Tensor:
        return SPREADS[self.form][1](self.spread)


def addends(touch: Touch, loss: Tensor) -> list[Addend]:
    """What a loss is the sum of; the loss itself where it is no sum."""
    return _split(touch, loss, _same, 0)


def _same(value: Tensor) -> Tensor:
    return value


def _split(touch: Touch, value: Tensor, apply: Apply, depth: int) -> list[Addend]:
    record = touch.records.get(id(value))
    if record is None or depth > 40 or not touch.depends(value) & WEIGHTS:
        return [Addend(value, apply)]
    name, args = record.name, record.args
    if name in ("add", "sub", "rsub") and len(args) == 2 and not record.kwargs:
        rows = touch.comparisons[0].made.shape[0] if touch.comparisons and touch.comparisons[0].made.ndim else 0
        if value.ndim > 0 and not (value.numel() <= rows and touch.compared_in(value)):
            return [Addend(value, apply)]
        signs = {"add": (1, 1), "sub": (1, -1), "rsub": (-1, 1)}[name]
        found: list[Addend] = []
        for sign, part in zip(signs, args, strict=True):
            if not isinstance(part, Tensor):
                if not part:
                    continue
                part = torch.full((), float(part), device=value.device)
            found += _split(touch, part, _then(apply, _signed(sign, value.shape)), depth + 1)
        return found
    if name == "neg":
        return _split(touch, args[0], _then(apply, torch.neg), depth + 1)
    if name in ("mul", "div") and len(args) == 2:
        for part, factor in ((args[0], args[1]), *(((args[1], args[0]),) if name == "mul" else ())):
            plain = not isinstance(factor, Tensor) or (factor.numel() == 1 and not touch.depends(factor) & WEIGHTS)
            if isinstance(part, Tensor) and plain and touch.depends(part) & WEIGHTS:
                return _split(touch, part, _then(apply, _scaled(name, factor)), depth + 1)
    if name in ("mean", "sum") and value.ndim == 0 and isinstance(args[0], Tensor) and args[0].ndim == 1:
        inner = touch.records.get(id(args[0]))
        if inner is not None and inner.name in ("add", "sub", "rsub"):
            reduce: Apply = torch.mean if name == "mean" else torch.sum
            return _split(touch, args[0], _then(apply, reduce), depth + 1)
    if name in ALIKE_SCALARS and isinstance(args[0], Tensor) and args[0].numel() == 1 == value.numel():
        return _split(touch, args[0], apply, depth + 1)
    return [Addend(value, apply)]


ALIKE_SCALARS = ("squeeze", "to", "float", "double", "view", "reshape", "clone", "mean", "sum")
"""Calls that leave a single number as it is."""


def _then(outer: Apply, inner: Apply) -> Apply:
    return lambda value: outer(inner(value))


def _signed(sign: int, shape: torch.Size) -> Apply:
    return lambda value: (value if sign > 0 else -value).expand(shape)


def _scaled(name: str, factor: float | Tensor) -> Apply:
    return (lambda value: value * factor) if name == "mul" else (lambda value: value / factor)


def gaussian_of(touch: Touch, part: Tensor) -> Gaussian | None:
    """Mean and spread of the code whose KL `part` is, up to a factor; None where it is none.

    The derivative of the KL is the mean itself, and a function of the spread alone: Kingma & Welling 2014,
    appendix B.
    """
    if not part.requires_grad or touch.compared_in(part):
        return None
    rows = [
        one for one in touch.behind(part)
        if one.ndim >= 1 and one.numel() > 1 and one.requires_grad and touch.depends(one) == DATA | WEIGHTS
        and one.is_floating_point()
    ]  # fmt: skip
    if len(rows) < 2:
        return None
    total = part if part.ndim == 0 else part.sum()
    grads = torch.autograd.grad(total, rows, retain_graph=True, allow_unused=True)
    slopes = [(one, grad) for one, grad in zip(rows, grads, strict=True) if grad is not None and bool(grad.any())]
    means = [(one, factor) for one, grad in slopes if (factor := _factor(one.detach(), grad))]
    for spread, grad in reversed(slopes):
        for form, (slope, _) in SPREADS.items():
            factor = _factor(slope(spread.detach()), grad)
            for mean, other in means if factor else ():
                if mean.shape == spread.shape and mean is not spread and abs(factor - other) <= 0.01 * abs(other):
                    return Gaussian(mean, spread, form)
    return None


def _factor(expected: Tensor, grad: Tensor) -> float:
    """The one factor between what a gradient should be and what it is; 0.0 where there is none."""
    expected, grad = expected.double().flatten(), grad.double().flatten()
    size = float(grad.abs().max())
    square = float(expected.square().sum())
    if not size or not square or not bool(torch.isfinite(expected).all() and torch.isfinite(grad).all()):
        return 0.0
    factor = float((expected * grad).sum()) / square
    return factor if float((grad - factor * expected).abs().max()) <= CLOSE * size else 0.0


@dataclass(frozen=True)
class Parts:
    """A loss taken apart: its terms by name, in order, and the Gaussian code of a KL among them."""

    terms: dict[str, Tensor]
    gaussian: Gaussian | None = None
    plan: tuple[str, ...] = ()
    """The name of each addend, in order."""


def parts_of(
    touch: Touch,
    loss: Tensor,
    main: int | None,
    named: Sequence[tuple[str, Tensor]] = (),
    plan: Sequence[str] = (),
) -> Parts:
    """Take a loss apart.

    Args:
        main: number of the comparison that is the reconstruction; None where none was found.
        named: further numbers that the step returned, with their names; terms that agree with one are called so.
        plan: names of the addends where they are known from before.
    """
    terms: dict[str, Tensor] = {}
    gaussian: Gaussian | None = None
    names: list[str] = []
    found = addends(touch, loss)
    if plan and len(plan) != len(found):
        return Parts({RECONSTRUCTION: loss})
    for place, one in enumerate(found):
        core, name = one.core, ""
        if plan:
            terms[plan[place]] = terms[plan[place]] + one.value if plan[place] in terms else one.value
            continue
        bits = touch.compared_in(core)
        if bits and main is not None:
            name = RECONSTRUCTION
        elif not touch.depends(core) & WEIGHTS:
            name = "constant"
        elif (code := gaussian_of(touch, core)) is not None:
            gaussian, name = gaussian or code, KL
        elif touch.matched_in(core):
            name = MATCHING
        else:
            name = _name(one, named) or ("penalty" if "penalty" not in terms else f"penalty {len(terms)}")
        names.append(name)
        terms[name] = terms[name] + one.value if name in terms else one.value
    if RECONSTRUCTION not in terms:
        return Parts({RECONSTRUCTION: loss})
    return Parts(terms, gaussian, tuple(names))


def _name(one: Addend, named: Sequence[tuple[str, Tensor]]) -> str:
    for name, value in named:
        if any(bool(torch.isclose(value.detach().float(), other.detach().float(), rtol=1e-4).all())
               for other in (one.core, one.value) if other.numel() == 1):  # fmt: skip
            return name
    return ""
