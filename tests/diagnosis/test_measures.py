"""Each measure of a diagnosis against a closed form or a computation of its own."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aetui.diagnosis import preflight
from aetui.diagnosis.api import subject_of
from aetui.diagnosis.facts import gather
from aetui.diagnosis.figures import held_out_linear, measure_data, measure_linear
from aetui.diagnosis.modes import Call
from aetui.diagnosis.observe import activity, fit, watching
from aetui.diagnosis.output_layer import output_activation
from aetui.diagnosis.parameters import measure_weights


def draw(rows: int, features: int, seed: int = 0) -> np.ndarray:
    """Rows of uneven variance, with a constant feature and an offset."""
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(rows, features)) * np.linspace(0.5, 3, features)
    x[:, : features // 2] += x[:, [-1]]
    x[:, 1] = 4.0
    return x + 2.0


# --- data ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "features"), [(50, 7), (20, 40)])
def test_figures_of_the_data(rows: int, features: int):
    x = draw(rows, features)
    found = measure_data(torch.from_numpy(x).reshape(rows, features, 1))
    varies = x.std(0) > 0
    assert (found.rows, found.features, found.bad, found.constant) == (rows, features, 0, 1)
    assert (found.low, found.high) == pytest.approx((x.min(), x.max()))
    assert (found.mean, found.std) == pytest.approx((x.mean(), x.std()))
    assert found.offset == pytest.approx(np.linalg.norm(x.mean(0)) / np.linalg.norm(x.std(0)[varies]))
    assert found.distinct == rows and not found.integers and not found.binary


def test_ratio_of_ranges():
    ramp = np.linspace(0, 1, 30)[:, None] * np.arange(1, 22)
    assert measure_data(torch.from_numpy(ramp)).uneven == pytest.approx(20 / 2)


def test_bad_values_do_not_enter_the_figures():
    x = draw(40, 5)
    x[3, 2], x[3, 4], x[7, 0] = np.nan, np.inf, -np.inf
    found = measure_data(torch.from_numpy(x))
    kept = np.delete(x, [3, 7], axis=0)
    assert found.bad == 3
    assert (found.mean, found.low, found.high) == pytest.approx((kept.mean(), kept.min(), kept.max()))


def test_kinds_of_data():
    bits = torch.tensor([[0.0, 1.0], [1.0, 1.0], [0.0, 1.0], [0.0, 0.0]])
    assert measure_data(bits).binary and measure_data(bits).distinct == 3
    assert measure_data(3 * bits).integers and not measure_data(3 * bits).binary
    assert not measure_data(bits - 1).binary
    same = measure_data(torch.full((10, 4), 3.0))
    assert (same.distinct, same.constant, same.offset) == (1, 4, math.inf)


# --- PCA ----------------------------------------------------------------------------------------


def pca(x: np.ndarray, width: int) -> tuple[float, float]:
    """Explained variance by SVD: of the whole, and the mean over the features that vary."""
    centered = x - x.mean(0)
    u, s, v = np.linalg.svd(centered, full_matrices=False)
    missed = centered - u[:, :width] * s[:width] @ v[:width]
    varies = centered.std(0) > 1e-12
    each = 1 - missed.var(0)[varies] / centered.var(0)[varies]
    return 1 - missed.var(0).sum() / centered.var(0).sum(), each.mean()


@pytest.mark.parametrize(("rows", "features"), [(60, 9), (15, 40)])
@pytest.mark.parametrize("width", [1, 3, 6])
def test_linear_yardsticks_against_svd(rows: int, features: int, width: int):
    x = draw(rows, features)
    found = measure_linear(torch.from_numpy(x), width)
    whole, each = pca(x, width)
    varies = x.std(0) > 0
    scaled = (x - x.mean(0))[:, varies] / x.std(0)[varies]
    assert found.explained == pytest.approx(whole, abs=1e-9)
    assert found.features == pytest.approx(each, abs=1e-9)
    assert found.standardized == pytest.approx(pca(scaled, width)[1], abs=1e-9)
    assert found.total == pytest.approx(x.var(0).sum())
    variances = np.linalg.svd(x - x.mean(0), compute_uv=False) ** 2 / rows
    assert found.variances == pytest.approx(variances[:width] / variances.sum())
    more = [count for count in (2 * width, 4 * width, 8 * width) if count < min(rows, features)]
    assert found.wider == pytest.approx({count: pca(x, count)[0] for count in more})


def test_linear_yardsticks_at_the_ends():
    x = torch.from_numpy(draw(30, 6))
    assert measure_linear(x, 6).explained == 1.0
    assert measure_linear(x, None).explained is None
    assert measure_linear(torch.ones(30, 6), 2).explained is None


def test_held_out_rows_against_svd():
    x, other = draw(80, 7), draw(30, 7, seed=1)
    mean = x.mean(0)
    v = np.linalg.svd(x - mean, full_matrices=False)[2][:2]
    missed = (other - mean) - (other - mean) @ v.T @ v
    expected = 1 - (missed**2).mean(0).sum() / other.var(0).sum()
    found = held_out_linear(torch.from_numpy(x), torch.from_numpy(other), 2)
    assert found == pytest.approx(expected, abs=1e-9)


# --- weights, output, gradients -----------------------------------------------------------------


def test_gains_of_initial_weights():
    torch.manual_seed(0)
    model = nn.ModuleDict(
        {
            "default": nn.Linear(400, 500), "he": nn.Linear(400, 500), "orthogonal": nn.Linear(64, 64),
            "conv": nn.Conv2d(16, 64, 5), "zero": nn.Linear(8, 8), "same": nn.Linear(8, 8),
            "norm": nn.BatchNorm1d(8), "embedding": nn.Embedding(8, 8),
        }
    )  # fmt: skip
    nn.init.kaiming_normal_(model["he"].weight, nonlinearity="relu")
    nn.init.orthogonal_(model["orthogonal"].weight)
    nn.init.zeros_(model["zero"].weight)
    with torch.no_grad():
        model["same"].weight.copy_(model["same"].weight[:1].expand(8, 8))
    found = {one.name.removesuffix(".weight"): one for one in measure_weights(model)}
    assert set(found) == {"default", "he", "orthogonal", "conv", "zero", "same"}
    assert found["default"].gain == pytest.approx(1 / math.sqrt(3), rel=0.01)
    assert found["conv"].gain == pytest.approx(1 / math.sqrt(3), rel=0.02)
    assert found["he"].gain == pytest.approx(math.sqrt(2), rel=0.01)
    assert found["orthogonal"].gain == pytest.approx(1.0, rel=1e-5)
    assert {name for name, one in found.items() if one.same} == {"zero", "same"}
    assert {name for name, one in found.items() if one.zero} == {"zero"}


@pytest.mark.parametrize("layer", [nn.ConvTranspose1d(4, 6, 3), nn.ConvTranspose2d(4, 6, 3), nn.LSTM(5, 7)])
def test_units_with_the_same_weights_are_seen_in_every_kind_of_layer(layer: nn.Module):
    torch.manual_seed(0)
    assert not any(one.same for one in measure_weights(layer))
    with torch.no_grad():
        for parameter in layer.parameters():
            if parameter.ndim > 1:  # the units of a transposed convolution are the second dimension
                place = 1 if "ConvTranspose" in type(layer).__name__ else 0
                parameter.copy_(parameter.narrow(place, 0, 1).expand_as(parameter).clone())
    assert all(one.same for one in measure_weights(layer))


H = torch.randn(6, 12, generator=torch.Generator().manual_seed(0), requires_grad=True)


@pytest.mark.parametrize(
    ("made", "name"),
    [
        (nn.Sigmoid()(H), "sigmoid"), (torch.sigmoid(H), "sigmoid"), (F.sigmoid(H), "sigmoid"),
        (H.sigmoid(), "sigmoid"),
        (torch.sigmoid(H).view(6, 3, 4), "sigmoid"), (H.sigmoid().reshape(6, 1, 12).squeeze(1), "sigmoid"),
        (torch.tanh(H).unflatten(1, (3, 4)).permute(0, 2, 1), "tanh"), (nn.Tanh()(H).transpose(0, 1).t(), "tanh"),
        (F.relu(H), "relu"), (nn.ReLU(inplace=True)(H * 2), "relu"), (H.softmax(1), "softmax"),
        (F.log_softmax(H, 1), "log_softmax"), (F.softplus(H), "softplus"), (F.elu(H), "elu"),
        (F.hardtanh(H), "hardtanh"), (torch.stack([h.sigmoid() for h in H.unbind(0)]), "sigmoid"),
        (torch.sigmoid(H) * 255, ""), (torch.sigmoid(H) - 0.5, ""), (H @ torch.ones(12, 12), ""), (F.gelu(H), ""),
        (F.leaky_relu(H), ""), (H.detach(), ""), (torch.sigmoid(H) + H, ""),
    ],
)  # fmt: skip
def test_output_activation(made: Tensor, name: str):
    assert output_activation(made) == name


class Bounded(nn.Module):
    def __init__(self, last: nn.Module) -> None:
        super().__init__()
        self.net, self.last = nn.Sequential(nn.Linear(5, 2), nn.Linear(2, 5)), last

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.net(x))


@pytest.mark.parametrize(
    ("last", "low", "high"),
    [
        (nn.Sigmoid(), 0, 1), (nn.Tanh(), -1, 1), (nn.ReLU(), 0, math.inf), (nn.Identity(), -math.inf, math.inf),
        (nn.Hardtanh(0, 1), 0, 1), (nn.Hardtanh(-3, 3), -3, 3), (nn.ReLU6(), 0, 6), (nn.ELU(2.0), -2, math.inf),
        (nn.SELU(), -1.0507009873554805 * 1.6732632423543772, math.inf),
        (nn.Hardsigmoid(), 0, 1), (nn.Softplus(), 0, math.inf),
    ],
    ids=str,
)  # fmt: skip
def test_range_of_the_output_and_targets_beyond_it(last: nn.Module, low: float, high: float):
    x = torch.linspace(-4, 9, 30 * 5).reshape(30, 5)
    facts = gather(subject_of(Bounded(last), x, batch_size=30))
    beyond = float(((x < low) | (x > high)).double().mean())
    assert (facts.low, facts.high) == pytest.approx((low, high))
    assert facts.outside == pytest.approx(beyond, abs=0.01)
    clipped = x.clamp(low, high)
    assert facts.reach == pytest.approx(
        1 - float((clipped - x).square().mean(0).sum() / x.var(0, correction=0).sum()), abs=1e-5
    )


class Wired(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.code = nn.Linear(6, 5), nn.Linear(5, 2)
        self.decoder, self.unused = nn.Linear(2, 6), nn.Linear(3, 3)
        self.hidden = [nn.Linear(5, 5)]
        self.cut = False

    def forward(self, x: Tensor) -> Tensor:
        code = self.code(self.hidden[0](self.encoder(x)))
        return self.decoder(code.detach() if self.cut else code)


SIX = torch.from_numpy(draw(30, 6)).float()


def test_parameters_that_do_not_train():
    model = Wired()
    free = gather(subject_of(model, SIX)).gradients
    assert (free.none, free.frozen, free.outside, free.unreachable) == ((), (), (), False)
    assert free.unregistered == free.lost == 30
    assert free.total == 35 + 30 + 12 + 18

    model.cut = True
    cut = gather(subject_of(model, SIX)).gradients
    assert cut.none == ("encoder.weight", "encoder.bias", "code.weight", "code.bias")
    assert cut.lost == 35 + 12

    model.cut = False
    model.decoder.weight.requires_grad_(False)
    frozen = gather(subject_of(model, SIX)).gradients
    assert frozen.frozen == ("decoder.weight",) and frozen.lost == 12 + 30

    model.decoder.weight.requires_grad_(True)
    part = gather(subject_of(model, SIX, optimizer=lambda p: torch.optim.Adam(list(p)[:2]))).gradients
    assert part.outside == ("code.weight", "code.bias", "decoder.weight", "decoder.bias")

    for parameter in (*model.parameters(), *model.hidden[0].parameters()):
        parameter.requires_grad_(False)
    assert gather(subject_of(model, SIX)).gradients.unreachable


def test_gradient_norms_and_first_update():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 2), nn.Linear(2, 6)).double()
    x = SIX.double()
    facts = gather(subject_of(model, x, batch_size=30, optimizer="sgd", lr=0.1))
    F.mse_loss(model(x), x).backward()
    grads = {name: float(p.grad.norm()) for name, p in model.named_parameters() if p.grad is not None}
    assert facts.gradients.norms == pytest.approx(grads)
    joint = math.sqrt(sum(norm**2 for norm in grads.values()))
    size = math.sqrt(sum(float(p.detach().square().sum()) for p in model.parameters()))
    assert facts.term_norms["reconstruction"] == pytest.approx(joint)
    assert facts.update == pytest.approx(0.1 * joint / size)


# --- fit and units ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_fit_against_numpy(seed: int):
    target = draw(40, 8, seed)
    output = 0.7 * target + 0.3 * np.random.default_rng(seed).normal(size=target.shape) + 0.5 * seed
    found = fit(torch.from_numpy(output), torch.from_numpy(target))
    varies = target.std(0) > 0
    each = 1 - ((output - target) ** 2).mean(0)[varies] / target.var(0)[varies]
    ratio = output.var(0)[varies] / target.var(0)[varies]
    assert found.finite
    assert found.explained == pytest.approx(1 - ((output - target) ** 2).mean(0).sum() / target.var(0).sum())
    assert found.features == pytest.approx(each.clip(0).mean())
    assert found.median == pytest.approx(np.median(each))
    assert found.lost == pytest.approx((each < 0.1).mean())
    assert found.offset == pytest.approx(((output.mean(0) - target.mean(0)) ** 2).sum() / target.var(0).sum())
    quantiles = {"min": 0, "p10": 0.1, "median": 0.5, "p90": 0.9, "max": 1}
    for name, share in quantiles.items():
        assert found.ratio[name] == pytest.approx(np.quantile(ratio, share))
    assert (found.ratio["below_0.1"], found.ratio["features"]) == ((ratio < 0.1).sum(), 7)


def test_fit_at_the_ends():
    target = torch.from_numpy(draw(40, 8))
    assert fit(target, target).explained == 1.0 and fit(target, target).lost == 0.0
    mean = fit(target.mean(0).expand_as(target), target)
    assert mean.explained == pytest.approx(0.0, abs=1e-12) and mean.spread == 0.0 and mean.lost == 1.0
    broken = fit(target.clone().index_fill_(0, torch.tensor([3]), math.nan), target)
    assert not broken.finite and broken.explained == -math.inf
    assert fit(torch.ones(5, 3), torch.ones(5, 3)).explained == 1.0
    assert fit(torch.zeros(5, 3), torch.ones(5, 3)).explained == 0.0


def test_dead_and_saturated_shares_of_activations_made_by_hand():
    values = torch.zeros(10, 8)
    values[:, :3] = torch.arange(10.0)[:, None]
    values[:, 3] = 5.0
    relu = activity(Call(0, "relu", "net.1", values), output=False)
    assert relu is not None and (relu.units, relu.dead, relu.saturated) == (8, 5 / 8, 0.0)
    assert relu.zero == pytest.approx((10 * 4 + 3) / 80)
    assert relu.size == pytest.approx(math.sqrt(float(values.square().mean())))
    assert relu.spread == pytest.approx(3 * np.arange(10).std(ddof=1) / 8)

    slopes = torch.linspace(-6, 6, 80).reshape(10, 8)
    squashed = activity(Call(1, "sigmoid", "", slopes.sigmoid()), output=True)
    share = float((slopes.abs() > math.log(0.98 / 0.02)).double().mean())
    assert squashed is not None and squashed.output and squashed.saturated == pytest.approx(share)
    tanh = activity(Call(2, "tanh", "", slopes.tanh()), output=False)
    share = float((slopes.abs() > math.atanh(0.95)).double().mean())
    assert tanh is not None and tanh.saturated == pytest.approx(share)
    assert activity(Call(3, "relu", "", torch.zeros(8)), output=False) is None


def test_units_of_a_network_as_it_is_found():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 10), nn.ReLU(), nn.Linear(10, 4), nn.Tanh(), nn.Linear(4, 6))
    with torch.no_grad():
        model[0].bias.fill_(100.0)[:7] = -1e4
        model[2].weight.mul_(1e4)
    first, second = gather(subject_of(model, SIX)).activities
    assert (first.where, first.kind, first.units, first.dead) == ("1", "relu", 10, pytest.approx(0.7))
    assert (second.where, second.kind) == ("3", "tanh") and second.saturated > 0.9


def test_a_unit_whose_input_does_not_vary_is_not_dead():
    """Behind a codebook of which all rows take one entry, everything is constant until the first steps."""

    class Chosen(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.decoder = nn.Linear(8, 4), nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 8))
            self.book = nn.Parameter(torch.zeros(6, 4))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            z = self.encoder(x)
            q = self.book[torch.cdist(z, self.book).argmin(1)]
            return self.decoder(z + (q - z).detach())

    x, model = torch.randn(100, 8), Chosen()
    with watching(model) as watcher, torch.no_grad():
        model(x)
    assert [activity(call, output=False).dead for call in watcher.calls] == [0.0]  # pyright: ignore
    assert not [one for one in preflight(model, x) if one.cause == "dead-units"]
    in_place = nn.Sequential(nn.Linear(8, 16), nn.ReLU(inplace=True), nn.Linear(16, 8))
    with torch.no_grad():
        in_place[0].bias.fill_(-50.0)  # pyright: ignore
    with watching(in_place) as watcher, torch.no_grad():
        in_place(x)
    assert [activity(call, output=False).dead for call in watcher.calls] == [1.0]  # pyright: ignore
