"""Data with structure: sequences through an LSTM, masked patches, a graph."""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

from evaluation.families.family import Bug, family
from evaluation.reported.case import BROKEN, LOST, SLOW, ReportedCase, Settings, run
from evaluation.reported.data import images, sines, temperatures

CASES: list[ReportedCase] = []


class LSTMAutoencoder(nn.Module):
    def __init__(self, seq_len: int, hidden: int, batch_first: bool, detached: bool, bounded: bool):
        super().__init__()
        self.seq_len, self.detached, self.bounded, self.batch_first = seq_len, detached, bounded, batch_first
        self.encoder = nn.LSTM(1, hidden, batch_first=batch_first)
        self.decoder = nn.LSTM(hidden, hidden, batch_first=True)
        self.output_layer = nn.Linear(hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        states, (hidden, _) = self.encoder(x)
        # Without batch_first the last "step" is the last row of the batch.
        code = hidden[-1] if self.batch_first else states[-1].mean(0, keepdim=True).expand(len(x), -1) + states[:, 0]
        code = code.detach() if self.detached else code
        decoded, _ = self.decoder(code.unsqueeze(1).repeat(1, self.seq_len, 1))
        made = self.output_layer(decoded)
        return torch.tanh(made) if self.bounded else made


@family(
    CASES,
    story="A sequence to sequence LSTM autoencoder: the last hidden state, repeated, is decoded.",
    bugs=(
        Bug("batch-first", "batch-mixing", "The encoder lacks batch_first=True, so that it runs along the batch.",
            verdicts=(*LOST, "under-trained", "healthy")),
        Bug("degrees", "output-range", "Temperatures in degrees, and a Tanh at the end.", also=("input-scaling",)),
        Bug("detach", "frozen-parameters", "The code is detached before it is decoded.",
            verdicts=(*LOST, "under-trained")),
        Bug("rate", "lr-too-high", "A learning rate of 1 with Adam.", also=("saturated-units",), verdicts=BROKEN),
    ),
)  # fmt: skip
def lstm(seed: int, bug: str) -> Settings:
    data = temperatures(seed, 600, 24) if bug == "degrees" else sines(seed, 600, 24)
    model = LSTMAutoencoder(24, 32, bug != "batch-first", bug == "detach", bug == "degrees")
    criterion = nn.MSELoss(reduction="mean")

    def step(model: nn.Module, seq_true: Tensor) -> Tensor:
        return criterion(model(seq_true), seq_true)

    rate = 1.0 if bug == "rate" else 5e-3
    return run(
        model=model, data=DataLoader(data, batch_size=32, shuffle=True), step=step, steps=1500,  # pyright: ignore
        optimizer=torch.optim.Adam(model.parameters(), lr=rate), clip=1.0,
    )  # fmt: skip


class MaskedAutoencoder(nn.Module):
    def __init__(self, width: int, ratio: float, frozen: bool):
        super().__init__()
        self.ratio, self.frozen = ratio, frozen
        self.patch_embed = nn.Linear(4, width)
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, 16, width))
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.blocks = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(width, 4, 2 * width, 0.0, batch_first=True, norm_first=True), 1,
            enable_nested_tensor=False,
        )  # fmt: skip
        self.norm = nn.LayerNorm(width)
        self.decoder_pred = nn.Linear(width, 4)

    def patchify(self, imgs: Tensor) -> Tensor:
        return imgs.reshape(len(imgs), 4, 2, 4, 2).permute(0, 1, 3, 2, 4).reshape(len(imgs), 16, 4)

    def encode(self, x: Tensor, mask: Tensor) -> Tensor:
        x = torch.where(mask[..., None] > 0, self.mask_token, self.patch_embed(x)) + self.pos_embed
        return self.norm(self.blocks(x))

    def forward(self, imgs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        target = self.patchify(imgs)
        mask = (torch.rand(target.shape[:2], device=imgs.device) < self.ratio).float()
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            latent = self.encode(target, mask)
        pred = self.decoder_pred(latent)
        loss = ((pred - target) ** 2).mean(dim=-1)
        return (loss * mask).sum() / mask.sum(), pred, mask


@family(
    CASES,
    story="A small masked autoencoder: patches, mask tokens, a transformer, and the error over masked patches alone.",
    bugs=(
        Bug("rate", "lr-too-low", "A learning rate of 1e-7, 'base rate times batch over 256'.", also=("under-trained",),
            verdicts=SLOW),
        Bug("no-grad", "frozen-parameters", "The encoder runs under no_grad, left over from a probe.",
            verdicts=(*LOST, "under-trained")),
        Bug("all-masked", "noise-too-strong", "mask_ratio=1: every patch is masked.",
            verdicts=(*LOST, "under-trained")),
        Bug("fast", "lr-too-high", "A learning rate of 0.3 with AdamW.", verdicts=BROKEN,
            also=("saturated-units", "dead-units", "exploding-gradients")),
    ),
)  # fmt: skip
def masked_patches(seed: int, bug: str) -> Settings:
    model = MaskedAutoencoder(32, 1.0 if bug == "all-masked" else 0.4, bug == "no-grad")
    rates = {"rate": 1e-7, "fast": 0.3}
    data = images(rows=1200)

    def step(model: nn.Module, samples: Tensor) -> Tensor:
        loss, _, _ = model(samples)
        return loss

    return run(
        model=model, data=DataLoader(data, batch_size=64, shuffle=True), step=step, steps=3000,  # pyright: ignore
        optimizer=torch.optim.AdamW(model.parameters(), lr=rates.get(bug, 3e-3), betas=(0.9, 0.95), weight_decay=0.05),
    )  # fmt: skip


class GraphConvolution(nn.Module):
    def __init__(self, inward: int, outward: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inward, outward))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        return adjacency @ (x @ self.weight)


class GraphAutoencoder(nn.Module):
    def __init__(self, features: int, hidden: int, code: int):
        super().__init__()
        self.gc1, self.gc2 = GraphConvolution(features, hidden), GraphConvolution(hidden, code)
        self.decode1, self.decode2 = nn.Linear(code, hidden), nn.Linear(hidden, features)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        z = self.gc2(torch.relu(self.gc1(x, adjacency)), adjacency)
        return self.decode2(torch.relu(self.decode1(z)))


def communities(seed: int, nodes: int = 240, groups: int = 6, features: int = 24) -> tuple[Tensor, Tensor]:
    """Features of nodes that follow their community, [nodes, features], and the normalized adjacency."""
    draw = torch.Generator().manual_seed(seed)
    group = torch.arange(nodes) % groups
    near = torch.where(group[:, None] == group[None, :], 0.3, 0.01)
    edges = torch.rand(nodes, nodes, generator=draw).triu(1) < near.triu(1)
    adjacency = (edges | edges.T).float() + torch.eye(nodes)
    degree = adjacency.sum(1).rsqrt()
    centers = torch.randn(groups, features, generator=draw)
    return centers[group] + 0.3 * torch.randn(nodes, features, generator=draw), (
        degree[:, None] * adjacency * degree[None, :]
    )


@family(
    CASES,
    story="A graph autoencoder: two graph convolutions over one graph, node features reconstructed from the code.",
    bugs=(
        Bug("rate", "lr-too-high", "A learning rate of 3 with Adam.", verdicts=BROKEN,
            also=("dead-units", "exploding-gradients")),
        Bug("frozen", "frozen-parameters", "The optimizer was given the decoder's parameters only.",
            verdicts=(*LOST, "under-trained", "healthy")),
        Bug("decay", "penalty-too-strong", "Adam with weight_decay=2."),
        Bug("raw", "input-scaling", "Features in their own units, of a thousand and with a mean of five thousand.",
            also=("lr-too-low", "under-trained"), verdicts=(*SLOW, "diverged")),
    ),
)  # fmt: skip
def graph(seed: int, bug: str) -> Settings:
    x, adjacency = communities(seed)
    x = 5000 + 1000 * x if bug == "raw" else x
    model = GraphAutoencoder(24, 32, 8)
    parts = [model.decode1, model.decode2] if bug == "frozen" else [model]
    moved = [one for part in parts for one in part.parameters()]

    def step(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        features, adj = batch
        return functional.mse_loss(model(features, adj), features)

    return run(
        model=model, data=[(x, adjacency)], step=step, steps=600,
        optimizer=torch.optim.Adam(moved, lr=3.0 if bug == "rate" else 1e-2, weight_decay=2.0 if bug == "decay" else 0),
    )  # fmt: skip
