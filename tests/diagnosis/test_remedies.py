"""Every remedy changes the run's settings, in the direction that its cause says."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from aetui import presets
from aetui.diagnosis import causes
from aetui.diagnosis.dossier import Dossier
from aetui.diagnosis.facts import gather
from aetui.diagnosis.loop import Loop
from aetui.diagnosis.observe import fit, probe_rows
from aetui.diagnosis.observer import Observer
from aetui.diagnosis.of_spec import subject_of_trainer
from aetui.diagnosis.probing import Rows
from aetui.report import Remedy
from aetui.spec import RunSpec, changed
from aetui.spec import sections as s
from aetui.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("one_thread_and_seed")
STEPS = 40

DIGITS = {"data.rows": "0:300", "train.device": "cpu", "train.steps": STEPS}
VAE = {**DIGITS, "model.kind": "vae", "model.hidden": (16,)}
SPECS: dict[str, dict[str, Any]] = {
    "averaged KL": {**VAE, "model.kl_weight": 0.05},
    "averaged KL with a large weight": {**VAE, "model.kl_weight": 50.0},
    "summed KL": {**VAE, "model.kl_weight": 50.0, "loss.reduction": "sum"},
    "weight of an ordinary VAE": {**VAE, "model.kl_weight": 1.0, "loss.reduction": "sum"},
    "warm-up": {**VAE, "model.kl_weight": 0.5, "model.kl_warmup": 20},
    "warm-up that is longer than the run": {**VAE, "model.kl_weight": 0.5, "model.kl_warmup": 400},
    "rate above the usual one": {**DIGITS, "optim.lr": 0.002},
    "usual rate": {**DIGITS, "optim.lr": 0.001},
    "rate of 0": {**DIGITS, "optim.lr": 0.0},
    "slow descent": {**DIGITS, "optim.kind": "sgd", "optim.lr": 1e-4},
    "fast descent": {**DIGITS, "optim.kind": "sgd", "optim.lr": 50.0, "optim.momentum": 0.995},
    "damped Adam": {**DIGITS, "optim.eps": 0.1, "optim.beta1": 0.98},
    "half precision": {**DIGITS, "optim.eps": 0.1, "train.dtype": "float16"},
    "decay": {**DIGITS, "optim.weight_decay": 1.0},
    "penalties": {**DIGITS, "loss.l1_code": 10.0, "loss.variance_weight": 5.0},
    "clipped tightly": {**DIGITS, "clip.kind": "global", "clip.threshold": 1e-4},
    "clipped loosely": {**DIGITS, "clip.kind": "global", "clip.threshold": 1e4},
    "exploding and clipped": {**DIGITS, "clip.kind": "value", "clip.threshold": 0.5, "data.scaling": "none"},
    "exploding": {**DIGITS, "data.scaling": "none", "loss.reduction": "sum", "optim.lr": 0.5},
    "noise": {**DIGITS, "model.noise": 5.0},
    "dropout": {**DIGITS, "model.dropout": 0.9},
    "rectified code": {**DIGITS, "model.activation": "tanh", "model.code_activation": "relu"},
    "all rectified": {**DIGITS, "model.code_activation": "relu", "model.output_activation": "relu"},
    "sigmoids": {**DIGITS, "model.activation": "sigmoid", "model.hidden": (32, 16), "init.gain": 50.0},
    "unscaled before a sigmoid": {**DIGITS, "data.scaling": "none", "model.output_activation": "sigmoid"},
    "unscaled cross-entropy": {
        **DIGITS, "data.scaling": "none", "loss.kind": "bce", "model.output_activation": "sigmoid",
    },
    "cross-entropy of rectified outputs": {
        **DIGITS, "data.scaling": "minmax", "loss.kind": "bce", "model.output_activation": "relu",
    },
    "two sigmoids": {
        **DIGITS, "data.scaling": "minmax", "loss.kind": "bce-logits", "model.output_activation": "sigmoid",
    },
    "standardized into a sigmoid": {**DIGITS, "data.scaling": "standardize", "model.output_activation": "sigmoid"},
    "wide code that sees noise": {**DIGITS, "model.code": 64, "model.hidden": (), "model.noise": 0.01},
    "normalized by batches": {**DIGITS, "model.batch_norm": True, "optim.lr": 0.05, "train.batch_size": 4},
    "decays too fast": {**DIGITS, "schedule.kind": "exponential", "schedule.decay": 0.5},
    "drops too often": {**DIGITS, "schedule.kind": "step", "schedule.every": 1},
    "ends too early": {**DIGITS, "schedule.kind": "cosine", "schedule.steps": 9},
    "never warm": {**DIGITS, "schedule.kind": "warmup", "schedule.warmup": 10**6},
}  # fmt: skip
PERFECT_IN_TRAIN_MODE, PERFECT_ON_TRAINING_ROWS = "normalized by batches", "wide code that sees noise"
"""Runs of which a measurement is put in that takes thousands of steps to come about."""


@cache
def dossier(name: str) -> Dossier:
    """What is known of a run after a few steps, and its spec."""
    spec = changed(RunSpec(), SPECS[name]) if name in SPECS else presets.load(name)
    trainer = Trainer(changed(spec, {"train.device": "cpu", "train.steps": STEPS}), strict=False)
    subject = subject_of_trainer(trainer)
    loop = Loop(subject)
    observer = Observer(loop, Rows.of(subject, probe_rows(subject.rows)))
    observer.take()
    facts = gather(subject)
    d = Dossier(subject, facts, observer.snapshots, loop.losses, loop.norms, loop.clipped, goal=STEPS)
    if not (facts.loss_error or facts.gradients.unreachable):
        observer.advance(STEPS)
        if loop.broken is None:
            observer.take()
            d.train_fit = observer.rows.fit(loop, train=True)
    d.broken, d.parts = loop.broken, dict(loop.parts)
    target = observer.rows.target.flatten(1)
    perfect = fit(target, target)
    if name == PERFECT_IN_TRAIN_MODE:
        d.train_fit = perfect
    if name == PERFECT_ON_TRAINING_ROWS:
        d.held_fit = d.fit
        d.snapshots = (*observer.snapshots, replace(observer.snapshots[-1], fit=perfect))
    return d


NAMES = (*SPECS, *presets.names(), *presets.clinic_names())


def remedies_of(name: str) -> Iterator[tuple[str, Remedy]]:
    for suspect in causes.suspects(dossier(name)):
        for remedy in suspect.remedies:
            yield suspect.cause, remedy


def eased(old: RunSpec, new: RunSpec, *paths: str) -> bool:
    """Whether the settings that changed among these are smaller, and at least one is."""
    pairs = [(value_of(old, path), value_of(new, path)) for path in paths]
    moved = [(before, after) for before, after in pairs if before != after]
    return bool(moved) and all(after < before for before, after in moved)


def value_of(spec: RunSpec, path: str) -> float:
    section, _, key = path.partition(".")
    return getattr(getattr(spec, section), key, 0.0)


def limit(spec: RunSpec) -> float:
    return getattr(spec.clip, "threshold", float("inf"))


def activations(spec: RunSpec) -> set[str]:
    return {getattr(spec.model, name, "") for name in ("activation", "code_activation", "output_activation")}


def hidden(spec: RunSpec) -> set[str]:
    return {getattr(spec.model, name, "") for name in ("activation", "code_activation")}


def usual(spec: RunSpec) -> bool:
    optim: Any = spec.optim
    return (optim.beta1, optim.beta2) == (0.9, 0.999) and optim.eps <= 1e-4


WAYS: dict[tuple[str, str], Callable[[RunSpec, RunSpec], bool]] = {
    ("bad-values", "clean"): lambda old, new: new.data.non_finite == "mean",  # pyright: ignore
    ("loss-domain", "minmax"): lambda old, new: new.data.scaling == "minmax",
    ("loss-domain", "mse"): lambda old, new: isinstance(new.loss, s.Mse) and not isinstance(old.loss, s.Mse),
    ("loss-domain", "sigmoid-output"): lambda old, new: new.model.output_activation == "sigmoid",  # pyright: ignore
    ("loss-domain", "logits"): lambda old, new: (
        isinstance(new.loss, s.BceLogits) and new.model.output_activation == "linear"  # pyright: ignore
    ),
    ("loss-domain", "linear-output"): lambda old, new: new.model.output_activation == "linear",  # pyright: ignore
    ("loss-domain", "bce"): lambda old, new: isinstance(new.loss, s.Bce),
    ("output-range", "linear-output"): lambda old, new: new.model.output_activation == "linear",  # pyright: ignore
    ("output-range", "rescale"): lambda old, new: new.data.scaling == "minmax",
    ("input-scaling", "standardize"): lambda old, new: (
        new.data.scaling == "standardize" and getattr(new.model, "output_activation", "linear") == "linear"
    ),
    ("input-scaling", "minmax"): lambda old, new: new.data.scaling == "minmax",
    ("init-symmetry", "reinit"): lambda old, new: new.init == s.PytorchInit(),
    ("init-scale", "reinit"): lambda old, new: new.init == s.PytorchInit(),
    ("posterior-collapse", "balance"): lambda old, new: (old.loss.reduction, new.loss.reduction) == ("mean", "sum"),
    ("posterior-collapse", "weaker-kl"): lambda old, new: eased(old, new, "model.kl_weight"),
    ("posterior-collapse", "warm-up"): lambda old, new: eased(new, old, "model.kl_warmup"),
    ("penalty-too-strong", "weaker"): lambda old, new: eased(old, new, "loss.l1_code", "loss.variance_weight"),
    ("penalty-too-strong", "no-decay"): lambda old, new: eased(old, new, "optim.weight_decay"),
    ("noise-too-strong", "less-noise"): lambda old, new: eased(old, new, "model.dropout", "model.noise"),
    ("lr-too-high", "lr"): lambda old, new: eased(old, new, "optim.lr"),
    ("lr-too-low", "lr"): lambda old, new: eased(new, old, "optim.lr"),
    ("optimizer", "adam"): lambda old, new: isinstance(new.optim, s.Adam) and not isinstance(old.optim, s.Adam),
    ("optimizer", "momentum"): lambda old, new: eased(old, new, "optim.momentum"),
    ("optimizer", "defaults"): lambda old, new: usual(new) and not usual(old),
    ("clipping-too-tight", "looser"): lambda old, new: limit(new) > limit(old),
    ("exploding-gradients", "clip"): lambda old, new: limit(new) < limit(old),
    ("dead-units", "leaky"): lambda old, new: "relu" in activations(old) and "relu" not in activations(new),
    ("saturated-units", "unsaturated"): lambda old, new: not hidden(new) & {"sigmoid", "tanh"},
    ("train-eval-mismatch", "statistics"): lambda old, new: not new.model.batch_norm,  # pyright: ignore
    ("code-too-small", "wider"): lambda old, new: eased(new, old, "model.code"),
    ("code-too-large", "narrower"): lambda old, new: eased(old, new, "model.code"),
    ("code-too-large", "denoise"): lambda old, new: eased(new, old, "model.noise"),
    ("precision", "float32-weights"): lambda old, new: (old.train.dtype, new.train.dtype) == ("float16", "float32"),
    ("precision", "eps"): lambda old, new: old.optim.eps < new.optim.eps <= 1e-4,  # pyright: ignore
    ("lr-schedule", "decay"): lambda old, new: eased(new, old, "schedule.decay"),
    ("lr-schedule", "every"): lambda old, new: eased(new, old, "schedule.every"),
    ("lr-schedule", "length"): lambda old, new: eased(old, new, "schedule.steps"),
    ("lr-schedule", "warmup"): lambda old, new: eased(old, new, "schedule.warmup"),
    ("lr-schedule", "steady"): lambda old, new: isinstance(new.schedule, s.Constant),
    ("under-trained", "longer"): lambda old, new: eased(new, old, "train.steps"),
}
"""Of each cause's remedies with settings: what they do to a spec."""


@pytest.mark.parametrize("name", NAMES)
def test_a_remedy_changes_each_of_its_settings_in_the_direction_of_its_cause(name):
    spec = dossier(name).subject.spec
    assert spec is not None
    for cause, remedy in remedies_of(name):
        if not remedy.set:
            continue
        new = changed(spec, remedy.set)
        assert new != spec, (cause, remedy)
        for path in remedy.set:
            if f"{path.partition('.')[0]}.kind" in remedy.set:
                continue
            others = {other: value for other, value in remedy.set.items() if other != path}
            assert changed(spec, others) != new, f"{path} of {remedy} is in force already"
        assert WAYS[cause, remedy.id.partition("-")[0] if remedy.id.startswith("lr-") else remedy.id](spec, new), remedy


def test_every_remedy_is_seen_at_least_once():
    seen = {
        (cause, "lr" if remedy.id.startswith("lr-") else remedy.id)
        for name in NAMES
        for cause, remedy in remedies_of(name)
        if remedy.set
    }
    assert seen == set(WAYS)


def weights(name: str) -> list[float]:
    return [remedy.set["model.kl_weight"] for _, remedy in remedies_of(name) if "model.kl_weight" in remedy.set]


@pytest.mark.parametrize(
    ("name", "beta", "weight"),
    [("averaged KL", 1.6, 0.003), ("summed KL", 25, 0.2), ("clinic/beta-too-large", 25, 0.2)],
)
def test_the_weight_of_a_kl_is_set_from_what_it_is_now(name, beta, weight):
    assert dossier(name).facts.beta == pytest.approx(beta, rel=1e-3)
    assert weights(name) == [weight]


def test_beta_is_that_of_the_run_s_last_step_and_not_of_a_warm_up_s_first():
    assert dossier("warm-up").facts.beta == pytest.approx(16, rel=1e-3)
    assert dossier("warm-up that is longer than the run").facts.beta == pytest.approx(1.6, rel=1e-3)
