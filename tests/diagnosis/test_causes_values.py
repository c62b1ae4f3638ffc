"""Causes in the data, the loss and the output layer: planted, and their nearest look-alikes."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from aetui.diagnosis import preflight

pytestmark = pytest.mark.usefixtures("one_thread_and_seed")

SHORT = 400


# --- bad-values ---


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_one_value_that_is_not_finite(names, dense, unit, value):
    broken = unit.clone()
    broken[123, 20] = value
    names("bad-values", dense(64, 32, 8), broken, steps=SHORT)


def test_large_finite_values_are_fine_once_scaled(acquits, dense, low_rank):
    acquits(dense(24, 32, 4), 1e12 * low_rank(), scaling="standardize", lr=3e-3, steps=SHORT)


def test_a_few_outliers_are_fine(acquits, dense, low_rank):
    x = low_rank()
    x[::100] *= 8
    acquits(dense(24, 32, 4), x, lr=3e-3, steps=SHORT)


# --- shape-broadcast ---


class Images(nn.Module):
    """Images without a channel in, images with one out."""

    def __init__(self) -> None:
        super().__init__()
        encoder = [nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 8)]
        self.net = nn.Sequential(*encoder, nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 64))

    def forward(self, x):
        return self.net(x.flatten(1)).reshape(-1, 1, 8, 8)


class Flat(Images):
    """Images in, rows out."""

    def forward(self, x):
        return self.net(x.flatten(1))


class Squeezed(nn.Module):
    """Series of one channel in, without the channel out: [batch, 64, 1] becomes [batch, 64]."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Images().net

    def forward(self, x):
        return self.net(x.squeeze(-1))


def test_a_channel_too_many_broadcasts_over_the_batch(names, unit):
    names("shape-broadcast", Images(), unit.reshape(-1, 8, 8), lr=3e-3, steps=SHORT)


def test_a_channel_too_few_broadcasts_where_the_batch_is_as_large_as_a_row(names, unit):
    x = unit.reshape(-1, 64, 1)
    names("shape-broadcast", Squeezed(), x[:640], validation=x[640:], lr=3e-3, steps=SHORT)


def test_a_channel_too_few_with_a_smaller_last_batch(names, unit):
    """The first batches broadcast by chance; the last one, of another size, can't."""
    names("shape-broadcast", Squeezed(), unit.reshape(-1, 64, 1), lr=3e-3, steps=SHORT)


def test_one_output_for_all_features(names, low_rank):
    model = nn.Sequential(nn.Linear(24, 32), nn.ReLU(), nn.Linear(32, 4), nn.Linear(4, 1))
    names("shape-broadcast", model, low_rank(), lr=3e-3, steps=SHORT)


def test_a_loss_that_squeezes_is_fine(acquits, unit):
    def loss(out, target):
        return F.mse_loss(out.squeeze(1), target)

    acquits(Images(), unit.reshape(-1, 8, 8), loss=loss, lr=3e-3, steps=SHORT)


def test_a_loss_that_flattens_is_fine(acquits, unit):
    """The shapes do not even broadcast, and nothing but the loss ever compares them."""
    acquits(
        Flat(), unit.reshape(-1, 1, 8, 8), loss=lambda out, target: F.mse_loss(out, target.flatten(1)), lr=3e-3,
        steps=SHORT,
    )  # fmt: skip


# --- loss-domain ---


def difference(out, target):
    """Without an absolute value or a square, less is always better."""
    return (out - target).mean()


@pytest.mark.parametrize(
    ("loss", "output", "data"),
    [
        ("bce", nn.Sigmoid, "standardized"),
        (nn.BCELoss(), nn.Identity, "unit"),
        ("bce_logits", nn.Sigmoid, "unit"),
        (nn.CrossEntropyLoss(), nn.Identity, "standardized"),
        (difference, nn.Identity, "standardized"),
    ],
    ids=["negative targets", "no sigmoid", "sigmoid twice", "classes", "no square"],
)
def test_a_loss_outside_its_domain(names, dense, request, loss, output, data):
    x = request.getfixturevalue(data)
    names("loss-domain", dense(x.shape[1], 32, 8, output=output()), x, loss=loss, lr=3e-3, steps=SHORT)


@pytest.mark.parametrize("loss", ["bce", "bce_logits", "bce_sum"])
def test_cross_entropy_on_gray_values_is_fine(acquits, dense, unit, loss):
    output = None if loss == "bce_logits" else nn.Sigmoid()
    acquits(dense(64, 48, 8, output=output), unit, loss=loss, lr=5e-3, steps=600)


def test_cross_entropy_of_logits_on_zeros_and_ones_is_no_alarm_before_the_first_step(dense):
    """However large the logits of a perfect copy are taken, larger ones cost a trace less."""
    x = (torch.rand(400, 24, generator=torch.Generator().manual_seed(0)) < 0.2).float()
    assert "loss-domain" not in [one.cause for one in preflight(dense(24, 16, 4), x, loss="bce_logits")]


def test_a_loss_with_a_constant_below_zero_is_fine(acquits, dense, low_rank):
    """A Gaussian log-likelihood with a small standard deviation is negative where it fits."""

    def nll(out, target):
        return (0.5 * ((out - target) / 0.3).square() + math.log(0.3)).mean()

    acquits(dense(24, 32, 4), low_rank(), loss=nll, lr=3e-3, steps=SHORT)


# --- output-range ---


@pytest.mark.parametrize(("output", "data"), [(nn.Sigmoid, "digits"), (nn.Tanh, "wide"), (nn.ReLU, "digits")])
def test_targets_out_of_the_output_layers_reach(names, dense, low_rank, standardized, output, data):
    x = standardized if data == "digits" else 3 * low_rank(features=standardized.shape[1])
    names("output-range", dense(standardized.shape[1], 32, 8, output=output()), x, lr=3e-3, steps=SHORT)


def test_softmax_over_the_features(names, dense, unit):
    names("output-range", dense(64, 32, 8, output=nn.Softmax(1)), unit, lr=3e-3, steps=SHORT)


def test_logits_behind_a_relu(names, dense, unit):
    names("output-range", dense(64, 32, 8, output=nn.ReLU()), unit, loss="bce_logits", lr=3e-3, steps=SHORT)


def test_a_sigmoid_for_values_in_0_to_1_is_fine(acquits, dense, unit):
    acquits(dense(64, 48, 8, output=nn.Sigmoid()), unit, lr=5e-3, steps=600)


def test_a_tanh_for_values_in_plus_minus_1_is_fine(acquits, dense, unit):
    acquits(dense(64, 48, 8, output=nn.Tanh()), 2 * unit - 1, lr=3e-3, steps=600)


# --- input-scaling ---


def test_one_feature_of_another_unit(names, dense, low_rank):
    x = low_rank().clone()
    x[:, 5] *= 3000
    names("input-scaling", dense(24, 32, 4), x, lr=1e-3, steps=SHORT)


def test_values_far_from_zero(names, dense, low_rank):
    names("input-scaling", dense(24, 32, 4), low_rank() + 300, lr=1e-3, steps=SHORT)


def test_large_values_into_squashing_layers(names, dense, pixels):
    names("input-scaling", dense(64, 32, 8, activation=nn.Tanh), 16 * pixels, lr=1e-3, steps=SHORT)


def test_tiny_values(names, dense, low_rank):
    names("input-scaling", dense(24, 32, 4), 1e-4 * low_rank(), lr=1e-3, steps=SHORT)


def test_pixels_from_0_to_16_that_train_are_fine(acquits, dense, pixels):
    acquits(dense(64, 48, 8), pixels, lr=3e-3, steps=600)


def test_moderate_offsets_and_scales_are_fine(acquits, dense, low_rank):
    x = low_rank() * torch.linspace(0.5, 3, 24) + 1
    acquits(dense(24, 32, 4), x, lr=3e-3, steps=SHORT)


def test_columns_of_many_units_are_fine_once_standardized(acquits, dense, low_rank):
    x = low_rank() * torch.logspace(-2, 4, 24) + 50
    acquits(dense(24, 32, 4), x, scaling="standardize", lr=3e-3, steps=SHORT)
