import lightning as L
import torch
import torch.nn as nn
import torch.nn.functional as F
from lightning.pytorch.callbacks import EarlyStopping
from torch.utils.data import DataLoader, Dataset, random_split


class Blobs(Dataset):
    def __init__(self, n=480):
        g = torch.Generator().manual_seed(1)
        self.x = torch.randn(n, 3, generator=g) @ torch.randn(3, 16, generator=g)
        self.y = torch.randint(0, 10, (n,), generator=g)

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i].view(1, 4, 4), self.y[i]


class BlobData(L.LightningDataModule):
    def __init__(self, batch_size=32):
        super().__init__()
        self.save_hyperparameters()

    def setup(self, stage=None):
        self.train_set, self.val_set = random_split(Blobs(), [400, 80], generator=torch.Generator().manual_seed(3))

    def train_dataloader(self):
        return DataLoader(self.train_set, batch_size=self.hparams.batch_size, shuffle=True)

    def val_dataloader(self):
        return DataLoader(self.val_set, batch_size=self.hparams.batch_size)


class LitAE(L.LightningModule):
    def __init__(self, latent_dim=3, lr=1e-3):
        super().__init__()
        self.save_hyperparameters()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(16, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, latent_dim))
        self.decoder = nn.Sequential(nn.Linear(latent_dim, 12), nn.ReLU(), nn.Dropout(0.1), nn.Linear(12, 16))
        self.example_input_array = torch.zeros(2, 1, 4, 4)

    def forward(self, x):
        return self.decoder(self.encoder(x)).view(-1, 1, 4, 4)

    def _get_reconstruction_loss(self, batch):
        x, _ = batch
        x_hat = self.forward(x)
        loss = F.mse_loss(x, x_hat, reduction="none")
        return loss.sum(dim=[1, 2, 3]).mean(dim=[0])

    def training_step(self, batch, batch_idx):
        loss = self._get_reconstruction_loss(batch)
        self.log("train_loss", loss, prog_bar=True)
        return {"loss": loss, "batch": batch_idx}

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self._get_reconstruction_loss(batch))

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), lr=self.hparams.lr)
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode="min", factor=0.5, patience=20)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": "val_loss"}}


if __name__ == "__main__":
    L.seed_everything(42)
    model = LitAE()
    trainer = L.Trainer(
        accelerator="cpu", max_epochs=6, logger=False, enable_checkpointing=False, gradient_clip_val=0.5,
        accumulate_grad_batches=2, enable_progress_bar=False, callbacks=[EarlyStopping("val_loss", patience=10)],
    )
    trainer.fit(model, datamodule=BlobData())
    print("val", trainer.callback_metrics["val_loss"].item().hex())
    print("rate", trainer.optimizers[0].param_groups[0]["lr"])
    print("weights", sum(p.double().abs().sum() for p in model.parameters()).item().hex())
