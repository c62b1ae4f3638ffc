"""All checks, one after the other, as a table or JSON."""

from __future__ import annotations

import json
import logging
import os
import platform
import shutil
import subprocess
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import torch

from aetui.selftest import exact, faults, kinds, memory, nonfinite, speed, tweaks, waits
from aetui.selftest.place import FULL, Effort, Place, Result
from aetui.spec import RunSpec, changed
from aetui.training.machine import pick_device
from aetui.version import __version__

CHECKS: tuple[Callable[[Place], Iterator[Result]], ...] = (
    exact.check, waits.check, nonfinite.check, tweaks.check, kinds.check, faults.check, memory.check, speed.check,
)  # fmt: skip
_WIDTH = 118


def selftest(
    device: str | None, effort: Effort = FULL, said: Callable[[Result], object] = lambda _: None
) -> list[Result]:
    """All results, in order; `said` hears of each as it is found.

    Raises:
        SpecError: the machine has no such device.
    """
    picked = _picked(device)
    results: list[Result] = []
    threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory(prefix="aetui-selftest-") as folder, _quiet():
        place = Place(picked, effort, Path(folder))
        try:
            for check in CHECKS:
                for result in _tried(check, place):
                    results.append(result)
                    said(result)
        finally:
            torch.set_num_threads(threads)
    return results


def _picked(device: str | None) -> torch.device:
    return pick_device(changed(RunSpec(), {"train.device": device or "auto"}).train.device)


@contextmanager
def _quiet() -> Iterator[None]:
    """No log of the failures that are brought about on purpose."""
    logger = logging.getLogger("aetui")
    before, nowhere = logger.propagate, logging.NullHandler()
    logger.addHandler(nowhere)
    logger.propagate = False
    try:
        yield
    finally:
        logger.propagate = before
        logger.removeHandler(nowhere)


def _tried(check: Callable[[Place], Iterator[Result]], place: Place) -> Iterator[Result]:
    """The results of a check; one that breaks off is one that failed."""
    try:
        yield from check(place)
    except Exception as error:  # noqa: BLE001 - whatever a device does, the other checks are tried
        text = " ".join(str(error).split()) or "no message"
        yield Result.of(check.__module__.rpartition(".")[2], False, f"{type(error).__name__}: {text}")


def selftest_and_print(device: str | None, *, as_json: bool) -> int:
    """Check, and print it: status 0 where nothing failed, else 1.

    Raises:
        SpecError: the machine has no such device.
    """
    found = about(_picked(device))
    began = time.monotonic()
    if not as_json:
        print("\n".join(f"{name:<8} {text}" for name, text in found.items()), end="\n\n", flush=True)
    results = selftest(device, said=(lambda _: None) if as_json else _print)
    failed = sum(result.state == "FAILED" for result in results)
    seconds = time.monotonic() - began
    if as_json:
        print(
            json.dumps(
                {**found, "seconds": round(seconds, 1), "failed": failed, "checks": msgspec.to_builtins(results)}
            )
        )
    else:
        print(f"\n{f'{failed} of {len(results)} checks FAILED' if failed else 'nothing failed'}, {seconds:.0f} s")
    return 1 if failed else 0


def _print(result: Result) -> None:
    head = f"{result.state:<14} {result.name}: "
    indent = " " * 15
    text = textwrap.fill(head + result.figures, _WIDTH, subsequent_indent=indent, break_on_hyphens=False)
    print(text, flush=True)


def about(device: torch.device) -> dict[str, str]:
    """What a bug report needs of the machine: versions, driver and device, and neither paths nor names."""
    system = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return {
        "aetui": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": system,
        "device": _named(device),
    }


def _named(device: torch.device) -> str:
    if device.type != "cuda":
        return str(device)
    properties = torch.cuda.get_device_properties(device)
    tool = shutil.which("nvidia-smi")
    driver = ""
    if tool is not None:
        query = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
        done = subprocess.run(query, capture_output=True, text=True)
        driver = f", driver {done.stdout.splitlines()[0]}" if done.returncode == 0 and done.stdout else ""
    memory_ = f"{properties.total_memory / 2**30:.0f} GiB"
    return f"{device}, {properties.name}, {memory_}, CUDA {torch.version.cuda}{driver}"
