"""Reports in which ReLU units are silent for every input."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

from evaluation.reported.case import BROKEN, LOST, ReportedCase, Settings, reported, run
from evaluation.reported.data import digits, embeddings, images, sines, standardized

CASES: list[ReportedCase] = []
M = TypeVar("M", bound=nn.Module)


def _unlucky(build: Callable[[], M], died: Callable[[M], bool]) -> M:
    """The first draw of the weights under which the reported accident happens, as it did to the person."""
    with torch.no_grad():
        for _ in range(500):
            model = build()
            if died(model):
                return model
    raise RuntimeError("none of 500 draws of the weights is dead; take another seed")


@reported(
    CASES,
    cause="dead-units",
    verdicts=LOST,
    story="For a scatter plot the code has two units, with a ReLU like every other layer. Both are zero for almost all "
    "points, and all reconstructions look the same.",
    source="github.com/phlippe/uvadlc_notebooks/issues/77 and github.com/pixelite1201/pytorch_coma/issues/21: ReLU at "
    "the end of the encoder",
    code=2,
)
def relu_on_two_units(seed: int, fixed: bool) -> Settings:
    class AE(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(
                nn.Linear(50, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 2), nn.ReLU()
            )
            self.decoder = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 50))

        def forward(self, x):
            return self.decoder(self.encoder(x))

    data = embeddings(seed)
    model = _unlucky(AE, lambda model: bool((model.encoder(data) == 0).all()))
    if fixed:
        model.encoder[-1] = nn.Identity()
    return run(model=model, data=data, loss="mse", lr=1e-3, batch_size=64)


@reported(
    CASES,
    cause="dead-units",
    also=("init-scale",),
    verdicts=LOST,
    story="Seventeen layers of four ReLU units: from the first step on, the code is exactly zero whatever goes in.",
    source="Lu et al. 2020, Dying ReLU and initialization; forum questions on deep and narrow autoencoders",
    code=4,
)
def deep_and_narrow(seed: int, fixed: bool) -> Settings:
    width, depth = (24, 6) if fixed else (4, 16)
    layers: list[nn.Module] = [nn.Linear(20, width), nn.ReLU()]
    for _ in range(depth):
        layers += [nn.Linear(width, width), nn.ReLU()]
    layers.append(nn.Linear(width, 20))
    return run(
        model=nn.Sequential(*layers), data=standardized(embeddings(seed)[:, :20]), loss="mse", lr=2e-3, batch_size=64
    )


@reported(
    CASES,
    cause="dead-units",
    also=("init-scale",),
    verdicts=LOST,
    story="Biases were set to -3 'for sparsity' before the ReLU. Nothing passes the first hidden layer; the output "
    "is the mean image.",
    source="questions on biases of sparse and k-sparse autoencoders",
    code=24,
)
def biases_for_sparsity(seed: int, fixed: bool) -> Settings:
    class SparseAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.enc = nn.Linear(64, 24)
            self.dec = nn.Linear(24, 64)
            nn.init.constant_(self.enc.bias, 0.0 if fixed else -3.0)

        def forward(self, x):
            z = torch.relu(self.enc(x))
            return self.dec(z), z

    return run(model=SparseAE(), data=digits(), loss="mse", lr=1e-3, batch_size=64)


@reported(
    CASES,
    cause="lr-too-high",
    also=("dead-units", "exploding-gradients"),
    verdicts=BROKEN,
    story="A recurrent autoencoder with ReLU in place of tanh, Adam at 0.03: most hidden units return zero for all "
    "windows, and the output is the same curve.",
    source="stackoverflow.com, Why some of the hidden units return zero in the GRU autoencoder (activation relu, "
    "Adam 0.01, codes of 4 units)",
)
def recurrent_relu(seed: int, fixed: bool) -> Settings:
    class RNNAE(nn.Module):
        def __init__(self):
            super().__init__()
            kind = "relu"
            self.e1 = nn.RNN(1, 8, nonlinearity=kind, batch_first=True)
            self.e2 = nn.RNN(8, 4, nonlinearity=kind, batch_first=True)
            self.d1 = nn.RNN(4, 8, nonlinearity=kind, batch_first=True)
            self.output = nn.Linear(8, 1)

        def forward(self, x):
            h, _ = self.e1(x)
            _, h = self.e2(h)
            h = h[-1][:, None, :].repeat(1, x.shape[1], 1)
            h, _ = self.d1(h)
            return self.output(h)

    return run(model=RNNAE(), data=sines(seed, 640, 20), loss="mse", lr=3e-3 if fixed else 3e-2, batch_size=64)


@reported(
    CASES,
    cause="dead-units",
    also=("output-range", "lr-too-high"),
    verdicts=LOST,
    story="The last layer has a ReLU since pixels are not negative. In some runs "
    "every reconstruction is black and stays black; others work.",
    source="github.com/FluxML/model-zoo/pull/34, relu leaves pixels of the reconstruction black forever; forum "
    "questions on black output",
)
def black_picture(seed: int, fixed: bool) -> Settings:
    class ConvAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(
                nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.ReLU()
            )
            self.decoder = nn.Sequential(
                nn.ConvTranspose2d(8, 8, 2, stride=2), nn.ReLU(), nn.ConvTranspose2d(8, 1, 2, stride=2), nn.ReLU()
            )

        def forward(self, x):
            return self.decoder(self.encoder(x))

    data = images(8)
    model = _unlucky(ConvAE, lambda model: bool((model(data) == 0).all()))
    if fixed:
        model.decoder[-1] = nn.Sigmoid()
    return run(model=model, data=data, loss="mse", lr=3e-3, batch_size=64, steps=2000)


@reported(
    CASES,
    cause="dead-units",
    also=("output-range",),
    verdicts=LOST,
    story="A tiny network with as many hidden units as inputs should copy its numbers. Some outputs do, others "
    "are always exactly 0, and more training changes nothing.",
    source="stats.stackexchange.com/q/269718, make multi-layer autoencoder learn to completely repeat its input",
    code=8,
)
def eight_numbers(seed: int, fixed: bool) -> Settings:
    data = torch.rand(800, 8, generator=torch.Generator().manual_seed(seed))
    if fixed:
        model = nn.Sequential(nn.Linear(8, 32), nn.LeakyReLU(), nn.Linear(32, 8))
    else:
        model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU())
        for layer in model:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)
    return run(model=model, data=data, loss="mse", optimizer="sgd", lr=0.1, batch_size=8, steps=8000)
