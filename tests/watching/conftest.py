"""Loops as people write them, and a screen's commands to them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

import aetui
from aetui import protocol as p
from aetui.watching.run import Run

FEATURES, ROWS = 10, 256


def data() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(ROWS, 3, generator=generator) @ torch.randn(3, FEATURES, generator=generator)


def autoencoder() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(FEATURES, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3), nn.Linear(3, FEATURES)
    )


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([value.detach().double().flatten() for value in model.state_dict().values()])


class Screen:
    """What a screen hears of a run, and says to it."""

    def __init__(self, run: Run) -> None:
        self.engine = run._engine
        self.events: list[Any] = []
        self._arrived = threading.Condition()
        self._number = 0
        self.engine.join(self._take)

    def _take(self, event: p.Reply) -> None:
        with self._arrived:
            self.events.append(event)
            self._arrived.notify_all()

    def ask(self, kind: type[p.Command], **values: Any) -> int:
        self._number += 1
        self.engine.submit(kind(id=self._number, **values))  # pyright: ignore[reportArgumentType]
        return self._number

    def wait(self, found: Callable[[Any], bool]) -> Any:
        with self._arrived:
            assert self._arrived.wait_for(lambda: any(map(found, self.events)), 30), self.events
            return next(filter(found, self.events))

    def answer(self, number: int) -> Any:
        return self.wait(lambda event: getattr(event, "command", None) == number)

    def notes(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, p.Noted)]


@pytest.fixture
def watched() -> Iterator[Callable[..., Run]]:
    runs: list[Run] = []

    def begin(model: nn.Module, probe: Any = None, **options: Any) -> Run:
        runs.append(aetui.watch(model, data() if probe is None else probe, **options))
        return runs[-1]

    yield begin
    for run in runs:
        run.close()
