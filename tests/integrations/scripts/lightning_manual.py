from collections import OrderedDict

import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset


class Encoder(nn.Module):
    def __init__(self, d, z):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(d, 16), nn.LeakyReLU(0.2))
        self.mu, self.logvar = nn.Linear(16, z), nn.Linear(16, z)

    def forward(self, x):
        h = self.net(x)
        return self.mu(h), self.logvar(h)


class VAEGAN(pl.LightningModule):
    def __init__(self, d: int = 20, z: int = 4, lr: float = 2e-3, b1: float = 0.5, **kwargs):
        super().__init__()
        self.save_hyperparameters()
        self.automatic_optimization = False
        self.encoder = Encoder(d, z)
        self.generator = nn.Sequential(nn.Linear(z, 16), nn.ReLU(), nn.Linear(16, d))
        self.discriminator = nn.Sequential(nn.Linear(d, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))

    def forward(self, z):
        return self.generator(z)

    def adversarial_loss(self, y_hat, y):
        return F.binary_cross_entropy_with_logits(y_hat, y)

    def training_step(self, batch, batch_idx):
        (imgs,) = batch
        opt_g, opt_d = self.optimizers()

        self.toggle_optimizer(opt_g)
        mu, logvar = self.encoder(imgs)
        z = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)
        fake = self(z)
        recon = F.mse_loss(fake, imgs)
        kld = -0.5 * torch.mean(1 + logvar - mu.pow(2) - logvar.exp())
        valid = torch.ones(imgs.size(0), 1).type_as(imgs)
        g_loss = recon + 1e-3 * kld + 1e-2 * self.adversarial_loss(self.discriminator(fake), valid)
        opt_g.zero_grad()
        self.manual_backward(g_loss)
        self.clip_gradients(opt_g, gradient_clip_val=1.0, gradient_clip_algorithm="norm")
        opt_g.step()
        self.untoggle_optimizer(opt_g)

        self.toggle_optimizer(opt_d)
        real_loss = self.adversarial_loss(self.discriminator(imgs), valid)
        fake_loss = self.adversarial_loss(self.discriminator(fake.detach()), torch.zeros_like(valid))
        d_loss = (real_loss + fake_loss) / 2
        opt_d.zero_grad()
        self.manual_backward(d_loss)
        opt_d.step()
        self.untoggle_optimizer(opt_d)

        sch_g, _ = self.lr_schedulers()
        sch_g.step()
        self.log_dict(OrderedDict(g_loss=g_loss, d_loss=d_loss, recon=recon), prog_bar=True)

    def configure_optimizers(self):
        vae = list(self.encoder.parameters()) + list(self.generator.parameters())
        opt_g = torch.optim.Adam(vae, lr=self.hparams.lr, betas=(self.hparams.b1, 0.999))
        opt_d = torch.optim.Adam(self.discriminator.parameters(), lr=self.hparams.lr, betas=(self.hparams.b1, 0.999))
        return [opt_g, opt_d], [
            torch.optim.lr_scheduler.LambdaLR(opt_g, lambda step: 0.99**step),
            torch.optim.lr_scheduler.StepLR(opt_d, 10),
        ]


def main():
    pl.seed_everything(7)
    data = torch.randn(320, 3) @ torch.randn(3, 20)
    model = VAEGAN()
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=6, logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    trainer.fit(model, DataLoader(TensorDataset(data), batch_size=32, shuffle=True))
    print("loss", trainer.callback_metrics["g_loss"].item())
    print("rate", trainer.optimizers[0].param_groups[0]["lr"])
    print("weights", sum(p.double().abs().sum() for p in model.parameters()).item().hex())


main()
