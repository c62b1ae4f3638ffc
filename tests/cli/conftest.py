"""Runs that are alive while a command speaks to them: an engine of ours, and a loop of somebody's own in a thread."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

import aetui
from aetui import protocol as p
from aetui.cli.main import main
from aetui.engine.host import Host
from aetui.engine.worker import Engine
from aetui.runs.folder import RunFolder
from aetui.spec import RunSpec, changed, dumps

TINY = {
    "data.kind": "gaussian", "data.rows": "60", "data.features": "8", "model.hidden": "6", "model.code": "3",
    "train.batch_size": "16", "train.steps": "1000000",
}  # fmt: skip


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.fixture
def ours() -> Iterator[Callable[..., Engine]]:
    """Begins a run of a spec, with its engine in this process and its socket in its folder; paused unless `start`."""
    engines: list[tuple[Engine, Host, threading.Thread]] = []

    def begin(name: str, *, start: bool = False, **settings: str) -> Engine:
        folder = RunFolder.create(name)
        engine = Engine(name, folder=folder.path)
        host = Host(engine)
        worker = threading.Thread(target=engine.work, daemon=True)
        engines.append((engine, host, worker))
        more = {path.replace("__", "."): value for path, value in settings.items()}
        host.submit(p.New(id=0, spec=dumps(changed(RunSpec(), TINY | more, text=True)), start=start))
        worker.start()
        until(lambda: engine.state == ("running" if start else "paused") and (folder.path / "engine.sock").exists())
        return engine

    yield begin
    for engine, host, worker in engines:
        engine.submit(p.Stop(id=0))
        worker.join(30)
        host.close()


class Loop:
    """A loop of somebody's own that trains in a thread, watched."""

    def __init__(self, name: str, **options: Any) -> None:
        torch.manual_seed(0)
        self.rows = torch.randn(64, 3) @ torch.randn(3, 10)
        self.model = nn.Sequential(nn.Linear(10, 6), nn.ReLU(), nn.Linear(6, 3), nn.Linear(3, 10))
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01)
        self.parts: Callable[[torch.Tensor], dict[str, Any]] = lambda loss: {}
        self.over = threading.Event()
        self.interrupted = False
        self.run = aetui.watch(self.model, self.rows, optimizer=self.optimizer, name=name, **options)
        self._thread = threading.Thread(target=self._train, daemon=True)

    def start(self) -> Loop:
        self._thread.start()
        until(lambda: self.steps > 3)
        return self

    @property
    def steps(self) -> int:
        training = self.run._training
        return 0 if training is None else training.steps.done

    def _train(self) -> None:
        try:
            while not self.over.is_set():
                loss = nn.functional.mse_loss(self.model(self.rows), self.rows)
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
                self.run.log(loss, **self.parts(loss.detach()))
                time.sleep(0.0005)
        except KeyboardInterrupt:
            self.interrupted = True
        finally:
            self.run.close()

    def end(self) -> None:
        self.over.set()
        self.run._engine.submit(p.Run(id=0))
        self._thread.join(30)


@pytest.fixture
def theirs() -> Iterator[Callable[..., Loop]]:
    """Begins a watched loop."""
    loops: list[Loop] = []

    def begin(name: str, **options: Any) -> Loop:
        loops.append(Loop(name, **options))
        return loops[-1]

    yield begin
    for loop in loops:
        if loop._thread.is_alive():
            loop.end()


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What a command prints on standard output, or on standard error where its status is not 0; and nothing else."""

    def say(*words: str, status: int = 0) -> str:
        capsys.readouterr()
        assert main(list(words)) == status
        printed = capsys.readouterr()
        if status:
            assert printed.out == "" and printed.err.startswith("aetui: ") and printed.err.count("\n") == 1
            return printed.err.removeprefix("aetui: ").strip()
        assert printed.err == ""
        return printed.out.rstrip("\n")

    return say


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """The one JSON object that a command prints."""

    def tell(*words: str, status: int = 0) -> dict[str, Any]:
        capsys.readouterr()
        assert main([*words, "--json"]) == status
        return json.loads(capsys.readouterr().out)

    return tell
