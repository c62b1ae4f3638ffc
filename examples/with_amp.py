"""A loop in mixed precision over accumulated batches: two lines, and each step has the mean of its batches' losses.

`aetui watch` on it without the two lines does the same.
"""

import torch
from torch import nn
from torch.nn import functional as F

import aetui
from aetui.data.builtin import read_digits

BATCHES = 4
"""Whose gradients make one step."""


def main(epochs: int = 40) -> nn.Module:
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    kind = torch.float16 if device == "cuda" else torch.bfloat16
    images = torch.from_numpy(read_digits().values).float().to(device) / 16
    model = nn.Sequential(
        nn.Linear(64, 32), nn.GELU(), nn.Linear(32, 8), nn.Linear(8, 32), nn.GELU(), nn.Linear(32, 64), nn.Sigmoid()
    ).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    scaler = torch.amp.GradScaler(device, enabled=kind is torch.float16)
    run = aetui.watch(model, probe=images, loss="mse", code="2", scaler=scaler, name="with-amp")
    for epoch in range(epochs):
        order = torch.randperm(len(images), device=device)
        for number, rows in enumerate(order.split(32)):
            x = images[rows]
            with torch.autocast(device, kind):
                loss = F.mse_loss(model(x), x)
            scaler.scale(loss / BATCHES).backward()
            run.log(loss)
            if (number + 1) % BATCHES == 0:
                scaler.unscale_(optimizer)
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                scaler.step(optimizer)
                scaler.update()
                optimizer.zero_grad()
        print(f"epoch {epoch}: loss {loss.item():.4f}")
    return model


if __name__ == "__main__":
    main()
