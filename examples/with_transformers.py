"""The Hugging Face Trainer with a model that computes its own loss: one callback. The learning rate is far too high.

`aetui watch with_transformers.py` does the same without the callback.
"""

import torch
from torch import nn
from torch.nn import functional as F
from transformers import Trainer, TrainingArguments, set_seed
from transformers.utils import ModelOutput

import aetui.integrations
from aetui.data.builtin import read_digits


class Autoencoder(nn.Module):
    def __init__(self, code: int = 8) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, code), nn.ReLU())
        self.decoder = nn.Sequential(nn.Linear(code, 32), nn.ReLU(), nn.Linear(32, 64))

    def forward(self, pixel_values: torch.Tensor, labels: torch.Tensor | None = None) -> ModelOutput:
        code = self.encoder(pixel_values)
        made = self.decoder(code)
        loss = None if labels is None else F.mse_loss(made, labels)
        return ModelOutput(loss=loss, reconstruction=made, code=code)


def main(epochs: int = 20, lr: float = 0.5) -> nn.Module:
    set_seed(0)
    images = torch.from_numpy(read_digits().values).float()
    images = (images - images.mean(0)) / images.std(0).clamp(min=1e-3)
    model = Autoencoder()
    arguments = TrainingArguments(
        output_dir="with-transformers", num_train_epochs=epochs, per_device_train_batch_size=32, learning_rate=lr,
        warmup_steps=10, logging_steps=100, save_strategy="no", report_to=[], use_cpu=True, disable_tqdm=True,
    )  # fmt: skip
    rows = [{"pixel_values": image, "labels": image} for image in images]
    watching = aetui.integrations.transformers(name="with-transformers")
    Trainer(model, arguments, train_dataset=rows, callbacks=[watching]).train()
    return model


if __name__ == "__main__":
    main()
