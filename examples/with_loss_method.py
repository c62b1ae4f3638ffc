"""A VAE in the style of PyTorch-VAE, whose loss is a method that returns a dict: two lines, and a curve for each part.

The KL is summed over the code and the reconstruction averaged over the pixels, so the code carries nothing.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import aetui
from aetui.data.builtin import read_digits


class VanillaVAE(nn.Module):
    def __init__(self, code: int = 8) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 64), nn.LeakyReLU())
        self.fc_mu, self.fc_var = nn.Linear(64, code), nn.Linear(64, code)
        self.decoder = nn.Sequential(nn.Linear(code, 64), nn.LeakyReLU(), nn.Linear(64, 64))

    def forward(self, input: Tensor, **kwargs: Tensor) -> list[Tensor]:
        hidden = self.encoder(input)
        mu, log_var = self.fc_mu(hidden), self.fc_var(hidden)
        z = mu + torch.randn_like(mu) * torch.exp(0.5 * log_var)
        return [self.decoder(z), input, mu, log_var]

    def loss_function(self, *args: Tensor, **kwargs: float) -> dict[str, Tensor]:
        recons, input, mu, log_var = args
        recons_loss = F.mse_loss(recons, input)
        kld_loss = torch.mean(-0.5 * torch.sum(1 + log_var - mu**2 - log_var.exp(), dim=1), dim=0)
        return {"loss": recons_loss + kwargs["M_N"] * kld_loss, "Reconstruction_Loss": recons_loss, "KLD": kld_loss}


def main(epochs: int = 60) -> nn.Module:
    torch.manual_seed(0)
    images = torch.from_numpy(read_digits().values).float() / 16
    model = VanillaVAE()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    run = aetui.watch(model, probe=images, loss="mse", name="with-loss-method")
    for epoch in range(epochs):
        for x in images[torch.randperm(len(images))].split(64):
            losses = model.loss_function(*model(x), M_N=1.0)
            optimizer.zero_grad()
            losses["loss"].backward()
            optimizer.step()
            run.log(**losses)
        print(f"epoch {epoch}: " + ", ".join(f"{name} {value.item():.4f}" for name, value in losses.items()))
    return model


if __name__ == "__main__":
    main()
