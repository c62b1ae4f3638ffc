"""Worker processes that train the forks of an experiment, as many at a time as there are cores."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from aetui.openmp import bound_spin
from aetui.whatif import wire
from aetui.whatif.forks import Ended, Job, News, Saved

TRIES = 2
"""Processes that a fork may cost: one that died is no verdict on the fork, a second one is."""
_START = "import sys; sys.path.append(sys.argv.pop(1)); from aetui.whatif.__main__ import main; main()"
"""Instead of -m, which would let a random.py or torch/ in the working folder take the place of the real one."""
_TAIL = 300
"""Characters of a dead worker's last words that are told."""


class Pool:
    """Trains jobs in processes of its own and tells what becomes of them, in the order in which it happens.

    Used by one thread; `close` may be called from any, and from a signal handler. A process ends by itself where
    this one does, however that ends, and none of them writes a file.
    """

    def __init__(
        self, saved: Saved | None, *, threads: int = 1, cores: int | None = None, devices: Sequence[str | None] = ()
    ) -> None:
        """saved: the checkpoint that forks continue from. threads: of each fork. cores: at most in use. devices: GPUs
        by the names of CUDA_VISIBLE_DEVICES, of which each process gets one, None for what it finds; () on the CPU."""
        self._saved, self._threads = saved, threads
        self._spare: list[str | None] = list(devices)
        self.size = len(devices) or max(1, (cores or usable_cores()) // max(1, threads))
        """Processes at a time."""
        self._waiting: deque[Job] = deque()
        self._tries: dict[str, int] = {}
        self._workers: list[_Worker] = []
        self._news: queue.SimpleQueue[tuple[_Worker | None, News | None]] = queue.SimpleQueue()
        self._closed = False

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, jobs: Iterable[Job]) -> None:
        """Train these too, after those that wait already."""
        self._waiting.extend(jobs)
        self._employ()

    @property
    def busy(self) -> bool:
        """Whether there is anything left to train."""
        return bool(self._waiting) or any(worker.job for worker in self._workers)

    def running(self) -> set[str]:
        """Names of the forks that a process is at."""
        return {worker.job.name for worker in self._workers if worker.job}

    def processes(self) -> list[int]:
        """Process numbers of the workers."""
        return [worker.process.pid for worker in self._workers]

    def news(self) -> Iterator[News]:
        """What happens, until nothing is left to train or the pool is closed; what is added meanwhile counts."""
        while self.busy and not self._closed:
            worker, said = self._news.get()
            if worker is None:
                return
            if said is None:
                yield from self._bury(worker)
                continue
            if worker.job is None or said.name != worker.job.name:
                continue
            if isinstance(said, Ended):
                worker.job = None
                self._employ()
            yield said

    def leave(self, name: str) -> None:
        """Have a fork leave off at its next point; one that waits is not begun."""
        for worker in self._workers:
            if worker.job and worker.job.name == name:
                worker.tell(wire.Leave(name))
        self._waiting = deque(job for job in self._waiting if job.name != name)

    def close(self) -> None:
        """End all processes at once."""
        self._closed = True
        for worker in self._workers:
            worker.end()
        self._news.put((None, None))

    def _employ(self) -> None:
        """Give what waits to processes that have nothing to do, and start more where there may be."""
        for worker in self._workers:
            if self._waiting and worker.job is None:
                worker.take(self._waiting.popleft())
        while self._waiting and len(self._workers) < self.size and not self._closed:
            worker = _Worker(self._threads, self._saved, self._news, self._spare.pop() if self._spare else None)
            self._workers.append(worker)
            worker.take(self._waiting.popleft())

    def _bury(self, worker: _Worker) -> Iterator[News]:
        """Another process takes over what a dead one was at, once."""
        if worker not in self._workers:
            return
        self._workers.remove(worker)
        self._spare.append(worker.device)
        why = worker.end()
        job = worker.job
        if job is not None and not self._closed:
            self._tries[job.name] = self._tries.get(job.name, 1) + 1
            if self._tries[job.name] <= TRIES:
                self._waiting.appendleft(job)
            else:
                yield Ended(job.name, "failed", 0, f"its process ended {TRIES} times, the last time {why}")
        self._employ()


class _Worker:
    """One process, and the thread that reads what it says."""

    def __init__(
        self, threads: int, saved: Saved | None, news: queue.SimpleQueue[tuple[_Worker | None, News | None]],
        device: str | None = None,
    ) -> None:  # fmt: skip
        self.job: Job | None = None
        self.device = device
        """The one GPU that it sees, None where it sees what this process sees."""
        self._last = b""
        """What a library said last."""
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        if device is not None:
            environment["CUDA_VISIBLE_DEVICES"] = device
        bound_spin(environment)
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", _START, str(Path(__file__).parents[2])],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment,
            # Neither ctrl+c nor the end of a terminal reaches it: whoever started it decides.
            start_new_session=True,
        )  # fmt: skip
        self._outbox: queue.SimpleQueue[wire.Order | None] = queue.SimpleQueue()
        threading.Thread(target=self._write, name="what-if-write", daemon=True).start()
        threading.Thread(target=self._overhear, name="what-if-errors", daemon=True).start()
        threading.Thread(target=self._read, args=(news,), name="what-if-read", daemon=True).start()
        if saved is not None:
            self.tell(wire.Base(saved))

    def take(self, job: Job) -> None:
        self.job = job
        self.tell(wire.Do(job))

    def tell(self, order: wire.Order) -> None:
        """Send an order, without waiting for it to be read."""
        self._outbox.put(order)

    def _write(self) -> None:
        assert self.process.stdin is not None
        # A process that is gone is noticed by whoever reads.
        with suppress(OSError, ValueError):
            while (order := self._outbox.get()) is not None:
                wire.put(self.process.stdin, order)  # pyright: ignore[reportArgumentType]

    def _read(self, news: queue.SimpleQueue[tuple[_Worker | None, News | None]]) -> None:
        assert self.process.stdout is not None
        said: News | None = None
        with suppress(OSError, ValueError):
            while (said := wire.take(self.process.stdout, wire.NEWS)) is not None:  # pyright: ignore[reportArgumentType]
                news.put((self, said))
        news.put((self, None))

    def _overhear(self) -> None:
        assert self.process.stderr is not None
        with suppress(OSError, ValueError):
            while said := self.process.stderr.read1(_TAIL):  # pyright: ignore[reportAttributeAccessIssue]
                self._last = (self._last + said)[-_TAIL:]

    def end(self) -> str:
        """End the process; how it ended, a clause."""
        self._outbox.put(None)
        died = self.process.poll()
        if died is None:
            self.process.kill()
        code = self.process.wait()
        last = " ".join(self._last.decode(errors="replace").split())
        if code == -signal.SIGKILL:
            return "killed, as the system does where memory runs out"
        if code < 0:
            return f"by {signal.Signals(-code).name}"
        return f"with status {code}{f': {last}' if last else ''}"


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
