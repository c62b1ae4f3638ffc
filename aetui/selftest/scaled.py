"""A loop of one's own in float16 under autocast with a gradient scaler."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from aetui.selftest.place import Place

_OVERFLOWS = 5
"""The step whose gradient overflows."""


def train(place: Place, steps: int, *, watched: bool) -> tuple[Tensor, list[float]]:
    """The weights after so many steps, flat and on the host, and the losses of those that were finite."""
    import aetui

    rows = torch.randn(256, 32, generator=torch.Generator().manual_seed(0)).to(place.device)
    model = _model().to(place.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    scaler = torch.amp.GradScaler(place.device.type)
    losses: list[float] = []
    with _home(place):
        run = aetui.watch(model, probe=rows, optimizer=optimizer, scaler=scaler, loss="mse") if watched else None
        for step in range(1, steps + 1):
            optimizer.zero_grad()
            with torch.autocast(place.device.type, torch.float16):
                loss = nn.functional.mse_loss(model(rows), rows)
            scaler.scale(loss * (torch.inf if step == _OVERFLOWS else 1.0)).backward()
            scaler.step(optimizer)
            scaler.update()
            losses.append(loss.item())
            if run is not None:
                run.log(loss)
        if run is not None:
            run.close()
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()]).cpu(), losses


def _model() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 32))


@contextlib.contextmanager
def _home(place: Place) -> Iterator[None]:
    """Runs are stored among those of the selftest, and what is said of them is not its output."""
    before = os.environ.get("AETUI_HOME")
    os.environ["AETUI_HOME"] = str(place.run_folder())
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        if before is None:
            del os.environ["AETUI_HOME"]
        else:
            os.environ["AETUI_HOME"] = before
