from typing import NamedTuple

import torch
from torch import Tensor, nn


class Output(NamedTuple):
    loss: Tensor
    x_hat: Tensor
    z: Tensor


class Autoencoder(nn.Module):
    """Its forward computes the loss too."""

    def __init__(self, width: int, code: int) -> None:
        super().__init__()
        self.encoder = nn.Linear(width, code)
        self.decoder = nn.Linear(code, width)

    def forward(self, batch: dict[str, Tensor]) -> Output:
        x = batch["x"]
        z = torch.relu(self.encoder(x))
        x_hat = self.decoder(z)
        return Output(loss=((x_hat - x) ** 2).mean(), x_hat=x_hat, z=z)
