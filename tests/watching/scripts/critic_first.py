import torch
from torch import nn, optim
from torch.nn import functional as F

torch.manual_seed(3)
x_all = torch.randn(256, 3) @ torch.randn(3, 10)
netE = nn.Sequential(nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, 3))
netG = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 10))
netD = nn.Sequential(nn.Linear(10, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1))
optD = optim.RMSprop(netD.parameters(), lr=5e-4)
optG = optim.Adam([*netE.parameters(), *netG.parameters()], lr=1e-3, betas=(0.5, 0.999))
n_critic = 3

for it in range(60):
    x = x_all[torch.randint(0, 256, (32,))]
    with torch.no_grad():
        fake = netG(netE(x))
    lossD = F.mse_loss(netD(x), torch.ones(32, 1)) + F.mse_loss(netD(fake), torch.zeros(32, 1))
    optD.zero_grad()
    lossD.backward()
    optD.step()
    if it % n_critic == n_critic - 1:
        rec = netG(netE(x))
        lossG = F.mse_loss(rec.view(-1), x.view(-1)) + 0.01 * F.mse_loss(netD(rec), torch.ones(32, 1))
        optG.zero_grad()
        lossG.backward()
        optG.step()

print("weights", sum(p.double().abs().sum() for p in [*netE.parameters(), *netG.parameters()]).item().hex())
