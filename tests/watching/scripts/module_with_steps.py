import torch
from torch import nn
class LitAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(28, 8), nn.ReLU(), nn.Linear(8, 3))
        self.decoder = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 28))
    def forward(self, x):
        return self.encoder(x)
    def training_step(self, batch, idx):
        x, _ = batch
        x = x.view(x.size(0), -1)
        z = self.encoder(x)
        x_hat = self.decoder(z)
        return nn.functional.mse_loss(x_hat, x)
    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)
class Fit:
    def run(self, module, loader):
        opt = module.configure_optimizers()
        for epoch in range(3):
            for i, batch in enumerate(loader):
                def closure():
                    opt.zero_grad()
                    loss = module.training_step(batch, i)
                    loss.backward()
                    return loss
                opt.step(closure=closure)
if __name__ == "__main__":
    torch.manual_seed(1)
    ds = torch.utils.data.TensorDataset(torch.randn(128, 4, 7), torch.zeros(128))
    m = LitAE()
    Fit().run(m, torch.utils.data.DataLoader(ds, 16, shuffle=True))
    print("weights", sum(p.double().abs().sum() for p in m.parameters()).item().hex())
