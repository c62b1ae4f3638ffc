"""pythae, whose models return a ModelOutput and whose trainer owns the loop: one callback. Its beta empties the code.

`aetui watch with_pythae.py` does the same without the callback.
"""

import tempfile

import torch
from pythae.models import BetaVAE, BetaVAEConfig
from pythae.pipelines import TrainingPipeline
from pythae.trainers import BaseTrainerConfig
from torch import nn

import aetui.integrations
from aetui.data.builtin import read_digits


def main(epochs: int = 20) -> nn.Module:
    torch.manual_seed(0)
    images = torch.from_numpy(read_digits().values).float().reshape(-1, 1, 8, 8) / 16
    model = BetaVAE(BetaVAEConfig(input_dim=(1, 8, 8), latent_dim=8, reconstruction_loss="bce", beta=20.0))
    with tempfile.TemporaryDirectory() as folder:
        settings = BaseTrainerConfig(
            output_dir=folder, num_epochs=epochs, per_device_train_batch_size=64, learning_rate=1e-3, no_cuda=True,
            optimizer_cls="AdamW", scheduler_cls="StepLR", scheduler_params={"step_size": 10, "gamma": 0.5},
        )  # fmt: skip
        train = TrainingPipeline(model=model, training_config=settings)
        train(images, callbacks=[aetui.integrations.pythae(name="with-pythae")])
    return model


if __name__ == "__main__":
    main()
