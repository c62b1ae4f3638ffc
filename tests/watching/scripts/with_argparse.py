import argparse

import numpy as np
import torch
from torch import nn


def parse():
    parser = argparse.ArgumentParser(description="denoising autoencoder")
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--lr", type=float, default=1e-2)
    parser.add_argument("--noise", type=float, default=0.3)
    parser.add_argument("--name", default="none")
    return parser.parse_args()


class DAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(10, 6), nn.Tanh(), nn.Linear(6, 2), nn.Tanh(), nn.Linear(2, 10))

    def forward(self, x):
        return self.body(x)


args = parse()
np.random.seed(0)
torch.manual_seed(0)
clean = torch.from_numpy(np.random.randn(200, 2) @ np.random.randn(2, 10)).float()
autoencoder = DAE()
criterion = nn.MSELoss()
optimizer = torch.optim.SGD(autoencoder.parameters(), lr=args.lr, momentum=0.9)
for epoch in range(args.epochs):
    order = np.random.permutation(len(clean))
    for start in range(0, len(clean), 50):
        target = clean[order[start : start + 50]]
        noisy = target + args.noise * torch.randn(target.shape)
        loss = criterion(autoencoder(noisy), target)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(autoencoder.parameters(), 1.0)
        optimizer.step()
    print("epoch", epoch, "loss", loss.item(), args.name)
print("weights", sum(p.double().abs().sum() for p in autoencoder.parameters()).item().hex())
