import torch, math
from torch import nn
torch.manual_seed(4)
# beta-VAE whose code is drawn outside of any forward, with a likelihood written out
enc = nn.Sequential(nn.Linear(9, 16), nn.ReLU())
to_mu, to_sd = nn.Linear(16, 2), nn.Linear(16, 2)
dec = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 9))
params = [p for m in (enc, to_mu, to_sd, dec) for p in m.parameters()]
opt = torch.optim.Adam(params, 1e-3)
X = torch.randn(200, 9)
for i in range(40):
    x = X[torch.randperm(200)[:50]]
    h = enc(x)
    mu, sd = to_mu(h), nn.functional.softplus(to_sd(h)) + 1e-4
    q = torch.distributions.Normal(mu, sd)
    z = q.rsample()
    rec = dec(z)
    nll = 0.5 * (x - rec).pow(2).sum(-1)
    kl = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(-1)
    loss = (nll + 0.5 * kl).mean()
    opt.zero_grad(); loss.backward(); opt.step()
print("weights", sum(p.double().abs().sum() for p in params).item().hex())
