import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aetui.gauges.code import effective_rank, measure_code
from aetui.gauges.explained import explained_variance
from aetui.gauges.layers import measure_layers
from aetui.gauges.pairs import measure_pairs, through
from aetui.gauges.variance import measure_variance, variance_ratio_summary
from aetui.models.build import build
from aetui.spec import RunSpec, changed, sections
from aetui.training.losses import Objective


def normal(rows, features, seed=0):
    return torch.randn(rows, features, generator=torch.Generator().manual_seed(seed))


def orthonormal(rows, width, seed=0):
    """Centered orthonormal columns."""
    x = normal(rows, width, seed).double()
    return torch.linalg.qr(x - x.mean(0)).Q


def model_of(**changes):
    return build(changed(RunSpec(), {f"model.{key}": value for key, value in changes.items()}), 64, (1, 8, 8), seed=0)


# --- explained variance and variance ratios ---


def test_explained_variance_of_the_mean_is_zero_and_of_the_targets_one():
    target = normal(50, 4) + 3
    assert explained_variance(target, target) == 1.0
    assert explained_variance(target.mean(0).expand_as(target), target) == pytest.approx(0.0, abs=1e-6)
    assert explained_variance(target + 10, target) < -10
    assert math.isnan(explained_variance(torch.full((50, 4), math.nan), target))


def test_explained_variance_matches_its_definition_over_all_features_together():
    output, target = normal(40, 5, 1), normal(40, 5, 2) * torch.tensor([1.0, 10, 0.1, 5, 2])
    expected = 1 - (output - target).square().sum() / (target - target.mean(0)).square().sum()
    assert explained_variance(output, target) == pytest.approx(float(expected), rel=1e-5)


def test_explained_variance_of_constant_targets():
    target = torch.full((5, 2), 3.0)
    assert explained_variance(target.clone(), target) == 1.0
    assert explained_variance(target + 1, target) == 0.0


def test_variance_gauge_counts_low_and_constant_features():
    target = normal(400, 6)
    target[:, 5] = 2.5
    scale = torch.tensor([1.0, 0.5, 0.1, 0.0, 2.0, 1.0])
    found = measure_variance(target * scale, target, step=7, version=3)
    assert (found.step, found.version, found.group, found.features) == (7, 3, 1, 6)
    assert (found.low, found.constant) == (2, 1)
    assert found.data.numpy() == pytest.approx(target.var(0, correction=0).numpy(), abs=1e-5)
    assert found.output.numpy() == pytest.approx((target * scale).var(0, correction=0).numpy(), abs=1e-5)
    expected = torch.quantile(scale[:5].square(), torch.tensor([0.0, 0.1, 0.5, 0.9, 1.0])).tolist()
    assert found.quantiles == pytest.approx(expected, abs=1e-5)
    summary = variance_ratio_summary(target * scale, target)
    assert list(summary) == ["min", "p10", "median", "p90", "max", "below_0.1", "features"]
    assert [summary[key] for key in ("min", "p10", "median", "p90", "max")] == pytest.approx(expected, abs=1e-5)
    assert (summary["below_0.1"], summary["features"]) == (2, 5)


def test_variance_gauge_without_a_varying_feature():
    constant = torch.ones(10, 3)
    assert measure_variance(normal(10, 3), constant, step=0, version=1).quantiles == ()
    assert variance_ratio_summary(normal(10, 3), constant)["median"] is None
    assert variance_ratio_summary(normal(10, 3), constant)["features"] == 0


@given(features=st.integers(1, 60), groups=st.integers(1, 20))
@settings(max_examples=40, deadline=None)
def test_variance_groups_are_means_of_neighbors(features, groups):
    target = normal(20, features, seed=features)
    fine = measure_variance(0.5 * target, target, step=0, version=1)
    coarse = measure_variance(0.5 * target, target, step=0, version=1, max_groups=groups)
    parts = torch.from_numpy(fine.data.numpy().copy()).split(coarse.group)
    assert len(parts) == coarse.data.shape[0] == coarse.output.shape[0] <= groups
    assert coarse.data.numpy() == pytest.approx([float(part.mean()) for part in parts], rel=1e-5)
    assert (coarse.quantiles, coarse.low, coarse.features) == (fine.quantiles, fine.low, features)


# --- code ---


@pytest.mark.parametrize(("rows", "width"), [(60, 4), (6, 20)])
def test_effective_rank_of_a_flat_spectrum_is_its_length(rows, width):
    rank = min(width, rows - 1)
    basis = orthonormal(rows, rank)
    mixing = torch.linalg.qr(normal(width, rank, 5).double()).Q
    assert effective_rank(basis @ mixing.T + 3) == pytest.approx(rank, rel=1e-6)


def test_effective_rank_of_a_known_spectrum():
    singular = torch.tensor([8.0, 4.0, 2.0, 2.0]).double()
    shares = singular / singular.sum()
    expected = math.exp(-sum(float(p) * math.log(float(p)) for p in shares))
    code = orthonormal(50, 4) * singular
    assert effective_rank(code) == pytest.approx(expected, rel=1e-6)
    assert measure_code(code, None, step=0, version=1, vae=False).effective_rank == pytest.approx(expected, rel=1e-6)


def test_effective_rank_of_one_direction_is_one_and_of_a_constant_zero():
    assert effective_rank(normal(30, 1) @ normal(1, 5, 1)) == pytest.approx(1.0, abs=1e-4)
    assert effective_rank(torch.full((30, 5), 0.3)) == 0.0


def test_code_points_are_the_principal_components():
    code = (orthonormal(80, 3) * torch.tensor([5.0, 3.0, 1.0])) @ torch.linalg.qr(normal(3, 3, 4).double()).Q + 2
    found = measure_code(code.float(), list(range(80)), step=2, version=9, vae=False)
    points = torch.from_numpy(found.points.numpy().copy())
    assert points.norm(dim=0).tolist() == pytest.approx([5.0, 3.0], rel=1e-4)
    assert float(points[:, 0] @ points[:, 1]) == pytest.approx(0.0, abs=1e-3)
    assert found.shares == pytest.approx((25 / 35, 9 / 35), rel=1e-4)
    assert found.labels == tuple(range(80))
    assert (found.width, found.step, found.version) == (3, 2, 9)
    again = measure_code(code.float() + 1e-5 * normal(80, 3, 1), None, step=3, version=10, vae=False)
    assert again.points.numpy() == pytest.approx(found.points.numpy(), abs=1e-3)


def test_code_of_one_unit_and_constant_code_have_zeros():
    code = normal(20, 1)
    narrow = measure_code(code, None, step=0, version=1, vae=False)
    assert narrow.points.numpy()[:, 0] == pytest.approx((code - code.mean()).flatten().numpy(), abs=1e-5)
    assert not narrow.points.numpy()[:, 1].any()
    assert narrow.shares == (1.0, 0.0)
    flat = measure_code(torch.ones(20, 4), None, step=0, version=1, vae=False)
    assert not flat.points.numpy().any()
    assert (flat.shares, flat.active, flat.effective_rank) == ((0.0, 0.0), 0, 0.0)


@pytest.mark.parametrize(("vae", "active"), [(False, 2), (True, 3)])
def test_active_units(vae, active):
    code = orthonormal(100, 4) * 10 * torch.tensor([20.0, 2.5, 0.5, 0.05])
    found = measure_code(code, None, step=0, version=1, vae=vae)
    assert found.variances.numpy() == pytest.approx([400, 6.25, 0.25, 0.0025], rel=1e-5)
    assert found.active == active


def test_code_points_are_thinned_evenly_with_their_labels():
    labels = torch.arange(1000) // 100
    found = measure_code(normal(1000, 3), labels, step=0, version=1, vae=False, max_points=50)
    assert found.points.shape == (50, 2)
    assert found.labels == tuple(label for label in range(10) for _ in range(5))


def test_a_code_that_is_not_finite_is_shown_without_an_exception():
    code = normal(10, 3)
    code[0, 1] = math.nan
    found = measure_code(code, None, step=0, version=1, vae=False)
    assert found.width == 3
    assert math.isfinite(found.effective_rank)


# --- layers ---


def test_layers_report_norms_updates_and_dead_units():
    model = model_of(hidden=(20,))
    with torch.no_grad():
        model.encoder.dense1.bias[:5] = -100.0
    grads = {name: 0.5 * parameter.detach() for name, parameter in model.named_parameters()}
    updates = {name: 1e-3 * float(parameter.detach().norm()) for name, parameter in model.named_parameters()}
    found = measure_layers(model, normal(40, 64), step=4, version=2, grads=grads, updates=updates)
    assert [layer.name for layer in found.layers] == [
        "encoder.dense1", "encoder.code", "decoder.dense1", "decoder.output",
    ]  # fmt: skip
    for layer in found.layers:
        weight = model.get_submodule(layer.name).weight
        assert layer.shape == tuple(weight.shape)
        assert layer.weight_norm == pytest.approx(float(weight.detach().norm()), rel=1e-5)
        assert layer.grad_norm == pytest.approx(0.5 * layer.weight_norm, rel=1e-5)
        assert layer.update_ratio == pytest.approx(1e-3, rel=1e-5)
    assert (found.layers[0].dead, found.layers[0].units) == (5, 20)
    assert (found.layers[1].dead, found.layers[1].units) == (0, 10)


def test_layers_without_gradients_yet():
    model = model_of(kind="conv", batch_norm=True)
    found = measure_layers(model, normal(10, 64), step=0, version=1)
    assert {layer.grad_norm for layer in found.layers} == {layer.update_ratio for layer in found.layers} == {None}
    assert [layer.units for layer in found.layers] == [16, 32, 10, 128, 16, 1]


def test_tied_decoder_shows_the_shared_weights():
    model = model_of(kind="linear", tied=True)
    grads = {name: torch.ones_like(parameter) for name, parameter in model.named_parameters()}
    first, second = measure_layers(model, normal(10, 64), step=0, version=1, grads=grads).layers
    assert second.shape == first.shape[::-1]
    assert second.weight_norm == first.weight_norm
    assert second.grad_norm == first.grad_norm == pytest.approx(math.sqrt(640))
    assert second.units == 64


def test_constant_weights_leave_every_unit_alike_and_zero_weights_have_no_ratio():
    model = build(changed(RunSpec(), {"init.kind": "constant"}), 64, (), seed=0)
    updates = {name: 1.0 for name, _ in model.named_parameters()}
    for layer in measure_layers(model, normal(10, 64), step=0, version=1, updates=updates).layers:
        assert layer.dead == layer.units
        assert layer.update_ratio is None


def test_vae_heads_are_layers():
    names = [layer.name for layer in measure_layers(model_of(kind="vae"), normal(10, 64), step=0, version=1).layers]
    assert names == ["encoder.dense1", "mean", "log_variance", "decoder.dense1", "decoder.output"]


# --- pairs ---


def test_pairs_show_samples_beside_outputs_with_their_losses():
    model = model_of()
    samples = normal(9, 64)
    objective = Objective(sections.Mse())
    found = measure_pairs(through(model, objective), samples, [f"row {i}" for i in range(9)], 4, 3, step=5, version=2)
    assert (found.first, found.count, found.step, found.version) == (4, 9, 5, 2)
    assert [pair.title for pair in found.pairs] == ["row 4", "row 5", "row 6"]
    assert (found.low, found.high) == (float(samples.min()), float(samples.max()))
    output = model(samples).output.detach()
    for row, pair in enumerate(found.pairs, start=4):
        assert pair.input.numpy() == pytest.approx(samples[row].numpy())
        assert pair.output.numpy() == pytest.approx(output[row].numpy(), abs=1e-5)
        assert pair.error == pytest.approx(float((output[row] - samples[row]).square().mean()), rel=1e-4)


@pytest.mark.parametrize(("asked", "first"), [(-3, 0), (0, 0), (5, 5), (7, 6), (100, 6)])
def test_pairs_stay_within_the_samples(asked, first):
    found = measure_pairs(
        through(model_of(), Objective(sections.Mse())), normal(9, 64), (), asked, 3, step=0, version=1
    )
    assert found.first == first
    assert len(found.pairs) == 3


def test_pairs_of_logits_show_probabilities():
    found = measure_pairs(
        through(model_of(), Objective(sections.BceLogits())),
        normal(4, 64).sigmoid(),
        (),
        0,
        4,
        step=0,
        version=1,
        low=0,
        high=1,
    )
    assert all(pair.output.numpy().min() > 0 and pair.output.numpy().max() < 1 for pair in found.pairs)
    assert (found.low, found.high) == (0, 1)


# --- all of them ---


@pytest.mark.parametrize("kind", ["mlp", "conv", "vae"])
def test_gauges_leave_flags_buffers_gradients_and_generators_as_they_were(kind):
    model = model_of(kind=kind, batch_norm=True, dropout=0.4, noise=0.3)
    model.encoder.norm1.eval()
    probe = normal(30, 64)
    flags = {name: module.training for name, module in model.named_modules()}
    state = {name: value.clone() for name, value in model.state_dict().items()}
    own, everywhere = model.generator.get_state(), torch.get_rng_state()
    objective = Objective(sections.Mse())
    first = (
        measure_layers(model, probe, step=0, version=1),
        measure_pairs(through(model, objective), probe, (), 0, 4, step=0, version=1),
    )
    second = (
        measure_layers(model, probe, step=0, version=1),
        measure_pairs(through(model, objective), probe, (), 0, 4, step=0, version=1),
    )
    assert first == second
    measure_code(probe, None, step=0, version=1, vae=False)
    measure_variance(probe, probe, step=0, version=1)
    assert flags == {name: module.training for name, module in model.named_modules()}
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(model.generator.get_state(), own)
    assert torch.equal(torch.get_rng_state(), everywhere)
