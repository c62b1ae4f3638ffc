"""Causes in units, initial weights, parameters that do not train, train and eval mode: planted, and look-alikes."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from aetui.diagnosis.api import subject_of
from aetui.diagnosis.rows import measure_modes

pytestmark = pytest.mark.usefixtures("one_thread_and_seed")

SHORT = 400


@torch.no_grad()
def reset(model: nn.Module, weight: Callable[[torch.Tensor], object], bias: float | None = None) -> nn.Module:
    """New initial weights in every linear layer."""
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            weight(layer.weight)
            if bias is not None:
                layer.bias.fill_(bias)
    return model


# --- frozen-parameters ---


class Parts(nn.Module):
    """An encoder and a decoder, joined as a subclass wants."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(24, 32), nn.ReLU(), nn.Linear(32, 4))
        self.decoder = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 24))

    def forward(self, x):
        return self.decoder(self.encoder(x))


class Detached(Parts):
    def forward(self, x):
        return self.decoder(self.encoder(x).detach())


class Graphless(Parts):
    def forward(self, x):
        with torch.no_grad():
            return super().forward(x)


class Listed(nn.Module):
    """Its layers stand in a plain list, where only the last one is registered."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = [nn.Linear(24, 32), nn.ReLU(), nn.Linear(32, 4), nn.Linear(4, 32), nn.ReLU()]
        self.last = nn.Linear(32, 24)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.last(x)


class TwoHeads(Parts):
    """A head for labels that the reconstruction does not need."""

    def __init__(self) -> None:
        super().__init__()
        self.classifier = nn.Linear(4, 10)


def test_a_detached_code(names, low_rank):
    names("frozen-parameters", Detached(), low_rank(rank=12), lr=3e-3, steps=SHORT)


def test_no_gradient_at_all(names, low_rank):
    names("frozen-parameters", Graphless(), low_rank(), lr=3e-3, steps=SHORT)


def test_layers_in_a_plain_list(names, low_rank):
    names("frozen-parameters", Listed(), low_rank(), lr=3e-3, steps=SHORT)


def test_parameters_that_require_no_gradient(names, low_rank):
    names("frozen-parameters", Parts().requires_grad_(False), low_rank(), lr=3e-3, steps=SHORT)


def test_a_frozen_decoder(names, low_rank):
    model = Parts()
    model.decoder.requires_grad_(False)
    names("frozen-parameters", model, low_rank(rank=12), lr=3e-3, steps=SHORT)


def test_an_optimizer_of_the_encoder_only(names, low_rank):
    model = Parts()

    def adam(_parameters):
        return torch.optim.Adam(model.encoder.parameters(), lr=3e-3)

    names("frozen-parameters", model, low_rank(rank=12), optimizer=adam, steps=SHORT)


def test_an_unused_head_is_fine(acquits, low_rank):
    acquits(TwoHeads(), low_rank(), lr=3e-3, steps=SHORT)


def test_a_frozen_bias_is_fine(acquits, low_rank):
    model = Parts()
    model.decoder[2].bias.requires_grad_(False)
    acquits(model, low_rank(), lr=3e-3, steps=SHORT)


# --- init-symmetry ---


@pytest.mark.parametrize("value", [0.0, 0.05])
def test_weights_that_are_all_the_same(names, dense, low_rank, value):
    model = reset(dense(24, 32, 4), lambda weight: weight.fill_(value), 0.0)
    names("init-symmetry", model, low_rank(), lr=3e-3, steps=SHORT)


def test_a_last_layer_of_zeros_is_fine(acquits, low_rank):
    model = Parts()
    nn.init.zeros_(model.decoder[2].weight)
    acquits(model, low_rank(), lr=3e-3, steps=SHORT)


def test_biases_of_zero_are_fine(acquits, dense, low_rank):
    acquits(reset(dense(24, 32, 4), nn.init.xavier_uniform_, 0.0), low_rank(), lr=3e-3, steps=SHORT)


# --- init-scale ---


def test_large_initial_weights(names, dense, low_rank):
    model = reset(dense(24, 64, 32, 4), lambda weight: weight.normal_(0, 3.0))
    names("init-scale", model, low_rank(), lr=1e-3, steps=SHORT)


def test_tiny_initial_weights(names, dense, low_rank):
    model = reset(dense(24, 64, 32, 16, 4), lambda weight: weight.normal_(0, 1e-4), 0.0)
    names("init-scale", model, low_rank(), lr=1e-3, steps=SHORT)


@pytest.mark.parametrize(
    "weight", [nn.init.orthogonal_, nn.init.kaiming_normal_, nn.init.xavier_normal_, lambda w: w.normal_(0, 0.1)]
)
def test_usual_initial_weights_are_fine(acquits, dense, low_rank, weight):
    acquits(reset(dense(24, 48, 32, 4), weight, 0.0), low_rank(), lr=3e-3, steps=SHORT)


# --- dead-units ---


def test_biases_that_switch_all_units_off(names, dense, low_rank):
    model = dense(24, 32, 4)
    nn.init.constant_(model[0].bias, -20.0)
    names("dead-units", model, low_rank(), lr=1e-3, steps=SHORT)


def test_a_rectified_code_that_is_off(names, low_rank):
    model = nn.Sequential(
        nn.Linear(24, 32), nn.ReLU(), nn.Linear(32, 4), nn.ReLU(), nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 24)
    )
    nn.init.constant_(model[2].bias, -5.0)
    names("dead-units", model, low_rank(), lr=1e-3, steps=SHORT)


def test_a_few_dead_units_in_a_wide_layer_are_fine(acquits, dense, low_rank):
    model = dense(24, 128, 4)
    with torch.no_grad():
        model[0].bias[:12] = -50.0
    acquits(model, low_rank(), lr=3e-3, steps=SHORT)


def test_a_sparse_rectified_layer_is_fine(acquits, dense, low_rank):
    """Most of its values are zero for any one row, and no unit for all rows."""
    model = dense(24, 128, 4)
    nn.init.constant_(model[0].bias, -0.5)
    acquits(model, low_rank(), lr=3e-3, steps=SHORT)


# --- saturated-units ---


def test_a_deep_stack_of_sigmoids(names, dense, low_rank):
    names("saturated-units", dense(24, 48, 32, 24, 4, activation=nn.Sigmoid), low_rank(), lr=1e-3, steps=SHORT)


def test_units_driven_into_their_flat_part(names, dense, low_rank):
    model = dense(24, 32, 4, activation=nn.Tanh)
    with torch.no_grad():
        model[0].bias.copy_(30.0 * torch.randn(32).sign())
    names("saturated-units", model, low_rank(), lr=1e-3, steps=SHORT)


@pytest.mark.parametrize("activation", [nn.Tanh, nn.Sigmoid])
def test_one_squashing_layer_is_fine(acquits, dense, low_rank, activation):
    acquits(dense(24, 48, 4, activation=activation), low_rank(), lr=1e-2, steps=SHORT)


# --- train-eval-mismatch ---


def normalized(momentum: float | None) -> nn.Module:
    return nn.Sequential(
        nn.Linear(24, 32), nn.BatchNorm1d(32, momentum=momentum), nn.ReLU(), nn.Linear(32, 4),
        nn.Linear(4, 32), nn.BatchNorm1d(32, momentum=momentum), nn.ReLU(), nn.Linear(32, 24),
    )  # fmt: skip


def test_running_statistics_that_lag_behind(names, low_rank):
    names("train-eval-mismatch", normalized(1e-4), low_rank() + 2, lr=3e-3, steps=SHORT)


def test_running_statistics_of_the_last_batch_alone(names, low_rank):
    names("train-eval-mismatch", normalized(1.0), low_rank(), lr=3e-3, batch_size=4, steps=SHORT)


def test_running_statistics_averaged_from_the_first_step_on(names, low_rank):
    """Without a momentum, the statistics of early weights count as much as the present ones."""
    names("train-eval-mismatch", normalized(None), low_rank() + 2, lr=1e-2, steps=SHORT)


def test_batch_normalization_is_fine(acquits, low_rank):
    acquits(normalized(0.1), low_rank() + 1, lr=1e-2, steps=600)


class OtherInEval(Parts):
    """In eval mode something else is decoded."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what, self.drop = what, nn.Dropout(0.1)

    def forward(self, x):
        z = self.encoder(x)
        if self.training:
            z = z + 0.05 * torch.randn_like(z)
        elif self.what == "noise":
            z = torch.randn_like(z)
        elif self.what == "half":
            z = 0.2 * z
        return self.decoder(self.drop(z))


@pytest.mark.parametrize("what", ["noise", "half"])
def test_a_forward_that_decodes_something_else_in_eval_mode_is_named_with_the_difference(what, names, low_rank):
    report = names("train-eval-mismatch", OtherInEval(what), low_rank(), lr=3e-3, steps=SHORT)
    assert any("something else in eval mode" in one.text for one in report.findings[0].evidence)
    assert [one.id for one in report.findings[0].remedies] == ["same-path"]


def test_noise_dropout_and_batch_statistics_are_no_other_path(low_rank):
    for model in (OtherInEval("nothing"), nn.Sequential(nn.Linear(24, 4), nn.BatchNorm1d(4), nn.Linear(4, 24))):
        assert measure_modes(subject_of(model, low_rank())) == pytest.approx(0, abs=1e-6)
