"""Takes snapshots of a training loop in its course."""

from __future__ import annotations

import torch
from torch import Tensor

from aetui.diagnosis.codebook import CodeUse, Picks, uses_of
from aetui.diagnosis.loop import Loop
from aetui.diagnosis.observe import Snapshot, measured, watching
from aetui.diagnosis.probing import Rows


class Observer:
    """Measures a loop on a fixed set of rows, at the steps it is told to."""

    def __init__(self, loop: Loop, rows: Rows) -> None:
        self.loop, self.rows = loop, rows
        self.snapshots: list[Snapshot] = []
        self._before: dict[str, Tensor] | None = None

    def take(self) -> Snapshot:
        """Measure the present state, once per step."""
        loop = self.loop
        if self.snapshots and self.snapshots[-1].step == loop.steps:
            return self.snapshots[-1]
        picks = Picks(loop.model)
        few = slice(0, loop.chunk)
        with loop.looking(), watching(loop.model) as watcher, picks:
            made = loop.forward(self.rows.x[few].clone(), self.rows.target[few]).reconstruction
        codes = self._codes(picks) if picks.lookups else ()
        snapshot = Snapshot(
            loop.steps, self.rows.fit(loop), measured(watcher, made), self._updates(), codes, picks.sparse
        )
        self.snapshots.append(snapshot)
        return snapshot

    def advance(self, steps: int) -> bool:
        """Train, measuring the update of the last of the steps."""
        if steps > 1 and not self.loop.advance(steps - 1):
            return False
        self._before = {name: parameter.detach().clone() for name, parameter in self.loop.model.named_parameters()}
        return self.loop.advance(1)

    def _codes(self, first: Picks) -> tuple[CodeUse, ...]:
        """The codebooks over all of the rows, of which the first batch was seen."""
        x, target = self.rows.x.split(self.loop.chunk), self.rows.target.split(self.loop.chunk)
        looks = [(first, len(x[0]))]
        for given, wanted in zip(x[1:], target[1:], strict=True):
            if len(given) < self.loop.subject.least:
                continue
            picks = Picks(self.loop.model)
            with self.loop.looking(), picks:
                self.loop.forward(given.clone(), wanted)
            looks.append((picks, len(given)))
        return uses_of(looks)

    def _updates(self) -> dict[str, float]:
        if self._before is None or self.loop.broken is not None:
            return {}
        ratios: dict[str, float] = {}
        for name, parameter in self.loop.model.named_parameters():
            size = float(torch.linalg.vector_norm(parameter.detach()))
            if size > 0 and name in self._before:
                ratios[name] = float(torch.linalg.vector_norm(parameter.detach() - self._before[name])) / size
        return ratios
