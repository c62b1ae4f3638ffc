"""Runs in which nothing is wrong: well trained ones of every family, and those that only look ill."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from evaluation import generate_faults_model
from evaluation.datasets import DataPlan
from evaluation.generate_faults import DENSE, PLAIN, Draw
from evaluation.generate_plan import RATES, Plan, log_uniform, pick


@dataclass(frozen=True)
class Healthy:
    """A run that must not be flagged."""

    plan: Plan
    variant: str
    trivial: bool = False
    """Whether there is nothing to learn, so that nothing is to be verified."""


def ordinary(rng: np.random.Generator, draw: Draw) -> Healthy:
    plan = draw()
    return Healthy(plan, f"{plan.model.family} {plan.model.style} on {plan.data.name}")


def iid_noise(rng: np.random.Generator, draw: Draw) -> Healthy:
    plan = draw(families=DENSE, forms=("standardize", "whiten-all"), data=("factors",),
                losses=("mse", "mse", "huber", "mse_sum"))  # fmt: skip
    features = int(rng.integers(30, 101))
    data = replace(plan.data, name="iid", features=features, rows=1000)
    model = replace(plan.model, code=int(rng.integers(4, features // 3)))
    return Healthy(replace(plan, data=data, model=model), f"iid noise, {features} features, code {model.code}")


def gray_bce(rng: np.random.Generator, draw: Draw) -> Healthy:
    plan = draw(families=PLAIN, data=("digits", "digit-images", "images-255"), forms=("unit",),
                losses=("bce", "bce_logits", "bce_sum"), optimizers=("adam", "adamw", "nadam"))  # fmt: skip
    return Healthy(plan, f"{plan.loss} on gray values")


def mostly_constant(rng: np.random.Generator, draw: Draw) -> Healthy:
    plan = draw(families=DENSE, data=("factors",), forms=("standardize", "whiten-all"))
    data = replace(plan.data, name="mostly-constant", features=max(plan.data.features, 30))
    return Healthy(replace(plan, data=data), "most features constant")


def identical_rows(rng: np.random.Generator, draw: Draw) -> Healthy:
    plan = draw(families=DENSE, data=("factors",), losses=("mse",), by_scaling=False, norms=("none",))
    data: DataPlan = replace(plan.data, name="identical", form="raw")
    return Healthy(replace(plan, data=data, scaling=None), "identical rows", trivial=True)


def code_as_needed(rng: np.random.Generator, draw: Draw) -> Healthy:
    plan = draw(families=DENSE, data=("factors", "factors-noise"), forms=("standardize",))
    rank = int(rng.integers(10, 19))
    data = replace(plan.data, rank=rank, features=int(rng.integers(2 * rank, 80)))
    model = replace(plan.model, code=rank, widths=tuple(max(width, 2 * rank) for width in plan.model.widths))
    return Healthy(replace(plan, data=data, model=model), f"code {rank} for {rank} factors")


def slow(rng: np.random.Generator, draw: Draw) -> Healthy:
    plan = draw(families=(*DENSE, "conv"), optimizers=("adam", "adamw"), depths=(1, 2))
    return Healthy(replace(plan, lr=log_uniform(rng, 1.5e-4, 4e-4), steps=4000, given=True), "slow but fine")


def few_active(rng: np.random.Generator, draw: Draw) -> Healthy:
    plan = draw(families=("vae",), data=("factors", "tabular", "factors-noise"),
                forms=("standardize", "whiten-all"))  # fmt: skip
    model = replace(plan.model, code=plan.data.rank * int(rng.integers(3, 6)))
    weight = log_uniform(rng, 0.3, 1)
    plan = replace(plan, model=model, kl=weight if "_sum" in plan.loss else weight / plan.data.features)
    return Healthy(plan, f"VAE with {plan.data.rank} factors for {model.code} units")


def denoising(rng: np.random.Generator, draw: Draw) -> Healthy:
    plan = draw(families=PLAIN, forms=("standardize", "whiten-all"))
    while plan.model.style == "plain":
        plan = draw(families=PLAIN, forms=("standardize", "whiten-all"))
    size = log_uniform(rng, 0.05, 0.4)
    return Healthy(replace(plan, model=replace(plan.model, noise=size)), f"denoising, noise {size:g}")


def mild_decay(rng: np.random.Generator, draw: Draw) -> Healthy:
    plan = draw(optimizers=("adam", "adamw"))
    decay = log_uniform(rng, 1e-6, 1e-4) if plan.optimizer == "adam" else log_uniform(rng, 1e-4, 0.05)
    return Healthy(replace(plan, options={"weight_decay": decay}), f"weight decay {decay:g} with {plan.optimizer}")


def mild_dropout(rng: np.random.Generator, draw: Draw) -> Healthy:
    plan = draw(families=("mlp", "odd"))
    while plan.model.style in ("tied", "two-branches"):
        plan = draw(families=("mlp", "odd"))
    rate = float(f"{rng.uniform(0.02, 0.15):.2f}")
    hidden = replace(plan.model.hidden, dropout=rate)
    return Healthy(replace(plan, model=replace(plan.model, hidden=hidden)), f"dropout {rate:g}")


def small_batches(rng: np.random.Generator, draw: Draw) -> Healthy:
    plan = draw(families=(*DENSE, "conv", "vae"), norms=("none",), optimizers=("adam", "adamw"))
    size = int(pick(rng, (4, 8, 16)))
    return Healthy(replace(plan, batch_size=size, lr=1e-3, steps=2500), f"batches of {size}")


def rare_clipping(rng: np.random.Generator, draw: Draw) -> Healthy:
    plan = draw()
    clip = pick(rng, (1.0, 5.0, 10.0))
    return Healthy(replace(plan, clip=clip), f"joint norm at most {clip:g}")


def big_rate(rng: np.random.Generator, draw: Draw) -> Healthy:
    plan = draw(optimizers=("adam", "adam", "adamw", "momentum"))
    name = "momentum" if plan.optimizer == "sgd" else plan.optimizer
    lr = log_uniform(rng, RATES[name][1] * 1.3, RATES[name][1] * 4)
    return Healthy(replace(plan, lr=lr), f"{name} at {lr:g}")


def full_batch(rng: np.random.Generator, draw: Draw) -> Healthy:
    plan = draw(families=DENSE)
    return Healthy(replace(plan, batch_size=min(plan.data.rows, 512)), "large batches")


def vector_quantized(rng: np.random.Generator, draw: Draw) -> Healthy:
    plan = generate_faults_model.discrete(rng, draw)
    return Healthy(plan, f"a code of {plan.model.entries} entries")


def scheduled(rng: np.random.Generator, draw: Draw) -> Healthy:
    plan = draw(families=("mlp", "mlp", "odd", "conv"), optimizers=("adam", "adam", "adamw", "momentum"))
    kind = pick(rng, ("cosine", "cosine", "cycle", "rise", "milestones", "exponential"))
    number = {
        "cosine": 1.0, "cycle": 1.0, "rise": 0.1 * plan.steps, "milestones": 0.1,
        "exponential": log_uniform(rng, 0.01, 0.3) ** (1 / plan.steps),
    }[kind]  # fmt: skip
    return Healthy(replace(plan, schedule=(kind, number), given=True), f"schedule {kind} over the run")


KINDS: tuple[Callable[[np.random.Generator, Draw], Healthy], ...] = (
    ordinary, iid_noise, ordinary, gray_bce, ordinary, mostly_constant, ordinary, identical_rows, ordinary,
    code_as_needed, ordinary, slow, ordinary, few_active, ordinary, denoising, ordinary, mild_decay, mild_dropout,
    small_batches, rare_clipping, big_rate, full_batch,
)  # fmt: skip
"""In the order in which the cases take them."""
LATER: tuple[Callable[[np.random.Generator, Draw], Healthy], ...] = (scheduled, vector_quantized)
"""What takes every 24th case, in turn, so that the cases before it stay what they are."""


def kind_of(number: int) -> Callable[[np.random.Generator, Draw], Healthy]:
    """What the healthy case of that number is."""
    turn, place = divmod(number, len(KINDS) + 1)
    return LATER[turn % len(LATER)] if place == len(KINDS) else KINDS[number % len(KINDS)]
