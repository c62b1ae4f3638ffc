"""Causes that are added to the reconstruction: planted, and their nearest look-alikes."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

pytestmark = pytest.mark.usefixtures("one_thread_and_seed")

SHORT = 400


class Vae(nn.Module):
    """Dense, with the reconstruction, the mean and the logarithm of the variance."""

    def __init__(self, features: int, hidden: int, code: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(features, hidden), nn.ReLU())
        self.mean, self.log_variance = nn.Linear(hidden, code), nn.Linear(hidden, code)
        self.decoder = nn.Sequential(nn.Linear(code, hidden), nn.ReLU(), nn.Linear(hidden, features))

    def forward(self, x):
        h = self.encoder(x)
        mean, log_variance = self.mean(h), self.log_variance(h)
        z = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        return self.decoder(z), mean, log_variance


def kl(mean, log_variance):
    return -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(1).mean()


def averaged(outputs, x):
    """The reconstruction averaged over the features, the KL summed over the code."""
    out, mean, log_variance = outputs
    return F.mse_loss(out, x) + kl(mean, log_variance)


def heavy(outputs, x):
    out, mean, log_variance = outputs
    return 0.5 * (out - x).square().sum(1).mean() + 40 * kl(mean, log_variance)


def elbo(outputs, x):
    """The usual lower bound, with a Gaussian of variance 1 for the reconstruction."""
    out, mean, log_variance = outputs
    return 0.5 * (out - x).square().sum(1).mean() + kl(mean, log_variance)


class Noisy(nn.Module):
    """Gaussian noise on the input while training."""

    def __init__(self, net: nn.Module, size: float) -> None:
        super().__init__()
        self.net, self.size = net, size

    def forward(self, x):
        return self.net(x + self.size * torch.randn_like(x) if self.training else x)


def with_dropout(features: int, share: float) -> nn.Module:
    return nn.Sequential(
        nn.Linear(features, 48), nn.ReLU(), nn.Dropout(share), nn.Linear(48, 4),
        nn.Linear(4, 48), nn.ReLU(), nn.Dropout(share), nn.Linear(48, features),
    )  # fmt: skip


# --- posterior-collapse ---


@pytest.mark.parametrize("loss", [averaged, heavy])
def test_a_kl_that_outweighs_the_reconstruction(names, low_rank, loss):
    names("posterior-collapse", Vae(24, 48, 4), low_rank(), loss=loss, lr=3e-3, steps=SHORT)


def test_a_kl_summed_over_the_batch(names, standardized):
    def summed(outputs, x):
        out, mean, log_variance = outputs
        return F.mse_loss(out, x) - 0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum()

    names("posterior-collapse", Vae(standardized.shape[1], 48, 8), standardized, loss=summed, lr=3e-3, steps=SHORT)


def test_a_vae_with_few_active_units_that_trains_well_is_fine(acquits, low_rank):
    acquits(Vae(24, 48, 16), low_rank(rank=3), loss=elbo, lr=3e-3, steps=600)


def test_a_vae_on_digits_is_fine(acquits, standardized):
    acquits(Vae(standardized.shape[1], 64, 8), standardized, loss=elbo, lr=3e-3, steps=600)


def test_a_balanced_kl_in_terms_of_the_mean_is_fine(acquits, low_rank):
    """Both parts divided by the number of features: the same minimum as the usual bound."""
    acquits(Vae(24, 48, 4), low_rank(), loss=lambda outputs, x: elbo(outputs, x) / 24, lr=3e-3, steps=600)


# --- penalty-too-strong ---


def l1(weight: float):
    return lambda model: weight * sum(parameter.abs().sum() for parameter in model.parameters())


def test_an_l1_penalty_on_the_weights(names, dense, low_rank):
    names("penalty-too-strong", dense(24, 32, 4), low_rank(), penalty=l1(0.1), lr=3e-3, steps=SHORT)


@pytest.mark.parametrize(("optimizer", "decay"), [("adam", 1.0), ("sgd", 0.5), ("adamw", 100.0)])
def test_a_strong_weight_decay(names, dense, low_rank, optimizer, decay):
    options = {"weight_decay": decay} | ({"momentum": 0.9} if optimizer == "sgd" else {})
    names(
        "penalty-too-strong", dense(24, 32, 4), low_rank(), optimizer=optimizer,
        lr=0.05 if optimizer == "sgd" else 3e-3, optimizer_options=options, steps=SHORT,
    )  # fmt: skip


def test_a_mild_l1_penalty_is_fine(acquits, dense, low_rank):
    acquits(dense(24, 32, 4), low_rank(), penalty=l1(1e-5), lr=3e-3, steps=SHORT)


@pytest.mark.parametrize(("optimizer", "decay"), [("adam", 1e-5), ("adamw", 0.01)])
def test_a_mild_weight_decay_is_fine(acquits, dense, low_rank, optimizer, decay):
    options = {"weight_decay": decay}
    acquits(dense(24, 32, 4), low_rank(), optimizer=optimizer, lr=3e-3, optimizer_options=options, steps=SHORT)


# --- noise-too-strong ---


def test_strong_dropout(names, low_rank):
    names("noise-too-strong", with_dropout(24, 0.9), low_rank(), lr=3e-3, steps=SHORT)


def test_strong_noise_on_the_input(names, dense, low_rank):
    names("noise-too-strong", Noisy(dense(24, 32, 4), 8.0), low_rank(), lr=3e-3, steps=SHORT)


def test_mild_dropout_is_fine(acquits, low_rank):
    acquits(with_dropout(24, 0.1), low_rank(), lr=3e-3, steps=600)


def test_a_denoising_autoencoder_is_fine(acquits, dense, low_rank):
    acquits(Noisy(dense(24, 32, 4), 0.3), low_rank(), lr=3e-3, steps=SHORT)
