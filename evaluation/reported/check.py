"""Trains every reported case with a plain loop and shows that it fails and that its repair works.

`python -m evaluation.reported.check [seed] [part of a name ...]` prints a table; its exit status is 1 if a case does
not hold.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from evaluation.reported import ReportedCase, cases
from evaluation.reported.case import Settings

_STEPS = 2500
"""Training length where the case gives none."""
_LOSSES: dict[str, Callable[..., Tensor]] = {
    "mse": functional.mse_loss,
    "mae": functional.l1_loss,
    "bce": functional.binary_cross_entropy,
    "bce_logits": functional.binary_cross_entropy_with_logits,
    "huber": functional.huber_loss,
}
_OPTIMIZERS: dict[str, Any] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
    "adadelta": torch.optim.Adadelta,
    "adagrad": torch.optim.Adagrad,
}


@dataclass(frozen=True)
class Outcome:
    """How well a trained model reconstructs its data, in eval mode."""

    whole: float
    """Explained variance over all features together; NaN where the output is not finite."""
    median: float
    """Of the median feature among those that vary."""
    linear: float
    """Of PCA with as many components as the code is wide; NaN where that is no fair yardstick."""
    steps: int
    seconds: float


def train(settings: Settings, code: int = 0, seed: int = 0) -> Outcome:
    """Trains as the settings say, by nothing but PyTorch, and measures the outcome."""
    started = time.perf_counter()
    torch.manual_seed(seed)
    model: nn.Module = settings["model"]
    data: Tensor = torch.as_tensor(settings["data"], dtype=torch.float32)
    parameters = list(model.parameters())
    optimizer = _optimizer(settings, parameters) if parameters else None
    steps = settings.get("steps") or _STEPS
    size = min(settings.get("batch_size", 64), len(data))
    penalty, clip = settings.get("penalty"), settings.get("clip")
    generator = torch.Generator().manual_seed(seed)
    model.train()
    done = 0
    while done < steps:
        for rows in torch.randperm(len(data), generator=generator).split(size):
            if done == steps or len(rows) < min(size, len(data)):
                break
            done += 1
            try:
                loss = _loss(settings.get("loss", "mse"), model(data[rows]), data[rows])
            except RuntimeError:  # PyTorch's binary cross-entropy refuses targets outside 0 to 1
                return Outcome(math.nan, math.nan, linear(data, code), 0, time.perf_counter() - started)
            if penalty is not None:
                loss = loss + penalty(model)
            if optimizer is None or not loss.requires_grad:
                continue
            optimizer.zero_grad()
            loss.backward()
            if clip:
                nn.utils.clip_grad_norm_(parameters, clip)
            optimizer.step()
    model.eval()
    with torch.no_grad():
        output = reconstruction(model(data))
    if settings.get("loss") == "bce_logits" or isinstance(settings.get("loss"), nn.BCEWithLogitsLoss):
        output = torch.sigmoid(output)
    whole, median = explained(output, data)
    return Outcome(whole, median, linear(data, code), steps, time.perf_counter() - started)


def reconstruction(output: Any) -> Tensor:
    """The tensor that is meant as the reconstruction: the first of a tuple, or the mapping's usual name."""
    if isinstance(output, Mapping):
        for name in ("reconstruction", "recon", "recon_x", "x_hat", "output", "out"):
            if name in output:
                return output[name]
        return next(iter(output.values()))
    return output[0] if isinstance(output, tuple | list) else output


def explained(output: Tensor, data: Tensor) -> tuple[float, float]:
    """Explained variance of the whole and of the median feature that varies."""
    target = data.flatten(1).double()
    found = output.double()
    found = (
        found.flatten(1) if found.numel() == target.numel() else found.reshape(len(found), -1)[:, :1].expand_as(target)
    )
    if not bool(torch.isfinite(found).all()) or not bool(torch.isfinite(target).all()):
        return math.nan, math.nan
    spread = (target - target.mean(0)).square().sum(0)
    error = (target - found).square().sum(0)
    varied = spread > 1e-9 * spread.max().clamp_min(1e-12)
    if not bool(varied.any()):
        return math.nan, math.nan
    whole = 1 - (error.sum() / spread.sum()).item()
    return whole, (1 - error[varied] / spread[varied]).median().item()


def linear(data: Tensor, code: int) -> float:
    """Explained variance of PCA with `code` components."""
    if not code or not bool(torch.isfinite(data).all()):
        return math.nan
    target = data.flatten(1).double()
    power = torch.linalg.svdvals(target - target.mean(0)).square()
    return (power[:code].sum() / power.sum().clamp_min(1e-12)).item()


def _loss(loss: Any, output: Any, target: Tensor) -> Tensor:
    if isinstance(loss, str):
        found = reconstruction(output)
        if loss.endswith("_sum"):
            each = _LOSSES[loss.removesuffix("_sum")](found, target, reduction="none")
            return each.flatten(1).sum(1).mean()
        return _LOSSES[loss](found, target)
    if isinstance(output, Tensor) or isinstance(loss, nn.Module):
        return loss(reconstruction(output), target)
    return loss(output, target)


def _optimizer(settings: Settings, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    chosen = settings.get("optimizer", "adam")
    if isinstance(chosen, str | type):
        build = _OPTIMIZERS[chosen] if isinstance(chosen, str) else chosen
        return build(parameters, lr=settings.get("lr", 1e-3), **(settings.get("optimizer_options") or {}))
    return chosen(parameters)


def holds(case: ReportedCase, broken: Outcome, repaired: Outcome | None) -> str:
    """Empty where the case is what it says, else what is off."""
    if repaired is None:
        if "trivial-data" in case.verdicts or ("at-limit" in case.verdicts and len(case.verdicts) == 1):
            return ""
        low = 0.5 if math.isnan(broken.linear) else min(0.9, 0.85 * broken.linear)
        return "" if broken.whole >= low else "is not fine"
    if not repaired.whole >= 0.4:
        return "repair does not repair"
    lost = max(repaired.whole - broken.whole, repaired.median - broken.median)
    return "" if math.isnan(broken.whole) or lost >= 0.2 else "does not fail"


def main(names: list[str]) -> int:
    seed = int(names.pop(0)) if names and names[0].isdigit() else 0
    torch.set_num_threads(1)
    chosen = [case for case in cases() if not names or any(name in case.name for name in names)]
    off = 0
    print(f"{'case':30}{'cause':22}{'whole':>8}{'median':>8}{'PCA':>7}{'fixed':>8}{'median':>8}{'steps':>7}{'s':>6}")
    for case in chosen:
        broken = train(case.make(seed), case.code)
        repaired = train(case.repair(seed), case.code) if case.repair else None
        figures = f"{broken.whole:8.3f}{broken.median:8.3f}{broken.linear:7.3f}"
        fixed = f"{repaired.whole:8.3f}{repaired.median:8.3f}" if repaired else " " * 16
        trouble = holds(case, broken, repaired)
        off += bool(trouble)
        line = f"{case.name:30}{case.cause or '-':22}{figures}{fixed}{broken.steps:7}{broken.seconds:6.1f} {trouble}"
        print(line, flush=True)
    print(f"{len(chosen)} cases, {off} do not hold")
    return int(off > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
