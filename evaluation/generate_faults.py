"""Faults of data, loss and training settings, planted into plans that work without them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from evaluation.generate_plan import RATES, Plan, log_uniform, pick

Draw = Callable[..., Plan]
"""`generate_plan.draw` for one case: takes the restrictions of the plan."""


@dataclass(frozen=True)
class Fault:
    """A plan with a fault, and the same with one thing changed back."""

    broken: Plan
    repaired: Plan
    variant: str
    """What was planted, in a few words with its severity."""
    visible: bool = False
    """Whether it can be seen before the first step."""
    rivals: tuple[Plan, ...] = ()
    """Other single changes; where one of them repairs as well, the cause would be ambiguous."""
    criterion: str = "explained"
    """What has to fail: `explained` (as a whole), `features` (or their mean), `train-eval`, `copy`, `memorize`."""


Planter = Callable[[np.random.Generator, Draw], Fault]

DENSE = ("mlp", "mlp", "mlp", "odd", "odd")
PLAIN = ("mlp", "mlp", "mlp", "odd", "odd", "conv")
POINTWISE = ("mse", "mse", "mse", "mae", "huber", "mse_sum", "module:mse", "function:mse")


def bad_values(rng: np.random.Generator, draw: Draw) -> Fault:
    plan = replace(draw(by_scaling=False), scaling=None)
    spoil = pick(rng, ("nan-entries", "nan-rows", "nan-column", "inf-entry", "log-zero", "divide-by-zero"))
    amount = log_uniform(rng, 1e-3, 0.05) if spoil != "nan-entries" else log_uniform(rng, 1e-5, 1e-2)
    broken = replace(plan, data=replace(plan.data, spoil=spoil, amount=amount))
    return Fault(broken, plan, f"{spoil} {amount:g}", visible=True)


def input_scaling(rng: np.random.Generator, draw: Draw) -> Fault:
    kind = pick(rng, ("raw", "raw", "offset", "offsets", "tiny", "tiny-offset", "times", "units", "units", "column"))
    if kind == "raw":
        plan = draw(families=PLAIN, data=("images-255", "digits", "counts"), forms=("unit", "standardize"),
                    losses=("mse", "mse", "mae", "huber"), by_scaling=True)  # fmt: skip
        plan = replace(plan, model=replace(plan.model, output="linear"))
        return Fault(replace(plan, scaling=None), plan, f"raw {plan.data.name}", visible=True)
    families = DENSE if kind in ("units", "column", "offsets") else PLAIN
    plan = draw(families=families, forms=("standardize", "whiten-all", "unit"), losses=("mse", "mse", "mae", "huber"),
                by_scaling=False)  # fmt: skip
    plan = replace(plan, model=replace(plan.model, output="linear"))
    low, high = {
        "offset": (20, 5000), "offsets": (20, 5000), "tiny": (1e-6, 2e-2), "tiny-offset": (1e-5, 2e-2),
        "times": (100, 1e5), "units": (1.5, 4), "column": (100, 1e5),
    }[kind]  # fmt: skip
    amount = log_uniform(rng, low, high)
    broken = replace(plan, data=replace(plan.data, warp=kind, amount=amount))
    repaired = replace(broken, scaling="standardize") if rng.random() < 0.5 else plan
    criterion = "features" if kind in ("units", "column") else "explained"
    return Fault(broken, repaired, f"{kind} {amount:g}", visible=True, criterion=criterion)


def output_range(rng: np.random.Generator, draw: Draw) -> Fault:
    output = pick(rng, ("sigmoid", "sigmoid", "sigmoid", "tanh", "relu", "relu", "softplus", "hardtanh", "softmax"))
    if output in ("sigmoid", "tanh", "softmax") and rng.random() < 0.5:
        plan = draw(families=(*PLAIN, "vae"), data=("images-255", "digits", "digit-images", "counts"), forms=("unit",),
                    losses=POINTWISE, by_scaling=True)  # fmt: skip
        plan = replace(plan, model=replace(plan.model, output="linear" if output == "softmax" else output))
        broken = replace(plan, scaling=None, model=replace(plan.model, output=output))
        repaired = plan if output != "softmax" else replace(broken, model=replace(plan.model, output="linear"))
        return Fault(broken, repaired, f"{output} on raw {plan.data.name}", visible=True)
    plan = draw(families=(*PLAIN, "vae"), forms=("standardize", "whiten-all"), losses=POINTWISE)
    if plan.model.family == "conv" and output == "softmax":
        output = "sigmoid"
    broken = replace(plan, model=replace(plan.model, output=output))
    return Fault(broken, plan, f"{output} on {plan.scaling or plan.data.form} data", visible=True)


def loss_domain(rng: np.random.Generator, draw: Draw) -> Fault:
    kind = pick(rng, ("bce-range", "bce-range", "logits-range", "logits-range", "logits-twice", "no-sigmoid",
                      "no-sigmoid", "classes"))  # fmt: skip
    if kind == "classes":
        plan = draw(families=DENSE, losses=("mse",), forms=("standardize", "unit", "whiten-all"))
        plan = replace(plan, model=replace(plan.model, output="linear"))
        loss = pick(rng, ("cross-entropy", "cross-entropy", "kl-div"))
        return Fault(replace(plan, loss=loss), plan, f"{loss} for reconstruction", visible=True)
    loss = "bce" if kind in ("bce-range", "no-sigmoid") else "bce_logits"
    if rng.random() < 0.25:
        loss = f"module:{loss}" if rng.random() < 0.5 else f"{loss}_sum"
    ranged = kind.endswith("range")
    plan = draw(families=PLAIN, forms=("unit",), losses=(loss,), by_scaling=True if ranged else None,
                optimizers=("adam", "adam", "adamw", "nadam", "rmsprop"))  # fmt: skip
    model = plan.model
    if ranged:
        broken = replace(plan, scaling=pick(rng, (None, "standardize", "standardize")))
        return Fault(broken, plan, f"{loss} on {broken.scaling or 'raw'} {plan.data.name}", visible=True)
    if kind == "logits-twice":
        broken = replace(plan, model=replace(model, output="sigmoid"))
        return Fault(broken, plan, f"{loss} after a sigmoid", visible=True)
    broken = replace(plan, model=replace(model, output=pick(rng, ("linear", "linear", "relu", "tanh"))))
    return Fault(broken, replace(plan, model=replace(model, output="sigmoid")), f"{loss} of {broken.model.output} "
                 "outputs", visible=True)  # fmt: skip


def lr_too_high(rng: np.random.Generator, draw: Draw) -> Fault:
    plan = draw()
    factor = log_uniform(rng, 10, 600)
    broken = replace(plan, lr=float(f"{plan.lr * factor:.3g}"))
    return Fault(broken, plan, f"{plan.optimizer} {broken.lr:g}, {factor:g} times", visible=factor >= 30)


def lr_too_low(rng: np.random.Generator, draw: Draw) -> Fault:
    kind = pick(rng, ("factor", "factor", "factor", "adadelta", "adadelta", "sgd", "adagrad"))
    if kind == "factor":
        plan, factor = draw(), log_uniform(rng, 30, 10_000)
        broken = replace(plan, lr=float(f"{plan.lr / factor:.3g}"))
        variant = f"{plan.optimizer} {broken.lr:g}, 1/{factor:g}"
    else:
        plan = draw(optimizers=("momentum",), families=PLAIN)
        high, low = {"adadelta": (1.0, 1e-3), "sgd": (1.0, pick(rng, (1e-3, 1e-2))), "adagrad": (0.05, 1e-3)}[kind]
        plan = replace(plan, optimizer=kind, options={}, lr=high)
        broken, factor, variant = replace(plan, lr=low), high / low, f"{kind} with the default {low:g}"
    longer = replace(broken, steps=broken.steps * 3)
    return Fault(broken, plan, variant, visible=factor >= 30, rivals=(longer,))


def optimizer(rng: np.random.Generator, draw: Draw) -> Fault:
    kind = pick(rng, ("sgd", "sgd", "sgd", "momentum", "decay"))
    plan = draw(families=("mlp", "mlp", "odd"), activations=("tanh", "sigmoid", "relu"), depths=(2, 3, 4),
                norms=("none",), losses=("mse", "mse", "mae"), optimizers=("adam",))  # fmt: skip
    plan = replace(plan, written="name" if plan.written == "callable" else plan.written)
    if kind == "decay":
        lr = log_uniform(rng, *RATES["adagrad"])
        plan = replace(plan, optimizer="adagrad", lr=lr)
        broken = replace(plan, options={"lr_decay": log_uniform(rng, 0.1, 1)})
    elif kind == "momentum":
        plan = replace(plan, optimizer="sgd", options={"momentum": 0.9}, lr=log_uniform(rng, 0.1, 0.5))
        broken = replace(plan, options={"momentum": pick(rng, (0.995, 0.999, 0.9995))})
    else:
        broken = replace(plan, optimizer="sgd", lr=pick(rng, (0.03, 0.1, 0.3)))
    rivals = tuple(replace(broken, lr=broken.lr * factor) for factor in (3, 10, 30))
    if kind == "momentum":
        rivals = tuple(replace(broken, lr=broken.lr / factor) for factor in (3, 10))
    return Fault(broken, plan, f"{broken.optimizer} {broken.lr:g} {broken.options}", rivals=rivals)


def clipping(rng: np.random.Generator, draw: Draw) -> Fault:
    sgd = rng.random() < 0.9
    plan = draw(optimizers=("momentum",) if sgd else ("adam", "adamw"), families=PLAIN)
    clip = log_uniform(rng, 1e-6, 5e-3) if sgd else log_uniform(rng, 1e-12, 1e-8)
    repaired = replace(plan, clip=pick(rng, (None, 1.0, 5.0)))
    return Fault(replace(plan, clip=clip), repaired, f"joint norm at most {clip:g} with {plan.optimizer}")


def exploding(rng: np.random.Generator, draw: Draw) -> Fault:
    if rng.random() < 0.5:
        plan = draw(families=("odd",), styles=("residual",), optimizers=("momentum",), losses=("mse", "mse_sum"),
                    activations=("relu", "elu", "leaky_relu"), norms=("none",))  # fmt: skip
        blocks = int(rng.integers(8, 24))
        plan = replace(plan, model=replace(plan.model, blocks=blocks), lr=log_uniform(rng, 0.003, 0.1))
        variant = f"{blocks} residual blocks without normalization"
    else:
        plan = draw(families=DENSE, optimizers=("momentum",), losses=("mse",), by_scaling=False,
                    forms=("standardize", "whiten-all"), norms=("none",))  # fmt: skip
        amount = log_uniform(rng, 20, 500)
        plan = replace(plan, data=replace(plan.data, warp="outliers", amount=amount), lr=log_uniform(rng, 0.01, 0.1))
        variant = f"outliers {amount:g} times as large"
    repaired = replace(plan, clip=pick(rng, (0.5, 1.0, 1.0)))
    return Fault(plan, repaired, variant, rivals=(replace(plan, lr=plan.lr / 10),))


def posterior_collapse(rng: np.random.Generator, draw: Draw) -> Fault:
    plan = draw(families=("vae",))
    if "_sum" in plan.loss:
        weight = log_uniform(rng, 10, 1000)
    else:
        weight = pick(rng, (1.0, 1.0, 1.0, log_uniform(rng, 0.3, 30)))
    return Fault(replace(plan, kl=weight), plan, f"{plan.loss} with a KL weight of {weight:g}", visible=True)


def penalty(rng: np.random.Generator, draw: Draw) -> Fault:
    kind = pick(rng, ("weight-decay", "weight-decay", "adamw", "l1", "l2", "activity-l1", "activity-l2"))
    if kind == "weight-decay":
        plan = draw(optimizers=("adam", "adam", "rmsprop", "momentum"))
        decay = log_uniform(rng, 0.01, 3)
        return Fault(replace(plan, options={**plan.options, "weight_decay": decay}), plan,
                     f"weight decay {decay:g} with {plan.optimizer}", visible=True)  # fmt: skip
    if kind == "adamw":
        plan = draw(optimizers=("adamw",))
        decay = log_uniform(rng, 5, 200)
        return Fault(replace(plan, options={"weight_decay": decay}), plan, f"weight decay {decay:g} with adamw",
                     visible=True)  # fmt: skip
    activity = kind.startswith("activity")
    plan = draw(families=PLAIN, styles=())
    if activity:
        while plan.model.style in ("plain", "tied"):
            plan = draw(families=PLAIN)
        plan = replace(plan, model=replace(plan.model, keep=True))
    amount = log_uniform(rng, *{"l1": (1e-3, 1), "l2": (1e-2, 3), "activity-l1": (0.1, 30)}.get(kind, (0.3, 100)))
    repaired = replace(plan, penalty=(kind, amount * 1e-4)) if rng.random() < 0.5 else plan
    return Fault(replace(plan, penalty=(kind, amount)), repaired, f"{kind} penalty of {amount:g}", visible=True)


def noise(rng: np.random.Generator, draw: Draw) -> Fault:
    kind = pick(rng, ("dropout", "dropout", "input", "input", "code"))
    plan = draw(families=PLAIN)
    while plan.model.style in ("plain", "tied", "two-branches") or (plan.model.family == "conv" and kind == "dropout"):
        if plan.model.style == "plain" and kind == "dropout":
            break
        plan = draw(families=PLAIN)
    model = plan.model
    if kind == "dropout":
        rate = float(f"{rng.uniform(0.6, 0.95):.2f}")
        always = bool(rng.random() < 0.3) and model.style not in ("plain", "sequential")
        hidden = replace(model.hidden, dropout=rate, always=always)
        broken: dict[str, Any] = {"hidden": hidden}
        mild: dict[str, Any] = {"hidden": replace(hidden, dropout=pick(rng, (0.0, 0.05)))}
        variant = f"dropout {rate:g}" + (", in eval mode too" if always else "")
    else:
        size = log_uniform(rng, 1.5, 30)
        always = bool(rng.random() < 0.3)
        broken = {"noise": size, "noise_at": kind, "noise_always": always}
        mild = {"noise": pick(rng, (0.0, size / 100)), "noise_at": kind, "noise_always": always}
        variant = f"{kind} noise {size:g}" + (", in eval mode too" if always else "")
    return Fault(replace(plan, model=replace(model, **broken)), replace(plan, model=replace(model, **mild)), variant)


def under_trained(rng: np.random.Generator, draw: Draw) -> Fault:
    plan = draw(optimizers=("adam", "adam", "adamw", "nadam", "rmsprop", "momentum"))
    steps = int(log_uniform(rng, 10, 200))
    broken = replace(plan, steps=steps, given=True)
    faster = replace(broken, lr=broken.lr * 10)
    return Fault(broken, replace(broken, steps=steps * 10), f"{steps} steps", rivals=(faster,))


def precision(rng: np.random.Generator, draw: Draw) -> Fault:
    plan = draw(families=("mlp", "mlp", "odd", "conv"), norms=("none",), forms=("standardize", "whiten-all", "unit"),
                losses=("mse", "mse", "mae", "huber"), optimizers=("adam", "adam", "adamw", "nadam"))  # fmt: skip
    broken = replace(plan, dtype="float16", written="name" if plan.written == "callable" else plan.written)
    mended = pick(rng, ("float32", "eps"))
    repaired = replace(broken, dtype="float32") if mended == "float32" else replace(broken, options={"eps": 1e-4})
    return Fault(broken, repaired, f"float16 weights with {plan.optimizer}'s eps", visible=True)


def lr_schedule(rng: np.random.Generator, draw: Draw) -> Fault:
    plan = replace(draw(optimizers=("adam", "adam", "adamw", "nadam", "rmsprop", "momentum")), given=True)
    kind = pick(rng, ("exponential", "exponential", "drops", "drops", "line", "factor", "rise", "plateau", "growing"))
    number = {
        "exponential": float(f"{1 - log_uniform(rng, 0.02, 0.3):.3g}"),
        "drops": float(rng.integers(2, 25)),
        "line": float(f"{plan.steps * rng.uniform(0.01, 0.1):.0f}"),
        "factor": log_uniform(rng, 1e-5, 1e-2),
        "rise": float(f"{plan.steps * log_uniform(rng, 50, 5000):.0f}"),
        "plateau": 0.5,
        "growing": 1 + log_uniform(rng, 0.01, 0.1),
    }[kind]
    broken = replace(plan, schedule=("exponential" if kind == "growing" else kind, number))
    return Fault(broken, plan, f"schedule {kind} {number:g} in {plan.steps} steps", visible=kind != "plateau")


PLANTERS: dict[str, Planter] = {
    "precision": precision,
    "bad-values": bad_values,
    "input-scaling": input_scaling,
    "output-range": output_range,
    "loss-domain": loss_domain,
    "lr-too-high": lr_too_high,
    "lr-too-low": lr_too_low,
    "optimizer": optimizer,
    "clipping-too-tight": clipping,
    "exploding-gradients": exploding,
    "posterior-collapse": posterior_collapse,
    "penalty-too-strong": penalty,
    "noise-too-strong": noise,
    "under-trained": under_trained,
    "lr-schedule": lr_schedule,
}
