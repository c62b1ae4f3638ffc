"""Accelerate, with accumulated batches and a loop of one's own: two lines. The learning rate is too low.

`aetui watch` on it without the two lines does the same.
"""

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import aetui
from aetui.data.builtin import read_digits


def main(epochs: int = 40, lr: float = 1e-6) -> nn.Module:
    set_seed(0)
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
    images = torch.from_numpy(read_digits().values).float() / 16
    model: nn.Module = nn.Sequential(
        nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 8), nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 64)
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=2000)
    loader = DataLoader(TensorDataset(images), batch_size=32, shuffle=True)
    model, optimizer, loader, schedule = accelerator.prepare(model, optimizer, loader, schedule)
    run = aetui.watch(model, probe=images, optimizer=optimizer, loss="mse", code="2", name="with-accelerate")
    for epoch in range(epochs):
        for (batch,) in loader:
            with accelerator.accumulate(model):
                loss = F.mse_loss(model(batch), batch)
                accelerator.backward(loss)
                accelerator.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
            run.log(loss)
        accelerator.print(f"epoch {epoch}: loss {loss.item():.4f}")
    return accelerator.unwrap_model(model)


if __name__ == "__main__":
    main()
