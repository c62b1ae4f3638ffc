"""Weights as they were found, and which of them the first backward pass and the optimizer reach."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from aetui.diagnosis.loop import Loop, leaves_of
from aetui.models.units import weight_layers
from aetui.training.step import joint_norm


@dataclass(frozen=True)
class Weight:
    """One weight matrix as it was found."""

    name: str
    gain: float
    """Root mean square times the root of the fan in, and once more where the mean makes up most of it; PyTorch's
    default has 0.58, He's 1.41."""
    same: bool
    """Whether all units have the same weights."""
    zero: bool


@dataclass(frozen=True)
class Gradients:
    """Which parameters the first backward pass reaches."""

    none: tuple[str, ...]
    """Of modules that the forward calls, but without gradient."""
    frozen: tuple[str, ...]
    """With requires_grad False."""
    outside: tuple[str, ...]
    """Not in the optimizer."""
    unregistered: int
    """Numbers in parameters that the model computes with and does not list."""
    total: int
    """Numbers in all parameters of called modules."""
    lost: int
    """Numbers in parameters that do not train."""
    norms: dict[str, float]
    unreachable: bool
    """Whether the loss depends on no parameter at all."""
    apart: tuple[str, ...] = ()
    """Of layers that the reconstruction is made of, without a gradient of it."""
    unmoved: tuple[str, ...] = ()
    """In a group of the optimizer whose rate is 0, where others have one."""

    def with_apart(self, apart: tuple[str, ...], sizes: dict[str, int]) -> Gradients:
        """The same, with layers that the reconstruction does not train counted among what does not train."""
        new = [name for name in apart if name not in (*self.none, *self.frozen, *self.outside, *self.unmoved)]
        return replace(self, apart=apart, lost=self.lost + sum(sizes[name] for name in new))

    def without(self, trained: set[str], sizes: dict[str, int]) -> Gradients:
        """The same, where parameters are known to get a gradient that this pass does not give."""
        reached = [name for name in self.none if name in trained]
        back = [name for name in reached if name not in (*self.frozen, *self.outside, *self.unmoved, *self.apart)]
        none = tuple(name for name in self.none if name not in trained)
        return replace(self, none=none, lost=self.lost - sum(sizes[name] for name in back))


def measure_weights(model: nn.Module) -> tuple[Weight, ...]:
    """Every weight matrix; embeddings and normalizations are left out."""
    found: list[Weight] = []
    matrices = {id(module.weight) for _, module in weight_layers(model) if isinstance(module.weight, Tensor)}
    normalizing = {
        id(p) for module in model.modules() if "Norm" in type(module).__name__ or isinstance(module, nn.Embedding)
        for p in module.parameters(recurse=False)
    }  # fmt: skip
    kind = nn.modules.conv._ConvTransposeNd
    transposed = {id(module.weight) for module in model.modules() if isinstance(module, kind)}
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2 or id(parameter) in normalizing or isinstance(parameter, nn.UninitializedParameter):
            continue
        if id(parameter) not in matrices and min(parameter.shape[0], parameter[0].numel()) < 2:
            continue
        matrix = parameter.detach().float().reshape(len(parameter), -1)
        root = math.sqrt(matrix.shape[1])
        size = float(matrix.abs().max())
        units = parameter.detach().float().movedim(1, 0).flatten(1) if id(parameter) in transposed else matrix
        same = len(units) > 1 and float((units - units[0]).abs().max()) <= 1e-7 * size
        rms = float(matrix.square().mean().sqrt())
        gain = rms * root
        if rms and abs(float(matrix.mean())) > 0.5 * rms:
            # Weights with a mean of their own add up over the inputs instead of cancelling.
            gain *= abs(float(matrix.mean())) / rms * root
        found.append(Weight(name, gain, same, size == 0.0))
    return tuple(found)


def measure_gradients(loop: Loop, terms: dict[str, Tensor], called: set[str]) -> tuple[Gradients, dict[str, float]]:
    named = dict(loop.model.named_parameters())
    parameters = list(named.values())
    norms: dict[str, float] = {}
    leaves: dict[int, Tensor] = {}
    reached: set[int] = set()
    grads: dict[str, float] = {}
    total = sum(terms.values(), start=torch.zeros((), device=loop.inputs.device)) if terms else None
    wanted = [p for p in parameters if p.requires_grad]
    if total is not None and total.requires_grad and wanted:
        leaves = leaves_of(total)
        for name, term in terms.items():
            if term.requires_grad:
                parts = torch.autograd.grad(term, wanted, retain_graph=True, allow_unused=True)
                present = [part for part in parts if part is not None]
                norms[name] = float(joint_norm(present)) if present else 0.0
        total.backward()
        for name, parameter in named.items():
            if parameter.grad is not None:
                reached.add(id(parameter))
                grads[name] = float(torch.linalg.vector_norm(parameter.grad))
    trained = {id(p) for p in loop.trained}
    owners = {
        name: owner for owner, module in loop.model.named_modules()
        for name in (f"{owner}.{own}" if owner else own for own, _ in module.named_parameters(recurse=False))
    }  # fmt: skip
    used = {name for name in named if owners.get(name, "") in called or id(named[name]) in leaves}
    frozen = tuple(name for name in used if not named[name].requires_grad)
    none = tuple(name for name in used if named[name].requires_grad and id(named[name]) not in reached and leaves)
    outside = tuple(name for name in used if id(named[name]) not in trained and named[name].requires_grad)
    rates = {id(p): group["lr"] for group in loop.optimizer.param_groups for p in group["params"]}
    resting = loop.subject.follow is None and any(rates.values())
    unmoved = tuple(name for name in used if resting and rates.get(id(named[name])) == 0 and name not in frozen)
    registered = {id(p) for p in parameters}
    unregistered = sum(t.numel() for key, t in leaves.items() if key not in registered and key not in trained)
    lost = {*frozen, *none, *outside, *unmoved}
    order = {name: place for place, name in enumerate(named)}
    gradients = Gradients(
        none=tuple(sorted(none, key=order.__getitem__)),
        frozen=tuple(sorted(frozen, key=order.__getitem__)),
        outside=tuple(sorted(outside, key=order.__getitem__)),
        unregistered=unregistered,
        total=sum(named[name].numel() for name in used) + unregistered,
        lost=sum(named[name].numel() for name in lost) + unregistered,
        norms=grads,
        unreachable=bool(terms) and not (total is not None and total.requires_grad),
        unmoved=tuple(sorted(unmoved, key=order.__getitem__)),
    )
    return gradients, norms


def first_update(loop: Loop) -> float | None:
    """Norm of the first update over the norm of all parameters, by taking it on the copy."""
    trained = [p for p in loop.trained if p.grad is not None]
    if not trained or any(not torch.isfinite(p.grad).all() for p in trained if p.grad is not None):
        return None
    before = [p.detach().clone() for p in trained]
    loop.optimizer.step()
    moved = joint_norm([p.detach() - old for p, old in zip(trained, before, strict=True)])
    norm = float(joint_norm(before))
    return float(moved) / norm if norm else None
