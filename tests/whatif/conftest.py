"""Small runs to fork, and a pool that trains in the test's own process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
import torch

from aetui.spec import RunSpec, changed
from aetui.whatif.course import Trial
from aetui.whatif.experiment import Experiment
from aetui.whatif.forks import Job, News, Saved, train
from aetui.whatif.source import Source, of_spec

TINY = {
    "data.kind": "gaussian", "data.rows": 120, "data.features": 12, "data.validation": 0.1, "model.hidden": (10,),
    "model.code": 3, "train.batch_size": 16, "train.device": "cpu", "optim.lr": 1e-3,
}  # fmt: skip


def tiny(**settings: Any) -> RunSpec:
    """A small spec; `optim__lr=0.1` sets optim.lr."""
    given = TINY | {path.replace("__", "."): value for path, value in settings.items()}
    if given.get("model.kind") == "file":
        given = {path: value for path, value in given.items() if path not in ("model.hidden", "model.code")}
    return changed(RunSpec(), given)


class Inline:
    """Trains one fork after another in this process, as `Pool` does in others."""

    size = 1

    def __init__(self, saved: Saved | None, *, threads: int = 1, devices: tuple[str | None, ...] = ()) -> None:
        self._saved = saved
        self._waiting: deque[Job] = deque()
        self._left: set[str] = set()
        self._now: str | None = None
        self._closed = False
        self.trained: list[Job] = []

    def __enter__(self) -> Inline:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, jobs: Iterable[Job]) -> None:
        self._waiting.extend(jobs)

    def running(self) -> set[str]:
        return {self._now} if self._now else set()

    def leave(self, name: str) -> None:
        self._left.add(name)

    def close(self) -> None:
        self._closed = True

    def news(self) -> Iterator[News]:
        while self._waiting and not self._closed:
            job = self._waiting.popleft()
            self._now = job.name
            self.trained.append(job)
            for news in train(job, self._saved, leave=lambda name=job.name: name in self._left):
                if self._closed:
                    return
                yield news
            self._now = None


Tried = Callable[..., Experiment]


@pytest.fixture
def tried() -> Tried:
    """The outcome of an experiment on a spec or a source, trained in this process."""

    def run(what: RunSpec | Source, **options: Any) -> Experiment:
        source = what if isinstance(what, Source) else of_spec("test", what)
        trial = Trial(source, pool=Inline, **{"draws": 0, **options})  # pyright: ignore[reportArgumentType]
        *_, last = trial.run()
        return last

    return run


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
