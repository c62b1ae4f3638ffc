"""A plain training loop that decides whether a generated case really fails and its repair really repairs.

It takes the arguments of `aetui.diagnose` and shares no code with the diagnosis it is there to check.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aetui.data.scaling import Scaler

Loss = Callable[[Any, Tensor], Tensor]
_NAMES = ("reconstruction", "recon", "output", "x_hat", "decoded")
_OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "nadam": torch.optim.NAdam,
    "radam": torch.optim.RAdam,
    "adamax": torch.optim.Adamax,
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
    "adadelta": torch.optim.Adadelta,
}


@dataclass(frozen=True)
class Outcome:
    """What a model explains of its targets after training; NaN where it gives no finite output."""

    whole: float
    """Explained variance over all entries, eval mode."""
    features: float
    """Mean over the features that vary, each at least -1."""
    train_mode: float
    """As `whole`, in train mode on batches as in training."""
    held_out: float
    """As `whole` on the validation rows; NaN without them."""
    noise: float
    """As `whole` on rows whose features were shuffled apart: what a mere copy would explain."""
    error: str = ""
    """The exception that stopped the training, if one did."""

    @property
    def finite(self) -> bool:
        """Whether outputs and targets were finite."""
        return math.isfinite(self.whole)


def run(kwargs: Mapping[str, Any], steps: int) -> Outcome:
    """Train a copy of `kwargs["model"]` for `steps` steps and measure it."""
    data = np.asarray(kwargs["data"], np.float32)
    target, held_out = _scaled(data, kwargs.get("validation"), kwargs.get("scaling"))
    batch_size = min(kwargs.get("batch_size", 64), len(target))
    error = ""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(kwargs.get("seed", 0))
        model = copy.deepcopy(kwargs["model"])
        model.train()
        dtype = next((one.dtype for one in model.parameters()), target.dtype)
        target, held_out = target.to(dtype), None if held_out is None else held_out.to(dtype)
        try:
            _train(model, target, kwargs, batch_size, steps)
        except (RuntimeError, ValueError) as problem:
            error = str(problem)
        logits = kwargs.get("loss") in ("bce_logits", "bce_logits_sum") or isinstance(
            kwargs.get("loss"), nn.BCEWithLogitsLoss
        )
        return _measure(model, target, held_out, batch_size, logits, error)


def principal(kwargs: Mapping[str, Any], width: int) -> float:
    """What PCA with `width` components explains of the targets of `kwargs`."""
    target, _ = _scaled(np.asarray(kwargs["data"], np.float32), None, kwargs.get("scaling"))
    table = target.flatten(1).double()
    table = table - table.mean(0)
    spectrum = torch.linalg.eigvalsh(table.T @ table).flip(0).clamp(min=0)
    return float(spectrum[:width].sum() / spectrum.sum().clamp(min=1e-30))


def reconstruction(output: Any) -> Tensor:
    """The reconstruction in what a forward returned: the tensor, the first of a tuple, the usual name."""
    if isinstance(output, Tensor):
        return output
    if isinstance(output, Mapping):
        return next(output[name] for name in _NAMES if name in output)
    return output[0]


def _scaled(data: np.ndarray, validation: Any, scaling: str | None) -> tuple[Tensor, Tensor | None]:
    flat = data.reshape(len(data), -1)
    held_out = None if validation is None else np.asarray(validation, np.float32)
    if scaling in (None, "none"):
        return torch.from_numpy(data.copy()), None if held_out is None else torch.from_numpy(held_out)
    scaler = Scaler.fit(scaling, flat)
    if held_out is not None:
        held_out = scaler.transform(held_out.reshape(len(held_out), -1)).reshape(held_out.shape)
    scaled = torch.from_numpy(scaler.transform(flat).reshape(data.shape))
    return scaled, None if held_out is None else torch.from_numpy(held_out)


def _train(model: nn.Module, target: Tensor, kwargs: Mapping[str, Any], batch_size: int, steps: int) -> None:
    objective = _objective(kwargs.get("loss", "mse"))
    optimizer = _optimizer(model, kwargs)
    penalty, clip = kwargs.get("penalty"), kwargs.get("clip")
    scheduler = None if kwargs.get("scheduler") is None else kwargs["scheduler"](optimizer)
    order = torch.randperm(len(target))
    position = 0
    for step in range(steps):
        if position + batch_size > len(target):
            order, position = torch.randperm(len(target)), 0
        batch = target[order[position : position + batch_size]]
        position += batch_size
        optimizer.zero_grad()
        loss = objective(model(batch), batch)
        if penalty is not None:
            loss = loss + penalty(model)
        loss.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            scheduler.step(float(loss.detach()))
        elif scheduler is not None:
            scheduler.step()
        if step % 20 == 19 and not math.isfinite(float(loss.detach())):
            return


def _objective(loss: str | Loss) -> Loss:
    """(output of forward, target) -> scalar; a callable gets the raw output if it can take it."""
    if not isinstance(loss, str):

        def called(output: Any, target: Tensor) -> Tensor:
            if isinstance(output, Tensor):
                return loss(output, target)
            try:
                return loss(output, target)
            except (TypeError, AttributeError):
                return loss(reconstruction(output), target)

        return called
    summed = loss.endswith("_sum")
    function = _POINTWISE[loss.removesuffix("_sum")]

    def named(output: Any, target: Tensor) -> Tensor:
        term = function(reconstruction(output), target)
        return term.flatten(1).sum(1).mean() if summed else term.mean()

    return named


def _bce(output: Tensor, target: Tensor) -> Tensor:
    # PyTorch's raises outside 0..1, which would end the run before anything could be measured.
    inside = (output >= 0) & (output <= 1)
    safe = torch.where(inside, output, 0.5)
    log = torch.log(safe).clamp(min=-100) * target + torch.log1p(-safe).clamp(min=-100) * (1 - target)
    return torch.where(inside, -log, torch.nan)


_POINTWISE: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": lambda output, target: (output - target) ** 2,
    "mae": lambda output, target: (output - target).abs(),
    "huber": lambda output, target: F.huber_loss(*torch.broadcast_tensors(output, target), reduction="none"),
    "log_cosh": lambda output, target: F.softplus(-2 * (output - target)) + (output - target) - math.log(2),
    "bce": _bce,
    "bce_logits": lambda output, target: F.softplus(output) - output * target,
}


def _optimizer(model: nn.Module, kwargs: Mapping[str, Any]) -> torch.optim.Optimizer:
    chosen = kwargs.get("optimizer", "adam")
    kind: Any = _OPTIMIZERS[chosen] if isinstance(chosen, str) else chosen
    if isinstance(kind, type):
        return kind(model.parameters(), lr=kwargs.get("lr", 1e-3), **(kwargs.get("optimizer_options") or {}))
    return kind(model.parameters())


@torch.no_grad()
def _measure(
    model: nn.Module, target: Tensor, held_out: Tensor | None, batch_size: int, logits: bool, error: str
) -> Outcome:
    good = target[torch.isfinite(target.flatten(1)).all(1)]
    if not len(good):
        return Outcome(math.nan, math.nan, math.nan, math.nan, math.nan, error)

    def outputs(rows: Tensor) -> Tensor:
        parts = [reconstruction(model(part)) for part in rows.split(batch_size) if len(part) > 1]
        joined = torch.cat(parts)
        return torch.sigmoid(joined) if logits else joined

    train_rows = good[: len(good) // batch_size * batch_size] if len(good) >= batch_size else good
    buffers = copy.deepcopy(model.state_dict())
    train_mode, _ = _explained(outputs(train_rows), train_rows)
    model.load_state_dict(buffers)
    model.eval()
    rows = good[: len(good) - (len(good) % batch_size == 1)]
    whole, features = _explained(outputs(rows), rows)
    flat = rows.flatten(1)
    shuffled = torch.stack([column[torch.randperm(len(column))] for column in flat.T], 1).view_as(rows)
    noise, _ = _explained(outputs(shuffled), shuffled)
    outside = math.nan
    if held_out is not None:
        outside, _ = _explained(outputs(held_out), held_out)
    return Outcome(whole, features, train_mode, outside, noise, error)


def _explained(output: Tensor, target: Tensor) -> tuple[float, float]:
    """Explained variance over all entries and its mean over the features that vary."""
    target = target.flatten(1).double()
    output = output.double()
    output = output.reshape(target.shape) if output.numel() == target.numel() else output.flatten(1).expand_as(target)
    if not torch.isfinite(output).all():
        return math.nan, math.nan
    error, deviation = (output - target).square().sum(0), (target - target.mean(0)).square().sum(0)
    varies = deviation > 1e-12 * deviation.max().clamp(min=1e-30)
    if not varies.any() or float(deviation.sum()) == 0:
        return math.nan, math.nan
    each = (1 - error[varies] / deviation[varies]).clamp(min=-1)
    return float(1 - error.sum() / deviation.sum()), float(each.mean())
