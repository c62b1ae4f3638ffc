"""Lightning, whose trainer owns the loop: one callback. The output layer ends in a ReLU, so no output is below 0.

`aetui watch with_lightning.py` does the same without the callback.
"""

import lightning
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import aetui.integrations
from aetui.data.builtin import read_digits


class Autoencoder(lightning.LightningModule):
    def __init__(self, code: int = 8, lr: float = 1e-3) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.encoder = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, code))
        self.decoder = nn.Sequential(nn.Linear(code, 32), nn.ReLU(), nn.Linear(32, 64), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.encoder(x))

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        (x,) = batch
        loss = F.mse_loss(self(x), x)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self) -> dict[str, object]:
        optimizer = torch.optim.Adam(self.parameters(), lr=self.hparams["lr"])
        return {"optimizer": optimizer, "lr_scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 50)}


def main(epochs: int = 100) -> nn.Module:
    lightning.seed_everything(0, verbose=False)
    images = torch.from_numpy(read_digits().values).float()
    images = (images - images.mean(0)) / images.std(0).clamp(min=1e-3)
    model = Autoencoder()
    trainer = lightning.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False, enable_model_summary=False,
        gradient_clip_val=1.0, callbacks=[aetui.integrations.lightning(name="with-lightning")],
    )  # fmt: skip
    trainer.fit(model, DataLoader(TensorDataset(images), batch_size=32, shuffle=True))
    return model


if __name__ == "__main__":
    main()
