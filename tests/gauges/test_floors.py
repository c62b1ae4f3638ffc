import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aetui.gauges import floors as module
from aetui.gauges.floors import EDGE, best_constant, floors, principal_components
from aetui.models.moments import feature_variance
from aetui.protocol import Floors
from aetui.spec import sections
from aetui.training.losses import Objective

LOSSES = [
    sections.Mse(),
    sections.Mae(),
    sections.Huber(delta=0.4),
    sections.Huber(delta=3.0),
    sections.LogCosh(),
]


def normal(rows, features, seed=0):
    return torch.randn(rows, features, generator=torch.Generator().manual_seed(seed))


def skewed(rows, features, seed=0):
    return normal(rows, features, seed).exp() * torch.logspace(-2, 2, features)


def uniform(rows, features, seed=0):
    return torch.rand(rows, features, generator=torch.Generator().manual_seed(seed))


def brute_pca(x, width):
    """Reconstruction from the leading components by a full SVD, in float64."""
    mean = x.double().mean(0)
    u, s, v = torch.linalg.svd(x.double() - mean, full_matrices=False)
    return mean + (u[:, :width] * s[:width]) @ v[:width]


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_no_constant_beats_the_mean_floor(loss):
    x = skewed(201, 4, seed=1)
    objective = Objective(loss)
    best = 0.0
    for feature in range(4):
        column = x[:, feature].double()
        grid = torch.linspace(float(column.min()), float(column.max()), 4001, dtype=torch.float64)
        losses = objective.elementwise(*torch.broadcast_tensors(grid[:, None], column[None])).mean(1)
        best += float(losses.min()) / 4
    floor = floors(x, objective, 2).mean
    assert floor is not None
    assert floor <= best + 1e-12
    assert floor == pytest.approx(best, rel=1e-4)


@given(rows=st.integers(2, 30), features=st.integers(1, 5), seed=st.integers(0, 10**6), delta=st.floats(0.01, 10))
@settings(max_examples=40, deadline=None)
def test_best_constant_beats_its_neighbors(rows, features, seed, delta):
    x = skewed(rows, features, seed).double()
    for loss in (sections.Huber(delta=delta), sections.LogCosh(), sections.Mae()):
        objective = Objective(loss)
        constant = best_constant(x, objective)

        def mean_loss(c, objective=objective):
            return objective.elementwise(c.expand_as(x), x).mean(0)

        step = 1e-4 * (x.amax(0) - x.amin(0))
        slack = 1e-12 * (1 + mean_loss(constant))
        assert (mean_loss(constant) <= mean_loss(constant + step) + slack).all()
        assert (mean_loss(constant) <= mean_loss(constant - step) + slack).all()


def test_closed_forms_of_the_mean_floor():
    x = skewed(500, 3, seed=2).double()
    assert floors(x, Objective(sections.Mse()), 1).mean == pytest.approx(float(x.var(0, correction=0).mean()))
    middle = x.median(0).values
    assert floors(x, Objective(sections.Mae()), 1).mean == pytest.approx(float((x - middle).abs().mean()))
    wide = floors(x, Objective(sections.Huber(delta=1e6)), 1).mean
    assert wide == pytest.approx(float(x.var(0, correction=0).mean()) / 2)
    p = torch.tensor([0.25, 0.5, 1.0]).double()
    binary = (torch.arange(400)[:, None] % 4 < (4 * p)).double()
    entropy = -(torch.xlogy(p, p) + torch.xlogy(1 - p, 1 - p)).mean()
    for loss in (sections.Bce(), sections.BceLogits()):
        found = floors(binary, Objective(loss), 1)
        assert found.mean == pytest.approx(float(entropy))
        assert found.entropy == 0.0


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize(("rows", "features"), [(40, 9), (9, 40), (20, 20)])
@pytest.mark.parametrize("width", [1, 4])
def test_linear_floor_is_the_loss_of_a_brute_force_pca(loss, rows, features, width):
    x = normal(rows, features, seed=3) * torch.logspace(0, 1, features) + 5
    objective = Objective(loss)
    found = floors(x, objective, width)
    reference = brute_pca(x, width)
    assert found.linear == pytest.approx(float(objective.elementwise(reference, x.double()).mean()))
    deviation = (x.double() - x.double().mean(0)).square().sum()
    missed = (reference - x.double()).square().sum()
    assert found.linear_explained == pytest.approx(float(1 - missed / deviation))
    assert found.entropy is None


def test_linear_floor_of_the_classic_gaussian_data_explains_little():
    found = floors(normal(1000, 100), Objective(sections.Mse()), 10)
    assert found.linear_explained is not None
    assert 0.13 < found.linear_explained < 0.17


def test_linear_and_entropy_floors_of_soft_targets():
    x = uniform(60, 7).double()
    expected_entropy = -(torch.xlogy(x, x) + torch.xlogy(1 - x, 1 - x)).mean()
    clamped = brute_pca(x, 2).clamp(EDGE, 1 - EDGE)
    expected = torch.nn.functional.binary_cross_entropy(clamped, x)
    for loss in (sections.Bce(), sections.BceLogits()):
        found = floors(x, Objective(loss), 2)
        assert found.entropy == pytest.approx(float(expected_entropy))
        assert found.linear == pytest.approx(float(expected))
        assert found.entropy < found.linear < found.mean


def test_cross_entropy_with_targets_outside_of_probabilities_has_no_floor():
    found = floors(normal(50, 4), Objective(sections.BceLogits()), 2)
    assert (found.mean, found.linear, found.entropy) == (None, None, None)
    assert found.linear_explained is not None


def test_reduction_sum_multiplies_by_the_features():
    x = normal(50, 6)
    mean, total = (floors(x, Objective(sections.Mae(reduction=kind)), 2) for kind in ("mean", "sum"))
    assert total.mean == pytest.approx(6 * mean.mean)
    assert total.linear == pytest.approx(6 * mean.linear)
    assert total.linear_explained == pytest.approx(mean.linear_explained)


def test_weighted_floors_are_those_of_standardized_data():
    x = normal(80, 6) @ normal(6, 6, seed=1) * torch.logspace(-1, 1, 6)
    x[:, 2] = 7.0
    weighted = Objective(sections.Mse(weighting="inverse-variance"), feature_variance(x))
    varies = feature_variance(x) > 0
    standard = (x - x.mean(0)) / torch.where(varies, x.std(0, correction=0), 1.0)
    found, reference = floors(x, weighted, 2), floors(standard, Objective(sections.Mse()), 2)
    assert found.mean == pytest.approx(reference.mean, rel=1e-5)
    assert found.mean == pytest.approx(5 / 6, rel=1e-5)
    assert found.linear == pytest.approx(reference.linear, rel=1e-4)


def test_code_as_wide_as_the_data_has_floor_zero():
    found = floors(normal(50, 6), Objective(sections.Mse()), 6)
    assert (found.linear, found.linear_explained) == (0.0, 1.0)
    constant = floors(torch.full((10, 3), 4.0), Objective(sections.Mse()), 1)
    assert (constant.mean, constant.linear, constant.linear_explained) == (0.0, 0.0, 1.0)


def test_non_finite_targets_give_no_floor_and_no_exception():
    x = normal(20, 3)
    x[0, 0] = math.inf
    assert floors(x[1:], Objective(sections.Mse()), 1).mean is not None
    assert floors(x, Objective(sections.Mse()), 1) == Floors()


def test_subspace_iteration_comes_close_to_the_exact_components(monkeypatch):
    low = normal(300, 12, seed=1) @ normal(12, 200, seed=2) + 0.3 * normal(300, 200, seed=3)
    exact = floors(low, Objective(sections.Mse()), 8)
    monkeypatch.setattr(module, "SIDE", 50)
    close = floors(low, Objective(sections.Mse()), 8)
    assert close.linear == pytest.approx(exact.linear, rel=1e-3)
    assert close.linear >= exact.linear * (1 - 1e-9)
    basis = principal_components((low - low.mean(0)).double(), 8)
    torch.testing.assert_close(basis.T @ basis, torch.eye(8).double())
    monkeypatch.setattr(module, "WIDEST", 4)
    assert floors(low, Objective(sections.Mse()), 8).linear is None


def test_large_data_are_represented_by_the_same_rows_each_time(monkeypatch):
    x = normal(4000, 5) * torch.tensor([1.0, 2, 3, 4, 5])
    objective = Objective(sections.Mse())
    whole = floors(x, objective, 2)
    monkeypatch.setattr(module, "ENTRIES", 5000)
    part = floors(x, objective, 2)
    assert part == floors(x, objective, 2)
    assert part != whole
    assert part.mean == pytest.approx(whole.mean, rel=0.1)
    monkeypatch.setattr(module, "ENTRIES", 50)
    assert floors(x, objective, 2).linear is None


def test_floors_leave_the_global_random_state_and_the_data_alone():
    x, state = normal(50, 6), torch.get_rng_state()
    before = x.clone()
    for loss in [*LOSSES, sections.Bce()]:
        floors(x, Objective(loss), 2)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(x, before)
