"""Loops without a screen: what people write, the leanest by hand, and the engine alone.

Run as `python -m aetui.bench.loops CASE KIND SECONDS` in a process of its own; prints steps per second, of the kind
`store` without the store and with it.
"""

import itertools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from aetui import data
from aetui import protocol as p
from aetui.bench.cases import case_spec
from aetui.spec import RunSpec, dumps

_LOOK = 0.3
"""Seconds between two looks at the diagnosis, as a screen takes them."""
_LONGER = 3
"""Times the seconds that the engine is measured for: what it does besides comes every few seconds."""
_TURNS = 8
"""Turns that an engine with and one without a store take."""
WARMUP = 0.5
"""Share of a measurement's seconds that is run before it and not counted."""


def rate(step: Callable[[], object], seconds: float) -> float:
    """Calls of `step` per second, after a warm-up."""
    _count(step, seconds * WARMUP)
    count, elapsed = _count(step, seconds)
    return count / elapsed


def _count(step: Callable[[], object], seconds: float) -> tuple[int, float]:
    start = now = time.perf_counter()
    count = 0
    while now - start < seconds:
        step()
        count += 1
        now = time.perf_counter()
    return count, now - start


def _network(spec: RunSpec, features: int) -> nn.Module:
    (hidden,), code = spec.model.hidden, spec.model.code  # pyright: ignore[reportAttributeAccessIssue]
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, code),
        nn.Linear(code, hidden), nn.ReLU(), nn.Linear(hidden, features),
    )  # fmt: skip


def plain(spec: RunSpec, rows: Tensor) -> Callable[[], object]:
    """The loop in every tutorial: a DataLoader, the default optimizer, `.item()` at each step."""
    model = _network(spec, rows.shape[1])
    optimizer = torch.optim.Adam(model.parameters(), lr=spec.optim.lr)
    losses: list[float] = []
    if spec.train.batch_size:
        loader = DataLoader(TensorDataset(rows), batch_size=spec.train.batch_size, shuffle=True)
        batches: Iterator[Tensor] = (batch for _ in itertools.count() for (batch,) in loader)
    else:
        batches = itertools.repeat(rows)

    def step() -> None:
        batch = next(batches)
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(batch), batch)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    return step


def lean(spec: RunSpec, rows: Tensor) -> Callable[[], object]:
    """As lean as by hand: one permutation an epoch, the fused optimizer, nothing recorded."""
    model = _network(spec, rows.shape[1])
    optimizer = torch.optim.Adam(model.parameters(), lr=spec.optim.lr, fused=True)
    size = spec.train.batch_size

    def shuffled() -> Iterator[Tensor]:
        while True:
            yield from rows[torch.randperm(len(rows))].split(size)

    batches = shuffled() if size else itertools.repeat(rows)

    def step() -> None:
        batch = next(batches)
        optimizer.zero_grad(set_to_none=True)
        loss = nn.functional.mse_loss(model(batch), batch)
        loss.backward()
        optimizer.step()

    return step


class _Driver:
    """An engine with nobody watching, told what to do and waited for."""

    def __init__(self, spec: RunSpec, *, store: bool = False) -> None:
        import threading

        from aetui.engine.worker import Engine

        self._accepted: dict[int, p.Accepted] = {}
        self._arrived = threading.Condition()
        self._last = 0
        self.engine = Engine("stored" if store else "bench", store=store)
        self.engine.join(self._take)
        self._worker = threading.Thread(target=self.engine.work)
        self._worker.start()
        self.obey(p.New, spec=dumps(spec))

    def _take(self, reply: p.Reply) -> None:
        if isinstance(reply, p.Accepted):
            with self._arrived:
                self._accepted[reply.command] = reply
                self._arrived.notify_all()

    def obey(self, kind: Callable[..., p.Commands], **arguments: object) -> p.Accepted:
        self._last += 1
        command = kind(id=self._last, **arguments)
        self.engine.submit(command)
        with self._arrived:
            self._arrived.wait_for(lambda: command.id in self._accepted)
        return self._accepted[command.id]

    def rate(self, wait: Callable[[float], None], seconds: float) -> float:
        """Steps per second while `wait` waits."""
        first = self.obey(p.Run)
        wait(seconds)
        last = self.obey(p.Pause)
        return (last.step - first.step) / (last.time - first.time)

    def close(self) -> None:
        self.obey(p.Stop)
        self._worker.join()


def engine_rate(spec: RunSpec, seconds: float, *, diagnosed: bool = False) -> float:
    """Steps per second of the engine with nobody watching, or somebody who looks at the diagnosis alone."""
    driver = _Driver(spec)
    version = 0

    def look_for(duration: float) -> None:
        """Let the engine work, looking at the diagnosis as a screen does if that is wanted."""
        nonlocal version
        end = time.perf_counter() + duration
        while (left := end - time.perf_counter()) > 0:
            view = driver.engine.view(p.Look(run=1, have={"diagnosis": version})) if diagnosed else None
            if view is not None and view.diagnosis is not None:
                version = view.diagnosis.version
            time.sleep(min(left, _LOOK))

    while diagnosed and not version:
        look_for(_LOOK)
    driver.rate(look_for, seconds * WARMUP)
    rate = driver.rate(look_for, seconds * _LONGER)
    driver.close()
    return rate


def store_rates(spec: RunSpec, seconds: float) -> tuple[float, float]:
    """Steps per second of the engine without and with its store, in turns, so that both meet the same noise."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["AETUI_HOME"] = home
        drivers = [_Driver(spec), _Driver(spec, store=True)]
        found: list[list[float]] = [[], []]
        for driver in drivers:
            driver.rate(time.sleep, seconds * WARMUP)
        for turn in range(_TURNS):
            for which in (0, 1) if turn % 2 else (1, 0):
                found[which].append(drivers[which].rate(time.sleep, seconds))
                # What is written at a pause belongs to the one that paused.
                time.sleep(_LOOK)
        for driver in drivers:
            driver.close()
    ratio = statistics.median(stored / plain for plain, stored in zip(*found, strict=True))
    plain = statistics.median(found[0])
    return plain, plain * ratio


def measure(case: str, kind: str, seconds: float) -> float:
    spec = case_spec(case)
    if kind in ("engine", "diagnosed"):
        return engine_rate(spec, seconds, diagnosed=kind == "diagnosed")
    rows = torch.from_numpy(data.load(spec.data).train)
    return rate({"plain": plain, "lean": lean}[kind](spec, rows), seconds)


def main(case: str, kind: str, seconds: float) -> None:
    """Print the rate; of kind `store` those without and with it."""
    rates = store_rates(case_spec(case), seconds) if kind == "store" else (measure(case, kind, seconds),)
    print(*rates)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
