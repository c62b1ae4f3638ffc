"""Faults inside of the model: shapes, frozen parts, initialization, units, modes, code width."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from evaluation.generate_faults import DENSE, PLAIN, Draw, Fault, Planter
from evaluation.generate_plan import Plan, log_uniform, pick


def broadcast(rng: np.random.Generator, draw: Draw) -> Fault:
    kind = pick(rng, ("extra", "extra", "missing", "missing", "image", "image", "one"))
    losses = ("mse", "mse", "mae", "huber", "module:mse", "function:mse")
    if kind == "image":
        plan = draw(families=("conv",), losses=losses)
        if rng.random() < 0.5:
            data = replace(plan.data, shape="no-channel")
            broken = replace(plan, data=data)
            repaired = replace(broken, model=replace(plan.model, shape="no-channel"))
            return Fault(broken, repaired, "images [n, h, w], output [n, 1, h, w]", visible=True)
        broken = replace(plan, model=replace(plan.model, shape="no-channel"))
        return Fault(broken, plan, "images [n, 1, h, w], output [n, h, w]", visible=True)
    plan = draw(families=("mlp", "odd"), styles=("sequential", "functional") if rng.random() < 0.7 else (),
                data=("digits", "factors", "factors-noise", "tabular", "counts"), losses=losses)  # fmt: skip
    while plan.model.style in ("plain", "tied") or (plan.model.family == "odd") != (
        plan.model.style in ("parameters", "residual", "two-branches")
    ):
        plan = draw(families=("mlp", "odd"), data=("digits", "factors", "tabular"), losses=losses)
    if kind == "missing":
        data = replace(plan.data, shape="channel")
        broken = replace(plan, data=data, model=replace(plan.model, shape="flat"))
        repaired = replace(broken, model=replace(plan.model, shape="channel"))
        return Fault(broken, repaired, "data [n, 1, d], output [n, d]", visible=True)
    shape = "channel" if kind == "extra" else "one"
    broken = replace(plan, model=replace(plan.model, shape=shape))
    return Fault(broken, plan, f"data [n, d], output {'[n, 1, d]' if kind == 'extra' else '[n, 1]'}", visible=True)


def frozen(rng: np.random.Generator, draw: Draw) -> Fault:
    kind = pick(rng, ("detach", "data", "no-grad-encoder", "no-grad-decoder", "encoder", "decoder", "last",
                      "list-encoder", "list-decoder", "first", "last-only"))  # fmt: skip
    if kind in ("first", "last-only"):
        plan = replace(draw(), written="callable")
        return Fault(replace(plan, part=kind), plan, f"optimizer got only {kind} parameters", visible=True)
    if kind.startswith("list"):
        plan = draw(families=("mlp",), styles=("functional",))
    else:
        plan = draw(families=("mlp", "mlp", "conv", "recurrent", "vae"))
        while plan.model.style == "plain":
            plan = draw(families=("mlp", "conv"))
    broken = replace(plan, model=replace(plan.model, frozen=kind))
    return Fault(broken, plan, kind, visible=True)


def symmetry(rng: np.random.Generator, draw: Draw) -> Fault:
    plan = draw(families=("mlp", "mlp", "conv", "odd", "vae", "recurrent"), norms=("none", "none", "layer"))
    init = pick(rng, ("zeros", "constant", "constant"))
    amount = pick(rng, (0.001, 0.01, 0.05, 0.1, 0.5, 1.0))
    broken = replace(plan, model=replace(plan.model, init=init, init_amount=amount))
    return Fault(broken, plan, init if init == "zeros" else f"all weights {amount:g}", visible=True)


def init_scale(rng: np.random.Generator, draw: Draw) -> Fault:
    kind = pick(rng, ("small", "small", "large", "large", "uniform"))
    plan = draw(families=("mlp", "mlp", "mlp", "odd", "conv"), norms=("none",), depths=(2, 2, 3) if kind == "small"
                else (1, 2, 2, 3))  # fmt: skip
    if kind == "small":
        init, amount = "normal", log_uniform(rng, 1e-6, 1e-2)
    elif kind == "large":
        init, amount = pick(rng, (("normal", log_uniform(rng, 0.7, 10)), ("gain", log_uniform(rng, 10, 200))))
    else:
        init, amount = "uniform", pick(rng, (0.1, 0.5, 1.0, 1.0))
    broken = replace(plan, model=replace(plan.model, init=init, init_amount=amount))
    return Fault(broken, plan, f"{init} {amount:g}", visible=True)


def dead(rng: np.random.Generator, draw: Draw) -> Fault:
    kind = pick(rng, ("bias", "bias", "shift", "shift", "output", "code"))
    if kind in ("output", "code"):
        plan = draw(families=PLAIN, data=("counts", "binary", "digits") if kind == "output" else (),
                    forms=("unit",) if kind == "output" else (), losses=("mse", "mae", "huber"),
                    depths=(1, 2), norms=("none",))  # fmt: skip
        model = replace(plan.model, output="linear") if kind == "output" else plan.model
        repaired = replace(plan, model=model)
        broken = replace(model, output="relu") if kind == "output" else replace(model, code_activation="relu")
        return Fault(replace(plan, model=broken), repaired, f"ReLU on the {kind}", criterion="features")
    amount = log_uniform(rng, 2, 40)
    if kind == "bias":
        plan = draw(families=("mlp", "mlp", "conv", "vae"), activations=("relu",), norms=("none",))
        while plan.model.style == "plain":
            plan = draw(families=("mlp",), activations=("relu",), norms=("none",))
        broken = replace(plan.model, hidden_bias=-amount)
        return Fault(replace(plan, model=broken), plan, f"hidden biases of -{amount:g}", visible=True)
    plan = draw(families=("odd",), styles=("parameters", "tied"), activations=("relu",), norms=("none",))
    broken = replace(plan.model, hidden=replace(plan.model.hidden, shift=amount))
    return Fault(replace(plan, model=broken), plan, f"relu(x - {amount:g})", visible=True)


def saturated(rng: np.random.Generator, draw: Draw) -> Fault:
    activations = ("sigmoid", "tanh", "tanh")
    if rng.random() < 0.5:
        plan = draw(families=("odd",), styles=("parameters", "tied"), activations=activations, norms=("none",),
                    depths=(1, 2, 2))  # fmt: skip
        gain = log_uniform(rng, 15, 500)
        hidden = replace(plan.model.hidden, gain=gain)
        variant, broken = f"{hidden.activation}({gain:g} x)", replace(plan.model, hidden=hidden)
    else:
        plan = draw(families=("mlp", "conv"), activations=activations, norms=("none",), depths=(1, 2, 2))
        while plan.model.style == "plain":
            plan = draw(families=("mlp",), activations=activations, norms=("none",))
        bias = log_uniform(rng, 6, 60) * pick(rng, (-1, 1))
        variant, broken = f"{plan.model.hidden.activation} with biases of {bias:g}", replace(
            plan.model, hidden_bias=bias
        )  # fmt: skip
    return Fault(replace(plan, model=broken), plan, variant)


def train_eval(rng: np.random.Generator, draw: Draw) -> Fault:
    kind = pick(rng, ("momentum", "momentum", "batch", "scaled-in-eval", "scaled-in-training", "dropout-in-eval"))
    if kind in ("momentum", "batch"):
        plan = draw(families=("mlp", "mlp", "conv"), norms=("batch",))
        if kind == "batch":
            size = int(pick(rng, (2, 2, 3)))
            return Fault(replace(plan, batch_size=size), plan, f"batch norm with batches of {size}",
                         criterion="train-eval")  # fmt: skip
        momentum = pick(rng, (0.0, 1e-5, 1e-4, 1e-3))
        hidden = replace(plan.model.hidden, momentum=momentum)
        # The running statistics arrive in the end, so the length of the training is part of the fault.
        plan = replace(plan, given=plan.given or momentum > 0)
        broken = replace(plan, model=replace(plan.model, hidden=hidden))
        return Fault(broken, plan, f"batch norm with momentum {momentum:g}", criterion="train-eval")
    plan = draw(families=PLAIN, norms=("none",))
    while plan.model.style in ("plain", "tied"):
        plan = draw(families=PLAIN, norms=("none",))
    return Fault(replace(plan, model=replace(plan.model, eval_path=kind)), plan, kind, criterion="train-eval")


def code_small(rng: np.random.Generator, draw: Draw) -> Fault:
    plan = draw(families=DENSE, data=("factors", "factors", "tabular", "digits"))
    rank = int(rng.integers(8, 17))
    features = max(plan.data.features, 4 * rank)
    if plan.data.name == "digits":
        rank, features = 20, 64
    code = int(rng.integers(1, max(2, rank // 3)))
    plan = replace(plan, data=replace(plan.data, rank=rank, features=features, rows=max(plan.data.rows, 1000)))
    widths = tuple(max(width, 2 * rank) for width in plan.model.widths)
    repaired = replace(plan, model=replace(plan.model, code=rank, widths=widths))
    broken = replace(repaired, model=replace(repaired.model, code=code))
    return Fault(broken, repaired, f"code {code}, {rank} factors")


def code_large(rng: np.random.Generator, draw: Draw) -> Fault:
    if rng.random() < 0.5:
        plan = draw(families=DENSE, data=("factors", "factors-noise", "tabular"), depths=(1, 1, 2),
                    forms=("standardize", "whiten-all"))  # fmt: skip
        features = min(plan.data.features, 40)
        data = replace(plan.data, features=features)
        widths = tuple(max(width, 2 * features) for width in plan.model.widths)
        repaired = replace(plan, data=data, steps=2500, model=replace(plan.model, widths=widths, code=data.rank))
        code = int(features * rng.uniform(1, 2))
        broken = replace(repaired, model=replace(repaired.model, code=code))
        return Fault(broken, repaired, f"code {code} for {features} features", criterion="copy")
    plan = draw(families=("mlp",), data=("factors-noise", "digits", "tabular"), depths=(1, 2), norms=("none",),
                optimizers=("adam", "adamw"), forms=("standardize", "whiten-all"))  # fmt: skip
    rows, held_out = int(rng.integers(20, 50)), 200
    features = max(plan.data.features, 40)
    data = replace(plan.data, rows=rows + held_out, rank=3, features=64 if plan.data.name == "digits" else features)
    repaired = replace(plan, data=data, held_out=held_out, batch_size=min(plan.batch_size, 16), steps=2500,
                       model=replace(plan.model, widths=(int(rng.integers(128, 257)),), code=3))  # fmt: skip
    code = int(rng.integers(30, 129))
    broken = replace(repaired, model=replace(repaired.model, code=code))
    return Fault(broken, repaired, f"code {code} for {rows} rows", criterion="memorize")


def mixing(rng: np.random.Generator, draw: Draw) -> Fault:
    kind = pick(rng, ("input", "code", "code", "output", "encoder", "encoder", "decoder"))
    if kind in ("encoder", "decoder"):
        plan = draw(families=("recurrent",), styles=("gru", "lstm") if kind == "decoder" else ())
        while plan.model.style == "gru-dense" and kind == "decoder":
            plan = draw(families=("recurrent",))
    else:
        plan = draw(families=("mlp", "mlp", "conv", "odd", "vae"), norms=("none", "none", "layer"))
        while plan.model.style in ("plain", "tied") or (plan.model.family == "conv" and kind != "code"):
            plan = draw(families=("mlp", "mlp", "conv", "odd", "vae"), norms=("none", "none", "layer"))
    what = "no batch_first in the" if kind in ("encoder", "decoder") else "reshape in place of a transpose:"
    return Fault(replace(plan, model=replace(plan.model, mixed=kind)), plan, f"{what} {kind}", visible=True)


def discrete(rng: np.random.Generator, draw: Draw) -> Plan:
    """A run that works with a code of entries of a codebook."""
    plan = draw(families=("mlp",), styles=("sequential", "functional"), forms=("standardize", "whiten-all"),
                data=("factors", "tabular"), losses=("mse",), norms=("none",),
                optimizers=("adam", "adamw"))  # fmt: skip
    model = replace(plan.model, code=2 * plan.data.rank, entries=int(pick(rng, (32, 64, 128))), returns="tensor")
    return replace(plan, model=model, steps=max(plan.steps, 1500), given=True)


def codebook(rng: np.random.Generator, draw: Draw) -> Fault:
    plan = discrete(rng, draw)
    kind = pick(rng, ("far", "same", "large"))
    broken = replace(plan, model=replace(plan.model, book=kind))
    return Fault(broken, plan, f"{plan.model.entries} entries that begin {kind}")


PLANTERS: dict[str, Planter] = {
    "batch-mixing": mixing,
    "codebook-collapse": codebook,
    "shape-broadcast": broadcast,
    "frozen-parameters": frozen,
    "init-symmetry": symmetry,
    "init-scale": init_scale,
    "dead-units": dead,
    "saturated-units": saturated,
    "train-eval-mismatch": train_eval,
    "code-too-small": code_small,
    "code-too-large": code_large,
}
