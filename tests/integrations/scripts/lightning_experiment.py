import argparse

import pytorch_lightning as pl
import torch
from torch import nn, optim
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset


class BaseVAE(nn.Module):
    def encode(self, input):
        raise NotImplementedError

    def decode(self, input):
        raise NotImplementedError


class VanillaVAE(BaseVAE):
    def __init__(self, in_channels, latent_dim, hidden_dims=None, **kwargs):
        super().__init__()
        self.latent_dim = latent_dim
        modules = []
        for h_dim in hidden_dims or [4, 8]:
            modules.append(
                nn.Sequential(
                    nn.Conv2d(in_channels, out_channels=h_dim, kernel_size=3, stride=2, padding=1),
                    nn.BatchNorm2d(h_dim),
                    nn.LeakyReLU(),
                )
            )
            in_channels = h_dim
        self.encoder = nn.Sequential(*modules)
        self.fc_mu = nn.Linear(8 * 4, latent_dim)
        self.fc_var = nn.Linear(8 * 4, latent_dim)
        self.decoder_input = nn.Linear(latent_dim, 8 * 4)
        self.decoder = nn.Sequential(nn.ConvTranspose2d(8, 4, 3, stride=2, padding=1, output_padding=1), nn.LeakyReLU())
        self.final_layer = nn.Sequential(
            nn.ConvTranspose2d(4, 4, 3, stride=2, padding=1, output_padding=1), nn.Conv2d(4, 1, 3, padding=1)
        )

    def encode(self, input):
        result = torch.flatten(self.encoder(input), start_dim=1)
        return [self.fc_mu(result), self.fc_var(result)]

    def decode(self, z):
        return self.final_layer(self.decoder(self.decoder_input(z).view(-1, 8, 2, 2)))

    def reparameterize(self, mu, logvar):
        std = torch.exp(0.5 * logvar)
        eps = torch.randn_like(std)
        return eps * std + mu

    def forward(self, input, **kwargs):
        mu, log_var = self.encode(input)
        return [self.decode(self.reparameterize(mu, log_var)), input, mu, log_var]

    def loss_function(self, *args, **kwargs) -> dict:
        recons, input, mu, log_var = args[0], args[1], args[2], args[3]
        recons_loss = F.mse_loss(recons, input)
        kld_loss = torch.mean(-0.5 * torch.sum(1 + log_var - mu**2 - log_var.exp(), dim=1), dim=0)
        loss = recons_loss + kwargs["M_N"] * kld_loss
        return {"loss": loss, "Reconstruction_Loss": recons_loss.detach(), "KLD": -kld_loss.detach()}


class VAEXperiment(pl.LightningModule):
    def __init__(self, vae_model: BaseVAE, params: dict) -> None:
        super().__init__()
        self.model = vae_model
        self.params = params
        self.curr_device = None

    def forward(self, input, **kwargs):
        return self.model(input, **kwargs)

    def training_step(self, batch, batch_idx):
        real_img, labels = batch
        self.curr_device = real_img.device
        results = self.forward(real_img, labels=labels)
        train_loss = self.model.loss_function(*results, M_N=self.params["kld_weight"], batch_idx=batch_idx)
        self.log_dict({key: val.item() for key, val in train_loss.items()}, sync_dist=True)
        return train_loss["loss"]

    def validation_step(self, batch, batch_idx):
        real_img, labels = batch
        results = self.forward(real_img, labels=labels)
        val_loss = self.model.loss_function(*results, M_N=1.0, batch_idx=batch_idx)
        self.log_dict({f"val_{key}": val.item() for key, val in val_loss.items()}, sync_dist=True)

    def configure_optimizers(self):
        optimizer = optim.Adam(self.model.parameters(), lr=self.params["LR"], weight_decay=self.params["weight_decay"])
        scheduler = optim.lr_scheduler.ExponentialLR(optimizer, gamma=self.params["scheduler_gamma"])
        return [optimizer], [scheduler]


parser = argparse.ArgumentParser()
parser.add_argument("--kld_weight", type=float, default=0.00025)
parser.add_argument("--epochs", type=int, default=4)
args = parser.parse_args()
pl.seed_everything(1265, True)
images = torch.rand(320, 1, 8, 8).round()
images = images * torch.linspace(0, 1, 8) + 0.5 * torch.rand(320, 1, 1, 1)
data = TensorDataset(images, torch.randint(0, 10, (320,)))
experiment = VAEXperiment(
    VanillaVAE(1, 6),
    {"LR": 0.005, "weight_decay": 0.0, "scheduler_gamma": 0.95, "kld_weight": args.kld_weight},
)
runner = pl.Trainer(
    accelerator="cpu", max_epochs=args.epochs, logger=False, enable_checkpointing=False, enable_progress_bar=False
)
runner.fit(experiment, DataLoader(data, 32, shuffle=True), DataLoader(data, 64))
print("loss", runner.callback_metrics["loss"].item())
print("rate", runner.optimizers[0].param_groups[0]["lr"])
print("weights", sum(p.double().abs().sum() for p in experiment.parameters()).item().hex())
