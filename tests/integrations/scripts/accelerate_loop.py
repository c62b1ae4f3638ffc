import argparse

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class AutoEncoder(nn.Module):
    def __init__(self, dim=24, hidden=16, latent=4):
        super().__init__()
        self.enc = nn.Sequential(nn.Linear(dim, hidden), nn.SiLU(), nn.Linear(hidden, latent))
        self.dec = nn.Sequential(nn.Linear(latent, hidden), nn.SiLU(), nn.Linear(hidden, dim))

    def forward(self, x):
        z = self.enc(x)
        return self.dec(z), z


def training_function(config, args):
    accelerator = Accelerator(
        cpu=True, mixed_precision=args.mixed_precision, gradient_accumulation_steps=args.gradient_accumulation_steps
    )
    set_seed(config["seed"])
    data = torch.randn(400, 4) @ torch.randn(4, 24)
    train_dataloader = DataLoader(TensorDataset(data[:320]), shuffle=True, batch_size=config["batch_size"])
    eval_dataloader = DataLoader(TensorDataset(data[320:]), batch_size=40)
    model = AutoEncoder().to(accelerator.device)
    optimizer = torch.optim.AdamW(params=model.parameters(), lr=config["lr"])
    lr_scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=config["lr"], epochs=config["num_epochs"], steps_per_epoch=len(train_dataloader) // 2
    )
    model, optimizer, train_dataloader, eval_dataloader, lr_scheduler = accelerator.prepare(
        model, optimizer, train_dataloader, eval_dataloader, lr_scheduler
    )
    criterion = nn.MSELoss()
    for epoch in range(config["num_epochs"]):
        model.train()
        for (batch,) in train_dataloader:
            with accelerator.accumulate(model):
                recon, z = model(batch)
                loss = criterion(recon, batch) + 1e-3 * z.pow(2).mean()
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                lr_scheduler.step()
                optimizer.zero_grad()
        model.eval()
        with torch.no_grad():
            total = sum(criterion(model(batch)[0], batch).item() for (batch,) in eval_dataloader)
        accelerator.print(f"epoch {epoch}: {total / len(eval_dataloader):.6f}")
    print("rate", lr_scheduler.get_last_lr()[0])
    print("weights", sum(p.double().abs().sum() for p in accelerator.unwrap_model(model).parameters()).item().hex())


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--mixed_precision", default="no", choices=["no", "fp16", "bf16"])
    parser.add_argument("--gradient_accumulation_steps", type=int, default=2)
    parser.add_argument("--lr", type=float, default=5e-3)
    args = parser.parse_args()
    training_function({"lr": args.lr, "num_epochs": 8, "seed": 42, "batch_size": 16}, args)
