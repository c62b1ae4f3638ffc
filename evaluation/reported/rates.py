"""Reports in which the learning rate is far from what the optimizer needs, often by a default."""

import torch
from torch import nn
from torch.nn import functional

from evaluation.reported.case import BROKEN, SLOW, ReportedCase, Settings, reported, run
from evaluation.reported.data import baskets, digits, images, sensors, sines, standardized

CASES: list[ReportedCase] = []


@reported(
    CASES,
    cause="lr-too-low",
    also=("optimizer", "under-trained"),
    verdicts=SLOW,
    story="The first example of the Keras blog under TensorFlow 2: adadelta now starts at 0.001 where it used to be 1. "
    "The loss stays at 0.69 and all digits are gray noise.",
    source="github.com/tensorflow/tensorflow/issues/39432 and /34380, autoencoder performs badly in tf.keras",
    code=32,
)
def keras_blog_adadelta(seed: int, fixed: bool) -> Settings:
    class Autoencoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoded = nn.Linear(64, 32)
            self.decoded = nn.Linear(32, 64)

        def forward(self, input_img):
            return torch.sigmoid(self.decoded(torch.relu(self.encoded(input_img))))

    return run(
        model=Autoencoder(), data=digits(), loss="bce", optimizer="adadelta", lr=1.0 if fixed else 0.001,
        optimizer_options={"rho": 0.95, "eps": 1e-7}, batch_size=256, steps=2000,
    )  # fmt: skip


@reported(
    CASES,
    cause="lr-too-low",
    also=("optimizer", "under-trained"),
    verdicts=SLOW,
    story="A linear autoencoder with SGD at 0.001 and momentum 0.1: every epoch prints the same loss to four digits.",
    source="github.com/keras-team/keras/issues/1604, Autoencoder seems to not work at all",
    code=20,
)
def same_loss_every_epoch(seed: int, fixed: bool) -> Settings:
    model = nn.Sequential(nn.Linear(64, 20), nn.Linear(20, 64))
    return run(
        model=model, data=digits(), loss="mse", optimizer="sgd", lr=1.0 if fixed else 0.001,
        optimizer_options={"momentum": 0.9 if fixed else 0.1}, batch_size=128, steps=1500,
    )  # fmt: skip


@reported(
    CASES,
    cause="lr-too-low",
    also=("optimizer", "under-trained"),
    verdicts=SLOW,
    story="A convolutional autoencoder with optim.SGD(lr=0.001) as in the classifier tutorial. After many epochs the "
    "output is a gray square.",
    source="discuss.pytorch.org and stackoverflow.com, convolutional autoencoder outputs gray images",
)
def gray_squares(seed: int, fixed: bool) -> Settings:
    class ConvAutoencoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
            self.conv2 = nn.Conv2d(16, 4, 3, padding=1)
            self.pool = nn.MaxPool2d(2, 2)
            self.t_conv1 = nn.ConvTranspose2d(4, 16, 2, stride=2)
            self.t_conv2 = nn.ConvTranspose2d(16, 1, 2, stride=2)

        def forward(self, x):
            x = self.pool(functional.relu(self.conv1(x)))
            x = self.pool(functional.relu(self.conv2(x)))
            x = functional.relu(self.t_conv1(x))
            return torch.sigmoid(self.t_conv2(x))

    settings = run(model=ConvAutoencoder(), data=images(8), loss=nn.MSELoss(), batch_size=20)
    if fixed:
        return settings | run(optimizer="adam", lr=3e-3)
    return settings | run(optimizer="sgd", optimizer_options={"momentum": 0.9}, lr=0.001, steps=2000)


@reported(
    CASES,
    cause="lr-too-low",
    also=("under-trained",),
    verdicts=SLOW,
    story="An LSTM autoencoder with Adam at 1e-6, as the fine-tuning recipe of another model had it. The output is a "
    "straight line through all sine waves.",
    source="github.com/keras-team/keras/issues/10753, LSTM autoencoder learns only the average of a sine (symptom)",
)
def fine_tuning_rate(seed: int, fixed: bool) -> Settings:
    class Seq2Seq(nn.Module):
        def __init__(self, hidden=24):
            super().__init__()
            self.encoder = nn.LSTM(1, hidden, batch_first=True)
            self.decoder = nn.LSTM(hidden, hidden, batch_first=True)
            self.linear = nn.Linear(hidden, 1)

        def forward(self, x):
            _, (hidden, _) = self.encoder(x)
            repeated = hidden.permute(1, 0, 2).repeat(1, x.size(1), 1)
            out, _ = self.decoder(repeated)
            return self.linear(out)

    return run(
        model=Seq2Seq(),
        data=sines(seed, 640, 20),
        loss="mse",
        optimizer="adam",
        lr=5e-3 if fixed else 1e-6,
        batch_size=32,
    )


@reported(
    CASES,
    cause="lr-too-low",
    also=("optimizer", "under-trained"),
    verdicts=SLOW,
    story="Sparse purchase vectors and Adagrad with its default of 0.001. No zero is reconstructed as a zero; all "
    "columns stay near one half.",
    source="github.com/keras-team/keras/issues/4431, How to reconstruct zeroes in my sparse vector (adagrad)",
    code=12,
)
def adagrad_default(seed: int, fixed: bool) -> Settings:
    model = nn.Sequential(
        nn.Linear(48, 24), nn.ReLU(), nn.Linear(24, 12), nn.ReLU(), nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 48),
        nn.Sigmoid(),
    )  # fmt: skip
    return run(
        model=model, data=baskets(seed), loss="mse", optimizer=torch.optim.Adagrad, lr=0.1 if fixed else 0.001,
        batch_size=50, steps=1500,
    )  # fmt: skip


@reported(
    CASES,
    cause="lr-too-low",
    also=("under-trained",),
    verdicts=SLOW,
    story="AdamW at 2e-6 with a long warm-up in mind; the person stopped after two thousand steps with nothing but "
    "column means.",
    source="reports of rates copied from language models for small tabular autoencoders",
    code=5,
)
def language_model_rate(seed: int, fixed: bool) -> Settings:
    class Block(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.norm = nn.LayerNorm(width)
            self.mlp = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))

        def forward(self, x):
            return x + self.mlp(self.norm(x))

    model = nn.Sequential(
        nn.Linear(12, 32), Block(32), nn.Linear(32, 5), nn.Linear(5, 32), Block(32), nn.Linear(32, 12)
    )
    return run(
        model=model, data=standardized(sensors(seed)), loss="mse", optimizer="adamw",
        optimizer_options={"weight_decay": 0.01}, lr=2e-3 if fixed else 2e-6, batch_size=64, steps=2000,
    )  # fmt: skip


@reported(
    CASES,
    cause="lr-too-high",
    also=("dead-units", "saturated-units"),
    verdicts=BROKEN,
    story="A CNN autoencoder that starts with some texture and after a hundred batches only shows one and the same "
    "picture. A lower learning rate cured it.",
    source="github.com/L1aoXingyu/pytorch-beginner/issues/38 and github.com/AntixK/PyTorch-VAE/issues/51",
)
def after_a_hundred_batches(seed: int, fixed: bool) -> Settings:
    class autoencoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(
                nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.ReLU(True),
                nn.Conv2d(16, 8, 3, stride=2, padding=1), nn.ReLU(True),
            )  # fmt: skip
            self.decoder = nn.Sequential(
                nn.ConvTranspose2d(8, 16, 2, stride=2), nn.ReLU(True),
                nn.ConvTranspose2d(16, 8, 2, stride=2), nn.ReLU(True),
                nn.Conv2d(8, 1, 3, padding=1), nn.Tanh(),
            )  # fmt: skip

        def forward(self, x):
            return self.decoder(self.encoder(x))

    return run(
        model=autoencoder(), data=images(8) * 2 - 1, loss=nn.MSELoss(), lr=1e-3 if fixed else 0.5, batch_size=128,
        optimizer_options={"weight_decay": 1e-5}, steps=1500,
    )  # fmt: skip


@reported(
    CASES,
    cause="lr-too-high",
    also=("exploding-gradients",),
    verdicts=BROKEN,
    story="The loss was changed to reduction='sum' and the learning rate of SGD kept. nan after a few iterations.",
    source="reports of nan after switching mse_loss from mean to sum with the same SGD rate",
    code=8,
)
def sum_with_the_old_rate(seed: int, fixed: bool) -> Settings:
    model = nn.Sequential(
        nn.Linear(64, 32), nn.LeakyReLU(), nn.Linear(32, 8), nn.Linear(8, 32), nn.LeakyReLU(), nn.Linear(32, 64)
    )
    return run(
        model=model, data=digits(), loss=nn.MSELoss(reduction="sum"), optimizer=torch.optim.SGD,
        optimizer_options={"momentum": 0.9}, lr=1e-4 if fixed else 1e-2, batch_size=64,
    )  # fmt: skip
