"""Whether something of the input goes around the code: it is held, and the reconstruction is looked at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from aetui.diagnosis.change import Change
from aetui.diagnosis.loop import Loop
from aetui.diagnosis.subject import Subject
from aetui.diagnosis.touched import tensors_in
from aetui.models.base import hooked

FEW = 32
"""Rows of the batch that is tried."""
AROUND = 0.05
"""Spread of the reconstructions with the code held, in shares of their spread, from which the input goes around it."""


@dataclass(frozen=True)
class Bypass:
    """share: spread over the rows that is left with the code held, in shares of the spread as it is. where: the module
    whose output was held."""

    share: float
    where: str

    @property
    def found(self) -> bool:
        return self.share > AROUND


def measure_bypass(subject: Subject) -> Bypass | None:
    """Give every row the code of the first one, in eval mode and without noise; None where no module returns a
    code of its own, or what else is in a batch may be meant to go around it."""
    width, stepped = subject.code_width, subject.stepped
    if width is None or width >= subject.judged[0].numel():
        return None
    if stepped is not None and (stepped.feed.whole or len(list(tensors_in(stepped.feed.batch([0, 1])))) != 1):
        return None
    loop = Loop(subject, Change(silent=True))
    count = min(loop.chunk, max(FEW, subject.least), subject.rows, subject.batch_size or subject.rows)
    try:
        made = _made(loop, count)
        with _held(loop.model, count, width) as where:
            around = _made(loop, count)
    except Exception:  # noqa: BLE001 - a caller's model may take batches of its own size only
        return None
    spread = float(made.std(0).square().sum().sqrt())
    if not where or not spread or made.shape != around.shape or not bool(torch.isfinite(around).all()):
        return None
    return Bypass(float(around.std(0).square().sum().sqrt()) / spread, where[0])


def _made(loop: Loop, count: int) -> Tensor:
    return loop.made(torch.arange(count, device=loop.inputs.device)).reshape(count, -1)


@contextmanager
def _held(model: nn.Module, rows: int, width: int) -> Iterator[list[str]]:
    """All outputs as wide as the code are those of the first row; yields the names of their modules."""
    names = {module: name for name, module in model.named_modules()}
    where: list[str] = []

    def hold(module: nn.Module, _given: object, output: Any) -> Any:
        if not isinstance(output, Tensor) or output.ndim < 2 or len(output) != rows or output[0].numel() != width:
            return None
        where.append(names[module])
        return output[:1].expand(output.shape).clone()

    leaves = [module for module in names if next(module.children(), None) is None]
    with hooked(leaves, hold):
        yield where
