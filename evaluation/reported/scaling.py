"""Reports in which the units of the data are the trouble."""

import torch
from torch import nn

from evaluation.reported.case import BROKEN, LOST, SLOW, ReportedCase, Settings, reported, run
from evaluation.reported.data import digits, genes, houses, minmax, returns, sensors, spectra, standardized

CASES: list[ReportedCase] = []


@reported(
    CASES,
    cause="input-scaling",
    verdicts=("partial", "worse-than-linear", "under-trained"),
    story="House data straight from the csv file: price in the hundred thousands, rooms below ten. The loss is huge "
    "and falls, price and income are hit roughly, every other column comes back as a constant or as noise.",
    source="stats.stackexchange.com/questions/357357, How to normalize input data for autoencoders",
    code=3,
)
def raw_house_prices(seed: int, fixed: bool) -> Settings:
    class TabularAE(nn.Module):
        def __init__(self, n_features):
            super().__init__()
            self.encoder = nn.Sequential(nn.Linear(n_features, 16), nn.ReLU(), nn.Linear(16, 3))
            self.decoder = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, n_features))

        def forward(self, x):
            return self.decoder(self.encoder(x))

    data = houses(seed)
    return run(model=TabularAE(8), data=standardized(data) if fixed else data, loss="mse", lr=1e-3, batch_size=32)


@reported(
    CASES,
    cause="input-scaling",
    also=("lr-too-high",),
    verdicts=("partial", "worse-than-linear", "collapsed", "under-trained"),
    story="Twelve sensors of a machine for anomaly detection, rpm beside millimeters. After hundreds of epochs the "
    "predictions of the small-valued sensors have nothing to do with the readings.",
    source="datascience.stackexchange.com/questions/47086, sensor data of industrial machinery (16 features)",
    code=6,
)
def machine_sensors(seed: int, fixed: bool) -> Settings:
    model = nn.Sequential(
        nn.Linear(12, 10), nn.Tanh(), nn.Linear(10, 6), nn.Tanh(), nn.Linear(6, 10), nn.Tanh(), nn.Linear(10, 12)
    )
    data = sensors(seed)
    return run(
        model=model, data=minmax(data) if fixed else data, loss="mse", optimizer="adam", lr=1e-3, batch_size=128,
        steps=3000,
    )  # fmt: skip


@reported(
    CASES,
    cause="input-scaling",
    also=("dead-units", "lr-too-high", "exploding-gradients"),
    verdicts=(*BROKEN, "under-trained"),
    story="Counts of gene expression without a logarithm, 60 genes with a few in the ten thousands, SGD. The hidden "
    "layers are all zero, and every gene is predicted as the same value in every cell, or as nan.",
    source="github.com/MollyZhang/Multi-task-TCGA-learning/issues/16: hidden layers all 0, output is a bias per gene",
    code=8,
)
def gene_counts(seed: int, fixed: bool) -> Settings:
    class GeneAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.e1 = nn.Linear(60, 32)
            self.e2 = nn.Linear(32, 8)
            self.d1 = nn.Linear(8, 32)
            self.d2 = nn.Linear(32, 60)

        def forward(self, x):
            h = torch.relu(self.e1(x))
            z = torch.relu(self.e2(h))
            h = torch.relu(self.d1(z))
            return self.d2(h)

    data = genes(seed)
    if fixed:
        data = standardized(torch.log1p(data))
    return run(
        model=GeneAE(),
        data=data,
        loss="mse",
        optimizer="sgd",
        optimizer_options={"momentum": 0.9},
        lr=1e-2,
        batch_size=64,
    )


@reported(
    CASES,
    cause="input-scaling",
    also=("lr-too-low", "under-trained"),
    verdicts=SLOW,
    story="Daily returns of twenty shares, deviations of one per cent. The loss is 1e-4 from the start, and the output "
    "is a flat line near zero for every day.",
    source="reports of autoencoders on returns or tiny residuals: the loss looks perfect, the prediction is constant",
    code=3,
)
def daily_returns(seed: int, fixed: bool) -> Settings:
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.enc = nn.Sequential(nn.Linear(20, 10), nn.ELU(), nn.Linear(10, 3))
            self.dec = nn.Sequential(nn.Linear(3, 10), nn.ELU(), nn.Linear(10, 20))

        def forward(self, x):
            return self.dec(self.enc(x))

    data = returns(seed)
    data = data / data.std() if fixed else data
    return run(
        model=Net(), data=data, loss="mse", optimizer=torch.optim.SGD, optimizer_options={"momentum": 0.9}, lr=1e-2,
        batch_size=64, steps=5000,
    )  # fmt: skip


@reported(
    CASES,
    cause="input-scaling",
    also=("saturated-units",),
    verdicts=LOST,
    story="Sigmoid units in the hidden layers as in the lecture notes, pixel values up to 255 as input. All hidden "
    "units are 0 or 1 and the picture is an average digit.",
    source="stats.stackexchange.com/questions/245448 and CS294A exercises: sigmoid autoencoders fed with raw pixels",
    code=16,
)
def saturated_by_pixels(seed: int, fixed: bool) -> Settings:
    class SigmoidAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden = nn.Linear(64, 16)
            self.out = nn.Linear(16, 64)

        def forward(self, x):
            return self.out(torch.sigmoid(self.hidden(x)))

    data = digits(255.0)
    return run(model=SigmoidAE(), data=data / 255 if fixed else data, loss="mse", lr=1e-3, batch_size=32, steps=4000)


@reported(
    CASES,
    cause="input-scaling",
    also=("dead-units", "saturated-units", "under-trained"),
    verdicts=SLOW,
    story="Spectra that differ by a few counts on a baseline of 2000. The network learns the baseline and nothing "
    "else.",
    source="discuss.pytorch.org, autoencoder learns only the mean spectrum",
    code=5,
)
def baseline_of_spectra(seed: int, fixed: bool) -> Settings:
    class Spectro(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(nn.Linear(64, 32), nn.LeakyReLU(), nn.Linear(32, 5))
            self.decoder = nn.Sequential(nn.Linear(5, 32), nn.LeakyReLU(), nn.Linear(32, 64))

        def forward(self, x):
            code = self.encoder(x)
            return self.decoder(code), code

    data = 2000 + 8 * spectra(seed)
    return run(model=Spectro(), data=standardized(data) if fixed else data, loss="mae", lr=1e-3, batch_size=32)
