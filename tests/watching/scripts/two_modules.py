import itertools

import torch
from torch import nn


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(14, 8), nn.LeakyReLU(), nn.Linear(8, 4))

    def forward(self, x):
        return self.layers(x)


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.LeakyReLU(), nn.Linear(8, 14))

    def forward(self, z):
        return self.layers(z)


torch.manual_seed(5)
x_train = torch.randn(300, 14)
enc, dec = Encoder(), Decoder()
optimizer = torch.optim.Adam(itertools.chain(enc.parameters(), dec.parameters()), lr=2e-3)
l1 = nn.L1Loss()
for epoch in range(6):
    for xb in torch.utils.data.DataLoader(x_train, batch_size=50, shuffle=True):
        optimizer.zero_grad()
        code = enc(xb)
        out = dec(code)
        loss = l1(out, xb)
        loss.backward()
        optimizer.step()
    print(epoch, float(loss))
both = itertools.chain(enc.parameters(), dec.parameters())
print("weights", sum(p.double().abs().sum() for p in both).item().hex())
