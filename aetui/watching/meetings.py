"""A run whose training is that of several processes: its commands are obeyed where all of them meet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from aetui import protocol as p
from aetui.engine.worker import Engine
from aetui.training.records import Records
from aetui.watching.hooks import Hooks
from aetui.watching.leading import Leader
from aetui.watching.ranks import Mailbox, Place, RanksError
from aetui.watching.training import WatchedTraining


class Meetings:
    """Between the first process's engine, which would obey at any step, and the others."""

    def __init__(self, place: Place, number: int, engine: Engine, training: WatchedTraining, hooks: Hooks) -> None:
        """Raises:
        RanksError: the processes can't talk to each other.
        """
        self._engine, self._training, self._hooks = engine, training, hooks
        self._leader = Leader(place, Mailbox(number), described(training), lambda text: engine.note(text, warning=True))
        training.settings.spread = self._spread
        training.stored.differing = lambda: self._leader.differing(training.module)
        training.stored.spread = lambda state: self._leader.restore(state, training.measured.device)
        training.stored.many = True
        training.steps.together = self._averaged
        self._late = False
        """Whether places to meet are just before a step, since the loss comes after the one before."""

    def _spread(self, changes: Mapping[str, str]) -> None:
        self._leader.put_in_force(changes, table_of(self._training))

    def _averaged(self, first: int, records: Records) -> Records:
        """With the mean loss over the processes that tell theirs."""
        others = self._leader.losses(first, len(records))
        if not others:
            return records
        all_ranks = np.stack([np.stack([records.loss, records.total]), *others])
        told = ~np.isnan(all_ranks)
        # Only what all know: a mean over fewer of them is another figure.
        whole = told.all(0)
        loss, total = np.where(whole, all_ranks.mean(0), all_ranks[0])
        return replace(records, loss=loss, total=total)

    def near(self, place: int) -> bool:
        """Whether the engine has to wait for the others at this step."""
        return self._leader.near(place)

    def come(self, place: int, between: Callable[[], None]) -> None:
        """The training is at a place: meet the others there, where there is something to be done, and do it.

        between: what the engine does between two steps; raises KeyboardInterrupt where the training is not to go on.
        """
        inbox = self._engine.inbox
        if place % 2 == 0:
            self._late = self._hooks.logged_late
        try:
            if not self._leader.at(place, bool(inbox.held), self._late):
                return
        except RanksError as error:
            self._alone(str(error), between)
            return
        interrupt = None
        try:
            self._training.steps.close()
            inbox.release()
            between()
        except KeyboardInterrupt as error:
            interrupt = str(error)
            raise
        finally:
            inbox.hold()
            over = self._hooks.over
            if interrupt is not None and not over:
                # Whoever interrupts a pause wants the script back: a loop that is started again isn't to wait at once.
                self._engine.submit(p.Run(id=0), at_once=True)
            self._leader.go_on(self._next(place), interrupt=interrupt, over=over)

    def _next(self, place: int) -> int | None:
        """The place of the step at which the engine pauses by itself."""
        target = self._engine.target
        if target is None:
            return None
        return 2 * (place // 2 + target - self._training.steps.done) + self._late

    def _alone(self, why: str, between: Callable[[], None]) -> None:
        """Not all of the processes take part: nothing is changed, though whoever wants the end gets it."""
        inbox = self._engine.inbox
        if any(isinstance(command, p.Stop) for command in inbox.held):
            inbox.release()
            between()
            return
        self._engine.turn_down(why)

    def give_up(self) -> None:
        """This process takes no part in anything any more."""
        self._leader.give_up()

    def close(self) -> None:
        self._leader.close()


def table_of(training: Any) -> dict[str, str]:
    """The settings in force, as text by path."""
    return {one.path: one.value for one in training.settings.table()}


def described(training: Any) -> dict[str, Any]:
    """What has to be the same in all processes of a training, so that a command means the same in all."""
    return {
        "model": type(training.module).__name__,
        "parameters": sum(one.numel() for one in training.module.parameters()),
        "optimizer": ", ".join(
            f"{type(one).__name__} of {len(one.param_groups)} groups" for one in training.optimizers
        ),
    }  # fmt: skip
