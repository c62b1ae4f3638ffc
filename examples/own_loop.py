"""A training loop that somebody wrote, whose outputs stay far from the images: `python own_loop.py`.

Two lines are aetui's; without them it trains just the same.
"""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import aetui
from aetui.data.builtin import read_digits


class Autoencoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 8))
        self.decoder = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 64), nn.Sigmoid())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.encoder(x))


def main(epochs: int = 200) -> None:
    torch.manual_seed(0)
    images = torch.from_numpy(read_digits().values).float()
    images = (images - images.mean(0)) / images.std(0).clamp(min=1e-3)
    loader = DataLoader(TensorDataset(images), batch_size=32, shuffle=True)
    model = Autoencoder()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    criterion = nn.MSELoss()
    run = aetui.watch(model, probe=images, loss="mse", code="encoder", loader=loader, name="own-loop")
    for epoch in range(epochs):
        for (batch,) in loader:
            optimizer.zero_grad()
            loss = criterion(model(batch), batch)
            loss.backward()
            optimizer.step()
            run.log(loss)
        print(f"epoch {epoch}: loss {loss.item():.4f}")


if __name__ == "__main__":
    main()
