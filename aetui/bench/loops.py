"""Loops without a screen: what people write, the leanest by hand, and the engine alone.

Run as `python -m aetui.bench.loops CASE KIND SECONDS` in a process of its own; prints steps per second.
"""

import itertools
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from aetui import data
from aetui.bench.cases import case_spec
from aetui.spec import RunSpec, dumps

_LOOK = 0.3
"""Seconds between two looks at the diagnosis, as a screen takes them."""
_LONGER = 3
"""Times the seconds that the engine is measured for: what it does besides comes every few seconds."""
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


def engine_rate(spec: RunSpec, seconds: float, *, diagnosed: bool = False, stored: bool = False) -> float:
    """Steps per second of the engine with nobody watching, or somebody who looks at the diagnosis alone.

    `stored` runs are stored, in a folder that is deleted afterwards; others are not.
    """
    import threading

    from aetui import protocol as p
    from aetui.engine.worker import Engine

    accepted: dict[int, p.Accepted] = {}
    arrived = threading.Condition()

    def sink(reply: p.Reply) -> None:
        if isinstance(reply, p.Accepted):
            with arrived:
                accepted[reply.command] = reply
                arrived.notify_all()

    def obeyed(command: p.Commands) -> p.Accepted:
        engine.submit(command)
        with arrived:
            arrived.wait_for(lambda: command.id in accepted)
        return accepted[command.id]

    engine = Engine("bench", store=stored)
    engine.join(sink)
    worker = threading.Thread(target=engine.work)
    worker.start()
    version = 0

    def look_for(duration: float) -> None:
        """Let the engine work, looking at the diagnosis as a screen does if that is wanted."""
        nonlocal version
        end = time.perf_counter() + duration
        while (left := end - time.perf_counter()) > 0:
            view = engine.view(p.Look(run=1, have={"diagnosis": version})) if diagnosed else None
            if view is not None and view.diagnosis is not None:
                version = view.diagnosis.version
            time.sleep(min(left, _LOOK))

    obeyed(p.New(id=1, spec=dumps(spec)))
    while diagnosed and not version:
        look_for(_LOOK)
    obeyed(p.Run(id=2))
    look_for(seconds * WARMUP)
    obeyed(p.Pause(id=3))
    first = obeyed(p.Run(id=4))
    look_for(seconds * _LONGER)
    last = obeyed(p.Pause(id=6))
    obeyed(p.Stop(id=5))
    worker.join()
    return (last.step - first.step) / (last.time - first.time)


def measure(case: str, kind: str, seconds: float) -> float:
    spec = case_spec(case)
    if kind in ("engine", "diagnosed"):
        return engine_rate(spec, seconds, diagnosed=kind == "diagnosed")
    if kind == "stored":
        with tempfile.TemporaryDirectory() as home:
            os.environ["AETUI_HOME"] = home
            return engine_rate(spec, seconds, stored=True)
    rows = torch.from_numpy(data.load(spec.data).train)
    return rate({"plain": plain, "lean": lean}[kind](spec, rows), seconds)


if __name__ == "__main__":
    print(measure(sys.argv[1], sys.argv[2], float(sys.argv[3])))
