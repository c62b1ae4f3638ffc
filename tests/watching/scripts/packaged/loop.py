"""The loop lives in the package, and makes the optimizer itself."""

from collections.abc import Callable, Iterable

import torch
from torch import nn

ACCUMULATE = 2


def fit(model: nn.Module, batches: Callable[[], Iterable], epochs: int, lr: float) -> None:
    optimizer = torch.optim.RMSprop(model.parameters(), lr=lr)
    for epoch in range(epochs):
        for index, batch in enumerate(batches()):
            output = model(batch)
            (output.loss / ACCUMULATE).backward()
            if (index + 1) % ACCUMULATE == 0:
                optimizer.step()
                optimizer.zero_grad()
        print(f"epoch={epoch} loss={output.loss.item():.6f}")
