"""Reports in which penalties, noise, modes, the optimizer or the length of training is at fault."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from evaluation.reported.case import LOST, SLOW, ReportedCase, Settings, reported, run
from evaluation.reported.data import baskets, digits, embeddings, images, sensors, sines, spectra, standardized

CASES: list[ReportedCase] = []


@reported(
    CASES,
    cause="penalty-too-strong",
    also=("dead-units",),
    verdicts=(*LOST, "under-trained"),
    story="A sparse autoencoder with an L1 term on the activations, summed over the batch next to a mean error. The "
    "images are fuzzy, later all the same; the code is zero.",
    source="github.com/keras-team/keras/issues/5414 and github.com/fchollet/keras-blog/issues/5, activity_l1",
    code=32,
)
def sparsity_of_the_blog(seed: int, fixed: bool) -> Settings:
    class SparseAutoencoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(nn.Linear(64, 32), nn.ReLU())
            self.decoder = nn.Sequential(nn.Linear(32, 64), nn.Sigmoid())
            self.activity = torch.tensor(0.0)

        def forward(self, x):
            encoded = self.encoder(x)
            self.activity = encoded.abs().sum()
            return self.decoder(encoded)

    weight = 1e-6 if fixed else 1e-2
    return run(
        model=SparseAutoencoder(), data=digits(), loss="bce", lr=1e-3, batch_size=256,
        penalty=lambda model: weight * model.activity, steps=3000,
    )  # fmt: skip


@reported(
    CASES,
    cause="penalty-too-strong",
    verdicts=(*LOST, "under-trained"),
    story="Adam with weight_decay=0.1, since 'more regularization can't hurt an anomaly detector'. Every reading is "
    "reconstructed as the average of the plant.",
    source="questions on weight decay in small autoencoders that output the mean",
    code=4,
)
def heavy_weight_decay(seed: int, fixed: bool) -> Settings:
    class AE(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(nn.Linear(12, 20), nn.ReLU(), nn.Linear(20, 4))
            self.decoder = nn.Sequential(nn.Linear(4, 20), nn.ReLU(), nn.Linear(20, 12))

        def forward(self, x):
            return self.decoder(self.encoder(x))

    return run(
        model=AE(), data=standardized(sensors(seed)), loss="mse", lr=1e-3, batch_size=64,
        optimizer_options={"weight_decay": 1e-6 if fixed else 0.1},
    )  # fmt: skip


@reported(
    CASES,
    cause="penalty-too-strong",
    also=("saturated-units",),
    verdicts=(*LOST, "under-trained"),
    story="The KL sparsity of the lecture notes, rho 0.05 and beta 3, but with the error averaged over pixels. Each "
    "hidden unit is 0.05 for every input.",
    source="github.com/wblgers/tensorflow_stacked_denoising_autoencoder/issues/1 and CS294A exercises",
    code=25,
)
def rho_of_the_lecture(seed: int, fixed: bool) -> Settings:
    class LectureAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden = nn.Linear(64, 25)
            self.visible = nn.Linear(25, 64)
            self.rho_term = torch.tensor(0.0)

        def forward(self, x):
            a = torch.sigmoid(self.hidden(x))
            r = 0.05
            kl = r * torch.log(r / a) + (1 - r) * torch.log((1 - r) / (1 - a))
            self.rho_term = kl.sum(1).mean()
            return torch.sigmoid(self.visible(a))

    beta = 1e-4 if fixed else 3.0
    return run(
        model=LectureAE(), data=digits(), loss="mse", lr=5e-3, batch_size=100, penalty=lambda m: beta * m.rho_term
    )


@reported(
    CASES,
    cause="noise-too-strong",
    also=("input-scaling",),
    verdicts=(*LOST, "under-trained"),
    story="GaussianNoise(1.0) in front of rows that sum to 1: each entry is about a fiftieth, so that the noise is all "
    "the encoder ever sees.",
    source="github.com/keras-team/keras/issues/4431: GaussianNoise(1.0) and dropout on vectors that sum to 1",
    code=12,
)
def noise_on_frequencies(seed: int, fixed: bool) -> Settings:
    class DenoisingAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(nn.Linear(48, 24), nn.ReLU(), nn.Linear(24, 12))
            self.decoder = nn.Linear(12, 48)
            self.std = 0.005 if fixed else 1.0

        def forward(self, x):
            if self.training:
                x = x + self.std * torch.randn_like(x)
            return self.decoder(self.encoder(x))

    data = baskets(seed) + 0.02
    return run(
        model=DenoisingAE(), data=data / data.sum(1, keepdim=True), loss="mse", lr=2e-3, batch_size=50, steps=3000
    )


@reported(
    CASES,
    cause="noise-too-strong",
    verdicts=(*LOST, "under-trained"),
    story="Dropout of 0.8 after each layer, on a code of four units too. With all units on, the output hardly moves "
    "from the mean.",
    source="questions on heavy dropout in the bottleneck of an autoencoder",
    code=4,
)
def dropout_everywhere(seed: int, fixed: bool) -> Settings:
    p = 0.0 if fixed else 0.8
    model = nn.Sequential(
        nn.Linear(50, 32), nn.ReLU(), nn.Dropout(p), nn.Linear(32, 4), nn.Dropout(p),
        nn.Linear(4, 32), nn.ReLU(), nn.Dropout(p), nn.Linear(32, 50),
    )  # fmt: skip
    return run(model=model, data=embeddings(seed), loss="mse", lr=1e-3, batch_size=64)


@reported(
    CASES,
    cause="train-eval-mismatch",
    verdicts=("partial", "worse-than-linear", "collapsed", "diverged"),
    story="momentum=0.001 in the BatchNorm layers, meant as the 0.999 of Keras, and a short training. The training "
    "loss is fine, after model.eval() the reconstructions are garbage.",
    source="discuss.pytorch.org/t/7146, What does model.eval() do for batchnorm layer",
)
def batch_norm_momentum(seed: int, fixed: bool) -> Settings:
    class ConvBN(nn.Module):
        def __init__(self):
            super().__init__()
            momentum = 0.1 if fixed else 0.001
            self.encoder = nn.Sequential(
                nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8, momentum=momentum), nn.ReLU(),
                nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8, momentum=momentum), nn.ReLU(),
            )  # fmt: skip
            self.decoder = nn.Sequential(
                nn.ConvTranspose2d(8, 8, 2, stride=2), nn.BatchNorm2d(8, momentum=momentum), nn.ReLU(),
                nn.ConvTranspose2d(8, 1, 2, stride=2), nn.Sigmoid(),
            )  # fmt: skip

        def forward(self, x):
            return self.decoder(self.encoder(x))

    return run(model=ConvBN(), data=images(8), loss="mse", lr=5e-3, batch_size=64, steps=400)


@reported(
    CASES,
    cause="optimizer",
    also=("lr-too-low", "under-trained"),
    verdicts=SLOW,
    story="A recurrent autoencoder with plain SGD. The loss reaches the variance of the data and rests there for as "
    "long as anybody waited; with Adam it leaves at once.",
    source="github.com/keras-team/keras/issues/12489, LSTM autoencoder does not learn, and forum answers 'use Adam'",
)
def plateau_of_sgd(seed: int, fixed: bool) -> Settings:
    class GRUAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.GRU(1, 20, batch_first=True)
            self.bridge = nn.Linear(20, 6)
            self.decoder = nn.GRU(6, 20, batch_first=True)
            self.head = nn.Linear(20, 1)

        def forward(self, x):
            _, h = self.encoder(x)
            z = torch.tanh(self.bridge(h[-1]))
            y, _ = self.decoder(z.unsqueeze(1).expand(-1, x.size(1), -1))
            return self.head(y)

    settings = run(model=GRUAE(), data=sines(seed, 640, 20), loss="mse", batch_size=64, steps=1500)
    return settings | (run(optimizer="adam", lr=5e-3) if fixed else run(optimizer="sgd", lr=0.05))


@reported(
    CASES,
    cause="clipping-too-tight",
    also=("lr-too-low", "under-trained"),
    verdicts=SLOW,
    story="clip_grad_norm_ with 0.001 against an earlier nan, SGD at 0.1. No step is longer than 1e-4, and the outputs "
    "stay where they began.",
    source="questions on clip_grad_norm_ thresholds taken over from recurrent language models",
    code=6,
)
def clipped_to_nothing(seed: int, fixed: bool) -> Settings:
    model = nn.Sequential(
        nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 6), nn.Tanh(), nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 64)
    )
    return run(
        model=model, data=standardized(spectra(seed)), loss="mse", optimizer="sgd", lr=0.1,
        clip=10.0 if fixed else 1e-3, optimizer_options={"momentum": 0.9 if fixed else 0.0}, batch_size=64, steps=3000,
    )  # fmt: skip


@reported(
    CASES,
    cause="under-trained",
    also=("lr-too-low",),
    verdicts=SLOW,
    story="One epoch of 400 images in batches of 64, as a first try: the output is a gray blob for all digits.",
    source="stackoverflow.com and Keras issues: after the first epoch all outputs look the same; 'train longer'",
)
def one_epoch(seed: int, fixed: bool) -> Settings:
    class SmallCNN(nn.Module):
        def __init__(self):
            super().__init__()
            self.down = nn.Sequential(nn.Conv2d(1, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 8, 3, 2, 1), nn.ReLU())
            self.up = nn.Sequential(
                nn.Upsample(scale_factor=2), nn.Conv2d(8, 16, 3, 1, 1), nn.ReLU(),
                nn.Upsample(scale_factor=2), nn.Conv2d(16, 1, 3, 1, 1), nn.Sigmoid(),
            )  # fmt: skip

        def forward(self, x):
            return self.up(self.down(x))

    return run(
        model=SmallCNN(), data=images(8, rows=400), loss="mse", lr=1e-3, batch_size=64, steps=2000 if fixed else 6
    )


@reported(
    CASES,
    cause="under-trained",
    also=("lr-too-low",),
    verdicts=SLOW,
    story="An attention model for windows of sensor data, five epochs on 300 windows. All reconstructions are the mean "
    "curve; after five hundred epochs they were good.",
    source="questions on flat reconstructions of windows after a handful of epochs",
)
def five_epochs(seed: int, fixed: bool) -> Settings:
    class AttentionAE(nn.Module):
        def __init__(self, width=16):
            super().__init__()
            self.embed = nn.Linear(1, width)
            self.position = nn.Parameter(0.1 * torch.randn(20, width))
            self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
            self.to_code = nn.Linear(20 * width, 8)
            self.from_code = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 20))

        def forward(self, x):
            h = self.embed(x) + self.position
            h = h + self.attention(h, h, h, need_weights=False)[0]
            code = self.to_code(h.flatten(1))
            return {"output": self.from_code(code).unsqueeze(-1), "code": code}

    return run(
        model=AttentionAE(), data=sines(seed, 300, 20), loss="mse", lr=5e-4, batch_size=50, steps=3000 if fixed else 30
    )


@reported(
    CASES,
    cause="penalty-too-strong",
    verdicts=(*LOST, "under-trained"),
    story="A contractive autoencoder with tied weights whose Jacobian term is summed over the batch with weight 1. The "
    "code is contracted to a point.",
    source="questions on the weight of the contractive penalty (lambda 1e-4 in the usual example)",
    code=10,
)
def contracted_to_a_point(seed: int, fixed: bool) -> Settings:
    class CAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(0.1 * torch.randn(10, 64))
            self.hidden_bias = nn.Parameter(torch.zeros(10))
            self.visible_bias = nn.Parameter(torch.zeros(64))
            self.h = torch.zeros(1, 10)

        def forward(self, x):
            self.h = torch.sigmoid(functional.linear(x, self.weight, self.hidden_bias))
            return functional.linear(self.h, self.weight.t(), self.visible_bias)

    def contraction(model: CAE) -> Tensor:
        slope = (model.h * (1 - model.h)) ** 2
        return (1e-6 if fixed else 1.0) * (slope @ (model.weight**2).sum(1)).sum()

    return run(model=CAE(), data=digits(), loss="mse", lr=5e-3, batch_size=64, penalty=contraction)
