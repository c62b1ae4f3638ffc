"""Codes that are discrete or sparse: a VQ-VAE, and a top-k sparse autoencoder on activations."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from evaluation.families.family import Bug, family
from evaluation.families.plain import labeled
from evaluation.reported.case import BROKEN, LOST, ReportedCase, Settings, run
from evaluation.reported.data import embeddings, images

CASES: list[ReportedCase] = []


class VectorQuantizer(nn.Module):
    def __init__(self, n_e: int, e_dim: int, beta: float, straight: bool):
        super().__init__()
        self.n_e, self.e_dim, self.beta, self.straight = n_e, e_dim, beta, straight
        self.embedding = nn.Embedding(n_e, e_dim)
        self.embedding.weight.data.uniform_(-1.0 / n_e, 1.0 / n_e)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        z = z.permute(0, 2, 3, 1).contiguous()
        flat = z.view(-1, self.e_dim)
        d = (
            torch.sum(flat**2, dim=1, keepdim=True)
            + torch.sum(self.embedding.weight**2, dim=1)
            - 2 * torch.matmul(flat, self.embedding.weight.t())
        )
        indices = torch.argmin(d, dim=1)
        one_hot = functional.one_hot(indices, self.n_e).type(flat.dtype)
        z_q = torch.matmul(one_hot, self.embedding.weight).view(z.shape)
        loss = self.beta * torch.mean((z_q.detach() - z) ** 2) + torch.mean((z_q - z.detach()) ** 2)
        if self.straight:
            z_q = z + (z_q - z).detach()
        e_mean = torch.mean(one_hot, dim=0)
        perplexity = torch.exp(-torch.sum(e_mean * torch.log(e_mean + 1e-10)))
        return loss, z_q.permute(0, 3, 1, 2).contiguous(), perplexity, indices


class VQVAE(nn.Module):
    def __init__(self, beta: float, straight: bool):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 16, 4, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 4, 2, 1), nn.ReLU(), nn.Conv2d(32, 8, 1)
        )
        self.vector_quantization = VectorQuantizer(64, 8, beta, straight)
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(8, 32, 3, 1, 1), nn.ReLU(), nn.ConvTranspose2d(32, 16, 4, 2, 1), nn.ReLU(),
            nn.ConvTranspose2d(16, 1, 4, 2, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        z_e = self.encoder(x)
        embedding_loss, z_q, perplexity, _ = self.vector_quantization(z_e)
        return embedding_loss, self.decoder(z_q), perplexity


@family(
    CASES,
    story="A convolutional VQ-VAE: straight-through copy, codebook and commitment loss, error divided by the variance.",
    bugs=(
        Bug("codebook", "codebook-collapse", "The codebook starts as 30 * N(0, 1): one entry is nearest to everything.",
            also=("init-scale",)),
        Bug("straight", "frozen-parameters", "The straight-through line is missing.",
            also=("codebook-collapse",)),
        Bug("rate", "lr-too-high", "A learning rate of 0.3 with Adam.", verdicts=BROKEN,
            also=("dead-units", "codebook-collapse")),
        Bug("codebook-forgotten", "frozen-parameters", "The optimizer was given encoder and decoder, and no codebook.",
            also=("codebook-collapse",), verdicts=(*LOST, "under-trained", "healthy")),
    ),
)  # fmt: skip
def vq_vae(seed: int, bug: str) -> Settings:
    model = VQVAE(0.25, straight=bug != "straight")
    if bug == "codebook":
        nn.init.normal_(model.vector_quantization.embedding.weight, std=30.0)
    parts = [model.encoder, model.decoder] if bug == "codebook-forgotten" else [model]
    moved = [one for part in parts for one in part.parameters()]
    data = images(rows=1200)
    x_train_var = float(data.var())

    def step(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        x, _ = batch
        embedding_loss, x_hat, _ = model(x)
        recon_loss = torch.mean((x_hat - x) ** 2) / x_train_var
        return recon_loss + embedding_loss

    rate = 0.3 if bug == "rate" else 2e-3
    return run(
        model=model, data=labeled(data, 32), step=step, steps=1200,
        optimizer=torch.optim.Adam(moved, lr=rate, amsgrad=True),
    )  # fmt: skip


class TopKAutoencoder(nn.Module):
    def __init__(self, d_in: int, n_latents: int, k: int, bias: float):
        super().__init__()
        self.k = k
        self.pre_bias = nn.Parameter(torch.zeros(d_in))
        self.latent_bias = nn.Parameter(torch.full((n_latents,), bias))
        self.encoder = nn.Linear(d_in, n_latents, bias=False)
        self.decoder = nn.Linear(n_latents, d_in, bias=False)
        self.decoder.weight.data = self.encoder.weight.data.T.clone()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        latents_pre_act = self.encoder(x - self.pre_bias) + self.latent_bias
        values, places = torch.topk(latents_pre_act, self.k, dim=-1)
        latents = torch.zeros_like(latents_pre_act).scatter(-1, places, torch.relu(values))
        return latents_pre_act, latents, self.decoder(latents) + self.pre_bias


@family(
    CASES,
    story="A top-k sparse autoencoder on activations of another network: normalized error, tied start, no labels.",
    bugs=(
        Bug("bias", "dead-units", "latent_bias starts at -5: no latent is ever above zero."),
        Bug("rate", "lr-too-high", "A learning rate of 1.", verdicts=BROKEN,
            also=("dead-units", "exploding-gradients")),
        Bug("l1", "penalty-too-strong", "An L1 term of weight 300 was left in beside the top-k.", also=("dead-units",)),
        Bug("encoder-forgotten", "frozen-parameters", "The optimizer was given pre_bias and the encoder only.",
            verdicts=(*LOST, "under-trained", "healthy")),
    ),
)  # fmt: skip
def topk_sparse(seed: int, bug: str) -> Settings:
    model = TopKAutoencoder(50, 128, 16, -5.0 if bug == "bias" else 0.0)
    weight = 300.0 if bug == "l1" else 0.0

    def step(model: nn.Module, batch: Tensor) -> Tensor:
        _, latents, recons = model(batch)
        loss = ((recons - batch) ** 2).mean() / (batch**2).mean()
        return loss + weight * latents.abs().mean() if weight else loss

    moved = [model.pre_bias, *model.encoder.parameters()] if bug == "encoder-forgotten" else model.parameters()
    rate = 1.0 if bug == "rate" else 2e-3
    return run(
        model=model, data=embeddings(seed), step=step, batch_size=128, steps=1000,
        optimizer=torch.optim.Adam(moved, lr=rate, eps=6.25e-10),
    )  # fmt: skip
