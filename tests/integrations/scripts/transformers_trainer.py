import sys
import tempfile
from dataclasses import dataclass

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel, Trainer, TrainingArguments, set_seed
from transformers.utils import ModelOutput


class AEConfig(PretrainedConfig):
    model_type = "ae"

    def __init__(self, size=16, latent=3, **kwargs):
        super().__init__(**kwargs)
        self.size = size
        self.latent = latent


@dataclass
class AEOutput(ModelOutput):
    loss: torch.FloatTensor | None = None
    reconstruction: torch.FloatTensor | None = None
    latent: torch.FloatTensor | None = None


class AEModel(PreTrainedModel):
    config_class = AEConfig

    def __init__(self, config):
        super().__init__(config)
        self.encoder = nn.Sequential(nn.Linear(config.size, 12), nn.GELU(), nn.Linear(12, config.latent))
        self.decoder = nn.Sequential(nn.Linear(config.latent, 12), nn.GELU(), nn.Dropout(0.1), nn.Linear(12, config.size))
        self.loss = nn.MSELoss()
        self.post_init()

    def forward(self, inputs_embeds=None, labels=None, return_dict=None):
        latent = self.encoder(inputs_embeds)
        reconstruction = self.decoder(latent)
        loss = None
        if labels is not None:
            loss = self.loss(reconstruction.view(-1), labels.view(-1))
        return AEOutput(loss=loss, reconstruction=reconstruction, latent=latent)


def main():
    set_seed(3)
    lr = float(sys.argv[1]) if len(sys.argv) > 1 else 5e-3
    data = torch.randn(300, 3) @ torch.randn(3, 16)
    rows = [{"inputs_embeds": row, "labels": row.clone()} for row in data]
    model = AEModel(AEConfig())
    with tempfile.TemporaryDirectory() as folder:
        training_args = TrainingArguments(
            output_dir=folder, num_train_epochs=8, per_device_train_batch_size=16, gradient_accumulation_steps=2,
            learning_rate=lr, weight_decay=0.01, warmup_steps=5, logging_steps=10, save_strategy="epoch",
            eval_strategy="epoch", report_to="none", use_cpu=True, disable_tqdm=True,
        )
        trainer = Trainer(model=model, args=training_args, train_dataset=rows, eval_dataset=rows[:50])
        trainer.train()
        print("loss", trainer.state.log_history[-1]["train_loss"])
    print("rate", trainer.optimizer.param_groups[0]["lr"], trainer.lr_scheduler.base_lrs[0])
    print("weights", sum(p.double().abs().sum() for p in model.parameters()).item().hex())


if __name__ == "__main__":
    main()
