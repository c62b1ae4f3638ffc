import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 2))
        self.decoder = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 16), nn.Unflatten(1, (1, 4, 4)))
        self.head = nn.Linear(2, 3)

    def forward(self, images, labels=None, epoch=0):
        z = self.encoder(images)
        out = {"recon": self.decoder(z), "z": z}
        if labels is not None:
            recon = nn.functional.smooth_l1_loss(out["recon"], images)
            out["loss"] = recon + 0.1 * nn.functional.cross_entropy(self.head(z), labels)
        return out


torch.manual_seed(0)
g = torch.Generator().manual_seed(0)
images = (torch.randn(200, 2, generator=g) @ torch.randn(2, 16, generator=g)).view(-1, 1, 4, 4)
loader = DataLoader(TensorDataset(images, torch.randint(0, 3, (200,), generator=g)), batch_size=25, shuffle=True)
model = Model()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
warm = torch.optim.lr_scheduler.StepLR(optimizer, 10)
for epoch in range(3):
    for images, labels in loader:
        optimizer.zero_grad()
        out = model(images=images, labels=labels, epoch=epoch)
        (out["loss"] / 1).backward()
        optimizer.step()

print("weights", sum(p.double().abs().sum() for p in model.parameters()).item().hex())
