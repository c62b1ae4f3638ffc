import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from aetui.models.base import Reconstruction
from aetui.models.moments import feature_variance
from aetui.spec import sections
from aetui.training.losses import Objective, domain_warning, log_cosh

KINDS = {
    "mse": (sections.Mse, {}, F.mse_loss),
    "mae": (sections.Mae, {}, F.l1_loss),
    "bce": (sections.Bce, {}, F.binary_cross_entropy),
    "bce-logits": (sections.BceLogits, {}, F.binary_cross_entropy_with_logits),
    "huber": (sections.Huber, {"delta": 0.3}, lambda o, t, reduction="mean": F.huber_loss(o, t, reduction, 0.3)),
    "log-cosh": (
        sections.LogCosh,
        {},
        lambda o, t, reduction="mean": {"none": lambda e: e, "mean": torch.mean}[reduction](
            torch.log(torch.cosh(o - t))
        ),
    ),
}


def pair(rows, features, seed, low=0.001, high=0.999):
    generator = torch.Generator().manual_seed(seed)
    output, target = (torch.rand(rows, features, generator=generator, dtype=torch.float64) for _ in range(2))
    return output * (high - low) + low, target


@pytest.mark.parametrize("kind", KINDS)
@given(rows=st.integers(1, 9), features=st.integers(1, 7), seed=st.integers(0, 10**6))
@settings(max_examples=15, deadline=None)
def test_every_kind_matches_pytorch_under_every_reduction_and_weighting(kind, rows, features, seed):
    struct, arguments, reference = KINDS[kind]
    output, target = pair(rows, features, seed)
    variance = torch.rand(features, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.1
    entries = reference(output, target, reduction="none")
    expected = {
        ("mean", "none"): entries.mean(),
        ("sum", "none"): entries.sum(1).mean(),
        ("mean", "inverse-variance"): (entries / variance).mean(),
        ("sum", "inverse-variance"): (entries / variance).sum(1).mean(),
    }
    for (reduction, weighting), value in expected.items():
        objective = Objective(struct(reduction=reduction, weighting=weighting, **arguments), variance)
        torch.testing.assert_close(objective.reconstruction(output, target), value)
        torch.testing.assert_close(objective.reduce(objective.elementwise(output, target)).mean(), value)
    torch.testing.assert_close(Objective(struct(**arguments)).elementwise(output, target), entries)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_match_pytorchs(kind):
    struct, arguments, reference = KINDS[kind]
    output, target = pair(8, 5, seed=2)
    ours, theirs = output.clone().requires_grad_(), output.clone().requires_grad_()
    Objective(struct(**arguments)).reconstruction(ours, target).backward()
    reference(theirs, target).backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_inverse_variance_makes_mse_the_fraction_of_variance_unexplained():
    target = torch.randn(50, 4, generator=torch.Generator().manual_seed(0)).double() * torch.tensor([1.0, 10, 100, 0.1])
    objective = Objective(sections.Mse(weighting="inverse-variance"), feature_variance(target))
    mean = target.mean(0).expand_as(target)
    assert objective.reconstruction(mean, target).item() == pytest.approx(1.0)


def test_bce_cuts_logarithms_as_pytorch_does_and_keeps_gradients_finite():
    output = torch.tensor([[0.0, 1.0, 0.0, 1.0, 0.3]], requires_grad=True)
    target = torch.tensor([[1.0, 0.0, 0.0, 1.0, 0.6]])
    loss = Objective(sections.Bce()).reconstruction(output, target)
    assert loss.item() == pytest.approx(F.binary_cross_entropy(output, target).item())
    assert loss.item() > 40
    loss.backward()
    assert torch.isfinite(output.grad).all()


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan, math.inf])
def test_bce_outside_of_probabilities_is_nan_and_no_exception(value):
    output = torch.tensor([[0.5, value]])
    assert torch.isnan(Objective(sections.Bce()).reconstruction(output, torch.full((1, 2), 0.5)))
    assert torch.isfinite(Objective(sections.Bce()).elementwise(output, torch.full((1, 2), 0.5))[0, 0])


@pytest.mark.parametrize("error", [0.0, 1e-4, -1e-3, 0.5, -3.0, 100.0, 1e30])
def test_log_cosh_is_accurate_for_small_and_large_errors(error):
    output = torch.tensor([error], requires_grad=True)
    value = log_cosh(output, torch.zeros(1))
    size = abs(error)
    exact = size**2 / 2 - size**4 / 12 if size < 0.01 else size + math.log1p(math.exp(-2 * size)) - math.log(2)
    assert value.item() == pytest.approx(exact, rel=2e-3)
    value.backward()
    assert output.grad.item() == pytest.approx(math.tanh(error), rel=1e-3)


def test_without_penalties_there_is_no_total():
    output, target = pair(4, 3, seed=0)
    term, total = Objective(sections.Mse())(Reconstruction(output, output, None), target, 1.0)
    assert total is None
    assert term == F.mse_loss(output, target)
    assert Objective(sections.Mse())(Reconstruction(output, output, torch.tensor(2.0)), target, 0.0)[1] is None


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_penalties_add_up_unscaled_by_the_reduction(reduction):
    output, target = pair(6, 3, seed=4)
    code = torch.randn(6, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    variance = torch.tensor([0.5, 0.01, 2.0], dtype=torch.float64)
    objective = Objective(sections.Mse(reduction=reduction, l1_code=0.3, variance_weight=0.7), variance)
    kl = torch.tensor(4.0, dtype=torch.float64)
    term, total = objective(Reconstruction(output, code, kl), target, 0.25)
    shortfall = torch.relu(1 - output.std(0) / variance.sqrt()).mean()
    assert total is not None
    torch.testing.assert_close(total, term + 0.3 * code.abs().mean() + 0.7 * shortfall + 0.25 * kl, atol=1e-6, rtol=0)
    torch.testing.assert_close(term, (output - target).square().sum(1).mean() / (3 if reduction == "mean" else 1))


def test_variance_term_is_one_at_identical_outputs_with_a_finite_gradient_and_zero_at_the_targets():
    target = torch.randn(100, 4, generator=torch.Generator().manual_seed(0))
    objective = Objective(sections.Mse(variance_weight=1.0), feature_variance(target))
    same = torch.ones(100, 4, requires_grad=True)
    term = objective.variance_term(same)
    assert term.item() == pytest.approx(1.0, abs=1e-3)
    term.backward()
    assert torch.isfinite(same.grad).all()
    assert objective.variance_term(target).item() == 0.0
    assert objective.variance_term(target[:1]).item() == 0.0
    nearly = (0.01 * target).requires_grad_()
    objective.variance_term(nearly).backward()
    with torch.no_grad():
        assert objective.variance_term(nearly - nearly.grad) < objective.variance_term(nearly)


def test_variance_term_sees_probabilities_under_bce_logits():
    logits = torch.randn(40, 2, generator=torch.Generator().manual_seed(0)) * 3
    variance = torch.full((2,), 0.25)
    term = Objective(sections.BceLogits(variance_weight=1.0), variance)(
        Reconstruction(logits, logits, None), torch.zeros(40, 2)
    )
    plain = Objective(sections.BceLogits(), variance)(Reconstruction(logits, logits, None), torch.zeros(40, 2))
    expected = torch.relu(1 - torch.sigmoid(logits).std(0) / 0.5).mean()
    torch.testing.assert_close(term[1] - plain[0], expected, atol=1e-5, rtol=0)


def test_constant_features_keep_weight_one_and_are_left_out_of_the_variance_term():
    target = torch.randn(60, 3, generator=torch.Generator().manual_seed(3)) * 2
    target[:, 1] = 1234.5
    variance = feature_variance(target)
    assert variance[1] == 0
    objective = Objective(sections.Mse(weighting="inverse-variance", variance_weight=1.0), variance)
    assert objective.weights[1] == 1
    torch.testing.assert_close(objective.weights[[0, 2]], 1 / target[:, [0, 2]].var(0, correction=0))
    assert objective.variance_term(target).item() == pytest.approx(0.0, abs=1e-6)
    assert objective.variance_term(torch.zeros(60, 3)).item() == pytest.approx(1.0, abs=1e-3)
    nothing = Objective(sections.Mse(variance_weight=1.0), torch.zeros(3))
    assert nothing.variance_term(torch.zeros(60, 3)).item() == 0.0


@pytest.mark.parametrize("setting", [{"weighting": "inverse-variance"}, {"variance_weight": 1.0}])
def test_variance_is_asked_for_where_it_is_needed(setting):
    with pytest.raises(ValueError, match=f"loss.{next(iter(setting))}"):
        Objective(sections.Mse(**setting))


def test_feature_variance_tells_constant_columns_from_small_ones():
    rows = torch.arange(1000, dtype=torch.float32)[:, None]
    x = torch.cat([torch.full((1000, 1), 0.1), 1e-6 * rows, 1e6 + rows, torch.zeros(1000, 1)], dim=1)
    assert (feature_variance(x) > 0).tolist() == [False, True, True, False]
    torch.testing.assert_close(feature_variance(x.half().float()), feature_variance(x.half()), equal_nan=True)


@pytest.mark.parametrize(
    ("loss", "activation", "low", "high", "words"),
    [
        (sections.Bce(), "sigmoid", 0.0, 1.0, ()),
        (sections.BceLogits(), "linear", 0.0, 1.0, ()),
        (sections.Mse(), "linear", -9.0, 9.0, ()),
        (sections.Bce(), "sigmoid", -1.5, 4.0, ("-1.5 to 4", "data.scaling to minmax")),
        (sections.BceLogits(), "linear", 0.0, 16.0, ("bce-logits", "data.scaling")),
        (sections.Bce(), "linear", 0.0, 1.0, ("model.output_activation to sigmoid",)),
        (sections.Bce(), "relu", -1.0, 1.0, ("data.scaling", "model.output_activation to sigmoid")),
        (sections.BceLogits(), "sigmoid", 0.0, 1.0, ("model.output_activation to linear",)),
        (sections.Bce(), "sigmoid", math.nan, 1.0, ("data.scaling",)),
    ],
)
def test_domain_warning_names_the_settings_to_change(loss, activation, low, high, words):
    text = domain_warning(loss, sections.Mlp(output_activation=activation), low, high)
    if not words:
        assert text is None
    else:
        assert text is not None
        assert all(word in text for word in words)
        assert "\n" not in text
