"""What the engine's steps cost beside loops by hand, and how busy they keep the device."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from aetui.bench.measuring import loops
from aetui.bench.spread import Figure, ratios
from aetui.selftest.place import Place, Result

_KINDS = ("plain", "lean", "engine")


def check(place: Place) -> Iterator[Result]:
    for case in place.effort.cases:
        by_hand = loops(case, ("plain", "lean"), place.effort.seconds, str(place.device))
        with _busy(place.device) as shares:
            engine = loops(case, ("engine",), place.effort.seconds, str(place.device))["engine"]
        rates = {**by_hand, "engine": engine}
        figures = ", ".join(f"{kind} {Figure.of(rates[kind]).text()}" for kind in _KINDS)
        over = ", ".join(f"engine / {kind} {ratios(engine, rates[kind]).median:.2f}" for kind in ("plain", "lean"))
        busy = f"; GPU busy {max(shares)} %" if shares else ""
        yield Result(f"steps/s, {case}", "measured", f"{figures}; {over}{busy}")


@contextmanager
def _busy(device: torch.device) -> Iterator[list[int]]:
    """Shares of the time in percent that a GPU was busy, as its driver samples them; none where it has no such tool."""
    shares: list[int] = []
    tool = shutil.which("nvidia-smi") if device.type == "cuda" else None
    if tool is None:
        yield shares
        return
    over = threading.Event()
    card = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
    query = [tool, "-i", card, "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]

    def sample() -> None:
        while not over.wait(0.2):
            done = subprocess.run(query, capture_output=True, text=True)
            if done.returncode == 0 and done.stdout.strip().isdigit():
                shares.append(int(done.stdout))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield shares
    finally:
        over.set()
        thread.join()
