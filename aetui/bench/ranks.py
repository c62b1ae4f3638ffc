"""What watching a training of several processes costs: the plain loop under DistributedDataParallel, in turns.

Run as `torchrun --nproc-per-node 2 -m aetui.bench.ranks CASE TURNS SECONDS`; rank 0 prints JSON: the steps per second
of each turn, by kind.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from typing import Any

import msgspec
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from aetui import data
from aetui.bench.cases import CASES, case_spec
from aetui.bench.loops import WARMUP, plain
from aetui.bench.spread import Figure, ratios

KINDS = ("plain", "watched")
_TURNS = 6
"""Turns that the kinds take in one start of the processes."""


def ranks_and_print(ranks: int, *, rounds: int, seconds: float, as_json: bool) -> int:
    """Measure every case and print it."""
    found: dict[str, Any] = {}
    for case in CASES:
        rates: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for turn in range(rounds):
            print(f"round {turn + 1} of {rounds}: {case} in {ranks} processes", file=sys.stderr, flush=True)
            for kind, more in _launched(ranks, case, seconds).items():
                rates[kind] += more
        found[case] = {kind: Figure.of(rates[kind]) for kind in KINDS}
        found[case]["watched_over_plain"] = ratios(rates["watched"], rates["plain"])
    if as_json:
        print(json.dumps({"ranks": ranks, "cases": msgspec.to_builtins(found)}))
        return 0
    print(f"{f'{ranks} processes':<21}" + "".join(f"{case:>25}" for case in CASES))
    for name, digits in (*((kind, None) for kind in KINDS), ("watched_over_plain", 2)):
        texts = (found[case][name].text() if digits is None else found[case][name].text(digits) for case in CASES)
        print(f"{name.replace('_over_', ' / '):<21}" + "".join(f"{text:>25}" for text in texts))
    return 0


def _launched(ranks: int, case: str, seconds: float) -> dict[str, list[float]]:
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks),
        "-m", "aetui.bench.ranks", case, str(_TURNS), str(seconds),
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as home:
        environment = {"OMP_NUM_THREADS": "1", **os.environ, "AETUI_HOME": home, "AETUI_WATCH": "1"}
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise RuntimeError(f"the processes could not be measured:\n{done.stderr}")
    return json.loads(done.stdout)


class _Loop:
    """A loop of all processes, which take as many steps."""

    def __init__(self, case: str, *, watched: bool) -> None:
        spec = case_spec(case)
        rows = torch.from_numpy(data.load(spec.data).train)
        self._run: Any = None
        begin, log = (self._begin, self._log) if watched else (None, None)
        self._step = plain(spec, rows, torch.device("cpu"), begin, log, DistributedDataParallel)
        self._step()

    def _begin(self, model: nn.Module, rows: Tensor) -> None:
        import aetui

        self._run = aetui.watch(model, probe=rows, loss="mse")

    def _log(self, loss: Tensor) -> None:
        self._run.log(loss)

    def rate(self, seconds: float) -> float:
        """Train for about so many seconds; steps per second."""
        few = self._steps(10)
        count = torch.tensor([max(10.0, seconds * few)])
        dist.broadcast(count, 0)
        self._steps(int(WARMUP * count.item()) + 1)
        return self._steps(int(count.item()))

    def _steps(self, count: int) -> float:
        dist.barrier()
        start = time.perf_counter()
        for _ in range(count):
            self._step()
        return count / (time.perf_counter() - start)

    def close(self) -> None:
        if self._run is not None:
            self._run.close()


def _in_turns(case: str, turns: int, seconds: float) -> dict[str, list[float]]:
    rates: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for turn in range(turns):
        for kind in KINDS if turn % 2 else reversed(KINDS):
            with ExitStack() as stack:
                one = _Loop(case, watched=kind == "watched")
                stack.callback(one.close)
                rates[kind].append(one.rate(seconds))
    return rates


if __name__ == "__main__":
    case, turns, seconds = sys.argv[1:]
    dist.init_process_group("gloo")
    try:
        rates = _in_turns(case, int(turns), float(seconds))
        if dist.get_rank() == 0:
            print(json.dumps(rates), flush=True)
    finally:
        dist.destroy_process_group()
