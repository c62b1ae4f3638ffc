"""Plans of runs: healthy ones drawn at random, and the arguments of `aetui.diagnose` that a plan stands for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import lr_scheduler

from evaluation import architectures, datasets
from evaluation.architectures import ModelPlan
from evaluation.datasets import DataPlan
from evaluation.networks import Hidden

_CLASSES: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "nadam": torch.optim.NAdam,
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
    "adadelta": torch.optim.Adadelta,
}
RATES: dict[str, tuple[float, float]] = {
    "adam": (1e-3, 4e-3),
    "adamw": (1e-3, 4e-3),
    "nadam": (1e-3, 3e-3),
    "rmsprop": (7e-4, 2e-3),
    "momentum": (0.1, 0.5),
    "adagrad": (0.02, 0.06),
}
"""Learning rates at which the optimizer usually works; `momentum` is SGD with momentum 0.9."""


@dataclass(frozen=True)
class Plan:
    """Everything a case hands to `aetui.diagnose`, as plain values."""

    data: DataPlan
    model: ModelPlan
    loss: str = "mse"
    """A name, `module:NAME` for a module of torch.nn, `function:NAME` for a lambda, `cross-entropy`, `kl-div`."""
    kl: float = 0.0
    """Weight of the KL, summed over the code and averaged over the batch."""
    optimizer: str = "adam"
    written: str = "name"
    """How the optimizer is given: `name`, `class`, `callable`."""
    part: str = ""
    """Which parameters a callable optimizer takes: `first`, `last-only`; '' for all."""
    lr: float = 1e-3
    options: dict[str, Any] = field(default_factory=dict)
    batch_size: int = 64
    steps: int = 1500
    """Length of the training by which the case was checked."""
    given: bool = True
    """Whether that length is told to the diagnosis."""
    seed: int = 0
    penalty: tuple[str, float] | None = None
    schedule: tuple[str, float] | None = None
    """A key of `SCHEDULES` with its number; a turn after each step."""
    scaling: str | None = None
    clip: float | None = None
    held_out: int = 0
    """Rows set apart as validation."""
    dtype: str = "float32"
    """Of weights and data."""


def arguments(plan: Plan) -> dict[str, Any]:
    """The keyword arguments of `aetui.diagnose`."""
    table = datasets.values(plan.data)
    shape = datasets.raw(replace(plan.data, rows=8)).shape[1:]
    kwargs: dict[str, Any] = {
        "model": architectures.build(plan.model, shape).to(getattr(torch, plan.dtype)),
        "data": table[: len(table) - plan.held_out],
        "loss": _loss(plan),
        "batch_size": plan.batch_size,
        "steps": plan.steps if plan.given else None,
        "seed": plan.seed,
    }
    if plan.held_out:
        kwargs["validation"] = table[len(table) - plan.held_out :]
    if plan.schedule is not None:
        kwargs["scheduler"], kwargs["scheduler_each"] = _scheduler(plan, *plan.schedule), "step"
    if plan.written == "callable":
        kwargs["optimizer"] = _callable(plan)
    else:
        kwargs["optimizer"] = plan.optimizer if plan.written == "name" else _CLASSES[plan.optimizer]
        kwargs["lr"] = plan.lr
        if plan.options:
            kwargs["optimizer_options"] = dict(plan.options)
    penalty = _penalty(plan)
    for name, value in (("penalty", penalty), ("scaling", plan.scaling), ("clip", plan.clip)):
        if value is not None:
            kwargs[name] = value
    return kwargs


def _callable(plan: Plan) -> Callable[[Any], torch.optim.Optimizer]:
    kind, lr, options, part = _CLASSES[plan.optimizer], plan.lr, dict(plan.options), plan.part

    def optimizer(parameters: Any) -> torch.optim.Optimizer:
        chosen = list(parameters)
        if part == "first":
            chosen = chosen[: max(1, len(chosen) // 2)]
        elif part == "last-only":
            chosen = chosen[-1:]
        return kind(chosen, lr=lr, **options)

    return optimizer


SCHEDULES: dict[str, Callable[[torch.optim.Optimizer, float, int], Any]] = {
    "exponential": lambda optimizer, number, _: lr_scheduler.ExponentialLR(optimizer, number),
    "drops": lambda optimizer, number, _: lr_scheduler.StepLR(optimizer, int(number), 0.1),
    "line": lambda optimizer, number, _: lr_scheduler.LinearLR(optimizer, 1.0, 0.0, int(number)),
    "factor": lambda optimizer, number, _: lr_scheduler.LambdaLR(optimizer, lambda _: number),
    "rise": lambda optimizer, number, _: lr_scheduler.LambdaLR(optimizer, lambda turn: min(1.0, turn / number)),
    "plateau": lambda optimizer, number, _: lr_scheduler.ReduceLROnPlateau(optimizer, factor=number, patience=0),
    "cosine": lambda optimizer, number, steps: lr_scheduler.CosineAnnealingLR(optimizer, int(number * steps)),
    "cycle": lambda optimizer, number, steps: lr_scheduler.OneCycleLR(
        optimizer, number * optimizer.param_groups[0]["lr"], int(steps) + 1
    ),
    "milestones": lambda optimizer, number, steps: lr_scheduler.MultiStepLR(
        optimizer, [int(0.5 * steps), int(0.75 * steps)], number
    ),
}
"""From an optimizer, a number and the length of the training to a scheduler of it."""


def _scheduler(plan: Plan, kind: str, number: float) -> Callable[[torch.optim.Optimizer], Any]:
    return lambda optimizer: SCHEDULES[kind](optimizer, number, plan.steps)


def _loss(plan: Plan) -> str | Callable[..., Tensor]:
    kind, _, name = plan.loss.rpartition(":")
    if plan.model.returns == "moments":
        return _elbo(name, plan.kl)
    if kind == "module":
        return {"mse": nn.MSELoss, "mae": nn.L1Loss, "bce": nn.BCELoss, "bce_logits": nn.BCEWithLogitsLoss}[name]()
    if kind == "function":
        return lambda output, target: ((output - target) ** 2).mean()
    if name == "cross-entropy":
        return nn.CrossEntropyLoss()
    return nn.KLDivLoss(reduction="batchmean") if name == "kl-div" else name


def _elbo(name: str, weight: float) -> Callable[..., Tensor]:
    """A user's loss on (reconstruction, mu, logvar)."""

    def loss(output: Any, target: Tensor) -> Tensor:
        recon, mu, logvar = output
        base = name.removesuffix("_sum")
        if base == "bce":
            term = nn.functional.binary_cross_entropy(recon, target, reduction="none")
        elif base == "bce_logits":
            term = nn.functional.binary_cross_entropy_with_logits(recon, target, reduction="none")
        else:
            term = (recon - target) ** 2
        rec = term.flatten(1).sum(1).mean() if name.endswith("_sum") else term.mean()
        return rec + weight * (-0.5 * (1 + logvar - mu.pow(2) - logvar.exp()).sum(1).mean())

    return loss


def _penalty(plan: Plan) -> Callable[[Any], Tensor] | None:
    if plan.model.family == "vae" and plan.model.keep:
        weight = plan.kl
        return lambda model: weight * model.kl
    if plan.model.entries:
        return lambda model: model.match
    if plan.penalty is None:
        return None
    kind, amount = plan.penalty
    match kind:
        case "l1":
            return lambda model: amount * torch.stack([p.abs().sum() for p in model.parameters()]).sum()
        case "l2":
            return lambda model: amount * torch.stack([p.pow(2).sum() for p in model.parameters()]).sum()
        case "activity-l1":
            return lambda model: amount * model.code.abs().sum(1).mean()
    return lambda model: amount * model.code.pow(2).sum(1).mean()


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A number whose logarithm is uniform, to three digits as people write it."""
    return float(f"{math.exp(rng.uniform(math.log(low), math.log(high))):.3g}")


def pick(rng: np.random.Generator, choices: Sequence[Any]) -> Any:
    """One of `choices`, as it is."""
    return choices[int(rng.integers(len(choices)))]


def draw(
    rng: np.random.Generator,
    base_seed: int,
    *,
    families: Sequence[str] = ("mlp", "mlp", "mlp", "conv", "vae", "odd", "odd", "recurrent"),
    styles: Sequence[str] = (),
    data: Sequence[str] = (),
    forms: Sequence[str] = (),
    activations: Sequence[str] = ("relu", "relu", "relu", "tanh", "leaky_relu", "elu", "gelu", "silu"),
    losses: Sequence[str] = (),
    optimizers: Sequence[str] = ("adam", "adam", "adam", "adamw", "nadam", "rmsprop", "momentum", "adagrad"),
    depths: Sequence[int] = (1, 1, 2, 2, 3),
    norms: Sequence[str] = ("none", "none", "none", "batch", "layer"),
    by_scaling: bool | None = None,
) -> Plan:
    """A run that should work, drawn within the given choices.

    Args:
        base_seed: all seeds of the plan are base_seed plus a number below 1,000,000.
        by_scaling: whether `diagnose` is to scale (True), the data come scaled (False), or either (None).
    """
    family = pick(rng, families)
    style = pick(rng, styles or architectures.STYLES[family])
    seeds = [base_seed + int(rng.integers(1_000_000)) for _ in range(3)]
    suited = _suited(family)
    name = pick(rng, [name for name in data if name in suited] or suited)
    form = pick(rng, forms or _forms(name))
    table = _data_plan(rng, name, form, seeds[0])
    features, wide = table.features, rng.random() < 0.4
    code = int(np.clip(table.rank + rng.integers(0, 3), 2, max(2, features // 2)))
    if name in ("digits", "digit-images", "images-255"):
        code = int(rng.integers(6, 20))
    depth = pick(rng, depths)
    first = int(rng.integers(64, 160)) if wide else int(rng.integers(max(24, code * 2), 72))
    widths = tuple(max(code + 4, first // 2**i) for i in range(depth))
    norm, momentum = pick(rng, norms), 0.1
    dropout = 0.0
    hidden = Hidden(pick(rng, activations), norm, momentum, dropout)
    steps = int(pick(rng, (800, 1000, 1200, 1500, 2000)))
    if family == "conv":
        widths, steps = (int(rng.integers(8, 17)),), min(steps, 1200)
    elif family == "recurrent":
        widths, steps = (int(rng.integers(24, 49)),), min(steps, 1000)
    if family == "vae":
        losses = [name for name in losses if name in ("mse", "bce", "bce_logits")] or (
            ("mse", "mse", "bce", "bce_logits") if form == "unit" else ("mse",)
        )
    output, loss, scaling, form = _goal(rng, name, form, losses, by_scaling)
    table = replace(table, form=form)
    returns = pick(rng, ("tensor", "tensor", "tuple", "mapping"))
    keep, kl = False, 0.0
    if family == "vae":
        keep = bool(rng.random() < 0.5)
        returns = "tuple" if keep else "moments"
        weight = log_uniform(rng, 0.1, 0.6) * (0.1 if form in ("unit", "raw") and scaling != "standardize" else 1)
        loss, kl = (f"{loss}_sum", weight) if rng.random() < 0.5 else (loss, weight / features)
    elif loss == "mse" and rng.random() < 0.25:
        loss = pick(rng, ("module:mse", "function:mse"))
    optimizer = pick(rng, optimizers)
    if family in ("vae", "recurrent") and optimizer in ("momentum", "adagrad"):
        optimizer = "adam"
    options = {"momentum": 0.9} if optimizer == "momentum" else {}
    model = ModelPlan(
        family, style, widths, code, seeds[1], hidden, output=output, returns=returns, keep=keep,
    )  # fmt: skip
    return Plan(
        table,
        model,
        loss=loss,
        kl=kl,
        optimizer="sgd" if optimizer == "momentum" else optimizer,
        written=pick(rng, ("name", "name", "name", "class", "callable")),
        lr=log_uniform(rng, *RATES[optimizer]),
        options=options,
        batch_size=int(pick(rng, (32, 50, 64, 64, 100, 128))),
        steps=steps,
        given=bool(rng.random() < 0.5),
        seed=seeds[2],
        scaling=scaling,
    )


def _suited(family: str) -> Sequence[str]:
    if family == "conv":
        return datasets.IMAGES
    if family == "recurrent":
        return datasets.SEQUENCES
    return (*datasets.FLAT, "digits", "digit-images", "images-255") if family != "vae" else datasets.FLAT


def _forms(name: str) -> Sequence[str]:
    if name in ("digit-images", "images-255"):
        return ("unit", "unit", "whiten-all", "standardize")
    if name in ("digits", "binary", "counts"):
        return ("unit", "standardize", "standardize", "whiten-all")
    return ("standardize", "standardize", "whiten-all", "unit")


def _data_plan(rng: np.random.Generator, name: str, form: str, seed: int) -> DataPlan:
    rows = int(pick(rng, (600, 800, 1000, 1500)))
    features, rank = int(rng.integers(12, 81)), int(rng.integers(3, 9))
    if name in ("digits", "digit-images"):
        rows, features, rank = int(pick(rng, (1000, 1797))), 64, 12
    elif name == "images-255":
        features, rank = int(pick(rng, (64, 64, 144))), 8
    elif name == "windows":
        features, rank = int(rng.integers(10, 17)), 5
    elif name == "binary":
        rank = int(rng.integers(2, 5))
    return DataPlan(name, rows, features, rank, seed, form)


def _goal(
    rng: np.random.Generator, name: str, form: str, losses: Sequence[str], by_scaling: bool | None
) -> tuple[str, str, str | None, str]:
    """Output activation, loss, scaling argument and form of the data that go together."""
    output = "linear"
    if form == "unit":
        loss = pick(rng, losses or ("mse", "mse", "bce", "bce_logits", "mse_sum"))
        if loss in ("bce", "module:bce") or (loss.startswith("mse") and rng.random() < 0.4):
            output = "sigmoid"
    else:
        loss = pick(rng, losses or ("mse", "mse", "mse", "mse", "huber", "mae", "log_cosh", "mse_sum"))
    scaled = by_scaling if by_scaling is not None else rng.random() < 0.35
    if scaled and form in ("unit", "standardize"):
        return output, loss, "standardize" if form == "standardize" else "minmax", "raw"
    return output, loss, None, form
