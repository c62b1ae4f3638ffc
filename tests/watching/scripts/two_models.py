"""An adversarial autoencoder: a discriminator that steps first, and the autoencoder."""
import torch
from torch import nn

torch.manual_seed(9)
bce = nn.BCEWithLogitsLoss()


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(18, 10), nn.ReLU(), nn.Linear(10, 4))
        self.decoder = nn.Sequential(nn.Linear(4, 10), nn.ReLU(), nn.Linear(10, 18))

    def forward(self, x):
        z = self.encoder(x)
        return self.decoder(z), z


G = Generator()
D = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
opt_g = torch.optim.Adam(G.parameters(), lr=1e-3, betas=(0.5, 0.999))
opt_d = torch.optim.Adam(D.parameters(), lr=1e-3, betas=(0.5, 0.999))
real_rows = torch.randn(256, 18)
ones, zeros = torch.ones(64, 1), torch.zeros(64, 1)

for i in range(30):
    x = real_rows[torch.randperm(256)[:64]]
    recon, z = G(x)
    d_loss = bce(D(torch.randn(64, 4)), ones) + bce(D(z.detach()), zeros)
    opt_d.zero_grad()
    d_loss.backward()
    opt_d.step()

    g_loss = nn.functional.mse_loss(recon, x) + 0.01 * bce(D(z), ones)
    opt_g.zero_grad()
    g_loss.backward()
    opt_g.step()
    if i % 10 == 0:
        print(i, d_loss.item(), g_loss.item())
both = [*G.parameters(), *D.parameters()]
print("weights", sum(p.double().abs().sum() for p in both).item().hex())
