"""Reports of variational autoencoders whose KL term wins."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from evaluation.reported.case import LOST, ReportedCase, Settings, reported, run
from evaluation.reported.data import baskets, digits, embeddings, images, sensors, sines, standardized

CASES: list[ReportedCase] = []
COLLAPSE = (*LOST, "under-trained")


class DigitsVAE(nn.Module):
    """The VAE of the PyTorch examples, smaller."""

    def __init__(self, features: int = 64, hidden: int = 48, latent: int = 8, squash: bool = True):
        super().__init__()
        self.features, self.squash = features, squash
        self.fc1 = nn.Linear(features, hidden)
        self.fc21 = nn.Linear(hidden, latent)
        self.fc22 = nn.Linear(hidden, latent)
        self.fc3 = nn.Linear(latent, hidden)
        self.fc4 = nn.Linear(hidden, features)

    def encode(self, x):
        h1 = functional.relu(self.fc1(x))
        return self.fc21(h1), self.fc22(h1)

    def reparameterize(self, mu, logvar):
        if not self.training:
            return mu
        return mu + torch.randn_like(mu) * torch.exp(0.5 * logvar)

    def decode(self, z):
        out = self.fc4(functional.relu(self.fc3(z)))
        return torch.sigmoid(out) if self.squash else out

    def forward(self, x):
        mu, logvar = self.encode(x.view(-1, self.features))
        return self.decode(self.reparameterize(mu, logvar)), mu, logvar


@reported(
    CASES,
    cause="posterior-collapse",
    verdicts=COLLAPSE,
    story="binary_cross_entropy with its default reduction (the mean) plus the summed KL of the paper: the KL is zero "
    "after one epoch and all reconstructions are the same blurred digit.",
    source="github.com/podgorskiy/VAE/issues/1 and github.com/pytorch/examples VAE with the reduction changed",
    code=8,
)
def mean_against_sum(seed: int, fixed: bool) -> Settings:
    def loss_function(out: Any, x: Tensor) -> Tensor:
        recon, mu, logvar = out
        bce = functional.binary_cross_entropy(recon, x.view(-1, 64), reduction="sum" if fixed else "mean")
        kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
        return bce + kld

    return run(model=DigitsVAE(), data=digits(), loss=loss_function, lr=1e-3, batch_size=128, steps=3000)


@reported(
    CASES,
    cause="posterior-collapse",
    verdicts=COLLAPSE,
    story="A convolutional VAE with mse_loss and a KL weight of 1 instead of the 0.00025 of the repository. It never "
    "learned to reconstruct.",
    source="github.com/AntixK/PyTorch-VAE/issues/56, KLD Weight",
)
def kld_weight_of_one(seed: int, fixed: bool) -> Settings:
    weight = 0.00025 if fixed else 1.0

    class VanillaVAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(
                nn.Conv2d(1, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.LeakyReLU(),
                nn.Conv2d(16, 32, 3, 2, 1), nn.BatchNorm2d(32), nn.LeakyReLU(),
            )  # fmt: skip
            self.fc_mu = nn.Linear(128, 10)
            self.fc_var = nn.Linear(128, 10)
            self.decoder_input = nn.Linear(10, 128)
            self.decoder = nn.Sequential(
                nn.ConvTranspose2d(32, 16, 3, 2, 1, output_padding=1), nn.BatchNorm2d(16), nn.LeakyReLU(),
                nn.ConvTranspose2d(16, 8, 3, 2, 1, output_padding=1), nn.BatchNorm2d(8), nn.LeakyReLU(),
                nn.Conv2d(8, 1, 3, padding=1), nn.Tanh(),
            )  # fmt: skip

        def forward(self, input):
            result = torch.flatten(self.encoder(input), start_dim=1)
            mu, log_var = self.fc_mu(result), self.fc_var(result)
            z = mu + torch.exp(0.5 * log_var) * torch.randn_like(mu)
            result = self.decoder_input(z).view(-1, 32, 2, 2)
            return [self.decoder(result), input, mu, log_var]

    def loss_function(args: Any, _target: Tensor) -> Tensor:
        recons, input, mu, log_var = args
        kld = torch.mean(-0.5 * torch.sum(1 + log_var - mu**2 - log_var.exp(), dim=1), dim=0)
        return functional.mse_loss(recons, input) + weight * kld

    return run(model=VanillaVAE(), data=images(8) * 2 - 1, loss=loss_function, lr=5e-3, batch_size=64, steps=1200)


@reported(
    CASES,
    cause="posterior-collapse",
    verdicts=COLLAPSE,
    story="A VAE of screen shots where the mean squared error is a mean over all pixels and the KL a mean over units: "
    "r_loss stays at its first value and kl_loss is 1e-7.",
    source="github.com/AppliedDataSciencePartners/WorldModels/issues/12, VAE performance is bad",
)
def world_model(seed: int, fixed: bool) -> Settings:
    class ConvVAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Sequential(nn.Conv2d(1, 16, 4, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 4, 2, 1), nn.ReLU())
            self.mu = nn.Linear(128, 16)
            self.log_var = nn.Linear(128, 16)
            self.fc = nn.Linear(16, 128)
            self.deconv = nn.Sequential(
                nn.ConvTranspose2d(32, 16, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(16, 1, 4, 2, 1), nn.Sigmoid()
            )
            self.kl = torch.zeros(())

        def forward(self, x):
            h = self.conv(x).flatten(1)
            mu, log_var = self.mu(h), self.log_var(h)
            z = mu + torch.exp(log_var / 2) * torch.randn_like(mu)
            each = 1 + log_var - mu.square() - log_var.exp()
            self.kl = -0.5 * (each.sum(1).mean() if fixed else each.mean())
            return self.deconv(self.fc(z).view(-1, 32, 2, 2))

    return run(
        model=ConvVAE(), data=images(8), loss="bce_sum" if fixed else "mse", penalty=lambda model: model.kl, lr=1e-3,
        batch_size=64,
    )  # fmt: skip


@reported(
    CASES,
    cause="posterior-collapse",
    verdicts=COLLAPSE,
    story="beta = 100 as in a figure of the beta-VAE paper, on low-resolution digits: every reconstruction is the mean "
    "picture.",
    source="reports of beta-VAEs with the beta of another data set's paper",
    code=10,
)
def beta_from_the_paper(seed: int, fixed: bool) -> Settings:
    beta = 1.0 if fixed else 100.0

    class BetaVAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 20))
            self.decoder = nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 64))

        def forward(self, x):
            mu, logvar = self.encoder(x).chunk(2, dim=-1)
            std = torch.exp(0.5 * logvar)
            z = mu + std * torch.randn_like(std) if self.training else mu
            return {"recon_x": torch.sigmoid(self.decoder(z)), "mu": mu, "logvar": logvar}

    def loss(out: Any, x: Tensor) -> Tensor:
        recon = functional.binary_cross_entropy(out["recon_x"], x, reduction="sum") / len(x)
        kl = -0.5 * (1 + out["logvar"] - out["mu"] ** 2 - out["logvar"].exp()).sum(1).mean()
        return recon + beta * kl

    return run(model=BetaVAE(), data=baskets(seed, features=64), loss=loss, lr=1e-3, batch_size=64, steps=3000)


@reported(
    CASES,
    cause="posterior-collapse",
    verdicts=COLLAPSE,
    story="An LSTM VAE for time series. The KL vanishes within the first epochs, and every window is reconstructed as "
    "the same flat curve.",
    source="github.com/petalrame/VAE-LSTM/issues/4 and github.com/yanggeng1995/vae_tacotron/issues/10, KL vanishing",
)
def recurrent_vae(seed: int, fixed: bool) -> Settings:
    class LSTMVAE(nn.Module):
        def __init__(self, hidden=32, latent=8):
            super().__init__()
            self.encoder = nn.LSTM(1, hidden, batch_first=True)
            self.to_mu = nn.Linear(hidden, latent)
            self.to_logvar = nn.Linear(hidden, latent)
            self.decoder = nn.LSTM(latent, hidden, batch_first=True)
            self.out = nn.Linear(hidden, 1)

        def forward(self, x):
            _, (h, _) = self.encoder(x)
            mu, logvar = self.to_mu(h[-1]), self.to_logvar(h[-1])
            z = mu + torch.randn_like(mu) * (0.5 * logvar).exp() if self.training else mu
            y, _ = self.decoder(z.unsqueeze(1).expand(-1, x.shape[1], -1))
            return self.out(y), mu, logvar

    def vae_loss(out: Any, x: Tensor) -> Tensor:
        y, mu, logvar = out
        kld = -0.5 * torch.mean(torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=1))
        return functional.mse_loss(y, x) + (0.0005 if fixed else 1.0) * kld

    return run(model=LSTMVAE(), data=sines(seed, 600, 20), loss=vae_loss, lr=5e-3, batch_size=32)


@reported(
    CASES,
    cause="posterior-collapse",
    verdicts=COLLAPSE,
    story="A VAE of word vectors. The KL is divided by the batch but not by the 50 dimensions that the squared error "
    "is averaged over.",
    source="github.com/AntixK/PyTorch-VAE/issues/11, usage of kld_weight, and questions on the scale of both terms",
    code=12,
)
def word_vectors(seed: int, fixed: bool) -> Settings:
    class EmbeddingVAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.vae = DigitsVAE(features=50, hidden=64, latent=12, squash=False)
            self.kl_loss = torch.tensor(0.0)

        def forward(self, x):
            recon, mu, logvar = self.vae(x)
            self.kl_loss = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp()) / x.size(0)
            return recon

    return run(
        model=EmbeddingVAE(), data=embeddings(seed), loss=nn.MSELoss(), lr=1e-3, batch_size=100,
        penalty=lambda model: (0.001 if fixed else 1.0) * model.kl_loss,
    )  # fmt: skip


@reported(
    CASES,
    cause="posterior-collapse",
    also=("input-scaling",),
    verdicts=COLLAPSE,
    story="Squared error summed over pixels and KL with weight 1, as recommended everywhere; but the pixels were "
    "divided by 255 twice. Next to the unit variance of the prior there is nothing to reconstruct.",
    source="reports of collapse with properly summed terms on data of tiny variance",
    code=8,
)
def pixels_divided_twice(seed: int, fixed: bool) -> Settings:
    def elbo(out: Any, x: Tensor) -> Tensor:
        recon, mu, logvar = out
        mse = functional.mse_loss(recon, x, reduction="sum")
        kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
        return (mse + kld) / x.shape[0]

    data = standardized(digits()) if fixed else digits(1 / 255)
    return run(model=DigitsVAE(squash=False), data=data, loss=elbo, lr=2e-3, batch_size=64, steps=2500)


@reported(
    CASES,
    cause="posterior-collapse",
    also=("penalty-too-strong",),
    verdicts=COLLAPSE,
    story="Anomaly detection on sensors with a VAE that keeps its KL as an attribute, summed over the whole batch, "
    "next to a mean error. The reconstruction error does not depend on the input.",
    source="github.com/Virtsionis/torch-nilm/issues/12: the KL is always the same, so are mu and std",
    code=4,
)
def kl_of_the_batch(seed: int, fixed: bool) -> Settings:
    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear1 = nn.Linear(12, 32)
            self.linear2 = nn.Linear(32, 4)
            self.linear3 = nn.Linear(32, 4)
            self.kl = torch.tensor(0.0)

        def forward(self, x):
            x = functional.relu(self.linear1(x))
            mu = self.linear2(x)
            sigma = torch.exp(self.linear3(x))
            z = mu + sigma * torch.randn_like(mu) if self.training else mu
            self.kl = (sigma**2 + mu**2 - torch.log(sigma) - 1 / 2).sum()
            return z

    class VariationalAutoencoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = Encoder()
            self.decoder = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 12))

        def forward(self, x):
            return self.decoder(self.encoder(x))

    weight = 1e-5 if fixed else 1.0
    return run(
        model=VariationalAutoencoder(), data=standardized(sensors(seed)), loss="mse", lr=1e-3, batch_size=128,
        penalty=lambda vae: weight * vae.encoder.kl, steps=2000,
    )  # fmt: skip


@reported(
    CASES,
    cause="posterior-collapse",
    verdicts=COLLAPSE,
    story="Reconstruction term as a mean over batch and pixels, KL as a sum over units: the sample pictures look like "
    "one average face, digit or shape whatever goes in.",
    source="github.com/yzwxx/vae-celebA/issues/4 and the usual question why a VAE shows the same image for all inputs",
)
def average_picture(seed: int, fixed: bool) -> Settings:
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.e1 = nn.Conv2d(1, 8, 3, padding=1)
            self.e2 = nn.Conv2d(8, 16, 3, padding=1)
            self.mean = nn.Linear(256, 6)
            self.logvar = nn.Linear(256, 6)
            self.d0 = nn.Linear(6, 256)
            self.d1 = nn.Conv2d(16, 8, 3, padding=1)
            self.d2 = nn.Conv2d(8, 1, 3, padding=1)

        def forward(self, x):
            h = functional.max_pool2d(functional.elu(self.e1(x)), 2)
            h = functional.elu(self.e2(h)).flatten(1)
            mean, logvar = self.mean(h), self.logvar(h)
            z = mean + torch.exp(0.5 * logvar) * torch.randn_like(mean)
            h = functional.elu(self.d0(z)).view(-1, 16, 4, 4)
            h = functional.interpolate(h, scale_factor=2)
            h = functional.elu(self.d1(h))
            return torch.sigmoid(self.d2(h)), mean, logvar

    def loss(out: Any, x: Tensor) -> Tensor:
        recon, mean, logvar = out
        kl = (-0.5 * (1 + logvar - mean**2 - logvar.exp()).sum(1)).mean()
        rec = functional.binary_cross_entropy(recon, x)
        return (64 * rec if fixed else rec) + kl

    return run(model=Net(), data=images(8), loss=loss, optimizer="adam", lr=2e-3, batch_size=64, steps=1500)
