"""The trainer: classic examples against an independent loop, determinism, tweaks that really change the update."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from aetui import RunSpec, SpecError, Trainer, presets
from aetui.spec import changed
from aetui.spec import sections as s
from aetui.spec.fields import variants
from aetui.training.weights_fingerprint import sha256

SMALL = {"model.hidden": (16,), "model.code": 4, "data.rows": "0:200", "train.batch_size": 32}


def small(**changes) -> Trainer:
    return Trainer(changed(RunSpec(), SMALL | {path.replace("__", "."): value for path, value in changes.items()}))


def independent_classic(trainer: Trainer, *, latent: int, lr: float, clipnorm: float | None, epochs: int = 100):
    """The example written out by hand, from the same initial weights and data."""
    data = torch.from_numpy(
        np.random.default_rng(0).standard_normal((1000, 100), dtype=np.float64).astype(np.float32)
    ).double()
    torch.testing.assert_close(trainer.train_data, data)
    model = nn.Sequential(
        nn.Linear(100, 50), nn.ReLU(), nn.Linear(50, latent), nn.Linear(latent, 50), nn.ReLU(), nn.Linear(50, 100)
    ).double()
    for target, source in zip(model.parameters(), trainer.model.parameters(), strict=True):
        target.data.copy_(source.data)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, eps=1e-7, fused=False, foreach=False)
    for _ in range(epochs):
        optimizer.zero_grad()
        ((model(data) - data) ** 2).mean().backward()
        if clipnorm is not None:
            for parameter in model.parameters():
                norm = float(parameter.grad.norm())
                parameter.grad.mul_(clipnorm / max(norm, clipnorm))
        optimizer.step()
    with torch.no_grad():
        return model, float(((model(data) - data) ** 2).mean())


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("latent-and-loss", {"latent": 10, "lr": 1e-3, "clipnorm": 1.0}),
        ("bad-init", {"latent": 20, "lr": 1e-3, "clipnorm": None}),
        ("lr-and-clipping", {"latent": 20, "lr": 1e-4, "clipnorm": 1.0}),
    ],
)
def test_the_classic_examples_are_what_an_independent_loop_trains(name: str, settings: dict):
    # In float64 two loops that do the same agree closely; in float32 Adam magnifies rounding.
    trainer = Trainer(changed(presets.load(name), {"train.dtype": "float64"}))
    model, loss = independent_classic(trainer, **settings)
    trainer.run()
    assert trainer.steps == 100
    assert trainer.evaluate().loss == pytest.approx(loss, rel=1e-8)
    for found, wanted in zip(trainer.model.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(found.data, wanted.data, rtol=1e-6, atol=1e-8)


def test_the_classic_initializations():
    trainer = Trainer(presets.load("latent-and-loss"))
    for module in trainer.model.modules():
        if isinstance(module, nn.Linear):
            bound = math.sqrt(6 / (module.in_features + module.out_features))
            assert module.weight.abs().max() <= bound
            assert module.weight.abs().max() > 0.9 * bound
            assert not module.bias.any()
    trainer = Trainer(presets.load("bad-init"))
    weights = torch.cat([p.data.flatten() for p in trainer.model.parameters() if p.dim() == 2])
    assert float(weights.std()) == pytest.approx(0.05, rel=0.03)


def test_same_spec_same_weights_watched_or_not():
    plain, watched = small(model__dropout=0.2, model__noise=0.1), small(model__dropout=0.2, model__noise=0.1)
    plain.run(30)
    for _ in range(30):
        watched.advance_measured()
        watched.evaluate()
        torch.rand(3)
        watched.encode(watched.dataset.scaler.inverse(watched.dataset.train[:2]))
    assert plain.weights_sha256() == watched.weights_sha256()


def test_another_seed_gives_other_weights():
    one, two = small(), small(train__seed=1)
    assert one.weights_sha256() != two.weights_sha256()


def test_training_leaves_the_global_random_state_alone():
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    small(model__kind="vae", model__dropout=0.5).run(3)
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])


OPTIMIZERS = list(variants("optim"))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("clip", list(variants("clip")))
@pytest.mark.parametrize("schedule", list(variants("schedule")))
def test_every_optimizer_clipping_and_schedule_trains(optimizer: str, clip: str, schedule: str):
    changes = {"optim.kind": optimizer, "clip.kind": clip, "schedule.kind": schedule}
    if clip != "none":
        changes["clip.threshold"] = "0.01"
    trainer = Trainer(changed(changed(RunSpec(), SMALL), changes, text=True))
    before = trainer.flat.values.detach().clone()
    trainer.run(3)
    assert torch.isfinite(trainer.flat.values).all()
    assert not torch.equal(before, trainer.flat.values)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_flat_optimizer_updates_as_one_over_separate_tensors(optimizer: str):
    trainer = Trainer(changed(changed(RunSpec(), SMALL), {"optim.kind": optimizer}, text=True))
    reference = [nn.Parameter(p.data.clone()) for p in trainer.model.parameters()]
    options = {
        key: value
        for key, value in trainer.optimizer.defaults.items()
        if key not in ("fused", "foreach", "decoupled_weight_decay")
    }
    twin = type(trainer.optimizer)(reference, foreach=False, **options)
    for _ in range(3):
        trainer.advance()
        for parameter, grad in zip(reference, trainer.flat.grad_views, strict=True):
            parameter.grad = grad.clone()
        twin.step()
    for found, wanted in zip(trainer.model.parameters(), reference, strict=True):
        torch.testing.assert_close(found.data, wanted.data, rtol=1e-4, atol=1e-6)


def update(trainer: Trainer) -> torch.Tensor:
    before = trainer.flat.values.detach().clone()
    trainer.advance()
    return trainer.flat.values.detach() - before


LIVE_CASES = [
    ({"optim.lr": 1e-4}, {}),
    ({"optim.weight_decay": 0.1}, {}),
    ({"optim.beta1": 0.5}, {}),
    ({"optim.beta2": 0.5}, {}),
    ({"optim.eps": 1e-2}, {}),
    ({"optim.momentum": 0.5}, {"optim.kind": "sgd", "optim.momentum": 0.9}),
    ({"optim.nesterov": True}, {"optim.kind": "sgd", "optim.momentum": 0.9}),
    ({"optim.alpha": 0.5}, {"optim.kind": "rmsprop"}),
    ({"optim.rho": 0.5}, {"optim.kind": "adadelta"}),
    ({"optim.lr_decay": 0.5}, {"optim.kind": "adagrad"}),
    ({"optim.momentum_decay": 0.5}, {"optim.kind": "nadam"}),
    ({"optim.kind": "sgd"}, {}),
    ({"clip.kind": "value", "clip.threshold": 1e-6}, {"optim.kind": "sgd"}),
    ({"clip.kind": "global", "clip.threshold": 1e-4}, {"optim.kind": "sgd"}),
    ({"clip.kind": "per-tensor", "clip.threshold": 1e-4}, {"optim.kind": "sgd"}),
    ({"schedule.kind": "warmup"}, {}),
    ({"train.batch_size": 16}, {}),
    ({"loss.kind": "mae"}, {}),
    ({"loss.reduction": "sum"}, {"optim.kind": "sgd"}),
    ({"loss.weighting": "inverse-variance"}, {"data.scaling": "max"}),
    ({"loss.l1_code": 10.0}, {}),
    ({"loss.variance_weight": 10.0}, {}),
    ({"model.noise": 0.5}, {}),
    ({"model.dropout": 0.5}, {}),
    ({"model.kl_weight": 100.0}, {"model.kind": "vae"}),
    ({"model.kl_warmup": 10_000}, {"model.kind": "vae"}),
]


@pytest.mark.parametrize(("tweak", "base"), LIVE_CASES, ids=lambda case: ",".join(map(str, case)) or "default")
def test_a_tweak_really_changes_the_very_next_update(tweak: dict, base: dict):
    spec = changed(changed(RunSpec(), SMALL), base)
    control, tweaked = Trainer(spec), Trainer(spec)
    control.run(5)
    tweaked.run(5)
    tweaked.set(tweak)
    assert not torch.equal(update(control), update(tweaked))


def test_the_rate_scales_the_update():
    control, tweaked = small(optim__kind="sgd"), small(optim__kind="sgd")
    tweaked.set({"optim.lr": control.spec.optim.lr * 2})
    torch.testing.assert_close(update(tweaked), update(control) * 2, rtol=1e-3, atol=1e-7)


def test_a_manual_rate_rescales_the_schedule():
    trainer = small(schedule__kind="cosine", schedule__steps=100)
    trainer.run(50)
    assert trainer.rate == pytest.approx(5e-4)
    trainer.set({"optim.lr": 1e-2})
    assert trainer.rate == pytest.approx(5e-3)
    trainer.run(25)
    assert trainer.rate == pytest.approx(1e-2 * (1 + math.cos(math.pi * 0.75)) / 2)
    assert trainer.optimizer.param_groups[0]["lr"] == pytest.approx(1e-2 * (1 + math.cos(math.pi * 0.74)) / 2)


def test_structural_settings_and_bad_values_are_refused_and_change_nothing():
    trainer = small()
    before = trainer.spec
    with pytest.raises(SpecError, match=r"model\.code.*new run"):
        trainer.set({"model.code": 3, "optim.lr": 1.0})
    with pytest.raises(SpecError, match=r"optim\.lr"):
        trainer.set({"optim.lr": "fast"}, text=True)
    assert trainer.spec == before


def test_a_non_finite_step_leaves_the_weights_and_says_so():
    trainer = small()
    trainer.run(3)
    before = trainer.flat.values.detach().clone()
    trainer.train_data[:] = math.inf
    trainer.batches.resize(16)
    assert trainer.advance() is False
    assert trainer.steps == 4
    assert torch.equal(before, trainer.flat.values)
    assert not np.isfinite(trainer.recorder.drain().grad_norm[-1])
    with pytest.raises(FloatingPointError, match="step 5"):
        trainer.step()


def test_run_without_an_end_asks_for_one():
    with pytest.raises(SpecError, match=r"train\.steps"):
        small().run()
    trainer = small(train__epochs=2)
    assert len(trainer.run()) == trainer.goal == 2 * math.ceil(180 / 32)


def test_encode_and_reconstruct_take_the_datas_own_units():
    trainer = Trainer(changed(RunSpec(), {"train.steps": 600, "data.scaling": "standardize"}))
    trainer.run()
    rows = trainer.dataset.scaler.inverse(trainer.dataset.train[:50])
    assert trainer.encode(rows).shape == (50, 10)
    back = trainer.reconstruct(torch.from_numpy(rows))
    assert 1 - ((back - rows) ** 2).sum() / ((rows - rows.mean(0)) ** 2).sum() > 0.5
    with pytest.raises(ValueError, match="64"):
        trainer.encode(np.zeros((2, 3)))


def test_evaluation_against_numpy():
    trainer = small()
    trainer.run(50)
    found = trainer.evaluate()
    target = trainer.dataset.train
    output = trainer.predict(trainer.train_data)[0].numpy()
    error, spread = ((output - target) ** 2), ((target - target.mean(0)) ** 2)
    assert found.loss == pytest.approx(error.mean(), rel=1e-5)
    assert found.explained_variance == pytest.approx(1 - error.sum() / spread.sum(), rel=1e-4)
    assert found.floors.mean == pytest.approx(spread.mean(), rel=1e-5)
    assert found.floors.linear < found.floors.mean
    varying = target.var(0) > 1e-6
    ratio = output.var(0)[varying] / target.var(0)[varying]
    assert found.variance_ratio["median"] == pytest.approx(np.median(ratio), rel=1e-3)
    assert found.variance_ratio["features"] == varying.sum()


@pytest.mark.parametrize("kind", ["linear", "mlp", "conv", "vae"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_every_model_trains_in_every_format(kind: str, dtype: str):
    spec = changed(RunSpec(), {"data.rows": "0:100", "model.kind": kind, "train.dtype": dtype})
    trainer = Trainer(spec)
    trainer.run(3)
    assert math.isfinite(trainer.evaluate().loss)
    assert all(p.dtype == getattr(torch, dtype) for p in trainer.model.parameters())


def test_batch_norm_survives_a_rest_of_one_row():
    trainer = small(model__batch_norm=True, data__rows="0:33", data__validation=0.0)
    trainer.run(5)
    assert trainer.steps == 5


def test_a_device_that_is_not_there_is_named():
    missing = "cuda" if not torch.cuda.is_available() else f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(SpecError, match=r"train\.device.*take auto or cpu"):
        small(train__device=missing)


def test_the_hash_follows_name_type_shape_and_bytes():
    state = {"a": torch.arange(4.0).reshape(2, 2)}
    same = {"a": torch.arange(4.0).reshape(2, 2).t().contiguous().t()}
    assert sha256(state) == sha256(same)
    for other in ({"b": state["a"]}, {"a": state["a"].double()}, {"a": state["a"].reshape(4)}, {"a": state["a"] + 1}):
        assert sha256(state) != sha256(other)


def test_inverse_variance_weighting_is_the_fraction_of_variance_unexplained():
    trainer = small(loss__weighting="inverse-variance", data__scaling="max")
    assert isinstance(trainer.spec.loss, s.Mse)
    assert trainer.floors().mean == pytest.approx(np.mean(trainer.dataset.train.var(0) > 1e-9), rel=1e-3)


def test_small_steps_take_one_thread_and_a_number_is_obeyed():
    before = torch.get_num_threads()
    try:
        small()
        assert torch.get_num_threads() == 1
        small(train__threads=2)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
