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


def check(place: Place) -> Iterator[Result]:
    effort = place.effort
    trainer = place.trainer()
    driven = place.driven(trainer)
    try:
        before_all = place.held()
        # What is made once: state of the optimizer, rows to measure on, copies for the probes.
        _turn(driven, 40, tweak=1, undo=True, probe=True)
        start = place.held()
        part = effort.long // effort.tweaks
        for number in range(effort.tweaks):
            undo = number * effort.undos // effort.tweaks != (number + 1) * effort.undos // effort.tweaks
            probe = number * effort.probes // effort.tweaks != (number + 1) * effort.probes // effort.tweaks
            _turn(driven, part, tweak=number, undo=undo, probe=probe)
        end = place.held()
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
    driven.obey(p.Set, changes={"optim.lr": repr(1e-3 * (1 + tweak / 100))})
    if undo:
        driven.train(2)
        driven.obey(p.Undo)
    if probe:
        driven.obey(p.Examine)
        run = driven.engine.run
        assert run is not None
        while run.probing:
            time.sleep(0.01)


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
