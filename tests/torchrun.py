"""torchrun with gloo on the CPU, and what its ranks have noted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from aetui import protocol as p
from aetui.cli.talk import NoAnswer, Talk
from aetui.runs.folder import RunFolder
from aetui.spec import SpecError

SEVERAL = str(Path(__file__).parent / "watching" / "scripts" / "several.py")
"""A training that notes the weights and the rate of each rank after every step."""
PATIENCE = 120.0
"""Seconds until a wait is given up; a busy machine starts processes slowly."""


def until(found: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + PATIENCE
    while not (value := found()):
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.02)
    return value


class Job:
    """torchrun with a script, in a session of its own."""

    def __init__(
        self, folder: Path, script: str, *arguments: str, ranks: int = 2, launcher: tuple[str, ...] = ()
    ) -> None:
        self.folder, self.ranks = folder, ranks
        self._printed = open(folder / "printed.txt", "w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            [
                sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks),
                *launcher, script, *arguments,
            ],
            cwd=folder, stdout=self._printed, stderr=subprocess.STDOUT, start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR", "AETUI_TEST_JOB": str(folder)},
        )  # fmt: skip

    @property
    def printed(self) -> str:
        return (self.folder / "printed.txt").read_text()

    def steps(self, rank: int) -> list[str]:
        """What a rank has noted, a line a step."""
        file = self.folder / f"rank{rank}.txt"
        return [line for line in file.read_text().splitlines() if line[0].isdigit()] if file.exists() else []

    def taken(self, rank: int = 0) -> int:
        return len(self.steps(rank))

    def trains(self, more: int = 5) -> None:
        """Wait for some steps."""
        wanted = self.taken() + more
        until(lambda: self.taken() >= wanted or self.process.poll() is not None, f"step {wanted}: {self.printed}")

    def talk(self, name: str = "several") -> Talk:
        def reached() -> Talk | None:
            try:
                return Talk(RunFolder.find(name), "a test", PATIENCE)
            except (SpecError, ValueError):
                assert self.process.poll() is None, self.printed
                return None

        return until(reached, f"the run's socket: {self.printed}")

    def stop(self, talk: Talk) -> None:
        """End the run, as a screen does."""
        # The last that it says is that it has ended.
        with suppress(NoAnswer):
            talk.ask(p.Stop)
            talk.wait_for("ended")

    def end(self) -> int:
        code = self.process.wait(PATIENCE)
        until(lambda: not self.left(), "the last process to be gone")
        return code

    def left(self) -> dict[int, int]:
        """The processes that are not gone, by rank; the launcher's is -1."""
        found: dict[int, int] = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                pairs = (one.partition(b"=") for one in (folder / "environ").read_bytes().split(b"\0"))
                held = {name: value for name, _, value in pairs}
            except OSError:
                continue
            if held.get(b"AETUI_TEST_JOB") == bytes(self.folder):
                found[int(held.get(b"RANK", b"-1"))] = int(folder.name)
        return found

    def check_equal(self) -> list[str]:
        """The notes of the first, which all the others have too."""
        notes = self.steps(0)
        for rank in range(1, self.ranks):
            assert self.steps(rank) == notes
        return notes

    def kill(self) -> None:
        for pid in self.left().values():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        self._printed.close()


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Callable[..., Job]]:
    jobs: list[Job] = []

    def start(*arguments: str, script: str | None = None, **options: Any) -> Job:
        folder = tmp_path / str(len(jobs))
        folder.mkdir()
        jobs.append(Job(folder, script or SEVERAL, *arguments, **options))
        return jobs[-1]

    yield start
    for one in jobs:
        one.kill()
