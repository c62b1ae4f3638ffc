"""Models with a fault that no setting expresses, each beside its repaired twin.

The specs of the clinic name them as `preset:clinic/models.py:NAME`. They are written the way such
models are met.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


def encoder_of(features: int, code: int = 10) -> nn.Sequential:
    return nn.Sequential(nn.Linear(features, 128), nn.ReLU(), nn.Linear(128, code))


def decoder_of(features: int, code: int = 10) -> nn.Sequential:
    return nn.Sequential(nn.Linear(code, 128), nn.ReLU(), nn.Linear(128, features))


class Attached(nn.Module):
    """A plain autoencoder."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.encoder = encoder_of(features)
        self.decoder = decoder_of(features)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        code = self.encoder(x)
        return self.decoder(code), code


class Detached(Attached):
    """The code is taken out of the graph on its way to the decoder, so the encoder gets no gradient."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        code = self.encoder(x)
        return self.decoder(code.detach()), code


class PlainList(nn.Module):
    """Layers in a Python list are no submodules: the optimizer never hears of their parameters."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.hidden: Iterable[nn.Module] = [nn.Linear(features, 64), nn.Linear(64, 10), nn.Linear(10, 64)]
        self.output = nn.Linear(64, features)

    def forward(self, x: Tensor) -> Tensor:
        first, code, back = self.hidden
        return self.output(torch.relu(back(code(torch.relu(first(x))))))


class ModuleList(PlainList):
    """The same layers in a ModuleList."""

    def __init__(self, features: int) -> None:
        super().__init__(features)
        self.hidden = nn.ModuleList(self.hidden)


class ChannelKept(nn.Module):
    """A convolutional model whose output keeps its channel: [rows, 1, features] against [rows, features]."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv1d(1, 8, 5, stride=2, padding=2), nn.ReLU(), nn.Flatten(), nn.Linear(8 * ((features + 1) // 2), 10)
        )
        self.decoder = decoder_of(features)

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x.unsqueeze(1))).unsqueeze(1)


class ChannelDropped(ChannelKept):
    """The same model with its output in the shape of its input."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).squeeze(1)


class Recurrent(nn.Module):
    """A plain recurrent encoder that reads a row in pieces of four; its weights make gradients grow with each."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.reader = nn.RNN(4, 64, nonlinearity="relu", batch_first=True)
        self.code = nn.Linear(64, 10)
        self.decoder = decoder_of(features)
        recurrent = self.reader.get_parameter("weight_hh_l0")
        with torch.no_grad():
            recurrent.copy_(1.4 * torch.eye(64))

    def forward(self, x: Tensor) -> Tensor:
        _, last = self.reader(x.reshape(len(x), -1, 4))
        return self.decoder(self.code(last[0]))


class LostBatchFirst(nn.Module):
    """A recurrent encoder that takes [pieces, rows, 4] and is given [rows, pieces, 4]: it reads on from row to row."""

    batch_first = False

    def __init__(self, features: int) -> None:
        super().__init__()
        self.reader = nn.GRU(4, 48, batch_first=self.batch_first)
        self.code = nn.Linear(48, 10)
        self.decoder = decoder_of(features)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.reader(x.reshape(len(x), -1, 4))
        return self.decoder(self.code(states[:, -1]))


class BatchFirst(LostBatchFirst):
    """The same model, told that rows come first."""

    batch_first = True


class NegativeBias(Attached):
    """Biases start far below zero, so that no hidden unit of the decoder is ever active."""

    start = -4.0

    def __init__(self, features: int) -> None:
        super().__init__(features)
        for layer in (self.encoder[0], self.decoder[0]):
            assert isinstance(layer, nn.Linear)
            nn.init.constant_(layer.bias, self.start)


class ZeroBias(NegativeBias):
    """The same model with biases that start at zero."""

    start = 0.0


class SteepCode(Attached):
    """A sigmoid so steep that the code is nearly binary, and passes no gradient to the encoder."""

    slope = 1000.0

    def __init__(self, features: int) -> None:
        super().__init__(features)
        self.squash = nn.Sigmoid()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        code = self.squash(self.slope * self.encoder(x))
        return self.decoder(code), code


class GentleCode(SteepCode):
    """The same model with a plain sigmoid."""

    slope = 1.0


class StaleNorm(nn.Module):
    """Batch normalization whose running averages move by a ten-thousandth of the way at each step."""

    momentum = 1e-4

    def __init__(self, features: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(features, 128), nn.BatchNorm1d(128, momentum=self.momentum), nn.ReLU(), nn.Linear(128, 10)
        )
        self.decoder = nn.Sequential(
            nn.Linear(10, 128), nn.BatchNorm1d(128, momentum=self.momentum), nn.ReLU(), nn.Linear(128, features)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        code = self.encoder(x)
        return self.decoder(code), code


class FreshNorm(StaleNorm):
    """The same model with PyTorch's own momentum."""

    momentum = 0.1


class LiveCodebook(Attached):
    """A discrete code: each two of its units are put onto the nearest of 64 entries, which follow the mean of what is
    put there (van den Oord et al. 2017, appendix A.1)."""

    def __init__(self, features: int, offset: float = 0.0) -> None:
        super().__init__(features)
        entries = torch.randn(64, 2)
        entries[1:] += offset
        self.register_buffer("entries", entries)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        code = torch.tanh(self.encoder(x))
        entries = self.get_buffer("entries")
        pairs = code.reshape(-1, 2)
        picked = torch.cdist(pairs, entries).argmin(1)
        put = entries[picked].view_as(code)
        if self.training:
            with torch.no_grad():
                count = torch.bincount(picked, minlength=len(entries)).to(code.dtype)[:, None]
                total = torch.zeros_like(entries).index_add_(0, picked, pairs)
                entries += 0.05 * torch.where(count > 0, total / count.clamp(min=1) - entries, 0.0)
        return self.decoder(code + (put - code).detach()), code


class IdleCodebook(LiveCodebook):
    """All entries but one begin far from anything that the encoder makes, and nothing ever brings them nearer."""

    def __init__(self, features: int) -> None:
        super().__init__(features, offset=50.0)
