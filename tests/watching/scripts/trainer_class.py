from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F


@dataclass
class Config:
    latent_dim: int = 3
    epochs: int = 5
    lr: float = 1e-3
    beta: float = 1.0


class VAE(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.fc1 = nn.Linear(20, 16)
        self.fc_mu = nn.Linear(16, cfg.latent_dim)
        self.fc_logvar = nn.Linear(16, cfg.latent_dim)
        self.fc3 = nn.Linear(cfg.latent_dim, 16)
        self.fc4 = nn.Linear(16, 20)

    def encode(self, x):
        h = F.relu(self.fc1(x))
        return self.fc_mu(h), self.fc_logvar(h)

    def reparameterize(self, mu, logvar):
        std = torch.exp(0.5 * logvar)
        return mu + torch.randn_like(std) * std

    def decode(self, z):
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z))))

    def forward(self, x):
        mu, logvar = self.encode(x.view(-1, 20))
        return self.decode(self.reparameterize(mu, logvar)), mu, logvar


class Trainer:
    def __init__(self, cfg):
        self.cfg = cfg
        self.model = VAE(cfg)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=cfg.lr)

    def loss_fn(self, recon, x, mu, logvar):
        bce = F.binary_cross_entropy(recon, x.view(-1, 20), reduction="sum")
        kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
        return (bce + self.cfg.beta * kld) / len(x)

    def fit(self, dataset):
        for epoch in range(self.cfg.epochs):
            for batch in dataset.split(32):
                self.optimizer.zero_grad()
                recon, mu, logvar = self.model(batch)
                loss = self.loss_fn(recon, batch, mu, logvar)
                loss.backward()
                self.optimizer.step()
            print(f"[{epoch}] {loss.item():.6f}")
        return self


if __name__ == "__main__":
    torch.manual_seed(7)
    dataset = torch.rand(160, 4, 5)
    trainer = Trainer(Config()).fit(dataset)
    print("weights", sum(p.double().abs().sum() for p in trainer.model.parameters()).item().hex())
