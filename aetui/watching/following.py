"""The processes of a training besides the first: nothing of a run but what it takes to follow that one's commands."""

from __future__ import annotations

import atexit
import json
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import nn

from aetui.report import Report
from aetui.spec.errors import SpecError
from aetui.training.interface import Checkpoint, CheckpointError
from aetui.training.records import Records
from aetui.watching.aside import Aside
from aetui.watching.hooks import Hooks
from aetui.watching.leading import ANSWER, BEAT, STEPS, checksum, received
from aetui.watching.meetings import described, table_of
from aetui.watching.ranks import Mailbox, Place, RanksError, linked
from aetui.watching.run import Run
from aetui.watching.settings import WatchedSettings
from aetui.watching.steps import WatchedSteps
from aetui.watching.stored import WatchedStored

log = logging.getLogger("aetui.watching")

_ROWS = 4096
"""Steps whose losses are kept."""
_LAST = 5.0
"""Seconds for the last message."""
_COMES = 60.0
"""Seconds at least that the first process may take to come to where it has said that all meet."""
_SILENCE = 30.0
"""Beats of the first process that may be missing until it is taken for dead."""


class FollowedTraining:
    """What a process that has no run knows of its training."""

    def __init__(self, module: nn.Module, others: dict[str, Any]) -> None:
        first = next(module.parameters(), None)
        self.device = torch.device("cpu") if first is None else first.device
        self.module, self.aside = module, Aside(module)
        self.optimizers: list[torch.optim.Optimizer] = []
        self.steps, self.settings = WatchedSteps(self.device, _nowhere), WatchedSettings(_nowhere)
        self.stored = WatchedStored(
            module, lambda: self.optimizers, self.steps, self.settings, self.aside, others, dict
        )
        self.stored.many = True
        self.steps.together = self._keep
        self._kept = 0, np.empty((2, 0), np.float32)
        """How many steps were before, and loss and total of the last ones."""

    def _keep(self, first: int, records: Records) -> Records:
        rows = np.concatenate([self._kept[1], [records.loss, records.total]], 1)[:, -_ROWS:]
        self._kept = first + len(records) - rows.shape[1], rows
        return records

    def losses(self, first: int = 0, count: int = _ROWS) -> dict[str, Any]:
        """Loss and total of some steps, as far as they are known, as a message; from any thread."""
        self.steps.drain()
        before, rows = self._kept
        first = max(first, before)
        return {"first": first, "rows": rows[:, first - before : first - before + count].tobytes()}

    def of(self, optimizers: Sequence[torch.optim.Optimizer], schedulers: Sequence[Any]) -> None:
        self.optimizers = list(optimizers)
        self.settings.of(optimizers, schedulers)


def _nowhere(_text: str) -> None:
    """The first process says it for all."""


class FollowerRun(Run):
    """`aetui.watch` in a process that follows: the calls of a run, without one."""

    def __init__(self, place: Place, number: int) -> None:
        super().__init__(None, None)
        self._place, self._number = place, number
        self._mail: Mailbox | None = None
        self._news = threading.Condition()
        self._place_now = 0
        """The place that the training was at last."""
        self._stop: int | None = None
        """The place at which to wait for the first process, by its question `_meeting`."""
        self._meeting = 0
        self._agreed = self._waits = False
        """Whether all have been told of that place, and whether this process is at one and waits."""
        self._scheduled: tuple[int, int] | None = None
        """Place and meeting that were announced long before."""
        self._queue: deque[Any] = deque()
        self._listener: threading.Thread | None = None
        self._heard = 0
        """Messages of the first process that were read."""
        self._gone = ""
        """Why this process follows no more."""
        self._last, self._pace = time.monotonic(), 0.0

    def follow(
        self,
        module: nn.Module,
        optimizers: list[torch.optim.Optimizer],
        schedulers: list[Any],
        others: dict[str, Any],
    ) -> FollowerRun:
        """Hang on the optimizers' hooks from now on."""
        training = FollowedTraining(module, others)
        self._training: Any = training
        self._schedulers, self.closed = schedulers, False
        self._hooks = Hooks(
            module, training.settings, training.steps, found=self._found, between=lambda: None, fault=self._fault
        )  # fmt: skip
        self._hooks.measures, self._hooks.shared, self._hooks.at = False, True, self._at
        atexit.register(self.close)
        if optimizers:
            training.of(optimizers, schedulers)
            self._hooks.watch(optimizers)
        else:
            self._hooks.seek()
        return self

    # --- the calls of a run ---------------------------------------------------------------------

    def report(self) -> Report | None:
        """None: the first process has the run."""

    def weigh(self, kl_weight: float) -> None:
        """Nothing is measured here."""

    def note(self, text: str, *, warning: bool = False) -> None:
        log.info("%s", text)

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._leave("its watching was closed")
            self._hooks.close()
            atexit.unregister(self.close)
            self._end_listening()

    def _end_listening(self) -> None:
        """A thread that still waits within PyTorch while Python ends would abort the process."""
        if self._mail is None or self._listener is None or os.getpid() != self._process:
            return
        with suppress(RuntimeError):
            self._training.steps.close()
            self._mail.post(f"last/{self._place.rank}", self._training.losses())
            self._mail.post(f"out/{self._place.rank}/{self._heard + 1}", {"kind": "end"})
        self._listener.join(_LAST)

    def _found(self, optimizer: torch.optim.Optimizer) -> None:
        self._training.of([optimizer], self._schedulers)
        self._hooks.watch([optimizer])

    def _fault(self, error: Exception) -> None:
        # Rank 0 says it to whoever asks for something; the script's own output is not for it.
        log.info("following ended", exc_info=error)
        self._leave(f"{type(error).__name__}: {error}")

    def _leave(self, why: str) -> None:
        with self._news:
            self._gone = self._gone or why
            self._stop = None

    # --- between two steps ----------------------------------------------------------------------

    def _at(self, place: int) -> None:
        """The training is at a place: wait there, where that was asked for."""
        if self._mail is None and not self._say_hello(place):
            return
        now = time.monotonic()
        self._last, self._pace = now, max(now - self._last, 0.8 * self._pace)
        if place % _ROWS == 0:
            # Nobody may ever ask for it.
            self._training.steps.drain()
        with self._news:
            self._place_now = place
            if self._stop is None or place < self._stop:
                return
            self._waits = True
        try:
            self._wait(place)
        finally:
            self._waits = False
            self._last = time.monotonic()

    def _say_hello(self, place: int) -> bool:
        """Say that this process is there, once it can."""
        if not linked() or self._gone:
            return False
        try:
            self._mail = Mailbox(self._number)
        except (RanksError, RuntimeError) as error:
            self._gone = str(error)
            return False
        self._place_now = place
        self._mail.post(f"hello/{self._place.rank}", described(self._training))
        self._listener = threading.Thread(target=self._listen, name="aetui ranks", daemon=True)
        self._listener.start()
        return True

    def _wait(self, place: int) -> None:
        """Be where the others are, until the first process has all go on."""
        limit = max(_COMES, STEPS * self._pace) + ANSWER
        until, here, came = time.monotonic() + limit, False, 0
        beats, heard = -1, time.monotonic()
        assert self._mail is not None
        while True:
            with self._news:
                stays = self._stop is not None and place >= self._stop
                if stays and self._agreed and came != self._meeting:
                    came = self._meeting
                    self._training.steps.close()
                    self._mail.post(f"at/{self._place.rank}/{came}", {"place": place})
                # Before it goes on: the first process may have had it go on and have ended since.
                message = self._queue.popleft() if self._queue else None
                if message is None and not stays:
                    self._waits = False
                    return
                if message is None:
                    self._news.wait(BEAT)
            if message is not None:
                if message["id"] == came:
                    here = True
                    self._take(message)
                    heard = time.monotonic()
                continue
            if here:
                beats, before = self._mail.beats(), beats
                heard = time.monotonic() if beats != before else heard
                until = heard + _SILENCE
            if time.monotonic() > until:
                self._leave("rank 0 did not come to where all were to meet")
                return

    def _take(self, message: Any) -> None:
        match message["kind"]:
            case "set":
                self._answer(message, self._set(message["changes"]))
            case "weigh":
                self._answer(message, {"sum": checksum(self._training.module)})
            case "restore":
                self._answer(message, self._restore(message))
            case "go":
                self._go_on(message)

    def _set(self, changes: dict[str, str]) -> dict[str, Any]:
        settings = self._training.settings
        try:
            settings.put_in_force(changes)
        except SpecError as error:
            return {"error": "; ".join(str(error).splitlines()), "table": {}}
        return {"error": "", "table": table_of(self._training)}

    def _restore(self, message: Any) -> dict[str, Any]:
        tensors = received(message["layout"], self._training.device)
        try:
            self._training.stored.restore(Checkpoint(tensors, json.loads(message["plain"])))
        except CheckpointError as error:
            return {"error": str(error)}
        return {"error": ""}

    def _go_on(self, message: Any) -> None:
        with self._news:
            then = message["next"]
            self._scheduled = None if then is None else (then, message["number"])
            self._fall_back()
        if message["over"]:
            self._leave("the run was ended from a screen")
            self._hooks.end()
        if message["interrupt"]:
            raise KeyboardInterrupt(message["text"])

    def _fall_back(self) -> None:
        """Stop next where that was announced long before, if it was."""
        self._stop, self._meeting = self._scheduled or (None, 0)
        self._agreed = self._stop is not None

    # --- what the first process says, in a thread of its own ------------------------------------

    def _listen(self) -> None:
        assert self._mail is not None
        with suppress(RuntimeError):
            while True:
                message = self._mail.next(f"out/{self._place.rank}/{self._heard + 1}")
                self._heard += 1
                if message["kind"] == "end" or self.closed:
                    break
                self._hear({**message, "number": self._heard})
        # Whoever waits here is to go on: nobody will have it do so any more.
        self._leave("rank 0 has ended its watching")
        with self._news:
            self._news.notify_all()

    def _hear(self, message: Any) -> None:
        if message["kind"] == "losses":
            self._answer(message, self._training.losses(message["first"], message["count"]))
            return
        with self._news:
            match message["kind"]:
                case "meet":
                    # The place that it is on its way to is the first at which it can stop.
                    promised = self._place_now + (not self._waits)
                    if not self._gone:
                        self._stop = promised if self._stop is None else min(promised, self._stop)
                        self._meeting, self._agreed = message["id"], False
                    self._answer(message, {"place": promised, "gone": self._gone})
                case "at" if message["id"] == self._meeting:
                    self._stop, self._agreed = message["place"], True
                case "cancel" if message["id"] == self._meeting:
                    self._scheduled = self._scheduled if message["next"] is not None else None
                    self._fall_back()
                case _:
                    self._queue.append(message)
            self._news.notify_all()

    def _answer(self, message: Any, answer: dict[str, Any]) -> None:
        assert self._mail is not None
        self._mail.post(f"in/{self._place.rank}/{message['number']}", answer)
