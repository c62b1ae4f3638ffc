"""Causes in rate, optimizer, clipping, gradients and the number of steps: planted, and their nearest look-alikes."""

import pytest
import torch
from torch import nn

pytestmark = pytest.mark.usefixtures("one_thread_and_seed")

SHORT = 400
DESCENT = {"optimizer": "sgd", "lr": 0.1, "optimizer_options": {"momentum": 0.9}}


class Recurrent(nn.Module):
    """A series, step by step, into one state and back; the state is multiplied by `gain` at each step."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        hidden = 16
        self.encoder = nn.RNN(1, hidden, nonlinearity="relu", batch_first=True)
        self.decoder = nn.RNN(hidden, hidden, nonlinearity="relu", batch_first=True)
        self.last = nn.Linear(hidden, 1)
        for cell in (self.encoder, self.decoder):
            nn.init.eye_(cell.weight_hh_l0)
            with torch.no_grad():
                cell.weight_hh_l0.mul_(gain)

    def forward(self, x):
        _, state = self.encoder(x)
        out, _ = self.decoder(state[0][:, None].expand(-1, x.shape[1], -1))
        return self.last(out)


class Gated(nn.Module):
    """A series into the last state of a GRU, and back in one linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.GRU(1, 8, batch_first=True)
        self.decoder = nn.Linear(8, 12)

    def forward(self, x):
        _, state = self.encoder(x)
        return self.decoder(state[0])[..., None]


def waves(length: int = 30, rows: int = 400) -> torch.Tensor:
    """Sine waves of random phase and size, [rows, length, 1]."""
    generator = torch.Generator().manual_seed(0)
    phase, size = 6.28 * torch.rand(rows, 1, generator=generator), 0.5 + torch.rand(rows, 1, generator=generator)
    return (size * torch.sin(torch.linspace(0, 6.28, length) + phase))[..., None]


# --- lr-too-high ---


@pytest.mark.parametrize(
    ("optimizer", "lr", "options"),
    [("adam", 0.5, {}), ("adamw", 3.0, {}), ("rmsprop", 0.3, {}), ("sgd", 10.0, {"momentum": 0.9})],
)
def test_a_rate_that_is_too_high(names, dense, unit, optimizer, lr, options):
    names("lr-too-high", dense(64, 32, 8), unit, optimizer=optimizer, lr=lr, optimizer_options=options, steps=SHORT)


@pytest.mark.parametrize(
    ("optimizer", "lr", "options"), [("adam", 0.01, {}), ("sgd", 0.3, {"momentum": 0.9}), ("adadelta", 3.0, {})]
)
def test_a_high_rate_that_works_is_fine(acquits, dense, low_rank, optimizer, lr, options):
    acquits(dense(24, 32, 4), low_rank(), optimizer=optimizer, lr=lr, optimizer_options=options, steps=600)


# --- lr-too-low ---


@pytest.mark.parametrize(
    ("optimizer", "lr", "options"),
    [
        ("adam", 1e-6, {}),
        ("adam", 1e-5, {}),
        ("adadelta", 1e-3, {}),
        ("sgd", 1e-4, {"momentum": 0.9}),
        ("adam", 0.0, {}),
    ],
)
def test_a_rate_that_is_too_low(names, dense, unit, optimizer, lr, options):
    names("lr-too-low", dense(64, 32, 8), unit, optimizer=optimizer, lr=lr, optimizer_options=options, steps=SHORT)


def test_a_low_rate_that_works_is_fine(acquits, dense, low_rank):
    acquits(dense(24, 256, 4), low_rank(), lr=3e-4, batch_size=32, steps=800)


# --- optimizer ---


def test_plain_gradient_descent_on_a_plateau(names, dense, low_rank):
    names("optimizer", dense(24, 48, 48, 48, 4), low_rank(), optimizer="sgd", lr=0.03, steps=300)


def test_adam_damped_by_its_eps(names, dense, unit):
    names("optimizer", dense(64, 32, 8), unit, optimizer_options={"eps": 1.0}, steps=SHORT)


def test_adam_with_a_second_moment_of_the_last_steps_only(names, dense, unit):
    names("optimizer", dense(64, 32, 8), unit, lr=3e-3, optimizer_options={"betas": (0.9, 0.3)}, steps=SHORT)


@pytest.mark.parametrize(
    ("optimizer", "lr", "options"),
    [("sgd", 0.1, {"momentum": 0.9}), ("sgd", 1.0, {}), ("adagrad", 0.05, {}), ("adam", 3e-3, {"eps": 1e-3})],
)
def test_an_unfashionable_optimizer_that_works_is_fine(acquits, dense, low_rank, optimizer, lr, options):
    acquits(dense(24, 48, 4), low_rank(), optimizer=optimizer, lr=lr, optimizer_options=options, steps=800)


# --- clipping-too-tight ---


def test_clipping_far_below_the_usual_norm(names, dense, low_rank):
    names("clipping-too-tight", dense(24, 32, 4), low_rank(), clip=1e-4, steps=SHORT, **DESCENT)


def test_clipping_adam_below_its_eps(names, dense, low_rank):
    names("clipping-too-tight", dense(24, 32, 4), low_rank(), lr=3e-3, clip=1e-9, steps=SHORT)


def test_clipping_that_rarely_acts_is_fine(acquits, dense, low_rank):
    acquits(dense(24, 32, 4), low_rank(), clip=1.0, steps=SHORT, **DESCENT)


def test_clipping_that_adam_does_not_feel_is_fine(acquits, dense, low_rank):
    """Every step is clipped to a thousandth, and Adam divides the factor out again."""
    acquits(dense(24, 32, 4), low_rank(), lr=3e-3, clip=1e-3, steps=SHORT)


# --- exploding-gradients ---


def test_gradients_that_grow_over_time_steps(names):
    names("exploding-gradients", Recurrent(1.4), waves(20), steps=200, **(DESCENT | {"lr": 0.01}))


def test_a_rare_batch_with_a_huge_gradient(names, dense, low_rank):
    x = low_rank()
    x[333] *= 60
    names("exploding-gradients", dense(24, 32, 4), x, batch_size=16, steps=SHORT, **DESCENT)


def test_a_large_gradient_at_the_start_is_fine(acquits, dense, low_rank):
    """Summed over the features, with a last layer that is far off at first."""
    model = dense(24, 32, 4)
    nn.init.constant_(model[-1].bias, 5.0)
    acquits(model, low_rank(), loss="mse_sum", lr=2e-2, steps=600)


def test_a_recurrent_model_that_trains_is_fine(acquits):
    acquits(Gated(), waves(12), lr=1e-2, steps=SHORT)


# --- under-trained ---


@pytest.mark.parametrize("steps", [20, 60])
def test_too_few_steps(names, dense, unit, steps):
    names("under-trained", dense(64, 48, 8), unit, lr=1e-3, steps=steps)


def test_one_epoch_of_a_few_batches(names, dense, standardized):
    names("under-trained", dense(standardized.shape[1], 64, 32, 8), standardized, lr=1e-3, steps=12)


def test_a_slow_run_that_arrives_is_fine(acquits, dense, low_rank):
    acquits(dense(24, 64, 4), low_rank(), lr=5e-4, steps=1200)
