"""Autoencoders without a distribution: fully connected, convolutional and denoising, and a U-Net."""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from evaluation.families.family import Bug, family
from evaluation.reported.case import LOST, SLOW, ReportedCase, Settings, run
from evaluation.reported.data import images

CASES: list[ReportedCase] = []


def labeled(data: Tensor, batch: int) -> DataLoader[tuple[Tensor, ...]]:
    """Rows with labels, shuffled, as data sets of images come."""
    return DataLoader(TensorDataset(data, torch.arange(len(data)) % 10), batch_size=batch, shuffle=True)


class VanillaAutoencoder(nn.Module):
    def __init__(self, last: nn.Module):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(8 * 8, 64), nn.ReLU(True), nn.Linear(64, 32), nn.ReLU(True), nn.Linear(32, 12)
        )
        self.decoder = nn.Sequential(
            nn.Linear(12, 32), nn.ReLU(True), nn.Linear(32, 64), nn.ReLU(True), nn.Linear(64, 8 * 8), last
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))


@family(
    CASES,
    story="The autoencoder of many tutorials: images normalized to -1 to 1, flattened in the loop, Tanh at the end.",
    bugs=(
        Bug("sigmoid", "output-range", "A Sigmoid at the end, and images from -1 to 1."),
        Bug("decoder-forgotten", "frozen-parameters", "The optimizer was given the encoder's parameters only."),
        Bug("rate", "lr-too-high", "A learning rate of 0.3 with Adam.", also=("dead-units", "saturated-units")),
        Bug("decay", "penalty-too-strong", "Adam with weight_decay=1."),
    ),
)
def vanilla(seed: int, bug: str) -> Settings:
    model = VanillaAutoencoder(nn.Sigmoid() if bug == "sigmoid" else nn.Tanh())
    criterion = nn.MSELoss()
    taught = model.encoder if bug == "decoder-forgotten" else model
    optimizer = torch.optim.Adam(
        taught.parameters(), lr=0.3 if bug == "rate" else 1e-3, weight_decay=1.0 if bug == "decay" else 1e-5
    )

    def step(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        img, _ = batch
        img = img.view(img.size(0), -1)
        return criterion(model(img), img)

    return run(model=model, data=labeled(images() * 2 - 1, 128), step=step, optimizer=optimizer, steps=1500)


class ConvAutoencoder(nn.Module):
    def __init__(self, momentum: float, last: nn.Module, bias: float):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 12, 3, stride=2, padding=1), nn.BatchNorm2d(12, momentum=momentum), nn.ReLU(),
            nn.Conv2d(12, 24, 3, stride=2, padding=1), nn.BatchNorm2d(24, momentum=momentum), nn.ReLU(),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(24, 12, 2, stride=2), nn.BatchNorm2d(12, momentum=momentum), nn.ReLU(),
            nn.ConvTranspose2d(12, 1, 2, stride=2), last,
        )  # fmt: skip
        nn.init.constant_(self.decoder[3].bias, bias)  # pyright: ignore[reportArgumentType]

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))


@family(
    CASES,
    story="A convolutional denoiser with batch norm; noise is added in the loop, the loss is against the clean image.",
    bugs=(
        Bug("noise", "noise-too-strong", "noise_factor=8, for images from 0 to 1.", verdicts=(*LOST, "under-trained")),
        Bug("momentum", "train-eval-mismatch", "momentum=0.0005 for the batch norm, meant as Keras has it.",
            verdicts=(*LOST, "diverged")),
        Bug("relu", "output-range", "A ReLU at the end whose bias starts far below zero; the gradient is zero.",
            also=("dead-units",)),
        Bug("slow", "lr-too-low", "A learning rate of 1e-7.", also=("under-trained",), verdicts=SLOW),
    ),
)  # fmt: skip
def denoising_conv(seed: int, bug: str) -> Settings:
    last: nn.Module = nn.ReLU() if bug == "relu" else nn.Sigmoid()
    model = ConvAutoencoder(5e-4 if bug == "momentum" else 0.1, last, -8.0 if bug == "relu" else 0.0)
    noise_factor = 8.0 if bug == "noise" else 0.3

    def step(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        clean, _ = batch
        noisy = clean + noise_factor * torch.randn_like(clean)
        return functional.mse_loss(model(noisy), clean)

    rate = 1e-7 if bug == "slow" else 2e-3
    return run(
        model=model, data=labeled(images(), 64), step=step, steps=800,
        optimizer=torch.optim.AdamW(model.parameters(), lr=rate),
    )  # fmt: skip


class DoubleConv(nn.Sequential):
    def __init__(self, inward: int, outward: int):
        super().__init__(nn.Conv2d(inward, outward, 3, padding=1), nn.ReLU(),
                         nn.Conv2d(outward, outward, 3, padding=1), nn.ReLU())  # fmt: skip


class UNet(nn.Module):
    def __init__(self, top: float):
        super().__init__()
        self.top = top
        self.down1, self.down2 = DoubleConv(1, 8), DoubleConv(8, 16)
        self.pool = nn.MaxPool2d(2)
        self.up = nn.ConvTranspose2d(16, 8, 2, stride=2)
        self.join = DoubleConv(16, 8)
        self.final = nn.Conv2d(8, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = x / self.top
        first = self.down1(x)
        deep = self.down2(self.pool(first))
        return torch.sigmoid(self.final(self.join(torch.cat([first, self.up(deep)], dim=1))))


@family(
    CASES,
    story="A small U-Net that restores images from noisy ones; pairs of noisy and clean images from a data set.",
    bugs=(
        Bug("pixels", "output-range", "Clean images from 0 to 255, and a sigmoid at the end.",
            also=("input-scaling", "loss-domain")),
        Bug("clipped", "clipping-too-tight", "SGD, and clip_grad_norm_ at 1e-5.", also=("lr-too-low",), verdicts=SLOW),
        Bug("dead", "dead-units", "The biases of the layers before the output start at -6.", also=("init-scale",)),
        Bug("frozen", "frozen-parameters", "requires_grad is off everywhere but in the last layer, left over from "
            "transfer learning.", verdicts=(*LOST, "under-trained", "healthy")),
    ),
)  # fmt: skip
def unet(seed: int, bug: str) -> Settings:
    model = UNet(1.0)
    if bug == "dead":
        for layer in (*model.join, model.up):
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and layer.bias is not None:
                nn.init.constant_(layer.bias, -6.0)
    if bug == "frozen":
        model.requires_grad_(False)
        model.final.requires_grad_(True)
    clean = images(rows=800)
    noisy = clean + 0.2 * torch.randn_like(clean)
    pairs = TensorDataset(noisy, clean * (255 if bug == "pixels" else 1))

    def step(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        given, wanted = batch
        return functional.mse_loss(model(given), wanted)

    moved = [one for one in model.parameters() if one.requires_grad]
    optimizer = torch.optim.SGD(moved, lr=0.05, momentum=0.9) if bug == "clipped" else torch.optim.Adam(moved, lr=2e-3)
    return run(
        model=model, data=DataLoader(pairs, batch_size=32, shuffle=True), step=step, optimizer=optimizer, steps=600,
        clip=1e-5 if bug == "clipped" else None,
    )  # fmt: skip
