"""Reports in which shapes, gradients, losses or data are wired up wrongly."""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from evaluation.reported.case import BROKEN, LOST, ReportedCase, Settings, reported, run
from evaluation.reported.data import (
    baskets,
    digits,
    embeddings,
    images,
    minmax,
    sensors,
    sines,
    spectra,
)

CASES: list[ReportedCase] = []


@reported(
    CASES,
    cause="shape-broadcast",
    verdicts=LOST,
    story="The decoder's output is reshaped to [n, 8, 8], the images are [n, 1, 8, 8]. mse_loss compares every image "
    "with every output of the batch, with a warning that went unseen; the result is the mean image.",
    source="github.com/jiwei0921/CoNet/issues/3: target [2, 256, 256] against input [2, 1, 256, 256]",
)
def lost_channel(seed: int, fixed: bool) -> Settings:
    class Autoencoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 12))
            self.decoder = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 64), nn.Sigmoid())

        def forward(self, x):
            out = self.decoder(self.encoder(x))
            return out.view(-1, 1, 8, 8) if fixed else out.view(-1, 8, 8)

    return run(model=Autoencoder(), data=images(8), loss="mse", lr=2e-3, batch_size=64)


@reported(
    CASES,
    cause="shape-broadcast",
    verdicts=LOST,
    story="A Conv1d autoencoder for spectra adds a channel to its input and forgets to remove it. Output [n, 1, 64] "
    "against data [n, 64]: every predicted spectrum is the mean of the batch.",
    source="github.com/deepset-ai/FARM/issues/229 and github.com/weka511/hpa-scc/issues/38, shapes that broadcast",
)
def extra_channel(seed: int, fixed: bool) -> Settings:
    class Conv1dAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.c1 = nn.Conv1d(1, 8, 5, stride=2, padding=2)
            self.c2 = nn.Conv1d(8, 4, 5, stride=2, padding=2)
            self.t1 = nn.ConvTranspose1d(4, 8, 4, stride=2, padding=1)
            self.t2 = nn.ConvTranspose1d(8, 1, 4, stride=2, padding=1)

        def forward(self, x):
            x = x.unsqueeze(1)
            x = torch.tanh(self.c1(x))
            x = torch.tanh(self.c2(x))
            x = torch.tanh(self.t1(x))
            x = self.t2(x)
            return x.squeeze(1) if fixed else x

    return run(model=Conv1dAE(), data=spectra(seed, 1216), loss=nn.MSELoss(), lr=3e-3, batch_size=32, steps=1500)


@reported(
    CASES,
    cause="shape-broadcast",
    verdicts=LOST,
    story="An LSTM autoencoder squeezes the last axis. Windows of 32 steps in batches of 32 rows broadcast without an "
    "error to [32, 32, 32].",
    source="reports of the warning 'Using a target size that is different to the input size' in recurrent models",
)
def squeezed_windows(seed: int, fixed: bool) -> Settings:
    class LSTMAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.enc = nn.LSTM(input_size=1, hidden_size=24, batch_first=True)
            self.dec = nn.LSTM(input_size=24, hidden_size=24, batch_first=True)
            self.fc = nn.Linear(24, 1)

        def forward(self, x):
            _, (h, _) = self.enc(x)
            y, _ = self.dec(h[-1].unsqueeze(1).repeat(1, 32, 1))
            y = self.fc(y)
            return y if fixed else y.squeeze(-1)

    return run(model=LSTMAE(), data=sines(seed, 640, 32), loss="mse", lr=5e-3, batch_size=32, steps=1500)


@reported(
    CASES,
    cause="frozen-parameters",
    verdicts=("worse-than-linear", "partial", "collapsed"),
    story="Encoder layers are kept in a Python list. parameters() does not know them, the optimizer trains the decoder "
    "only, and a random code of four units carries little.",
    source="PyTorch forum and documentation of ModuleList: layers in a plain list are not registered",
    code=4,
)
def layers_in_a_list(seed: int, fixed: bool) -> Settings:
    class StackedAE(nn.Module):
        def __init__(self, sizes):
            super().__init__()
            layers = [nn.Linear(a, b) for a, b in pairwise(sizes)]
            self.encoder_layers = nn.ModuleList(layers) if fixed else layers
            back = sizes[::-1]
            self.decoder_layers = nn.ModuleList([nn.Linear(a, b) for a, b in pairwise(back)])

        def forward(self, x):
            for layer in self.encoder_layers:
                x = torch.tanh(layer(x))
            for i, layer in enumerate(self.decoder_layers):
                x = layer(x)
                if i < len(self.decoder_layers) - 1:
                    x = torch.tanh(x)
            return x

    return run(model=StackedAE([50, 25, 12, 4]), data=embeddings(seed), loss="mse", lr=3e-3, batch_size=64)


@reported(
    CASES,
    cause="frozen-parameters",
    verdicts=("worse-than-linear", "partial", "collapsed"),
    story="z.data is passed to the decoder to save memory. No gradient reaches the encoder, which keeps its first "
    "weights.",
    source="github.com/vturrisi/solo-learn/issues/135 and similar: is the encoder learning after detach()",
    code=4,
)
def detached_code(seed: int, fixed: bool) -> Settings:
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(nn.Linear(50, 24), nn.ReLU(), nn.Linear(24, 4))
            self.decoder = nn.Sequential(nn.Linear(4, 24), nn.ReLU(), nn.Linear(24, 50))

        def forward(self, x):
            z = self.encoder(x)
            self.features = z.detach()
            return self.decoder(z if fixed else self.features)

    return run(model=Net(), data=embeddings(seed), loss="mse", lr=2e-3, batch_size=64, steps=2500)


@reported(
    CASES,
    cause="frozen-parameters",
    verdicts=("worse-than-linear", "partial", "collapsed"),
    story="The script gives the optimizer the decoder's parameters only, a leftover from a project with a pretrained "
    "encoder.",
    source="github.com/jzenn/Image-AutoEncoder/issues/1, why only optimize the decoder in the model",
)
def decoder_only(seed: int, fixed: bool) -> Settings:
    class EncoderDecoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ELU(), nn.Linear(32, 5), nn.Tanh())
            self.decoder = nn.Sequential(nn.Linear(5, 32), nn.ELU(), nn.Linear(32, 64), nn.Unflatten(1, (1, 8, 8)))

        def forward(self, x):
            return self.decoder(self.encoder(x))

    return run(
        model=EncoderDecoder(), data=images(8), loss="mse", batch_size=64,
        optimizer=lambda parameters: torch.optim.Adam(list(parameters)[0 if fixed else 4 :], lr=2e-3),
    )  # fmt: skip


@reported(
    CASES,
    cause="loss-domain",
    also=("output-range",),
    verdicts=BROKEN,
    story="CrossEntropyLoss between the output and the image. It takes float targets of the same shape without a word, "
    "treats the pixels as classes, and the scale of the reconstruction is arbitrary.",
    source="reports of cross_entropy used as a reconstruction loss",
    code=10,
)
def loss_for_classes(seed: int, fixed: bool) -> Settings:
    model = nn.Sequential(
        nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10), nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 64)
    )
    return run(model=model, data=digits(), loss="mse" if fixed else nn.CrossEntropyLoss(), lr=1e-3, batch_size=64)


@reported(
    CASES,
    cause="loss-domain",
    also=("output-range",),
    verdicts=BROKEN,
    story="KLDivLoss on a sigmoid's output, which should have been log-probabilities. The loss is negative and all "
    "outputs are white.",
    source="reports of a negative nn.KLDivLoss; its documentation asks for log-probabilities as the input",
    code=8,
)
def divergence_without_logarithm(seed: int, fixed: bool) -> Settings:
    class TopicAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.enc = nn.Linear(48, 8)
            self.dec = nn.Linear(8, 48)

        def forward(self, x):
            return torch.sigmoid(self.dec(functional.elu(self.enc(x))))

    loss = "bce" if fixed else nn.KLDivLoss(reduction="batchmean")
    return run(model=TopicAE(), data=baskets(seed), loss=loss, lr=5e-3, batch_size=50, steps=1500)


@reported(
    CASES,
    cause="bad-values",
    verdicts=("diverged",),
    story="One column of the csv file has empty cells, which pandas reads as NaN. The loss is nan in the first epoch "
    "and every prediction after it.",
    source="a frequent answer to 'autoencoder loss is nan': missing values in the data frame",
)
def empty_cells(seed: int, fixed: bool) -> Settings:
    data = minmax(sensors(seed))
    if not fixed:
        data[::97, 3] = float("nan")
    model = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 4), nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 12))
    return run(model=model, data=data, loss="mse", lr=5e-3, batch_size=64)
