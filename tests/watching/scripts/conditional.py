"""Keras manners: the model fits itself; it takes a label beside the rows, and steps by a closure."""
import torch
import torch.nn.functional as F
from torch import nn


class ConditionalAE(nn.Module):
    def __init__(self, features=8, classes=3):
        super().__init__()
        self.embed = nn.Embedding(classes, 2)
        self.down = nn.Linear(features + 2, 3)
        self.up = nn.Linear(3 + 2, features)

    def forward(self, x, label=None):
        c = self.embed(label)
        h = F.elu(self.down(torch.cat([x, c], 1)))
        return {"decoded": self.up(torch.cat([h, c], 1)), "latent": h}

    def fit(self, x, label, steps):
        optimizer = torch.optim.LBFGS(self.parameters(), lr=0.1, max_iter=4)
        history = []
        for _ in range(steps):

            def closure():
                optimizer.zero_grad()
                value = F.smooth_l1_loss(self(x, label=label)["decoded"], x)
                value.backward()
                return value

            history.append(float(optimizer.step(closure)))
        return history


torch.manual_seed(13)
X, y = torch.randn(120, 8), torch.randint(0, 3, (120,))
cae = ConditionalAE()
print("history", cae.fit(X, y, 8)[-1])
print("weights", sum(p.double().abs().sum() for p in cae.parameters()).item().hex())
