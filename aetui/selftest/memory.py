"""Long runs with many tweaks, undos and probes hold no more than short ones."""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch

from aetui import data
from aetui import protocol as p
from aetui.bench.driven import Driven
from aetui.bench.loops import plain
from aetui.selftest.place import Place, Result

_SLACK = 4096
"""Bytes that may be held besides: the allocator's rounding, and history that PyTorch keeps of a tensor's name."""
_TURNS = 3


def check(place: Place) -> Iterator[Result]:
    effort = place.effort
    trainer = place.trainer()
    # Before there is an engine: what it opens and closes must not live on in a list of all objects.
    before_all = place.held()
    driven = place.driven(trainer)
    try:
        # What is made once: state of the optimizer, rows to measure on, copies for the probes.
        _turn(driven, 40, tweak=0, undo=True, probe=True)
        start = _level(place, driven)
        part = effort.long // effort.tweaks
        for number in range(effort.tweaks):
            undo = number * effort.undos // effort.tweaks != (number + 1) * effort.undos // effort.tweaks
            probe = number * effort.probes // effort.tweaks != (number + 1) * effort.probes // effort.tweaks
            _turn(driven, part, tweak=number + _TURNS, undo=undo, probe=probe)
        end = _level(place, driven)
    finally:
        driven.close()
    figures = f"{effort.long:,} steps, {effort.tweaks} tweaks, {effort.undos} undos, {effort.probes} probes: "
    figures += f"{_size(start)} before, {_size(end)} after"
    yield Result.of("memory stays", end - start <= _SLACK, figures)
    plain = _plain(place)
    yield Result(
        "memory of a run", "measured", f"{_size(start - before_all)} above a trainer at rest; plain loop {_size(plain)}"
    )


def _turn(driven: Driven, steps: int, *, tweak: int, undo: bool, probe: bool) -> None:
    driven.train(steps)
    driven.obey(p.Set, changes={"optim.lr": repr(1e-3 * (1.01 + tweak / 100))})
    if undo:
        driven.train(2)
        driven.obey(p.Undo)
    if probe:
        driven.obey(p.Examine)
        run = driven.engine.run
        assert run is not None
        while run.probing:
            time.sleep(0.01)


def _level(place: Place, driven: Driven) -> int:
    """What is held at least over some turns; checkpoints on their way to the disk and pictures come and go."""
    levels: list[int] = []
    for number in range(_TURNS):
        _turn(driven, 5, tweak=number, undo=True, probe=False)
        while not driven.engine.saved:
            time.sleep(0.01)
        levels.append(place.held())
    return min(levels)


def _plain(place: Place) -> int:
    """Bytes that the loop in every tutorial holds after some steps."""
    spec = place.spec({"data.validation": 0.0})
    before = place.held()
    step = plain(spec, torch.from_numpy(data.load(spec.data).train), place.device)
    for _ in range(10):
        step()
    return place.held() - before


def _size(count: int) -> str:
    return f"{count / 2**20:.2f} MiB"
