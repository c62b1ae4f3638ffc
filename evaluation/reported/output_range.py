"""Reports in which the last layer can't produce the data, or the loss can't take them."""

import torch
from torch import Tensor, nn
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
    standardized,
    temperatures,
)  # fmt: skip

CASES: list[ReportedCase] = []


@reported(
    CASES,
    cause="output-range",
    also=("input-scaling",),
    verdicts=BROKEN,
    story="A small convolutional autoencoder on color photos predicts plain white for every picture. The pixels were "
    "never divided by 255, and the last layer is a sigmoid.",
    source="github.com/keras-team/keras/issues/14564, Autoencoder predicts every image pure white",
)
def white_pictures(seed: int, fixed: bool) -> Settings:
    class ConvAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(1, 12, 2, padding="same")
            self.bn = nn.BatchNorm2d(12)
            self.conv2 = nn.Conv2d(12, 12, 2, padding="same")
            self.conv3 = nn.Conv2d(12, 1, 3, padding=1)

        def forward(self, x):
            x = self.bn(torch.relu(self.conv1(x)))
            x = torch.relu(self.conv2(x))
            return torch.sigmoid(self.conv3(x))

    data = images(16, 255.0, 600)
    return run(model=ConvAE(), data=data / 255 if fixed else data, loss="mse", lr=1e-3, batch_size=32)


@reported(
    CASES,
    cause="output-range",
    story="The images are normalized to -1..1 as in most tutorials for classifiers, but the decoder of the copied "
    "autoencoder ends in a sigmoid. Reconstructions stay gray and blurred.",
    source="stackoverflow.com, What could cause a VAE to output random noise even after training (CIFAR10, "
    "Normalize(0.5, 0.5) with a sigmoid decoder)",
)
def tutorial_normalize(seed: int, fixed: bool) -> Settings:
    class Autoencoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(
                nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.ReLU(True),
                nn.Conv2d(16, 8, 3, stride=2, padding=1), nn.ReLU(True),
            )  # fmt: skip
            self.decoder = nn.Sequential(
                nn.ConvTranspose2d(8, 16, 3, stride=2, padding=1, output_padding=1), nn.ReLU(True),
                nn.ConvTranspose2d(16, 1, 3, stride=2, padding=1, output_padding=1),
                nn.Tanh() if fixed else nn.Sigmoid(),
            )  # fmt: skip

        def forward(self, x):
            return self.decoder(self.encoder(x))

    return run(model=Autoencoder(), data=images(8) * 2 - 1, loss=nn.MSELoss(), lr=1e-3, batch_size=64, steps=1500)


@reported(
    CASES,
    cause="output-range",
    story="Sensor data went through a StandardScaler; the decoder ends in the sigmoid of the blog post's example. "
    "The loss stays around 0.6 whatever the layers.",
    source="stats.stackexchange.com/questions/357357 and many like it: standardized features, the Keras blog's decoder",
    code=4,
)
def standard_scaler_sigmoid(seed: int, fixed: bool) -> Settings:
    decoder: list[nn.Module] = [nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 12)]
    if not fixed:
        decoder.append(nn.Sigmoid())
    model = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 4), *decoder)
    return run(model=model, data=standardized(sensors(seed)), loss="mse", optimizer="adam", lr=1e-3, batch_size=32)


@reported(
    CASES,
    cause="output-range",
    also=("dead-units",),
    story="Word vectors, ReLU after every layer and so after the last one too: everything negative comes back as 0.",
    source="discuss.pytorch.org, autoencoders on signed features whose output is never below zero",
    code=16,
)
def relu_everywhere(seed: int, fixed: bool) -> Settings:
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1 = nn.Linear(50, 32)
            self.fc2 = nn.Linear(32, 16)
            self.fc3 = nn.Linear(16, 32)
            self.fc4 = nn.Linear(32, 50)

        def forward(self, x):
            x = torch.relu(self.fc1(x))
            x = self.fc2(x) if fixed else torch.relu(self.fc2(x))
            x = torch.relu(self.fc3(x))
            x = self.fc4(x)
            return x if fixed else torch.relu(x)

    return run(model=Net(), data=embeddings(seed), loss="mse", lr=1e-3, batch_size=64)


@reported(
    CASES,
    cause="output-range",
    also=("input-scaling", "saturated-units"),
    verdicts=LOST,
    story="The decoder is an LSTM with one unit whose hidden state is returned as the reconstruction; the series are "
    "temperatures in degrees. A hidden state never leaves -1..1: the output is a flat line at 1.",
    source="github.com/keras-team/keras/issues/5203: LSTM(1, return_sequences=True) as the last layer",
)
def hidden_state_as_output(seed: int, fixed: bool) -> Settings:
    class LSTMAutoencoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.LSTM(1, 16, batch_first=True)
            self.decoder = nn.LSTM(16, 16 if fixed else 1, batch_first=True)
            self.head = nn.Linear(16, 1) if fixed else nn.Identity()

        def forward(self, x):
            _, (h, _) = self.encoder(x)
            repeated = h[-1].unsqueeze(1).repeat(1, x.size(1), 1)
            out, _ = self.decoder(repeated)
            return self.head(out)

    data = temperatures(seed, 600)
    if fixed:
        data = (data - data.mean()) / data.std()
    return run(model=LSTMAutoencoder(), data=data, loss="mse", lr=5e-3, batch_size=32)


@reported(
    CASES,
    cause="output-range",
    story="Sine waves between -1 and 1 and a decoder with a sigmoid at the end; the lower half of every wave is cut "
    "off.",
    source="stackoverflow.com/questions/63500337 and similar: autoencoders for cos and sin signals",
    code=6,
)
def half_a_sine(seed: int, fixed: bool) -> Settings:
    class SineAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.enc = nn.Sequential(nn.Flatten(), nn.Linear(30, 64), nn.LeakyReLU(), nn.Linear(64, 6))
            self.dec = nn.Sequential(nn.Linear(6, 64), nn.LeakyReLU(), nn.Linear(64, 30))

        def forward(self, x):
            out = self.dec(self.enc(x))
            out = torch.tanh(out) if fixed else torch.sigmoid(out)
            return out.unsqueeze(-1)

    return run(model=SineAE(), data=sines(seed), loss="mse", lr=1e-3, batch_size=50, steps=2000)


@reported(
    CASES,
    cause="output-range",
    also=("loss-domain",),
    story="784-128-64-28-64-128-784 with a softmax on the last layer and binary cross-entropy; the picture is a pale "
    "smear, since all pixels together may only sum to 1.",
    source="stackoverflow.com/questions/52441877, How does binary cross entropy loss work on autoencoders",
    code=14,
)
def softmax_over_pixels(seed: int, fixed: bool) -> Settings:
    model = nn.Sequential(
        nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 28), nn.ReLU(), nn.Linear(28, 14), nn.ReLU(),
        nn.Linear(14, 28), nn.ReLU(), nn.Linear(28, 48), nn.ReLU(), nn.Linear(48, 64),
        nn.Sigmoid() if fixed else nn.Softmax(dim=1),
    )  # fmt: skip
    return run(model=model, data=digits(), loss="bce", lr=1e-3, batch_size=100, steps=3000 if fixed else 900)


@reported(
    CASES,
    cause="loss-domain",
    also=("output-range", "input-scaling", "saturated-units"),
    verdicts=BROKEN,
    story="Binary cross-entropy on standardized columns: the loss is negative and falls and falls, the outputs are "
    "zeros and ones.",
    source="reports of a negative binary cross-entropy in Keras, which clips the prediction and takes any target",
    code=5,
)
def negative_loss(seed: int, fixed: bool) -> Settings:
    class Autoencoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.encode = nn.Linear(12, 5)
            self.decode = nn.Linear(5, 12)

        def forward(self, x):
            return torch.sigmoid(self.decode(torch.tanh(self.encode(x))))

    def keras_cross_entropy(prediction: Tensor, target: Tensor) -> Tensor:
        p = prediction.clamp(1e-7, 1 - 1e-7)
        return -(target * p.log() + (1 - target) * (1 - p).log()).mean()

    data = sensors(seed)
    if fixed:
        return run(model=Autoencoder(), data=minmax(data), loss="mse", lr=5e-3, batch_size=64)
    return run(model=Autoencoder(), data=standardized(data), loss=keras_cross_entropy, lr=5e-3, batch_size=64)


@reported(
    CASES,
    cause="loss-domain",
    also=("output-range", "input-scaling"),
    verdicts=BROKEN,
    story="The digits are normalized with the mean and deviation of the classifier example before they are compared "
    "by binary cross-entropy with the sigmoid's output.",
    source="discuss.pytorch.org, BCELoss with targets from transforms.Normalize((0.1307,), (0.3081,))",
    code=16,
)
def normalized_targets(seed: int, fixed: bool) -> Settings:
    class AE(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 16))
            self.decoder = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 64), nn.Sigmoid())

        def forward(self, x):
            return self.decoder(self.encoder(x))

    data = digits()
    return run(model=AE(), data=data if fixed else (data - 0.1307) / 0.3081, loss="bce", lr=1e-3, batch_size=64)


@reported(
    CASES,
    cause="loss-domain",
    also=("output-range", "input-scaling", "saturated-units"),
    verdicts=BROKEN,
    story="BCEWithLogitsLoss with pixel values of 0..255 as targets: the loss goes to minus a few million and every "
    "pixel that is ever on is white.",
    source="github.com/L1aoXingyu/pytorch-beginner/issues/38 and similar: converges to white",
)
def bytes_as_probabilities(seed: int, fixed: bool) -> Settings:
    class CNN(nn.Module):
        def __init__(self):
            super().__init__()
            self.c1 = nn.Conv2d(1, 8, 3, padding=1)
            self.c2 = nn.Conv2d(8, 16, 3, padding=1)
            self.pool = nn.MaxPool2d(2, 2)
            self.t1 = nn.ConvTranspose2d(16, 8, 2, stride=2)
            self.t2 = nn.ConvTranspose2d(8, 1, 2, stride=2)

        def forward(self, x):
            x = self.pool(functional.relu(self.c1(x)))
            x = self.pool(functional.relu(self.c2(x)))
            x = functional.relu(self.t1(x))
            return self.t2(x)

    data = images(8, 255.0, 1200)
    return run(
        model=CNN(), data=data / 255 if fixed else data, loss="bce_logits", optimizer=torch.optim.Adam, lr=2e-3,
        batch_size=64,
    )  # fmt: skip


@reported(
    CASES,
    cause="output-range",
    also=("loss-domain",),
    story="Sigmoid in the model, BCEWithLogitsLoss outside: the sigmoid is applied twice, so that no probability is "
    "below one half. The loss stops near 0.6.",
    source="discuss.pytorch.org, sigmoid together with BCEWithLogitsLoss",
    code=10,
)
def sigmoid_twice(seed: int, fixed: bool) -> Settings:
    layers: list[nn.Module] = [nn.Linear(48, 24), nn.ReLU(), nn.Linear(24, 10), nn.Linear(10, 24), nn.ReLU()]
    layers.append(nn.Linear(24, 48))
    if not fixed:
        layers.append(nn.Sigmoid())
    return run(
        model=nn.Sequential(*layers), data=baskets(seed), loss=nn.BCEWithLogitsLoss() if not fixed else "bce_logits",
        lr=2e-3, batch_size=64, steps=2500,
    )  # fmt: skip


@reported(
    CASES,
    cause="loss-domain",
    also=("output-range", "exploding-gradients", "bad-values"),
    verdicts=("diverged",),
    story="A hand-written cross-entropy on the output of a linear layer. The logarithm of a negative number makes the "
    "loss NaN in the first batch.",
    source="reports of NaN from a hand-written x*log(out) + (1-x)*log(1-out)",
    code=8,
)
def own_cross_entropy(seed: int, fixed: bool) -> Settings:
    def cross_entropy(out: Tensor, x: Tensor) -> Tensor:
        return -(x * torch.log(out + 1e-8) + (1 - x) * torch.log(1 - out + 1e-8)).mean()

    layers: list[nn.Module] = [nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 8), nn.ReLU(), nn.Linear(8, 32), nn.ReLU()]
    layers.append(nn.Linear(32, 64))
    if fixed:
        layers.append(nn.Sigmoid())
    model = nn.Sequential(*layers)
    return run(model=model, data=digits(), loss=cross_entropy, lr=1e-3, batch_size=64, steps=3000)


@reported(
    CASES,
    cause="output-range",
    also=("input-scaling",),
    verdicts=LOST,
    story="Spectra in raw detector counts, tanh on the output because the paper did so; every predicted spectrum is "
    "the same row of ones.",
    source="stackoverflow.com/questions/24732888, Using large input values with auto encoders",
    code=6,
)
def spectra_through_tanh(seed: int, fixed: bool) -> Settings:
    class SpectraAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 6))
            self.decoder = nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 64), nn.Tanh())

        def forward(self, x):
            z = self.encoder(x)
            return {"reconstruction": self.decoder(z), "z": z}

    data = spectra(seed)
    data = minmax(data) if fixed else 400 * data + 100
    return run(model=SpectraAE(), data=data, loss="mse", lr=1e-3, batch_size=64)
