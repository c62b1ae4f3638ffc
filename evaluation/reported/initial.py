"""Reports in which the first weights are the trouble."""

from itertools import pairwise
from typing import Any

import torch
from torch import nn

from evaluation.reported.case import LOST, SLOW, ReportedCase, Settings, reported, run
from evaluation.reported.data import digits, embeddings, sines, spectra, standardized

CASES: list[ReportedCase] = []


@reported(
    CASES,
    cause="init-symmetry",
    also=("init-scale",),
    verdicts=LOST,
    story="All weights are set to 0.1 'to be reproducible'. Hidden units stay copies of each other, so that the code "
    "has one number however wide it is.",
    source="questions on constant initialization of autoencoders written from scratch",
    code=8,
)
def constant_weights(seed: int, fixed: bool) -> Settings:
    class AE(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc2 = nn.Linear(64, 32), nn.Linear(32, 8)
            self.fc3, self.fc4 = nn.Linear(8, 32), nn.Linear(32, 64)
            if not fixed:
                for layer in (self.fc1, self.fc2, self.fc3, self.fc4):
                    nn.init.constant_(layer.weight, 0.1)
                    nn.init.zeros_(layer.bias)

        def forward(self, x):
            z = self.fc2(torch.tanh(self.fc1(x)))
            return self.fc4(torch.tanh(self.fc3(z)))

    return run(model=AE(), data=digits(), loss="mse", lr=2e-3, batch_size=64, steps=3000)


@reported(
    CASES,
    cause="init-symmetry",
    also=("init-scale", "dead-units"),
    verdicts=LOST,
    story="Weights and biases start at zero, with ReLU between. Only the last bias ever moves.",
    source="course forums: zero initialization of a network written by hand",
    code=6,
)
def all_zeros(seed: int, fixed: bool) -> Settings:
    class ZeroAE(nn.Module):
        def __init__(self):
            super().__init__()
            shape = [(50, 20), (20, 6), (6, 20), (20, 50)]
            scale = 0.15 if fixed else 0.0
            self.weights = nn.ParameterList([nn.Parameter(scale * torch.randn(a, b)) for a, b in shape])
            self.biases = nn.ParameterList([nn.Parameter(torch.zeros(b)) for _, b in shape])

        def forward(self, x):
            for i in range(4):
                x = x @ self.weights[i] + self.biases[i]
                if i in (0, 2):
                    x = torch.relu(x)
            return x

    return run(model=ZeroAE(), data=embeddings(seed), loss="mse", lr=2e-3, batch_size=64)


@reported(
    CASES,
    cause="init-scale",
    also=("saturated-units",),
    verdicts=LOST,
    story="Weights drawn with standard deviation 1, as random_normal of an old tutorial does, five tanh layers. All "
    "units sit at plus or minus 1 and the loss stops early.",
    source="autoencoder tutorials of TensorFlow 1 with tf.random_normal weights, carried over to deeper networks",
    code=8,
)
def random_normal_weights(seed: int, fixed: bool) -> Settings:
    sizes = [64, 128, 64, 8, 64, 128, 64]
    layers: list[nn.Module] = []
    for a, b in pairwise(sizes):
        linear = nn.Linear(a, b)
        if not fixed:
            nn.init.normal_(linear.weight, std=1.0)
            nn.init.normal_(linear.bias, std=1.0)
        layers += [linear, nn.Tanh()]
    return run(
        model=nn.Sequential(*layers[:-1]), data=standardized(spectra(seed)), loss="mse", optimizer="sgd",
        optimizer_options={"momentum": 0.9}, lr=2e-2, batch_size=64, steps=4000,
    )  # fmt: skip


@reported(
    CASES,
    cause="init-scale",
    also=("optimizer", "lr-too-low", "under-trained"),
    verdicts=SLOW,
    story="normal_(0, 0.01) for all weights of an eight-layer network, SGD. The signal is gone after three layers: "
    "the output is the bias of the last one.",
    source="forum questions on deep autoencoders initialized as in the AlexNet paper",
    code=8,
)
def vanishing_weights(seed: int, fixed: bool) -> Settings:
    sizes = [50, 40, 30, 20, 8, 20, 30, 40, 50]
    layers: list[nn.Module] = []
    for a, b in pairwise(sizes):
        linear = nn.Linear(a, b)
        if fixed:
            nn.init.xavier_normal_(linear.weight)
        else:
            nn.init.normal_(linear.weight, 0.0, 0.01)
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.Tanh()]
    return run(
        model=nn.Sequential(*layers[:-1]), data=embeddings(seed), loss="mse", optimizer=torch.optim.SGD, lr=0.5,
        optimizer_options={"momentum": 0.9}, batch_size=64, steps=3000,
    )  # fmt: skip


@reported(
    CASES,
    cause="exploding-gradients",
    also=("lr-too-high", "init-scale"),
    verdicts=("diverged", "collapsed", "worse-than-linear", "partial"),
    story="A plain ReLU recurrence over thirty steps without clipping, recurrent weights a little too large. The loss "
    "jumps to 1e20 within the first epochs and then is nan.",
    source="questions on nan losses of relu RNN autoencoders on longer windows",
)
def thirty_steps_of_relu(seed: int, fixed: bool) -> Settings:
    class RNNAutoencoder(nn.Module):
        def __init__(self):
            super().__init__()
            kind: Any = "tanh" if fixed else "relu"
            self.encoder = nn.RNN(1, 16, nonlinearity=kind, batch_first=True)
            self.decoder = nn.RNN(16, 16, nonlinearity=kind, batch_first=True)
            self.out = nn.Linear(16, 1)
            if not fixed:
                for name, parameter in self.named_parameters():
                    if "weight_hh" in name:
                        nn.init.normal_(parameter, std=0.5)

        def forward(self, x):
            _, h = self.encoder(x)
            y, _ = self.decoder(h[-1].unsqueeze(1).repeat(1, x.size(1), 1))
            return self.out(y)

    return run(
        model=RNNAutoencoder(), data=sines(seed, 640, 30), loss="mse", optimizer="adam" if fixed else "sgd",
        lr=3e-3 if fixed else 1e-2, batch_size=64,
    )  # fmt: skip
