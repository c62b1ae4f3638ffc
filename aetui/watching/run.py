"""A training loop of the user's own, on the screen and under its keys."""

from __future__ import annotations

import atexit
import logging
import math
import os
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from aetui import protocol as p
from aetui.engine.host import Host
from aetui.engine.worker import Engine
from aetui.report import Report
from aetui.runs.folder import RunError, RunFolder
from aetui.spec import sections as s
from aetui.watching import gradients, logs, ranks
from aetui.watching.hooks import Hooks
from aetui.watching.meetings import Meetings
from aetui.watching.training import NOTEBOOK, WatchedTraining, script

log = logging.getLogger("aetui.watching")


class Run:
    """One watched training. Of a run that is off, every call does nothing."""

    def __init__(self, folder: RunFolder | None, name: str | None, number: int = 0) -> None:
        """number: of the training, among those that this process watches."""
        self._folder, self._number = folder, number
        self._meetings: Meetings | None = None
        # The name of the script is gone when Python ends; in a notebook any error before may be the last one.
        self._of_script = script() != NOTEBOOK
        self._broken = False
        """Whether an error has ended the script."""
        self._unlinked = ""
        """Why nothing can be changed in all of several processes, '' where it can."""
        self.name = folder.name if folder is not None else name or "unwatched"
        self.closed = True
        self._training: WatchedTraining | None = None
        self._process = os.getpid()
        self._pending: list[str] = []
        self._closing = threading.Lock()

    # --- what the loop says ---------------------------------------------------------------------

    def log(self, loss: Any = None, **parts: Any) -> None:
        """Tell the loss of the step that was just taken or is about to be, a tensor or a number; nothing waits for it.

        parts: what it is made of, by name; one called `reconstruction` is compared with the floors.
        """
        if self._training is not None and loss is not None:
            self._hooks.log(loss, parts)

    def clip_(self, parameters: Tensor | Iterable[Tensor], max_norm: float, **options: Any) -> Tensor:
        """As `torch.nn.utils.clip_grad_norm_`, until other clipping is chosen on a screen; its share is counted."""
        training = self._training
        if training is None or not (self._hooks.present or self._hooks.shared):
            return torch.nn.utils.clip_grad_norm_(parameters, max_norm, **options)
        held = [parameters] if isinstance(parameters, Tensor) else list(parameters)
        settings = training.settings
        if not settings.clip_chosen:
            norm = torch.nn.utils.clip_grad_norm_(held, max_norm, **options)
            if 0 < float(max_norm) < math.inf:
                settings.clip = s.GlobalNorm(threshold=float(max_norm))
            on_host = norm.device.type == "cpu"
            self._hooks.note_clipping(
                (float(norm), float(norm > max_norm)) if on_host else (norm, (norm > max_norm).float())
            )
            return norm
        grads = [one.grad for one in held if one.grad is not None]
        figures = gradients.measured(grads, settings.clip)
        self._hooks.note_clipping(figures)
        return torch.as_tensor(figures[0])

    def report(self) -> Report | None:
        """The verdict as it stands; None where nothing is watched or the loss is not known.

        Raises:
            Unknown: the training does not tell enough for a diagnosis; one sentence.
        """
        if self._training is None or self._hooks.over:
            return None
        with self._training.aside:
            return self._engine.report()

    def weigh(self, kl_weight: float) -> None:
        """Take this for the weight of the KL in the loop's loss."""
        if self._training is not None:
            self._training.measured.weigh(kl_weight)

    def note(self, text: str, *, warning: bool = False) -> None:
        """Have a sentence in the run's journal."""
        if self._training is not None:
            self._engine.note(text, warning=warning)

    def note_end(self, error: BaseException) -> None:
        """An error ends the script: the run was interrupted, and its journal says by what."""
        if self.closed or self._broken or isinstance(error, KeyboardInterrupt | SystemExit):
            return
        self._broken = True
        text = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        self.note(f"the script ended by {text}", warning=True)

    def _exit(self) -> None:
        """Python ends."""
        error = getattr(sys, "last_value", None)
        if isinstance(error, BaseException) and self._of_script:
            self.note_end(error)
        self.close()

    def close(self) -> None:
        """End watching: what is to be kept is written, screens are let go. The loop may go on."""
        if self._training is None or self.closed or os.getpid() != self._process:
            return
        with self._closing:
            if self.closed:
                return
            self.closed = True
            try:
                self._hooks.close()
                self._training.steps.close()
                if self._begun:
                    with self._training.aside:
                        self._engine.end(broken=self._broken)
            except Exception:
                log.exception("the run could not be closed")
            finally:
                if self._meetings is not None:
                    self._meetings.close()
                self._host.close()
                if self._log is not None:
                    logs.close(self._log)
                atexit.unregister(self._exit)
                self._forget_folder()

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- inside ---------------------------------------------------------------------------------

    def _begin(
        self,
        training: WatchedTraining,
        optimizers: list[torch.optim.Optimizer],
        schedulers: list[Any],
        began: Callable[[str, str], None] | None = None,
    ) -> None:
        """began: told of the run in the place of whoever reads what the script prints."""
        self._training, self.closed, self._begun = training, False, False
        self._schedulers = schedulers
        self._engine = Engine(
            self.name,
            folder=None if self._folder is None else self._folder.path,
            store=self._folder is not None,
            training=training,
        )
        self._log = None if self._folder is None else logs.open(self._folder.log)
        # A pause may last as long as somebody wants, and no screen's absence ends a script.
        self._host = Host(self._engine, idle=math.inf, over=math.inf, grace=math.inf)
        self._hooks = Hooks(
            training.module, training.settings, training.steps,
            found=self._found, between=self._between, fault=self._fault,
        )  # fmt: skip
        self._hooks.at = self._at
        if ranks.place() is not None:
            self._engine.inbox.hold()
        atexit.register(self._exit)
        if optimizers:
            training.of(optimizers, schedulers)
            self._hooks.watch(optimizers)
            self._start()
        else:
            self._hooks.seek()
        if self._folder is not None and began is not None:
            began(self.name, str(self._folder.path))
        elif self._folder is not None:
            logs.say(f"aetui attach {self.name}")

    def _found(self, optimizer: torch.optim.Optimizer) -> None:
        assert self._training is not None
        if ranks.sharded(self._training.module):
            raise RuntimeError(ranks.NOT_WHOLE)
        again = bool(self._training.optimizers)
        self._training.of([optimizer], self._schedulers)
        self._hooks.watch([optimizer])
        if again:
            self._say(f"the script goes on with another optimizer, {type(optimizer).__name__}, with rates of its own")
        else:
            self._start()

    def _start(self) -> None:
        self._engine.submit(p.Run(id=0), at_once=True)
        self._between()
        self._begun = True

    def stands_at(self, taken: int) -> None:
        """Steps that were taken before the watching began, as many in each process."""
        self._hooks.ticks = taken

    def _at(self, place: int) -> None:
        """The training is at a place between two steps: where it is that of several processes, see to the others."""
        if self._meetings is not None:
            self._meetings.come(place, self._obey)
        elif self._unlinked:
            if self._engine.inbox.held:
                self._engine.turn_down(self._unlinked)
        else:
            self._join(ranks.place())

    def _join(self, place: ranks.Place | None) -> None:
        """Find out whether this is one of several processes, after the first step."""
        if place is None or not ranks.linked():
            self._hooks.at = None
            self._engine.inbox.release()
            if place is not None:
                self._say(f"there are {place.world} processes, and nothing links them; this one is watched alone")
            return
        if place.rank:
            raise RuntimeError(f"this is rank {place.rank}, and torch.distributed has to be initialized before watch")
        assert self._training is not None
        self._engine.inbox.hold()
        self._hooks.shared = True
        try:
            self._meetings = Meetings(place, self._number, self._engine, self._training, self._hooks)
        except (ranks.RanksError, RuntimeError) as error:
            self._unlinked = f"nothing can be changed in all processes: {error}"
            self._say(self._unlinked)
            return
        self._engine.note(
            f"{place.world} processes: a command takes effect in all of them at the same step; the loss is their mean "
            "where each tells its own, norm and gauges are those of rank 0"
        )

    def _say(self, text: str) -> None:
        """Into the journal, once that has a run."""
        self._engine.note(text, warning=True)

    def _between(self) -> None:
        """What the engine has to do between two steps, in the thread that trains."""
        assert self._training is not None
        if self._hooks.others:
            kinds, self._hooks.others = ", ".join(sorted(self._hooks.others)), set()
            self._say(f"{kinds} steps parameters of this model too, and is not watched; optimizer=[...] takes several")
        if self._meetings is not None and self._meetings.near(2 * self._hooks.ticks):
            # The engine would pause at this step, and the others would not.
            return
        if self._engine.due:
            self._obey()

    def _obey(self) -> None:
        assert self._training is not None
        try:
            with self._training.aside:
                goes_on = self._engine.between_steps()
        except KeyboardInterrupt:
            # Whoever interrupts a pause wants the script back: a loop that is started again isn't to wait at once.
            self._engine.submit(p.Run(id=0), at_once=True)
            raise
        if self._engine.run is None:
            raise RuntimeError("no run can be made of this training; the run's log says why")
        if not goes_on:
            self._hooks.end()
            # As Ctrl+C does, so that the script can save what it has.
            raise KeyboardInterrupt(f"the run {self.name} was ended from a screen")

    def _fault(self, error: Exception) -> None:
        """Something here went wrong: said once, and the loop goes on unwatched."""
        log.error("watching ended", exc_info=error)
        if self._meetings is not None:
            self._meetings.give_up()
        text = f"watching ended: {type(error).__name__}: {error}; the script trains on unwatched"
        try:
            self._engine.note(text, warning=True)
        except Exception:  # noqa: BLE001 - there may be no journal
            logs.say(text)

    def _forget_folder(self) -> None:
        """Nothing is left of a run that never began."""
        if self._folder is not None and not self._begun:
            try:
                self._folder.delete()
            except (RunError, OSError):
                log.info("the folder of a run that never began could not be removed")
