"""Runs that people took for broken, or that look so, with which nothing is wrong."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from evaluation.reported.case import GOOD, ReportedCase, Settings, fine, run
from evaluation.reported.data import (
    baskets,
    digits,
    embeddings,
    genes,
    images,
    sensors,
    sines,
    spectra,
    standardized,
    temperatures,
)  # fmt: skip

CASES: list[ReportedCase] = []


@fine(
    CASES,
    verdicts=("at-limit", "healthy"),
    story="Gaussian random numbers as test data. The loss hardly falls: noise can't be compressed.",
    source="stats.stackexchange.com/questions/441750, Why can't this autoencoder reach zero loss (random data)",
    code=10,
)
def random_numbers(seed: int) -> Settings:
    model = nn.Sequential(nn.Linear(60, 10), nn.Linear(10, 60))
    data = torch.randn(1500, 60, generator=torch.Generator().manual_seed(seed))
    return run(model=model, data=data, loss="mse", lr=2e-3, batch_size=64, steps=4000)


@fine(
    CASES,
    story="Binary cross-entropy on gray values ends at 0.3, not at 0. That is the entropy of the gray values; the "
    "pictures are sharp.",
    source="stats.stackexchange.com/questions/245448 and stackoverflow.com/questions/52441877: the loss is never 0",
    code=16,
)
def entropy_of_gray(seed: int) -> Settings:
    model = nn.Sequential(
        nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 16), nn.Linear(16, 48), nn.ReLU(), nn.Linear(48, 64), nn.Sigmoid()
    )
    return run(model=model, data=digits(), loss="bce", lr=2e-3, batch_size=64, steps=5000)


@fine(
    CASES,
    verdicts=("trivial-data",),
    story="Nine times the same row as a first test; the outputs are all the same, as they should be.",
    source="stackoverflow.com/questions/44601367, Keras autoencoder simple example has a strange output",
)
def nine_equal_rows(seed: int) -> Settings:
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3), nn.Sigmoid())
    data = torch.tensor([[0.1, 0.2, 0.3]]).repeat(9, 1)
    return run(model=model, data=data, loss="mse", lr=1e-2, batch_size=4, steps=1500)


@fine(
    CASES,
    story="Of fifty columns forty are constant in this plant; their outputs are flat because the data are.",
    source="questions on zero-variance columns: most outputs of my autoencoder do not change",
    code=4,
)
def mostly_constant_columns(seed: int) -> Settings:
    varied = standardized(sensors(seed))[:, :10]
    data = torch.cat([varied, torch.linspace(-1, 1, 40).repeat(len(varied), 1)], dim=1)
    model = nn.Sequential(nn.Linear(50, 24), nn.ELU(), nn.Linear(24, 4), nn.Linear(4, 24), nn.ELU(), nn.Linear(24, 50))
    return run(model=model, data=data, loss="mse", lr=2e-3, batch_size=64, steps=5000)


@fine(
    CASES,
    story="A convolutional autoencoder as in the tutorial, trained long enough.",
    source="the usual PyTorch tutorial of a convolutional autoencoder",
)
def tutorial_conv(seed: int) -> Settings:
    class ConvAutoencoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
            self.conv2 = nn.Conv2d(16, 8, 3, padding=1)
            self.pool = nn.MaxPool2d(2, 2)
            self.t_conv1 = nn.ConvTranspose2d(8, 16, 2, stride=2)
            self.t_conv2 = nn.ConvTranspose2d(16, 1, 2, stride=2)

        def forward(self, x):
            x = self.pool(functional.relu(self.conv1(x)))
            x = self.pool(functional.relu(self.conv2(x)))
            x = functional.relu(self.t_conv1(x))
            return torch.sigmoid(self.t_conv2(x))

    return run(model=ConvAutoencoder(), data=images(8), loss=nn.MSELoss(), lr=3e-3, batch_size=64, steps=3000)


@fine(
    CASES,
    story="An LSTM autoencoder on sine windows: flat for the first epochs, as they all are, then it follows.",
    source="github.com/keras-team/keras/issues/10753, the example that was asked for, with enough training",
)
def lstm_that_works(seed: int) -> Settings:
    class LSTMAutoencoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.LSTM(1, 24, batch_first=True)
            self.decoder = nn.LSTM(24, 24, batch_first=True)
            self.head = nn.Linear(24, 1)

        def forward(self, x):
            _, (h, _) = self.encoder(x)
            out, _ = self.decoder(h[-1].unsqueeze(1).repeat(1, x.size(1), 1))
            return self.head(out)

    return run(model=LSTMAutoencoder(), data=sines(seed, 640, 16), loss="mse", lr=5e-3, batch_size=32, steps=2500)


@fine(
    CASES,
    story="A VAE with both terms summed and sixteen code units, of which a handful are used; the others have gone to "
    "the prior, and the reconstructions are good.",
    source="questions why some latent dimensions of a VAE have zero KL",
    code=4,
)
def vae_with_few_active_units(seed: int) -> Settings:
    class VAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1 = nn.Linear(64, 64)
            self.mu, self.logvar = nn.Linear(64, 16), nn.Linear(64, 16)
            self.fc3, self.fc4 = nn.Linear(16, 64), nn.Linear(64, 64)

        def forward(self, x):
            h = functional.relu(self.fc1(x))
            mu, logvar = self.mu(h), self.logvar(h)
            z = mu + torch.randn_like(mu) * torch.exp(0.5 * logvar) if self.training else mu
            return self.fc4(functional.relu(self.fc3(z))), mu, logvar

    def loss(out: Any, x: Tensor) -> Tensor:
        recon, mu, logvar = out
        kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
        return (functional.mse_loss(recon, x, reduction="sum") + kld) / len(x)

    return run(model=VAE(), data=standardized(spectra(seed)), loss=loss, lr=2e-3, batch_size=64, steps=3000)


@fine(
    CASES,
    story="A convolutional VAE with a small KL weight that keeps its KL as an attribute. Slightly blurred, and fine.",
    source="github.com/AntixK/PyTorch-VAE/issues/56, with the default weight",
)
def conv_vae(seed: int) -> Settings:
    class ConvVAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Sequential(nn.Conv2d(1, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU())
            self.to_code = nn.Linear(128, 24)
            self.from_code = nn.Linear(12, 128)
            self.deconv = nn.Sequential(
                nn.ConvTranspose2d(32, 16, 2, 2), nn.ReLU(), nn.ConvTranspose2d(16, 1, 2, 2), nn.Sigmoid()
            )
            self.kl = torch.tensor(0.0)

        def forward(self, x):
            mu, logvar = self.to_code(self.conv(x).flatten(1)).chunk(2, 1)
            self.kl = -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(1).mean()
            z = mu + torch.randn_like(mu) * (logvar / 2).exp() if self.training else mu
            return self.deconv(torch.relu(self.from_code(z)).view(-1, 32, 2, 2))

    return run(
        model=ConvVAE(), data=images(8), loss="mse", penalty=lambda m: 0.0005 * m.kl, lr=2e-3, batch_size=64, steps=2500
    )


@fine(
    CASES,
    story="A denoising autoencoder with moderate noise: its training loss stays well above the one on clean images.",
    source="the denoising example of the Keras blog, and questions why its loss is higher",
    code=8,
)
def denoising(seed: int) -> Settings:
    class DAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 32))
            self.decoder = nn.Sequential(nn.Linear(32, 128), nn.ReLU(), nn.Linear(128, 64))

        def forward(self, x):
            if self.training:
                x = x + 0.2 * torch.randn_like(x)
            return self.decoder(self.encoder(x))

    return run(model=DAE(), data=digits(), loss="mse", lr=1e-3, batch_size=64, steps=4000)


@fine(
    CASES,
    story="SGD with a modest rate: slow, but it gets there within the epochs that the person had planned.",
    source="answers of the kind 'be patient, the loss is still falling' to runs that ended well",
    code=8,
)
def slow_but_fine(seed: int) -> Settings:
    model = nn.Sequential(nn.Linear(50, 8), nn.Linear(8, 50))
    return run(
        model=model, data=standardized(embeddings(seed)), loss="mse", optimizer="sgd", lr=0.05,
        optimizer_options={"momentum": 0.9}, batch_size=32, steps=12000,
    )  # fmt: skip


@fine(
    CASES,
    story="A code of two units for a scatter plot of the digits. Blurred like PCA with two components; two numbers "
    "can't do more.",
    source="questions why reconstructions from a two-dimensional code are blurred",
    code=2,
)
def two_numbers_per_digit(seed: int) -> Settings:
    model = nn.Sequential(
        nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2), nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64)
    )
    return run(model=model, data=digits(), loss="mse", lr=2e-3, batch_size=64, steps=5000)


@fine(
    CASES,
    story="Gene counts after log1p and standardization; a few units of the ReLU layers are silent and do no harm.",
    source="github.com/MollyZhang/Multi-task-TCGA-learning, the same data after preparation",
    code=6,
)
def genes_prepared(seed: int) -> Settings:
    model = nn.Sequential(
        nn.Linear(60, 64), nn.ReLU(), nn.Linear(64, 6), nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 60)
    )
    return run(
        model=model, data=standardized(torch.log1p(genes(seed))), loss="huber", lr=2e-3, batch_size=64, steps=4000
    )


@fine(
    CASES,
    story="Batch normalization and a little dropout, evaluated in eval mode: better there than in training, as it "
    "should be.",
    source="questions why the validation loss is below the training loss",
    code=6,
)
def batch_norm_and_dropout(seed: int) -> Settings:
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(
                nn.Linear(50, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 16)
            )
            self.decoder = nn.Sequential(nn.Linear(16, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 50))

        def forward(self, x):
            z = self.encoder(x)
            return {"recon": self.decoder(z), "z": z}

    return run(model=Net(), data=embeddings(seed), loss="mse", lr=2e-3, batch_size=64, steps=4000)


@fine(
    CASES,
    story="Shopping baskets of zeros and ones with logits and the matching loss; the purchases at random in them keep "
    "the loss above zero.",
    source="questions on the loss floor of binary data with noise",
    code=6,
)
def baskets_with_logits(seed: int) -> Settings:
    model = nn.Sequential(
        nn.Linear(48, 32), nn.ReLU(), nn.Linear(32, 8), nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 48)
    )
    return run(model=model, data=baskets(seed), loss="bce_logits", lr=3e-3, batch_size=50, steps=3000)


@fine(
    CASES,
    story="Tied weights and no bias in the encoder, on data that are centered: as good as PCA and no better.",
    source="questions on linear autoencoders with tied weights against PCA",
    code=5,
)
def tied_weights(seed: int) -> Settings:
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(0.1 * torch.randn(5, 12))
            self.bias = nn.Parameter(torch.zeros(12))

        def forward(self, x):
            return functional.linear(x, self.weight) @ self.weight + self.bias

    return run(
        model=Tied(), data=standardized(sensors(seed)), loss="mse", optimizer=torch.optim.Adam, lr=5e-3, batch_size=64,
        steps=3000,
    )  # fmt: skip


@fine(
    CASES,
    story="A Conv1d autoencoder for days of temperatures, scaled as a whole; sharp peaks are smoothed.",
    source="time series tutorials with Conv1d autoencoders for anomaly detection",
)
def days_of_temperature(seed: int) -> Settings:
    class Conv1dAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(
                nn.Conv1d(1, 16, 5, stride=2, padding=2), nn.ReLU(), nn.Conv1d(16, 8, 5, stride=2, padding=2), nn.ReLU()
            )
            self.decoder = nn.Sequential(
                nn.ConvTranspose1d(8, 16, 4, stride=2, padding=1), nn.ReLU(),
                nn.ConvTranspose1d(16, 1, 4, stride=2, padding=1),
            )  # fmt: skip

        def forward(self, x):
            return self.decoder(self.encoder(x.transpose(1, 2))).transpose(1, 2)

    data = temperatures(seed, 1000)
    return run(model=Conv1dAE(), data=(data - data.mean()) / data.std(), loss="mae", lr=3e-3, batch_size=50, steps=2500)


@fine(
    CASES,
    verdicts=GOOD,
    story="A code wider than needed with an L1 term of sensible weight: many zeros in the code, good pictures.",
    source="github.com/syorami/Autoencoders-Variants/issues/1, does the l1 constraint make the representation sparse",
    code=16,
)
def sparse_and_good(seed: int) -> Settings:
    class SparseAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(nn.Linear(64, 96), nn.ReLU())
            self.decoder = nn.Linear(96, 64)

        def forward(self, x):
            self.code = self.encoder(x)
            return self.decoder(self.code)

    return run(
        model=SparseAE(), data=digits(), loss="mse", lr=1e-3, batch_size=64, steps=5000,
        penalty=lambda model: 1e-3 * model.code.abs().mean(),
    )  # fmt: skip
