"""A training loop seen through the hooks of its optimizers.

No object of the user's is wrapped and no module gets a hook: PyTorch calls an optimizer's hooks around each step,
leaves them out where it copies or pickles the optimizer, and lets them replace what `step` is called with.
"""

from __future__ import annotations

import logging
import math
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.utils.hooks import RemovableHandle

from aetui.spec import sections as s
from aetui.watching import gradients
from aetui.watching.gradients import Figure
from aetui.watching.settings import WatchedSettings
from aetui.watching.steps import WatchedSteps

log = logging.getLogger("aetui.watching")

_NO_CLIP = s.NoClip()


class Hooks:
    """Counts steps, measures and clips gradients, and calls `between` when a step is done.

    One step is one step of each optimizer. Where they take turns, it ends when one of them comes again.

    Nothing that goes wrong here reaches the loop: `fault` gets it, and no hook does anything from then on.
    """

    def __init__(
        self,
        module: nn.Module,
        settings: WatchedSettings,
        steps: WatchedSteps,
        *,
        found: Callable[[torch.optim.Optimizer], None],
        between: Callable[[], None],
        fault: Callable[[Exception], None],
    ) -> None:
        """found: told of the first optimizer that steps parameters of the module, before it does, and of one that has
        taken the place of that which was watched."""
        self._module, self._settings, self._steps = module, settings, steps
        self._found, self._between, self._fault = found, between, fault
        self._optimizers: list[torch.optim.Optimizer] = []
        self._handles: list[RemovableHandle] = []
        self._mine: set[int] = set()
        self._looks: RemovableHandle | None = None
        self._seeks = False
        self._other: tuple[int, str] | None = None
        """Number and kind of an optimizer that steps all that the watched one does, and came after its last step."""
        self._strangers: set[int] = set()
        self._round: dict[int, tuple[Figure, Figure]] = {}
        """Norm and clipped of each optimizer's step since the last whole one."""
        self._clipped: tuple[Figure, Figure] | None = None
        """What `clip` found since the last step."""
        self._skipped: Figure = 0.0
        self._repeated = False
        """Whether a closure is being called that was called in this step before."""
        self._process = os.getpid()
        self._thread = 0
        self.over = False
        self.measures = True
        """Whether norms are wanted where nothing is clipped."""
        self.shared = False
        """Whether other processes take the same steps: what is in force stays so even where watching ends."""
        self.at: Callable[[int], None] | None = None
        """Told of each place between two steps: twice the steps taken, and one more just before the next."""
        self.ticks = 0
        """Steps that were taken, whatever a run goes back to."""
        self.others: set[str] = set()
        """Kinds of optimizers that step parameters of the module as well, and are not watched."""

    # --- where they hang ------------------------------------------------------------------------

    def watch(self, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        """Take the steps of these for the training's."""
        for handle in self._handles:
            handle.remove()
        self._optimizers, self._handles, self._mine = list(optimizers), [], {id(one) for one in optimizers}
        for one in optimizers:
            self._handles.append(one.register_step_pre_hook(self._before))
            self._handles.append(one.register_step_post_hook(self._after))
        if self._looks is None:
            self._looks = register_optimizer_step_pre_hook(self._look)

    def seek(self) -> None:
        """Wait for the first optimizer that steps parameters of the module, whoever makes it."""
        self._seeks = True
        self._looks = register_optimizer_step_pre_hook(self._look)

    def remove(self) -> None:
        """Take all hooks away; from without a step only, since PyTorch walks through them."""
        self.over = True
        for handle in (*self._handles, *([self._looks] if self._looks is not None else ())):
            handle.remove()
        self._handles, self._looks = [], None

    def close(self) -> None:
        """Take all hooks away, but those that keep in force what is so in other processes too."""
        if self.shared and self._settings.steered:
            self.over = True
        else:
            self.remove()

    def end(self) -> None:
        """Do nothing any more, in any of the processes."""
        self.over, self.shared = True, False

    @property
    def present(self) -> bool:
        """Whether this is the process that trains and not a fork of it, such as a loader's."""
        return not self.over and os.getpid() == self._process

    @property
    def logged_late(self) -> bool:
        """Whether a step's end is not before the next one: its loss comes after it, or optimizers take turns."""
        return self._steps.is_open or len(self._optimizers) > 1

    @property
    def in_thread(self) -> bool:
        """Whether the present thread is that of the last step."""
        return threading.get_ident() == self._thread

    def _look(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        if id(optimizer) in self._mine:
            if self._other is not None:
                # They take turns.
                self._note_other(*self._other)
            return
        if not self.present or id(optimizer) in self._strangers:
            return
        try:
            mine = {id(parameter) for parameter in self._module.parameters()} & gradients.parameters(optimizer)
            if not mine:
                self._strangers.add(id(optimizer))
            elif not self._optimizers:
                self._found(optimizer)
            elif len(self._optimizers) == 1 and self._moved_by(optimizer):
                # Another phase, or what a search for a rate was made for: the one before steps no more.
                other = (id(optimizer), type(optimizer).__name__)
                if self._other == other:
                    self._other = None
                    self._round.clear()
                    self._found(optimizer)
                else:
                    self._other = other
            else:
                self._note_other(id(optimizer), type(optimizer).__name__)
        except Exception as error:  # noqa: BLE001 - whatever it is, the loop goes on
            self._give_up(error)

    def _moved_by(self, optimizer: torch.optim.Optimizer) -> bool:
        """Whether it steps all that the watched optimizer does."""
        return gradients.parameters(self._optimizers[0]) <= gradients.parameters(optimizer)

    def _note_other(self, number: int, kind: str) -> None:
        self._other = None
        self._strangers.add(number)
        if self._seeks:
            self.others.add(kind)

    def _give_up(self, error: Exception) -> None:
        self.over = True
        self._fault(error)

    # --- a step ---------------------------------------------------------------------------------

    def _before(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> Any:
        if not self.present:
            self._keep_in_force(optimizer)
            return None
        try:
            self._thread = threading.get_ident()
            if id(optimizer) in self._round:
                self._whole()
            if self._steps.is_open:
                # Nothing was logged after the step before.
                self.end_step()
            if self.at is not None and not self._round:
                self.at(2 * self.ticks + 1)
            self._settings.before_step()
            replaced = self._with_closure(optimizer, args, kwargs)
            if replaced is None:
                self._take_gradient(optimizer)
        except Exception as error:  # noqa: BLE001 - whatever it is, the loop goes on
            self._give_up(error)
            return None
        return replaced

    def _keep_in_force(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip and hold as the other processes do, though nothing else is done here any more."""
        if not self.shared or os.getpid() != self._process:
            return
        try:
            self._settings.before_step()
            if self._clipped is None and self._settings.clip_chosen:
                grads = gradients.of_optimizer(optimizer)
                gradients.measured(grads, self._settings.clip, getattr(optimizer, "grad_scale", None))
            self._clipped = None
        except Exception:
            self.shared = False
            log.exception("what was set is not kept in force")

    def _with_closure(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> Any:
        """New arguments with a closure after whose backward gradients are looked at; None where there is none."""
        if not kwargs and len(args) == 1:
            return None
        if callable(kwargs.get("closure")):
            return args, {**kwargs, "closure": self._wrapped(optimizer, kwargs["closure"])}
        if len(args) > 1 and callable(args[1]):
            return (args[0], self._wrapped(optimizer, args[1]), *args[2:]), kwargs
        return None

    def _wrapped(self, optimizer: torch.optim.Optimizer, closure: Callable[[], Any]) -> Callable[[], Any]:
        first = True

        def watched() -> Any:
            nonlocal first
            self._repeated = not first
            try:
                value = closure()
            finally:
                self._repeated = False
            if self.present:
                try:
                    # A line search asks several times; the loss of the step is that of the weights it began with.
                    self._take_gradient(optimizer, keep=not first)
                    if first and not self._steps.logged and _is_loss(value):
                        self._steps.log(value, {})
                except Exception as error:  # noqa: BLE001 - whatever it is, the loop goes on
                    self._give_up(error)
                first = False
            return value

        return watched

    def _take_gradient(self, optimizer: torch.optim.Optimizer, *, keep: bool = False) -> None:
        """Measure and clip; `keep` the figures that there are."""
        grads = gradients.of_optimizer(optimizer)
        if self._clipped is not None:
            figures, self._clipped = self._clipped, None
        else:
            clip = self._settings.clip if self._settings.clip_chosen else _NO_CLIP
            if clip is _NO_CLIP and not self.measures:
                figures = math.nan, 0.0
            else:
                figures = gradients.measured(grads, clip, getattr(optimizer, "grad_scale", None))
        if not keep:
            self._round[id(optimizer)] = figures

    def _after(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        if not self.present:
            return
        try:
            skipped = getattr(optimizer, "found_inf", None)
            if isinstance(skipped, Tensor) and skipped.device.type == "cpu":
                if float(skipped) > 0:
                    self._round.pop(id(optimizer), None)
                    self._steps.skip()
                    return
                skipped = None
            self._skipped = skipped if isinstance(skipped, Tensor) else 0.0
            if len(self._round) == len(self._optimizers):
                self._whole()
                if self.at is not None:
                    self.at(2 * self.ticks)
                if not self._steps.is_open:
                    self._between()
        except Exception as error:  # noqa: BLE001 - whatever it is, the loop goes on
            self._give_up(error)

    def _whole(self) -> None:
        """Every optimizer has stepped, or one of them comes again."""
        found = list(self._round.values())
        self._round.clear()
        if len(found) == 1:
            self._steps.add(*found[0], self._skipped)
        elif found:
            norms, flags = zip(*found, strict=True)
            self._steps.add(_joint(norms), _any(flags), self._skipped)
        if found:
            self.ticks += 1

    # --- what the loop says ---------------------------------------------------------------------

    def end_step(self) -> None:
        """The step that waited for its loss has all it will get."""
        if self._steps.close():
            self._between()

    def log(self, loss: Any, parts: dict[str, Any]) -> None:
        """Take note of a loss of the step that was just taken, or that is about to be."""
        if not self.present or self._repeated:
            return
        try:
            self._steps.log(loss, parts)
            if self._steps.is_open and self.in_thread:
                self.end_step()
        except Exception as error:  # noqa: BLE001 - whatever it is, the loop goes on
            self._give_up(error)

    def note_clipping(self, figures: tuple[Figure, Figure]) -> None:
        """The loop has clipped by itself: the norm before it, and whether it changed anything."""
        self._clipped = figures


def _is_loss(value: Any) -> bool:
    return (isinstance(value, Tensor) and value.numel() == 1) or isinstance(value, int | float)


def _joint(norms: Sequence[Figure]) -> Figure:
    if all(isinstance(norm, float) for norm in norms):
        return sum(norm**2 for norm in norms if isinstance(norm, float)) ** 0.5
    device = next(norm.device for norm in norms if isinstance(norm, Tensor))
    return torch.stack([torch.as_tensor(norm, device=device, dtype=torch.float32) for norm in norms]).norm()


def _any(flags: Sequence[Figure]) -> Figure:
    if all(isinstance(flag, float) for flag in flags):
        return max(flag for flag in flags if isinstance(flag, float))
    device = next(flag.device for flag in flags if isinstance(flag, Tensor))
    return torch.stack([torch.as_tensor(flag, device=device).float() for flag in flags]).amax()
