"""A Lightning training of several processes, which notes weights and rate of each rank after every batch."""

import time
import warnings

import lightning
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

warnings.simplefilter("ignore")


class AutoEncoder(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3))
        self.decoder = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 12))

    def training_step(self, batch, number):
        (rows,) = batch
        return nn.functional.mse_loss(self.decoder(self.encoder(rows)), rows)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-2)


class Notes(lightning.Callback):
    def on_train_batch_end(self, trainer, module, *given):
        total = sum(one.detach().double().abs().sum() for one in module.parameters()).item()
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        with open(f"rank{trainer.global_rank}.txt", "a") as notes:
            notes.write(f"{trainer.global_step} {total.hex()} {rate!r}\n")
        time.sleep(0.002)


lightning.seed_everything(0)
rows = torch.randn(512, 3) @ torch.randn(3, 12)
trainer = lightning.Trainer(
    max_epochs=-1, accelerator="cpu", devices=2, strategy="ddp", logger=False, enable_checkpointing=False,
    enable_progress_bar=False, callbacks=[Notes()],
)  # fmt: skip
trainer.fit(AutoEncoder(), DataLoader(TensorDataset(rows), batch_size=32, shuffle=True))
