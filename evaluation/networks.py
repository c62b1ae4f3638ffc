"""Autoencoders as people write them: sequential, functional, with raw parameters, convolutional, recurrent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MODULES: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "leaky_relu": lambda: nn.LeakyReLU(0.1),
    "softplus": nn.Softplus,
    "hardtanh": nn.Hardtanh,
    "softmax": lambda: nn.Softmax(dim=-1),
}
FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda x: x,
    "relu": F.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "elu": F.elu,
    "gelu": F.gelu,
    "silu": F.silu,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.1),
    "softplus": F.softplus,
    "hardtanh": F.hardtanh,
    "softmax": lambda x: F.softmax(x, dim=-1),
}


@dataclass(frozen=True)
class Hidden:
    """What stands between two hidden layers."""

    activation: str
    norm: str = "none"
    """`batch` or `layer`."""
    momentum: float | None = 0.1
    dropout: float = 0.0
    always: bool = False
    """Dropout in eval mode as well, as `F.dropout` does unless told the mode."""
    gain: float = 1.0
    shift: float = 0.0
    """The activation sees gain * x - shift; functional networks only."""

    def modules(self, width: int) -> list[nn.Module]:
        """As modules, for a hidden layer of `width` units."""
        parts: list[nn.Module] = []
        if self.norm == "batch":
            parts.append(nn.BatchNorm1d(width, momentum=self.momentum))
        elif self.norm == "layer":
            parts.append(nn.LayerNorm(width))
        parts.append(MODULES[self.activation]())
        if self.dropout:
            parts.append(nn.Dropout(self.dropout))
        return parts


def sequential(widths: Sequence[int], hidden: Hidden, last: str = "linear") -> nn.Sequential:
    """Linear layers with activations between them, as modules."""
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(pairwise(widths)):
        layers.append(nn.Linear(before, after))
        if i < len(widths) - 2:
            layers += hidden.modules(after)
    if last != "linear":
        layers.append(MODULES[last]())
    return nn.Sequential(*layers)


class Functional(nn.Module):
    """fc1, fc2, ... with functions between them."""

    def __init__(self, widths: Sequence[int], hidden: Hidden, last: str = "linear", listed: bool = False) -> None:
        super().__init__()
        self.hidden, self.last, self.depth = hidden, last, len(widths) - 1
        layers = [nn.Linear(before, after) for before, after in pairwise(widths)]
        self.layers: Any = None
        if listed:
            self.layers = layers  # a plain list: its parameters are not the module's
        else:
            for i, layer in enumerate(layers, 1):
                setattr(self, f"fc{i}", layer)
        if hidden.norm == "batch":
            for i, width in enumerate(widths[1:-1], 1):
                setattr(self, f"bn{i}", nn.BatchNorm1d(width, momentum=hidden.momentum))

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.hidden
        for i in range(1, self.depth + 1):
            x = (self.layers[i - 1] if self.layers is not None else getattr(self, f"fc{i}"))(x)
            if i < self.depth:
                if hidden.norm == "batch":
                    x = getattr(self, f"bn{i}")(x)
                x = FUNCTIONS[hidden.activation](hidden.gain * x - hidden.shift)
                if hidden.dropout:
                    x = F.dropout(x, hidden.dropout, training=True if hidden.always else self.training)
        return FUNCTIONS[self.last](x)


class Parameters(nn.Module):
    """Weights held as bare parameters."""

    def __init__(self, widths: Sequence[int], hidden: Hidden, last: str = "linear") -> None:
        super().__init__()
        self.hidden, self.last = hidden, last
        self.w = nn.ParameterList([nn.Parameter(torch.randn(a, b) / a**0.5) for a, b in pairwise(widths)])
        self.b = nn.ParameterList([nn.Parameter(torch.zeros(width)) for width in widths[1:]])

    def forward(self, x: Tensor) -> Tensor:
        for i, (weight, bias) in enumerate(zip(self.w, self.b, strict=True)):
            x = x @ weight + bias
            if i < len(self.w) - 1:
                x = FUNCTIONS[self.hidden.activation](self.hidden.gain * x - self.hidden.shift)
                x = F.dropout(x, self.hidden.dropout, self.training or self.hidden.always)
        return FUNCTIONS[self.last](x)


class Residual(nn.Module):
    """A projection, residual blocks, a projection."""

    def __init__(self, widths: Sequence[int], hidden: Hidden, last: str = "linear", blocks: int = 2) -> None:
        super().__init__()
        width = widths[1] if len(widths) > 2 else max(widths)
        self.hidden, self.last = hidden, last
        self.enter, self.leave = nn.Linear(widths[0], width), nn.Linear(width, widths[-1])
        self.blocks = nn.ModuleList([nn.Linear(width, width) for _ in range(blocks)])

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        for block in self.blocks:
            branch = FUNCTIONS[self.hidden.activation](self.hidden.gain * block(x) - self.hidden.shift)
            x = x + F.dropout(branch, self.hidden.dropout, self.training or self.hidden.always)
        return FUNCTIONS[self.last](self.leave(x))


class TwoBranches(nn.Module):
    """A straight and a bent path, added."""

    def __init__(self, widths: Sequence[int], hidden: Hidden, last: str = "linear") -> None:
        super().__init__()
        self.straight, self.bent, self.last = nn.Linear(widths[0], widths[-1]), Functional(widths, hidden), last

    def forward(self, x: Tensor) -> Tensor:
        return FUNCTIONS[self.last](0.5 * (self.straight(x) + self.bent(x)))


class ConvEncoder(nn.Module):
    """Two strided convolutions and a linear layer; [n, 1, side, side] -> [n, code]."""

    def __init__(self, side: int, channels: int, code: int, hidden: Hidden) -> None:
        super().__init__()
        small = -(-side // 4)
        self.conv1 = nn.Conv2d(1, channels, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(channels, momentum=hidden.momentum) if hidden.norm == "batch" else nn.Identity()
        self.act, self.drop = MODULES[hidden.activation](), nn.Dropout(hidden.dropout)
        self.fc = nn.Linear(2 * channels * small * small, code)

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() == 3:
            x = x.unsqueeze(1)
        x = self.act(self.norm(self.conv1(x)))
        return self.fc(self.drop(self.act(self.conv2(x)).flatten(1)))


class ConvDecoder(nn.Module):
    """A linear layer and two transposed convolutions; [n, code] -> [n, 1, side, side]."""

    def __init__(self, side: int, channels: int, code: int, hidden: Hidden, last: str = "linear") -> None:
        super().__init__()
        self.small, self.channels = side // 4, channels
        self.fc = nn.Linear(code, 2 * channels * self.small**2)
        self.up1 = nn.ConvTranspose2d(2 * channels, channels, 4, stride=2, padding=1)
        self.up2 = nn.ConvTranspose2d(channels, 1, 4, stride=2, padding=1)
        self.act, self.last = MODULES[hidden.activation](), last

    def forward(self, z: Tensor) -> Tensor:
        x = self.act(self.fc(z)).view(len(z), 2 * self.channels, self.small, self.small)
        return FUNCTIONS[self.last](self.up2(self.act(self.up1(x))))


class SequenceEncoder(nn.Module):
    """The last state of a GRU or LSTM as the code; [n, time, channels] -> [n, code]."""

    def __init__(self, kind: str, channels: int, width: int, code: int) -> None:
        super().__init__()
        self.rnn = (nn.GRU if kind == "gru" else nn.LSTM)(channels, width, batch_first=True)
        self.fc = nn.Linear(width, code)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.rnn(x)[0][:, -1])


class SequenceDecoder(nn.Module):
    """The code at every time step, with the time, into a GRU or LSTM; [n, code] -> [n, time, channels]."""

    def __init__(self, kind: str, time: int, channels: int, width: int, code: int, last: str = "linear") -> None:
        super().__init__()
        self.time, self.last = time, last
        self.rnn = (nn.GRU if kind == "gru" else nn.LSTM)(code, width, batch_first=True)
        self.fc = nn.Linear(width, channels)

    def forward(self, z: Tensor) -> Tensor:
        return FUNCTIONS[self.last](self.fc(self.rnn(z.unsqueeze(1).repeat(1, self.time, 1))[0]))
