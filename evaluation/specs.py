"""Generated cases as specs, so that their forks can be trained: only those whose every part a spec can say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from aetui.spec import RunSpec, SpecError, changed
from evaluation import datasets
from evaluation.architectures import ModelPlan
from evaluation.generate_plan import Plan

_ACTIVATIONS = ("relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid", "linear")
_LOSSES = {
    "mse": "mse", "mae": "mae", "huber": "huber", "log_cosh": "log-cosh", "bce": "bce", "bce_logits": "bce-logits",
}  # fmt: skip
_OPTIONS = ("momentum", "weight_decay", "eps", "lr_decay")


def spec_of(plan: Plan, folder: Path) -> RunSpec | None:
    """The plan as a spec with built-in parts, its rows in a file in `folder`; None where a spec can't say all of it.

    Weights are drawn otherwise than the plan's model draws them, so that it is a case of its own.
    """
    settings = _settings(plan)
    if settings is None:
        return None
    table = datasets.values(plan.data)
    file = folder / f"rows-{abs(hash(plan.data)):x}.npy"
    if not file.exists():
        np.save(file, table.reshape(len(table), -1))
    settings |= {"data.kind": "file", "data.path": str(file), "data.scaling": plan.scaling or "none"}
    if plan.held_out:
        settings["data.validation"] = plan.held_out / len(table)
    if not np.isfinite(table).all():
        settings["data.non_finite"] = "keep"
    try:
        return changed(RunSpec(), settings)
    except SpecError:
        return None


def _settings(plan: Plan) -> dict[str, Any] | None:
    parts = (_model(plan), _loss(plan), _optimizer(plan), _schedule(plan))
    if any(part is None for part in parts) or plan.part:
        return None
    found: dict[str, Any] = {
        "train.batch_size": plan.batch_size, "train.steps": plan.steps, "train.seed": plan.seed % 2**32,
        "train.dtype": plan.dtype, "train.device": "cpu", "train.threads": 1,
    }  # fmt: skip
    for part in parts:
        found |= part or {}
    if plan.clip is not None:
        found |= {"clip.kind": "global", "clip.threshold": plan.clip}
    return found


def _model(plan: Plan) -> dict[str, Any] | None:
    model, hidden = plan.model, plan.model.hidden
    odd = (
        model.family not in ("mlp", "vae"), hidden.norm not in ("none", "batch"), hidden.momentum != 0.1, hidden.always,
        hidden.gain != 1.0, hidden.shift, model.noise_always, model.noise and model.noise_at != "input",
        model.hidden_bias is not None, model.frozen, model.shape, model.entries, model.eval_path, model.mixed,
        {hidden.activation, model.output, model.code_activation} - {*_ACTIVATIONS},
    )  # fmt: skip
    init = _init(model)
    if any(odd) or init is None:
        return None
    found: dict[str, Any] = {
        "model.kind": model.family, "model.hidden": model.widths, "model.code": model.code,
        "model.activation": hidden.activation, "model.output_activation": model.output,
        "model.batch_norm": hidden.norm == "batch", "model.dropout": hidden.dropout, "model.noise": model.noise,
    }  # fmt: skip
    if model.family == "vae":
        found["model.kl_weight"] = plan.kl
    else:
        found["model.code_activation"] = model.code_activation
    return found | init


def _init(model: ModelPlan) -> dict[str, Any] | None:
    match model.init:
        case "":
            return {}
        case "zeros":
            return {"init.kind": "constant", "init.value": 0.0}
        case "constant":
            return {"init.kind": "constant", "init.value": model.init_amount}
        case "normal":
            return {"init.kind": "normal", "init.std": model.init_amount}
        case "gain":
            return {"init.gain": model.init_amount}
    return None


def _loss(plan: Plan) -> dict[str, Any] | None:
    name = plan.loss.rpartition(":")[2]
    kind = _LOSSES.get(name.removesuffix("_sum"))
    if kind is None:
        return None
    found: dict[str, Any] = {"loss.kind": kind, "loss.reduction": "sum" if name.endswith("_sum") else "mean"}
    if plan.penalty is not None:
        what, amount = plan.penalty
        if what != "activity-l1":
            return None
        # Summed over the code there, averaged here.
        found["loss.l1_code"] = amount * plan.model.code
    return found


def _optimizer(plan: Plan) -> dict[str, Any] | None:
    if set(plan.options) - {*_OPTIONS}:
        return None
    return {"optim.kind": plan.optimizer, "optim.lr": plan.lr} | {
        f"optim.{name}": value for name, value in plan.options.items()
    }


def _schedule(plan: Plan) -> dict[str, Any] | None:
    match plan.schedule:
        case None:
            return {}
        case ("exponential", number) if number <= 1:
            return {"schedule.kind": "exponential", "schedule.decay": number}
        case ("drops", number):
            return {"schedule.kind": "step", "schedule.every": int(number), "schedule.factor": 0.1}
        case ("rise", number):
            return {"schedule.kind": "warmup", "schedule.warmup": int(number)}
    return None
