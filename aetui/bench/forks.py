"""Eight forks of a run beside each other, against eight such runs one after another, and against one."""

from __future__ import annotations

import os
import time
from typing import Any

from aetui.bench.cases import case_spec
from aetui.training.trainer import Trainer
from aetui.whatif.choice import REORDERED, UNTOUCHED
from aetui.whatif.forks import Ended, Job, grid
from aetui.whatif.workers import Pool

FORKS = 8
CASE = "tiny"
SECONDS = 3.0
"""Length of one run, about; a process takes two to load PyTorch."""
_WARM = 200


def measure(seconds: float = SECONDS, cores: int | None = None) -> dict[str, Any]:
    """Seconds of FORKS forks in worker processes with all it takes to start them, of as many runs one after another in
    this process, which is running already, and of one of them; each of `seconds` or so."""
    trainer = Trainer(case_spec(CASE))
    trainer.run(_WARM)
    began = time.perf_counter()
    trainer.run(_WARM)
    steps = max(2, round(seconds * _WARM / (time.perf_counter() - began)))
    alone = []
    for _ in range(FORKS):
        began = time.perf_counter()
        Trainer(case_spec(CASE)).run(steps)
        alone.append(time.perf_counter() - began)
    began = time.perf_counter()
    with Pool(None, cores=cores) as pool:
        pool.add(_job(name, steps) for name in (UNTOUCHED, REORDERED, *map(str, range(FORKS - 2))))
        ended = [news for news in pool.news() if isinstance(news, Ended)]
    together = time.perf_counter() - began
    assert all(one.status == "done" for one in ended)
    return {
        "forks": FORKS, "steps": steps, "processes": pool.size, "cores": os.cpu_count(), "together_s": together,
        "one_after_another_s": sum(alone), "one_s": sum(alone) / FORKS, "over_one_after_another": together / sum(alone),
        "over_one": together / (sum(alone) / FORKS),
    }  # fmt: skip


def _job(name: str, steps: int) -> Job:
    points = grid(0, steps, steps // 2, 0)
    return Job(
        name=name, spec=case_spec(CASE), end=steps, half=steps // 2, full=steps, grid=points,
        reorder=int(name == REORDERED),
    )  # fmt: skip


def text(found: dict[str, Any]) -> str:
    """The figures in a sentence."""
    what = f"{found['forks']} forks of {found['steps']:,} steps in {found['processes']} processes"
    beside = f"{found['over_one_after_another']:.2f} of {found['one_after_another_s']:.1f} s one after another"
    return f"{what}: {found['together_s']:.1f} s, {beside}, {found['over_one']:.2f} times one run"
