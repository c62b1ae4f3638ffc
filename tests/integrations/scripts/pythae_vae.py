import sys
import tempfile

import torch
from pythae.data.datasets import BaseDataset
from pythae.models import BetaVAE, BetaVAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from torch import nn


class Encoder(BaseEncoder):
    def __init__(self, args):
        BaseEncoder.__init__(self)
        self.layers = nn.Sequential(nn.Linear(16, 12), nn.ReLU())
        self.embedding = nn.Linear(12, args.latent_dim)
        self.log_var = nn.Linear(12, args.latent_dim)

    def forward(self, x):
        h = self.layers(x.reshape(x.shape[0], -1))
        return ModelOutput(embedding=self.embedding(h), log_covariance=self.log_var(h))


class Decoder(BaseDecoder):
    def __init__(self, args):
        BaseDecoder.__init__(self)
        self.layers = nn.Sequential(nn.Linear(args.latent_dim, 12), nn.ReLU(), nn.Linear(12, 16))

    def forward(self, z):
        return ModelOutput(reconstruction=self.layers(z).reshape(-1, 1, 4, 4))


beta = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
epochs = int(sys.argv[2]) if len(sys.argv) > 2 else 8
torch.manual_seed(0)
data = (torch.randn(320, 3) @ torch.randn(3, 16)).reshape(-1, 1, 4, 4)
config = BetaVAEConfig(input_dim=(1, 4, 4), latent_dim=3, reconstruction_loss="mse", beta=beta)
model = BetaVAE(config, encoder=Encoder(config), decoder=Decoder(config))
with tempfile.TemporaryDirectory() as folder:
    training_config = BaseTrainerConfig(
        output_dir=folder, num_epochs=epochs, learning_rate=2e-3, per_device_train_batch_size=32, no_cuda=True,
        per_device_eval_batch_size=32, optimizer_cls="Adam", scheduler_cls="ReduceLROnPlateau",
        scheduler_params={"patience": 50},
    )
    trainer = BaseTrainer(
        model,
        train_dataset=BaseDataset(data[:256], torch.ones(256)),
        eval_dataset=BaseDataset(data[256:], torch.ones(64)),
        training_config=training_config,
    )
    trainer.train()
print("rate", trainer.optimizer.param_groups[0]["lr"])
print("weights", sum(p.double().abs().sum() for p in trainer.model.parameters()).item().hex())
