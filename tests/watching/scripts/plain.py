import torch
import torch.nn as nn
import torch.nn.functional as F

torch.manual_seed(0)
data = torch.randn(512, 3) @ torch.randn(3, 12)

encoder = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3))
decoder = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 12))
net = nn.Sequential(encoder, decoder)
opt = torch.optim.Adam(net.parameters(), lr=1e-3)

for step in range(40):
    x = data[torch.randint(0, 512, (64,))]
    loss = F.mse_loss(net(x), x)
    opt.zero_grad()
    loss.backward()
    opt.step()
    if step % 10 == 0:
        print(f"step {step} loss {loss.item():.6f}")

print("weights", sum(p.double().abs().sum() for p in net.parameters()).item().hex())
