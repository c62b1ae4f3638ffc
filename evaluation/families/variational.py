"""Variational autoencoders: the plain example, a convolutional beta-VAE, a conditional one."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from evaluation.families.family import Bug, family
from evaluation.families.plain import labeled
from evaluation.reported.case import BROKEN, LOST, ReportedCase, Settings, run
from evaluation.reported.data import images, standardized

CASES: list[ReportedCase] = []


class ExampleVAE(nn.Module):
    def __init__(self, detached: bool):
        super().__init__()
        self.fc1, self.fc21, self.fc22 = nn.Linear(64, 100), nn.Linear(100, 8), nn.Linear(100, 8)
        self.fc3, self.fc4 = nn.Linear(8, 100), nn.Linear(100, 64)
        self.detached = detached

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h1 = functional.relu(self.fc1(x))
        return self.fc21(h1), self.fc22(h1)

    def reparameterize(self, mu: Tensor, logvar: Tensor) -> Tensor:
        std = torch.exp(0.5 * logvar)
        return mu + torch.randn_like(std) * std

    def decode(self, z: Tensor) -> Tensor:
        return torch.sigmoid(self.fc4(functional.relu(self.fc3(z))))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mu, logvar = self.encode(x.view(-1, 64))
        z = self.reparameterize(mu, logvar)
        return self.decode(z.detach() if self.detached else z), mu, logvar


@family(
    CASES,
    story="The VAE of a framework's examples: summed cross-entropy and KL in a function of the loop, Adam at 1e-3.",
    bugs=(
        Bug("mean", "posterior-collapse", "The cross-entropy is averaged over all entries, the KL is still summed.",
            also=("penalty-too-strong",)),
        Bug("detach", "frozen-parameters", "z.detach() is decoded; only the KL reaches the encoder.",
            also=("posterior-collapse",)),
        Bug("pixels", "loss-domain", "Pixels from 0 to 16 go into a cross-entropy that is written out.",
            also=("input-scaling",), verdicts=BROKEN),
        Bug("rate", "lr-too-high", "A learning rate of 0.1 with Adam.",
            also=("dead-units", "saturated-units", "exploding-gradients"), verdicts=BROKEN),
    ),
)  # fmt: skip
def example_vae(seed: int, bug: str) -> Settings:
    def loss_function(recon_x: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
        reduction = "mean" if bug == "mean" else "sum"
        x = x.view(-1, 64)
        if bug == "pixels":
            bce = -(x * torch.log(recon_x + 1e-8) + (1 - x) * torch.log(1 - recon_x + 1e-8)).sum()
        else:
            bce = functional.binary_cross_entropy(recon_x, x, reduction=reduction)
        kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
        return bce + kld

    def step(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        data, _ = batch
        recon_batch, mu, logvar = model(data)
        return loss_function(recon_batch, data, mu, logvar)

    model = ExampleVAE(bug == "detach")
    data = labeled(images(top=16.0 if bug == "pixels" else 1.0), 128)
    return run(
        model=model, data=data, step=step, steps=1500,
        optimizer=torch.optim.Adam(model.parameters(), lr=0.1 if bug == "rate" else 1e-3),
    )  # fmt: skip


class BetaVAE(nn.Module):
    def __init__(self, latent_dim: int = 8):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Sequential(nn.Conv2d(1, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.LeakyReLU()),
            nn.Sequential(nn.Conv2d(16, 32, 3, 2, 1), nn.BatchNorm2d(32), nn.LeakyReLU()),
        )
        self.fc_mu, self.fc_var = nn.Linear(128, latent_dim), nn.Linear(128, latent_dim)
        self.decoder_input = nn.Linear(latent_dim, 128)
        self.decoder = nn.Sequential(
            nn.Sequential(nn.ConvTranspose2d(32, 16, 3, 2, 1, 1), nn.BatchNorm2d(16), nn.LeakyReLU())
        )
        self.final_layer = nn.Sequential(
            nn.ConvTranspose2d(16, 16, 3, 2, 1, 1), nn.BatchNorm2d(16), nn.LeakyReLU(), nn.Conv2d(16, 1, 3, 1, 1),
            nn.Tanh(),
        )  # fmt: skip

    def encode(self, input: Tensor) -> list[Tensor]:
        result = torch.flatten(self.encoder(input), start_dim=1)
        return [self.fc_mu(result), self.fc_var(result)]

    def forward(self, input: Tensor, **kwargs: Any) -> list[Tensor]:
        mu, log_var = self.encode(input)
        z = torch.randn_like(mu) * torch.exp(0.5 * log_var) + mu
        result = self.decoder_input(z).view(-1, 32, 2, 2)
        return [self.final_layer(self.decoder(result)), input, mu, log_var]

    def loss_function(self, *args: Tensor, **kwargs: float) -> dict[str, Tensor]:
        recons, input, mu, log_var = args
        recons_loss = functional.mse_loss(recons, input)
        kld_loss = torch.mean(-0.5 * torch.sum(1 + log_var - mu**2 - log_var.exp(), dim=1), dim=0)
        loss = recons_loss + kwargs["beta"] * kwargs["M_N"] * kld_loss
        return {"loss": loss, "Reconstruction_Loss": recons_loss, "KLD": kld_loss}


@family(
    CASES,
    story="A convolutional beta-VAE as collections of VAEs have it: forward returns a list, the loss is a method.",
    bugs=(
        Bug("weight", "posterior-collapse", "M_N=1 beside an error that is averaged over pixels.",
            also=("penalty-too-strong",)),
        Bug("encoder-forgotten", "frozen-parameters", "The optimizer was given the decoder's parameters only.",
            verdicts=(*LOST, "under-trained", "healthy")),
        Bug("zeros", "init-symmetry", "A weights_init that sets all convolutions and linear layers to zero.",
            also=("frozen-parameters",)),
        Bug("rate", "lr-too-low", "A learning rate of 5e-8.", also=("under-trained",),
            verdicts=(*LOST, "under-trained")),
    ),
)  # fmt: skip
def beta_vae(seed: int, bug: str) -> Settings:
    model = BetaVAE()
    if bug == "zeros":
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)  # pyright: ignore[reportArgumentType]
    parts = [model.decoder_input, model.decoder, model.final_layer] if bug == "encoder-forgotten" else [model]
    moved = [one for part in parts for one in part.parameters()]
    weight = 1.0 if bug == "weight" else 0.00025

    def step(model: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        real_img, labels = batch
        return model.loss_function(*model(real_img, labels=labels), M_N=weight, beta=4.0)  # pyright: ignore

    return run(
        model=model, data=labeled(images() * 2 - 1, 64), step=step, steps=1000,
        optimizer=torch.optim.Adam(moved, lr=5e-8 if bug == "rate" else 5e-3, weight_decay=0.0),
    )  # fmt: skip


class CVAE(nn.Module):
    def __init__(self, feature_size: int, class_size: int, latent_size: int):
        super().__init__()
        self.fc1 = nn.Linear(feature_size + class_size, 100)
        self.fc21, self.fc22 = nn.Linear(100, latent_size), nn.Linear(100, latent_size)
        self.fc3, self.fc4 = nn.Linear(latent_size + class_size, 100), nn.Linear(100, feature_size)

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h1 = functional.elu(self.fc1(torch.cat([x, c], 1)))
        mu, logvar = self.fc21(h1), self.fc22(h1)
        z = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)
        h3 = functional.elu(self.fc3(torch.cat([z, c], 1)))
        return torch.sigmoid(self.fc4(h3)), mu, logvar


@family(
    CASES,
    story="A conditional VAE: labels one-hot beside the image and beside the code.",
    bugs=(
        Bug("beta", "posterior-collapse", "The KL is multiplied with 60.", also=("penalty-too-strong",)),
        Bug("standardized", "output-range", "Standardized images, mean squared error, and a sigmoid at the end."),
        Bug("encoder-forgotten", "frozen-parameters", "fc1, fc21 and fc22 are missing in the optimizer."),
        Bug("rate", "lr-too-high", "Plain SGD at 0.5 on a summed loss.", verdicts=BROKEN,
            also=("exploding-gradients", "saturated-units", "dead-units")),
    ),
)  # fmt: skip
def conditional_vae(seed: int, bug: str) -> Settings:
    model = CVAE(64, 10, 6)
    flat = images().flatten(1)
    flat = standardized(flat) if bug == "standardized" else flat
    labels = (flat @ torch.randn(64, 10)).argmax(1)

    def step(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        data, label = batch
        recon, mu, logvar = model(data, functional.one_hot(label, 10).float())
        error = functional.mse_loss(recon, data, reduction="sum")
        kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
        return (error + (60.0 if bug == "beta" else 0.2) * kld) / (1 if bug == "rate" else len(data))

    taught = nn.ModuleList([model.fc3, model.fc4]) if bug == "encoder-forgotten" else model
    optimizer = (
        torch.optim.SGD(taught.parameters(), lr=0.5)
        if bug == "rate"
        else torch.optim.Adam(taught.parameters(), lr=1e-3)
    )
    return run(
        model=model, data=DataLoader(TensorDataset(flat, labels), batch_size=64, shuffle=True), step=step, steps=1500,
        optimizer=optimizer,
    )  # fmt: skip
