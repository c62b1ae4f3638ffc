"""A worker process of an experiment: trains one fork after another, and ends with whoever started it."""

from __future__ import annotations

import os
import queue
import sys
import threading
from typing import BinaryIO

from aetui import data
from aetui.data import DataError, Dataset
from aetui.spec import sections as s
from aetui.whatif import wire
from aetui.whatif.forks import Job, Saved, train

_KEPT = 2
"""Data sets that a process holds: those of the run, and those of a fork with another scaling."""


def main() -> None:
    """Obey orders from standard input until it is closed."""
    # What a user's model prints must not come between the messages.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    Worker(sys.stdin.buffer, out).work()


class Worker:
    """Takes orders in one thread and trains in another; a closed pipe ends the process at once."""

    def __init__(self, orders: BinaryIO, news: BinaryIO) -> None:
        self._orders, self._news = orders, news
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._saved: Saved | None = None
        self._left: set[str] = set()
        self._data: dict[s.Data, Dataset] = {}

    def work(self) -> None:
        """Train what is ordered."""
        threading.Thread(target=self._listen, name="orders", daemon=True).start()
        while True:
            job = self._jobs.get()
            self._train(job)

    def _train(self, job: Job) -> None:
        for news in train(job, self._saved, dataset=self._dataset(job), leave=lambda: job.name in self._left):
            try:
                wire.put(self._news, news)
            except OSError:
                os._exit(0)  # nobody reads it any more

    def _listen(self) -> None:
        while (order := wire.take(self._orders, wire.ORDERS)) is not None:
            match order:
                case wire.Base():
                    self._saved = order.saved
                case wire.Do():
                    self._jobs.put(order.job)
                case wire.Leave():
                    self._left.add(order.name)
        # A step under way may take long, and nobody waits for it any more.
        os._exit(0)

    def _dataset(self, job: Job) -> Dataset | None:
        """The rows of a job, loaded once for all forks that have the same; None where they can't be."""
        section = job.spec.data
        if section not in self._data:
            while len(self._data) >= _KEPT:
                del self._data[next(iter(self._data))]
            try:
                self._data[section] = data.load(section)
            except DataError:
                return None  # the fork itself says why
        return self._data[section]


if __name__ == "__main__":
    main()
