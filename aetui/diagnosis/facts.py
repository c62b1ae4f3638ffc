"""What is known before the first step: data, output layer, loss, weights, gradients."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from aetui.diagnosis.loop import Loop, leaves_of
from aetui.diagnosis.observe import Activity, Fit, fit, measured, probe_rows, watching
from aetui.diagnosis.outputs import Output
from aetui.diagnosis.subject import KL, RECONSTRUCTION, Subject
from aetui.gauges.floors import principal_components
from aetui.models.base import TiedLinear
from aetui.models.moments import feature_variance
from aetui.models.returned import LOG_VARIANCES, MEANS
from aetui.models.units import weight_layers

SAMPLE = 2048
"""Rows from which the data's figures and principal components are taken."""
NARROW = 1024
"""Rows that are enough where there are more features than that."""

RANGES: dict[str, tuple[float, float]] = {
    "sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0), "relu": (0.0, math.inf), "softmax": (0.0, 1.0),
    "log_softmax": (-math.inf, 0.0), "softplus": (0.0, math.inf), "logsigmoid": (-math.inf, 0.0),
    "hardtanh": (-1.0, 1.0), "hardsigmoid": (0.0, 1.0), "elu": (-1.0, math.inf),
    "recurrent": (-1.0, 1.0),
}  # fmt: skip
"""What an output activation can produce."""
_NODES = {
    "Sigmoid": "sigmoid", "Tanh": "tanh", "Relu": "relu", "Softmax": "softmax", "LogSoftmax": "log_softmax",
    "Softplus": "softplus", "LogSigmoid": "logsigmoid", "Hardtanh": "hardtanh", "Hardsigmoid": "hardsigmoid",
    "Elu": "elu", "Clamp": "clamp", "ClampMin": "clamp", "ClampMax": "clamp",
}  # fmt: skip
_TRANSPARENT = (
    "View", "Reshape", "Squeeze", "Unsqueeze", "Permute", "Transpose", "T", "Clone", "Alias", "Unflatten", "Expand",
    "Slice", "Select", "Stack", "Cat", "Unbind", "Split", "Copy", "UnsafeView", "AsStrided", "Contiguous",
    "Upsample", "Narrow", "MoveAxis", "Flip", "Index",
)  # fmt: skip


@dataclass(frozen=True)
class Data:
    """The rows that are trained on, in the caller's units; figures over all values unless per feature."""

    rows: int
    features: int
    bad: int
    """Values that are NaN or infinite."""
    low: float
    high: float
    mean: float
    std: float
    offset: float
    """Norm of the feature means over the norm of their standard deviations."""
    uneven: float
    """Ratio of the 95th to the 5th percentile of the features' ranges, among those that vary: seldom lit pixels
    have small variances, but the range of the others."""
    constant: int
    """Features that do not vary."""
    integers: bool
    binary: bool
    distinct: int
    """Different rows among those looked at."""
    outliers: float
    """Norm of the largest row, from the mean, over that of the median row."""


@dataclass(frozen=True)
class Linear:
    """What PCA explains, by width of the code."""

    width: int | None
    explained: float | None
    """With as many components as the code is wide."""
    features: float | None
    """The same, as the mean over features (each at least 0)."""
    standardized: float | None
    """The mean over features with PCA of the standardized data."""
    wider: dict[int, float] = field(default_factory=dict)
    """Explained variance with more components, by their number."""
    variances: tuple[float, ...] = ()
    """Share of the total variance along each of the leading components."""
    total: float = 0.0
    """Variance summed over the features."""


@dataclass(frozen=True)
class Weight:
    """One weight matrix as it was found."""

    name: str
    std: float
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


@dataclass(frozen=True)
class Facts:
    """Everything known before the first step."""

    data: Data
    linear: Linear
    output: str
    """Output activation, '' for none or one that bounds nothing."""
    output_index: int | None
    """Its number among the forward's activations."""
    low: float
    high: float
    """What it can produce, as the loss compares it."""
    outside: float
    """Share of the target values beyond that."""
    reach: float
    """Explained variance of the targets cut to that range: the most that such outputs can explain."""
    shape: tuple[int, ...]
    target_shape: tuple[int, ...]
    fit: Fit
    activities: tuple[Activity, ...]
    weights: tuple[Weight, ...]
    gradients: Gradients
    terms: dict[str, float]
    term_norms: dict[str, float]
    """Gradient norm of each part of the loss."""
    perfect: float | None
    """Loss of a perfect copy."""
    better: float | None
    """Least loss found around a perfect copy, where that is lower."""
    better_text: str
    loss_error: str
    """What the loss raised, '' if it did not."""
    handles_shape: bool
    """Whether the loss itself brings output and target into one shape."""
    beta: float | None
    """Weight of the KL against the summed reconstruction, as in a beta-VAE."""
    kl_summed: float | None
    variational: bool
    noise: dict[str, float]
    """Standard deviation over train-mode passes of the output, over the data's; and shares dropped."""
    batch_norms: tuple[tuple[str, float | None], ...]
    """Batch normalizations and their momentum."""
    lr: float
    options: dict[str, Any]
    update: float | None
    """Norm of the first update over the norm of the parameters."""
    recurrent: bool
    dense: bool
    """Whether all of its weights are in dense layers."""


def output_activation(reconstruction: Tensor) -> str:
    """The activation that the reconstruction comes from, read off its autograd graph; '' for any other."""
    return _output_node(reconstruction)[0]


def _output_node(reconstruction: Tensor) -> tuple[str, Any]:
    node: Any = reconstruction.grad_fn
    for _ in range(32):
        if node is None:
            return "", None
        name = type(node).__name__.removesuffix("Backward0").removesuffix("Backward1").removesuffix("Backward")
        found = _NODES.get(name)
        if found:
            return found, node
        if not any(name.startswith(kind) for kind in _TRANSPARENT):
            return "", None
        node = next((parent for parent, _ in node.next_functions if parent is not None), None)
    return "", None


def output_range(reconstruction: Tensor, kind: str) -> tuple[float, float]:
    """What an output activation `kind` can produce, with the bounds that it was called with."""
    low, high = RANGES.get(kind, (-math.inf, math.inf))
    node = _output_node(reconstruction)[1]
    if kind == "hardtanh":
        return float(node._saved_min_val), float(node._saved_max_val)
    if kind == "clamp":
        # A bound that was not given is missing or None, by PyTorch's node for the call.
        least, most = getattr(node, "_saved_min", None), getattr(node, "_saved_max", None)
        return (low if least is None else float(least)), (high if most is None else float(most))
    if kind == "elu":
        return -float(node._saved_alpha) * float(node._saved_scale), high
    return low, high


def _outliers(x: Tensor) -> float:
    flat = x.reshape(len(x), -1)
    flat = flat[torch.isfinite(flat).all(1)].float()
    if len(flat) < 4:
        return 1.0
    sizes = torch.linalg.vector_norm(flat - flat.median(0).values, dim=1)
    middle = float(sizes.median())
    return float(sizes.max()) / middle if middle else 1.0


@contextmanager
def _recurrent_outputs(model: nn.Module) -> Iterator[list[Tensor]]:
    """The hidden states that recurrent layers return during a forward; they lie in -1..1."""
    found: list[Tensor] = []

    def note(module: nn.Module, _inputs: object, output: Any) -> None:
        if getattr(module, "nonlinearity", "tanh") == "tanh" and not getattr(module, "proj_size", 0):
            found.extend(one for one in _tensors(output))

    kinds = (nn.RNNBase, nn.RNNCellBase)
    hooks = [module.register_forward_hook(note) for module in model.modules() if isinstance(module, kinds)]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    return [one for part in value for one in _tensors(part)] if isinstance(value, tuple | list) else []


def _is_one_of(tensor: Tensor, others: list[Tensor]) -> bool:
    return any(one.untyped_storage().data_ptr() == tensor.untyped_storage().data_ptr() for one in others)


def measure_data(x: Tensor) -> Data:
    """Figures of [rows, ...]."""
    flat = x.reshape(len(x), -1)
    finite = torch.isfinite(flat)
    bad = int((~finite).sum())
    if bad:
        flat = flat[finite.all(1)] if int(finite.all(1).sum()) > 1 else flat.nan_to_num(0.0, 0.0, 0.0)
    flat = flat[probe_rows(len(flat), SAMPLE).to(flat.device)].double()
    variance = feature_variance(flat)
    spread = (flat.amax(0) - flat.amin(0))[variance > 0].sort().values
    uneven = 1.0
    if len(spread) > 1:
        uneven = float(spread[int(0.95 * (len(spread) - 1))] / spread[int(0.05 * (len(spread) - 1))])
    total = float(variance.sum())
    offset = math.sqrt(float(flat.mean(0).square().sum()) / total) if total else math.inf
    integers = bool((flat == flat.round()).all())
    return Data(
        rows=len(x), features=flat.shape[1], bad=bad,
        low=float(flat.min()), high=float(flat.max()), mean=float(flat.mean()), std=float(flat.std(correction=0)),
        offset=offset, uneven=uneven, constant=int((variance == 0).sum()), integers=integers,
        binary=integers and float(flat.min()) >= 0 and float(flat.max()) <= 1,
        distinct=len(torch.unique(flat[:512], dim=0)), outliers=_outliers(x),
    )  # fmt: skip


def measure_linear(x: Tensor, width: int | None) -> Linear:
    """What PCA of [rows, ...] explains with a code of `width`."""
    flat = x.reshape(len(x), -1)
    rows = SAMPLE if min(SAMPLE, flat.shape[1]) <= NARROW else min(SAMPLE, max(NARROW, 4 * (width or 1)))
    flat = flat[probe_rows(len(flat), rows).to(flat.device)]
    flat = flat[torch.isfinite(flat).all(1)].double().cpu()
    if width is None or len(flat) < 4:
        return Linear(width, None, None, None)
    if width >= min(flat.shape):
        return Linear(width, 1.0, 1.0, 1.0)
    variance = feature_variance(flat)
    total = float(variance.sum())
    if not total:
        return Linear(width, None, None, None)
    centered = flat - flat.mean(0)
    varies = variance > 0
    along, directions = _components(centered)
    shares = (along / total).cumsum(0)
    scaled = _components(centered[:, varies] / variance[varies].sqrt())
    more = [count for count in (2 * width, 4 * width, 8 * width) if count < min(flat.shape)]
    return Linear(
        width,
        explained=float(shares[width - 1]),
        features=_per_feature(along, directions[varies], variance[varies], width),
        standardized=_per_feature(*scaled, torch.ones(int(varies.sum()), dtype=torch.float64), width),
        wider={count: float(shares[count - 1]) for count in more},
        variances=tuple((along[:width] / total).tolist()),
        total=total,
    )


def _components(centered: Tensor) -> tuple[Tensor, Tensor]:
    """Variances along the principal components, largest first, and their directions, [features, components]."""
    rows, features = centered.shape
    if features <= rows:
        values, vectors = torch.linalg.eigh(centered.T @ centered / rows)
        return values.flip(0).clamp(min=0), vectors.flip(1)
    values, vectors = torch.linalg.eigh(centered @ centered.T / rows)
    directions = torch.nn.functional.normalize(centered.T @ vectors.flip(1), dim=0)
    return values.flip(0).clamp(min=0), directions


def _per_feature(along: Tensor, directions: Tensor, variance: Tensor, width: int) -> float:
    """Mean over the features of what the leading components explain of each."""
    explained = (directions[:, :width].square() * along[:width]).sum(1) / variance
    return float(explained.clamp(0, 1).mean())


def held_out_linear(train: Tensor, held: Tensor, width: int | None) -> float | None:
    """Explained variance on `held`, [rows, ...], of PCA fitted to `train`."""
    if width is None:
        return None
    x, other = train.reshape(len(train), -1).double().cpu(), held.reshape(len(held), -1).double().cpu()
    mean = x.mean(0)
    components = principal_components((x - mean)[probe_rows(len(x), SAMPLE)], min(width, *x.shape))
    centered = other - mean
    return fit(mean + centered @ components @ components.T, other).explained


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
        std = float(matrix.std(correction=0)) if matrix.numel() > 1 else 0.0
        root = math.sqrt(matrix.shape[1])
        size = float(matrix.abs().max())
        units = parameter.detach().float().movedim(1, 0).flatten(1) if id(parameter) in transposed else matrix
        same = len(units) > 1 and float((units - units[0]).abs().max()) <= 1e-7 * size
        rms = float(matrix.square().mean().sqrt())
        gain = rms * root
        if rms and abs(float(matrix.mean())) > 0.5 * rms:
            # Weights with a mean of their own add up over the inputs instead of cancelling.
            gain *= abs(float(matrix.mean())) / rms * root
        found.append(Weight(name, std, gain, same, size == 0.0))
    return tuple(found)


def gather(subject: Subject, known: Facts | None = None) -> Facts:
    """Run one batch forward and backward through a copy and measure what can be known from it.

    Args:
        known: of the same model and data under other settings, which is then not measured again.

    Raises:
        RuntimeError, ValueError, TypeError: the model or the loss can't compute this batch at all.
    """
    data = known.data if known else measure_data(subject.targets)
    loop = Loop(subject)
    rows = probe_rows(subject.rows, min(subject.rows, max(2, min(subject.batch_size or 256, 256))))
    x, target = subject.inputs[rows], subject.targets[rows]
    loop.model.train()
    with loop.randomness.own():
        with watching(loop.model) as watcher, _recurrent_outputs(loop.model) as recurrent:
            output = loop.forward(x, target)
        made = output.reconstruction
        kind = output_activation(made) or ("recurrent" if _is_one_of(made, recurrent) else "")
        index = None
        if kind:
            index = next(
                (
                    call.index
                    for call in reversed(watcher.calls)
                    if call.kind == kind or (kind == "hardtanh" and call.kind in ("clamp", "tanh"))
                ),
                None,
            )
        terms, error = _terms(loop, output, target)
        gradients, norms = _gradients(loop, terms, watcher.called)
        update = _first_update(loop)
    at_start, activities = (known.fit, known.activities) if known else _at_start(subject)
    low, high = output_range(made, kind)
    finite = target[torch.isfinite(target)]
    slack = 1e-3 * max(1e-12, float(finite.max() - finite.min())) if finite.numel() else 0.0
    outside = float(((finite < low - slack) | (finite > high + slack)).double().mean()) if finite.numel() else 0.0
    if subject.loss.kind == "bce_logits":
        low, high = 0.0, 1.0
        outside = float(((finite < -slack) | (finite > 1 + slack)).double().mean()) if finite.numel() else 0.0
    reach = _reach(subject.targets, low, high, kind)
    perfect, better, text = _perfect(loop, made, finite, target)
    group = loop.optimizer.param_groups[0]
    kl = _true_kl(loop.model, output)
    noise_kinds = {place for place, _ in watcher.noise}
    return Facts(
        data=data,
        linear=known.linear if known else measure_linear(subject.targets, subject.code_width),
        output=kind, output_index=index, low=low, high=high, outside=outside, reach=reach,
        shape=tuple(made.shape), target_shape=tuple(target.shape),
        fit=at_start,
        activities=activities,
        weights=known.weights if known else measure_weights(subject.model),
        gradients=gradients,
        terms={name: float(term.detach()) for name, term in terms.items()},
        term_norms=norms,
        perfect=perfect, better=better, better_text=text, loss_error=error,
        handles_shape=_handles_shape(loop, output, target),
        beta=_beta(subject, terms, output, target, kl),
        kl_summed=None if kl is None else float(kl.detach()),
        variational=kl is not None or KL in subject.penalties or (bool(subject.penalties) and "noise" in noise_kinds),
        noise=_noise(subject, x, target, noise_kinds),
        batch_norms=tuple(
            (name, module.momentum) for name, module in subject.model.named_modules()
            if isinstance(module, nn.modules.batchnorm._BatchNorm)
        ),
        lr=float(group["lr"]),
        options={key: value for key, value in group.items() if isinstance(value, int | float | tuple) and key != "params"},
        update=update,
        dense=all(isinstance(module, nn.Linear | TiedLinear) for _, module in weight_layers(subject.model)),
        recurrent=any(isinstance(module, nn.RNNBase | nn.RNNCellBase) for module in subject.model.modules()),
    )  # fmt: skip


def _at_start(subject: Subject) -> tuple[Fit, tuple[Activity, ...]]:
    """The outputs and the units of the initial model, in eval mode."""
    loop, rows = Loop(subject), probe_rows(subject.rows)
    x, target = subject.inputs[rows], subject.targets[rows]
    made = fit(loop.reconstruct(x, target), target.flatten(1))
    with loop.looking(), watching(loop.model) as watcher:
        again = loop.forward(x, target).reconstruction
    return made, measured(watcher, again)


def _reach(targets: Tensor, low: float, high: float, kind: str) -> float:
    if kind in ("softmax", "log_softmax"):
        flat = targets[probe_rows(len(targets)).to(targets.device)].flatten(1).nan_to_num(0.0, 0.0, 0.0)
        shares = flat.clamp(min=0) / flat.clamp(min=0).sum(1, keepdim=True).clamp(min=1e-12)
        return fit(shares, flat).explained
    if math.isinf(low) and math.isinf(high):
        return 1.0
    flat = targets[probe_rows(len(targets)).to(targets.device)].flatten(1)
    flat = flat[torch.isfinite(flat).all(1)]
    return fit(flat.clamp(low, high), flat).explained if len(flat) > 1 else 1.0


def _terms(loop: Loop, output: Output, target: Tensor) -> tuple[dict[str, Tensor], str]:
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


def _gradients(loop: Loop, terms: dict[str, Tensor], called: set[str]) -> tuple[Gradients, dict[str, float]]:
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
                norms[name] = (
                    float(torch.linalg.vector_norm(torch.stack(torch._foreach_norm(present)))) if present else 0.0
                )
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
    registered = {id(p) for p in parameters}
    unregistered = sum(t.numel() for key, t in leaves.items() if key not in registered and key not in trained)
    lost = {*frozen, *none, *outside}
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
    )
    return gradients, norms


def _first_update(loop: Loop) -> float | None:
    """Norm of the first update over the norm of all parameters, by taking it on the copy."""
    trained = [p for p in loop.trained if p.grad is not None]
    if not trained or any(not torch.isfinite(p.grad).all() for p in trained if p.grad is not None):
        return None
    before = [p.detach().clone() for p in trained]
    loop.optimizer.step()
    moved = torch.stack(torch._foreach_norm([p.detach() - old for p, old in zip(trained, before, strict=True)]))
    size = torch.stack(torch._foreach_norm(before))
    norm = float(torch.linalg.vector_norm(size))
    return float(torch.linalg.vector_norm(moved)) / norm if norm else None


def _perfect(loop: Loop, made: Tensor, finite: Tensor, target: Tensor) -> tuple[float | None, float | None, str]:
    """The loss of a perfect copy of the targets, and a lower one near it.

    A loss for reconstruction is least where output and target agree. Outputs may be logits, so
    these are tried too; only a loss that rewards leaving both is out of its domain.
    """
    if not finite.numel() or loop.subject.takes_raw or made.shape != target.shape:
        return None, None, ""
    target = target.nan_to_num(0.0, 0.0, 0.0)
    spread = max(float(target.std()), 1e-6)
    copies = {"a perfect copy": target}
    if float(target.min()) >= 0 and float(target.max()) <= 1:
        copies["its logits"] = torch.logit(target, eps=1e-4)
    best: tuple[float, float, str] | None = None
    with torch.no_grad():
        for name, copy in copies.items():
            value = _loss_at(loop, copy, target)
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
            found = {text: _loss_at(loop, other, target) for text, other in nearby.items()}
            lower = {text: other for text, other in found.items() if other is not None}
            if not lower:
                continue
            text, least = min(lower.items(), key=lambda item: item[1])
            margin = 0.02 * max(abs(value), abs(least), 1e-9)
            if least >= value - margin:
                return value, None, ""
            if best is None or value - least < best[0] - best[1]:
                best = value, least, f"{name} {text}"
    return (best[0], best[1], best[2]) if best else (None, None, "")


def _loss_at(loop: Loop, output: Tensor, target: Tensor) -> float | None:
    try:
        value = float(loop.bound.loss(Output(output, output), target))
    except (RuntimeError, ValueError, TypeError, IndexError, AttributeError):
        return None
    return value if math.isfinite(value) else None


def _handles_shape(loop: Loop, output: Output, target: Tensor) -> bool:
    """Whether the loss itself brings output and target into one shape, tried on random outputs in 0..1."""
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


def _true_kl(model: nn.Module, output: Output) -> Tensor | None:
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


def _beta(
    subject: Subject, terms: dict[str, Tensor], output: Output, target: Tensor, kl: Tensor | None
) -> float | None:
    """Weight of the KL summed over the code, against half the squared error summed over the features.

    For a cross-entropy, against the cross-entropy summed over the features. None where there is no
    KL or it can't be told apart.
    """
    reconstruction = terms.get(RECONSTRUCTION)
    weighted = terms.get(KL)
    if weighted is None and kl is not None and len(subject.penalties) == 1:
        weighted = terms.get(next(iter(subject.penalties)))
    if reconstruction is None or weighted is None or output.reconstruction.numel() != target.numel():
        return None
    made = output.reconstruction.detach().reshape(target.shape)
    if subject.loss.kind in ("bce", "bce_logits"):
        summed = float(reconstruction.detach()) * (1 if subject.loss.summed else target[0].numel())
    else:
        summed = 0.5 * float((made - target).square().flatten(1).sum(1).mean())
    factor = float(reconstruction.detach()) / summed if summed else 0.0
    if kl is None or not factor:
        return None
    true = float(kl.detach())
    return float(weighted.detach()) / true / factor if abs(true) > 1e-9 else None


def _noise(subject: Subject, x: Tensor, target: Tensor, kinds: set[str]) -> dict[str, float]:
    """Dropped share, and how much train-mode passes over the same rows differ, in standard deviations of the data."""
    found: dict[str, float] = {}
    dropped = [float(m.p) for m in subject.model.modules() if isinstance(m, nn.modules.dropout._DropoutNd)]
    if dropped or "dropout" in kinds:
        found["dropout"] = max(dropped, default=0.0)
    if "noise" in kinds:
        loop = Loop(subject)
        with loop.looking(train=True):
            first, second = (loop.forward(x, target).reconstruction for _ in range(2))
        found["noise"] = float((first - second).std()) / max(float(target.std()), 1e-12)
    return found
