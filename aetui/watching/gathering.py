"""Which of the trainings in a script is watched, and the rows of its first batches."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from aetui.diagnosis.touched import tensors_in
from aetui.watching.backwards import Backward
from aetui.watching.callers import variable
from aetui.watching.gradients import parameters
from aetui.watching.measured import unwrapped
from aetui.watching.programs import Seen, packed
from aetui.watching.reading import Call, Reading, read
from aetui.watching.whole import Whole

_BATCHES, _SMALL_BATCHES, _FEW = 16, 64, 64
"""Batches that are waited for; more of them as long as the rows are few."""
_ROUNDS = 3
"""Rounds of steps after which a reconstruction that was not seen is not waited for, where a module could make one."""
_LAST = 2 * _ROUNDS
"""The same for what makes none, such as a critic, which may take several steps before the model takes one."""
_PATIENCE = 5.0
"""Seconds from the first step on after which the rows that there are have to do."""


@dataclass
class Round:
    """What was seen since the step before."""

    touch: Whole | None = None
    inside: bool = False
    """Whether the function mode is in force."""
    calls: list[Call] = field(default_factory=list)
    backs: list[Backward] = field(default_factory=list)
    stepped: set[int] = field(default_factory=set)
    told: dict[int, int] = field(default_factory=dict)
    """Backwards that an optimizer's last step has seen already."""
    inside_from: dict[int, int] = field(default_factory=dict)
    """Backwards before an optimizer's step that has got a closure; those after it are of the closure."""
    roots: dict[int, nn.Module] = field(default_factory=dict)
    """The module whose method called an outermost forward, by the id of the module called."""


@dataclass
class Candidate:
    optimizer: Optimizer
    module: nn.Module
    reading: Reading | None
    back: Backward | None
    rows: Tensor


class Gathering:
    """Candidates of a round of steps, the one that is chosen, and its rows."""

    def __init__(self, wanted: int) -> None:
        """wanted: rows to measure on."""
        self._wanted = wanted
        self._candidates: list[Candidate] = []
        self._rounds = 0
        self.chosen: Candidate | None = None
        self.rows: list[Tensor] = []
        self.targets: list[Tensor] = []
        self._began = 0.0

    def consider(self, optimizer: Optimizer, now: Round, since: int) -> None:
        """What an optimizer's step is the training of. since: backwards of the round that are of a step before."""
        self._began = self._began or time.monotonic()
        moved = parameters(optimizer)
        calls = [one for one in now.calls if any(id(part) in moved for part in one.module.parameters())]
        if not calls or (self.chosen is not None and self.chosen.optimizer is not optimizer):
            return
        best: Candidate | None = None
        if now.touch is not None:
            held, names = _labels(calls, now.roots)
            for back in now.backs[since:]:
                back.settle(now.backs[since:])
                try:
                    found = read(now.touch, back, names, now.calls)
                except (RuntimeError, LookupError, TypeError, ValueError, ArithmeticError):
                    # A loss of a form that is none of those known here.
                    continue
                if found is not None and (best is None or best.reading is None or found.score > best.reading.score):
                    rows = packed([one.detach() for one in found.inputs]).clone()
                    best = Candidate(optimizer, _watched(found, held, names), found, back, rows)
        if best is None and self._rounds + 1 >= _ROUNDS and self.chosen is None:
            best = _without_loss(optimizer, calls, now.backs, alike=self._rounds + 1 < _LAST)
        if best is not None:
            self._candidates.append(best)

    @property
    def in_vain(self) -> bool:
        """Whether nothing that could be watched has been seen for so long that nothing will be."""
        return self.chosen is None and not self._candidates and self._rounds >= _LAST

    def decide(self, stepped: Collection[int]) -> Candidate | None:
        """After a round of steps: choose what is watched, and keep rows of it; returned once there are enough.

        stepped: the optimizers of the round, by id.
        """
        self._rounds += 1
        if self.chosen is None:
            best = max(self._candidates, key=_score, default=None)
            # A critic compares its outputs with what is no data.
            if best is None or (best.reading is not None and not best.reading.score[0] and self._rounds < _LAST):
                return None
            self.chosen = best
        found = [one for one in self._candidates if one.optimizer is self.chosen.optimizer]
        found.sort(key=lambda one: one is not self.chosen)
        self._candidates = []
        for one in found:
            self._keep(one)
        if not found and id(self.chosen.optimizer) not in stepped and time.monotonic() - self._began <= _PATIENCE:
            return None
        had = sum(map(len, self.rows))
        many = len(self.rows) >= (_BATCHES if had >= _FEW else _SMALL_BATCHES)
        enough = had >= self._wanted or many or self._drop_repeated()
        return self.chosen if enough or not found or time.monotonic() - self._began > _PATIENCE else None

    def _keep(self, one: Candidate) -> None:
        """Keep rows that are like those before."""
        wanted = None if one.reading is None or one.reading.wanted is None else one.reading.wanted.detach()
        if self.rows:
            target = self.targets[0] if self.targets else None
            if one.rows.shape[1:] != self.rows[0].shape[1:] or (wanted is None) != (target is None):
                return
            if wanted is not None and target is not None and wanted.shape[1:] != target.shape[1:]:
                return
        if wanted is not None:
            self.targets.append(wanted.clone())
        self.rows.append(one.rows)

    def _drop_repeated(self) -> bool:
        """Whether the last rows are the first ones again, which are then dropped."""
        last, first = self.rows[-1], self.rows[0]
        if len(self.rows) == 1 or last.shape != first.shape or not torch.equal(last, first):
            return False
        del self.rows[-1], self.targets[-1:]
        return True


def _score(one: Candidate) -> tuple[Any, ...]:
    return () if one.reading is None else one.reading.score


def _without_loss(optimizer: Optimizer, calls: list[Call], backs: list[Backward], *, alike: bool) -> Candidate | None:
    """The first forward that takes rows; what its output is compared with was not seen.

    alike: only one that makes as many values as it is given.
    """
    for call in calls:
        given = [one for one in tensors_in((call.args, call.kwargs)) if one.ndim and len(one) > 1]
        made = {one.numel() for one in tensors_in(call.output)}
        if given and (given[0].numel() in made or not alike):
            return Candidate(optimizer, call.module, None, backs[-1] if backs else None, given[0].detach().clone())
    return None


def _labels(calls: list[Call], roots: dict[int, nn.Module]) -> tuple[dict[str, nn.Module], dict[nn.Module, str]]:
    """Names of the modules that were called, each within the module that holds it."""
    held: dict[str, nn.Module] = {}
    names: dict[nn.Module, str] = {}
    for call in calls:
        if call.module in names:
            continue
        # What the script wrote, and not what PyTorch put around it, which may talk to other processes.
        calling = roots.get(id(call.module), call.module)
        root, module = unwrapped(calling), unwrapped(call.module)
        label = next((name for name, one in held.items() if one is root), None)
        if label is None:
            label = variable(root) or variable(calling) or type(root).__name__.lower()
            if not label.isidentifier() or label in held or hasattr(nn.Module, label):
                label = f"model{len(held)}"
            held[label] = root
        path = next(name for name, one in root.named_modules() if one is module)
        names[call.module] = f"{label}.{path}" if path else label
    return held, names


def _watched(reading: Reading, held: dict[str, nn.Module], names: dict[nn.Module, str]) -> nn.Module:
    """The module itself, where its forward is all there is to it; else one that goes the script's way through them."""
    if reading.simple and len(reading.modules) == 1:
        return unwrapped(reading.modules[0])
    used = {names[one].partition(".")[0] for one in reading.modules}
    shapes = [(one.shape[1:], one.dtype) for one in reading.inputs]
    return Seen({name: one for name, one in held.items() if name in used}, reading.program, shapes)
