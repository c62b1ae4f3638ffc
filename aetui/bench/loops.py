"""Loops without a screen: what people write, the leanest by hand, and the engine alone.

Run as `python -m aetui.bench.loops CASE KIND[,KIND] TURNS SECONDS DEVICE` in a process of its own; the kinds take
turns, so that they meet the same noise. Prints JSON: the steps per second of each turn, by kind.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from aetui import data
from aetui import protocol as p
from aetui.bench.cases import case_spec
from aetui.spec import RunSpec, changed, dumps

if TYPE_CHECKING:
    from aetui.watching.run import Run

_LOOK = 0.3
"""Seconds between two looks at the diagnosis, as a screen takes them."""
WARMUP = 0.5
"""Share of a turn's seconds that is run before the first one and not counted."""


class Loop(Protocol):
    """Something that trains for a while when told to."""

    def rate(self, seconds: float) -> float:
        """Train for so many seconds; steps per second."""
        ...

    def close(self) -> None: ...


class ByHand:
    """A loop that a function's call is one step of."""

    def __init__(self, step: Callable[[], object], finish: Callable[[], object] = lambda: None) -> None:
        """finish: waits until the device has done what was asked of it."""
        self._step, self._finish = step, finish

    def rate(self, seconds: float) -> float:
        start = now = time.perf_counter()
        count = 0
        while now - start < seconds:
            self._step()
            count += 1
            now = time.perf_counter()
        self._finish()
        return count / (time.perf_counter() - start)

    def close(self) -> None:
        pass


def _network(spec: RunSpec, features: int) -> nn.Module:
    (hidden,), code = spec.model.hidden, spec.model.code  # pyright: ignore[reportAttributeAccessIssue]
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, code),
        nn.Linear(code, hidden), nn.ReLU(), nn.Linear(hidden, features),
    )  # fmt: skip


def plain(
    spec: RunSpec,
    rows: Tensor,
    device: torch.device,
    begin: Callable[[nn.Module, Tensor], None] | None = None,
    log: Callable[[Tensor], None] | None = None,
    wrap: Callable[[nn.Module], nn.Module] = lambda model: model,
) -> Callable[[], object]:
    """The loop in every tutorial: a DataLoader, the default optimizer, `.item()` at each step.

    Args:
        begin: called once with the model and the rows.
        log: called with the loss of each step.
        wrap: what is put around the model before anything else.
    """
    model = wrap(_network(spec, rows.shape[1]).to(device))
    if begin is not None:
        begin(model, rows)
    optimizer = torch.optim.Adam(model.parameters(), lr=spec.optim.lr)
    losses: list[float] = []
    if spec.train.batch_size:
        loader = DataLoader(TensorDataset(rows), batch_size=spec.train.batch_size, shuffle=True)
        batches: Iterator[Tensor] = (batch for _ in itertools.count() for (batch,) in loader)
    else:
        batches = itertools.repeat(rows)

    def step() -> None:
        batch = next(batches).to(device)
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(batch), batch)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if log is not None:
            log(loss)

    return step


class WatchedLoop(ByHand):
    """The plain loop with `aetui.watch` and two lines more, with or without a screen that shows it."""

    def __init__(self, spec: RunSpec, rows: Tensor, device: torch.device, *, shown: bool) -> None:
        import aetui
        from aetui.bench.attached import Attached

        self._watch: Callable[..., Run] = aetui.watch
        self._run: Run | None = None
        super().__init__(plain(spec, rows, device, self._begin, self._log))
        self._step()
        assert self._run is not None
        self._screen = Attached(self._run.name, os.environ["AETUI_HOME"]) if shown else None

    def _begin(self, model: nn.Module, rows: Tensor) -> None:
        self._run = self._watch(model, probe=rows, loss="mse")

    def _log(self, loss: Tensor) -> None:
        assert self._run is not None
        self._run.log(loss)

    def rate(self, seconds: float) -> float:
        while self._screen is not None and not self._screen.ready():
            self._step()
        return super().rate(seconds)

    def close(self) -> None:
        if self._screen is not None:
            self._screen.close()
        if self._run is not None:
            self._run.close()


def lean(spec: RunSpec, rows: Tensor, device: torch.device) -> Callable[[], object]:
    """As lean as by hand: all rows on the device, one permutation an epoch, the fused optimizer, nothing recorded."""
    model, rows = _network(spec, rows.shape[1]).to(device), rows.to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=spec.optim.lr, fused=True)
    size = spec.train.batch_size

    def shuffled() -> Iterator[Tensor]:
        while True:
            yield from rows[torch.randperm(len(rows), device=device)].split(size)

    batches = shuffled() if size else itertools.repeat(rows)

    def step() -> None:
        batch = next(batches)
        optimizer.zero_grad(set_to_none=True)
        loss = nn.functional.mse_loss(model(batch), batch)
        loss.backward()
        optimizer.step()

    return step


class EngineLoop:
    """An engine with nobody watching, or somebody who looks at the diagnosis alone."""

    def __init__(self, spec: RunSpec, *, store: bool = False, diagnosed: bool = False) -> None:
        from aetui.bench.driven import Driven
        from aetui.engine.worker import Engine

        self._seen = 0
        self._diagnosed = diagnosed
        self._engine = Engine("stored" if store else "bench", store=store)
        self._driven = Driven(self._engine)
        self._driven.obey(p.New, spec=dumps(spec))
        while diagnosed and not self._seen:
            self._wait(_LOOK)

    def _wait(self, seconds: float) -> None:
        """Let the engine work, looking at the diagnosis as a screen does if that is wanted."""
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            look = p.Look(run=1, have={"diagnosis": self._seen})
            view = self._engine.view(look) if self._diagnosed else None
            if view is not None and view.diagnosis is not None:
                self._seen = view.diagnosis.version
            time.sleep(min(left, _LOOK))

    def rate(self, seconds: float) -> float:
        first = self._driven.obey(p.Run)
        self._wait(seconds)
        last = self._driven.obey(p.Pause)
        # What is written and measured at a pause belongs to the one that paused.
        time.sleep(_LOOK)
        return (last.step - first.step) / (last.time - first.time)

    def close(self) -> None:
        self._driven.close()


def _finisher(device: torch.device) -> Callable[[], object]:
    if device.type == "cuda":
        return lambda: torch.cuda.synchronize(device)
    return torch.mps.synchronize if device.type == "mps" else lambda: None


def loop(case: str, kind: str, device: str = "cpu") -> Loop:
    """A loop of one of the kinds `plain`, `lean`, `watched`, `shown`, `engine`, `diagnosed` and `stored`."""
    spec, place = changed(case_spec(case), {"train.device": device}), torch.device(device)
    if kind in ("plain", "lean", "watched", "shown"):
        rows = torch.from_numpy(data.load(spec.data).train)
        if kind in ("watched", "shown"):
            return WatchedLoop(spec, rows, place, shown=kind == "shown")
        return ByHand({"plain": plain, "lean": lean}[kind](spec, rows, place), _finisher(place))
    return EngineLoop(spec, store=kind == "stored", diagnosed=kind == "diagnosed")


def in_turns(
    case: str, kinds: Sequence[str], turns: int, seconds: float, device: str = "cpu"
) -> dict[str, list[float]]:
    """Steps per second of each kind, turn by turn; of `shown`, of the first.

    Each turn is a loop of its own: libgomp has a pool for every thread that trains, and shortens the spinning where all
    of them together have more threads than there are cores.
    """
    rates: dict[str, list[float]] = {kind: [] for kind in kinds}
    with tempfile.TemporaryDirectory() as home:
        os.environ["AETUI_HOME"] = home
        for turn in range(turns):
            for kind in kinds if turn % 2 else reversed(kinds):
                if kind == "shown" and turn:
                    # A screen takes seconds to come up.
                    continue
                with closing(loop(case, kind, device)) as one:
                    one.rate(seconds * WARMUP)
                    rates[kind].append(one.rate(seconds))
    return rates


if __name__ == "__main__":
    case, kinds, turns, seconds, device = sys.argv[1:]
    print(json.dumps(in_turns(case, kinds.split(","), int(turns), float(seconds), device)))
