"""Finds in an untouched script what `aetui.watch` would be told, and watches from there on.

PyTorch's global hooks show the forwards and the steps of the optimizers; they are gone as soon as the model is known. A
function mode watches the first steps' losses, from forward to backward, and goes with them. What stays is one look at
the tensor whose backward runs, which is the loss.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from aetui.diagnosis.paths import items_of
from aetui.diagnosis.touched import tensors_in
from aetui.watching.backwards import Backward, backward_of, divided_by
from aetui.watching.callers import is_named, lent, root_of, site
from aetui.watching.gathering import Candidate, Gathering, Round
from aetui.watching.gradients import parameters
from aetui.watching.past import Past
from aetui.watching.patches import patch
from aetui.watching.reading import Call
from aetui.watching.told import Told
from aetui.watching.whole import Whole

log = logging.getLogger("aetui.watching")

_ARGUMENT = re.compile(r"\b(target|reconstruct|loss)=")
"""What the options of the command line are called in sentences of `watch`."""

_CALLS, _BACKWARDS = 64, 3
"""Forwards without a backward, and backwards without a step, that are held in memory."""


class Finder:
    """Looks on until it knows what trains what, and begins the run."""

    def __init__(self, told: Told, lost: Callable[[str], None]) -> None:
        """lost: gets a sentence where nothing can be watched."""
        self._told, self._lost, self.within = told, lost, told.within
        self.run: Any = None
        self._over = False
        self._process, self._thread = os.getpid(), 0
        self._stack: list[nn.Module] = []
        self._inner: dict[int, tuple[str, Any]] = {}
        self._names: dict[int, str] = {}
        self._moved: set[int] = set()
        self._round = Round()
        self._in_backward = False
        self._scaled: tuple[weakref.ref[Tensor], Tensor] | None = None
        self._scaler: Any = None
        self._sites: set[Any] = set()
        self._last_site: Any = None
        self._depth = 0
        """Places of the backwards whose loss is the step's; how many divisions of it are by the batches of a step."""
        self._optimizer: Any = None
        self._handles: list[Any] = []
        self._known: set[int] = set()
        """Optimizers that have stepped."""
        self._look_on()
        self._step_handles = [
            register_optimizer_step_pre_hook(self._before),
            register_optimizer_step_post_hook(self._after),
        ]
        self._restore = patch(self._note_backward, self._note_scaled)

    # --- where it hangs -------------------------------------------------------------------------

    def _look_on(self) -> None:
        self._gathering, self._past = Gathering(self._told.probe_rows), Past()
        self._handles = [
            register_module_forward_pre_hook(self._enter),
            register_module_forward_hook(self._leave, with_kwargs=True, always_call=True),
        ]

    def _note_scaled(self, scaler: Any, made: Any, outputs: Any) -> None:
        if isinstance(made, Tensor) and isinstance(outputs, Tensor) and self._mine:
            self._scaled, self._scaler = (weakref.ref(made), outputs), scaler

    def remove(self) -> None:
        """Take everything away; from without a step."""
        self._over = True
        self._stop_looking()
        self._restore()
        for handle in self._step_handles:
            handle.remove()
        self._step_handles = []

    @property
    def early(self) -> int:
        """Steps that were seen where the script has ended before a run of it began; else 0."""
        return len(self._past) if self._mine and self.run is None else 0

    def _stop_looking(self) -> None:
        self._end_touch()
        for handle in self._handles:
            handle.remove()
        self._handles, self._stack = [], []
        if not self._round.inside:
            self._round = Round()

    @property
    def _mine(self) -> bool:
        return not self._over and os.getpid() == self._process

    def _rest(self, text: str) -> None:
        """This training can't be watched: said once, until another optimizer begins to step."""
        self._stop_looking()
        self._past = Past()
        self._lost(self._told.worded(text))

    def _failed(self, error: Exception) -> None:
        log.debug("the finder failed", exc_info=error)
        self._over = True
        self._stop_looking()
        text = f"{type(error).__name__}: {error}"
        if self.run is None:
            self._lost(text)
        else:
            self.run.note(f"the loss of further steps is not seen: {text}", warning=True)

    # --- forwards -------------------------------------------------------------------------------

    def _enter(self, module: nn.Module, args: Any) -> None:
        if torch.compiler.is_compiling():
            return
        if not self._looks():
            return
        try:
            if not self._stack and (not self._wanted(module) or lent(module)):
                return
            if not self._stack:
                self._begin_call(module)
            elif self._round.touch is not None:
                self._round.touch.stack.append(type(module).__name__)
            self._stack.append(module)
        except Exception as error:  # noqa: BLE001 - whatever it is, the script trains on
            self._failed(error)

    def _leave(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        if torch.compiler.is_compiling():
            return
        if not self._stack or not self._looks():
            return
        try:
            if self._stack[-1] is not module:
                if not any(one is module for one in self._stack):
                    return
                while self._stack[-1] is not module:
                    self._stack.pop()
            self._stack.pop()
            if not self._stack:
                if output is not None:
                    self._round.calls.append(Call(module, args, kwargs, output, self._inner))
                self._inner = {}
                return
            if self._round.touch is not None and self._round.touch.stack:
                self._round.touch.stack.pop()
            name = self._names.get(id(module))
            if name:
                for path, one in items_of(output):
                    self._inner.setdefault(id(one), (name, path))
        except Exception as error:  # noqa: BLE001 - whatever it is, the script trains on
            self._failed(error)

    def _looks(self) -> bool:
        if not self._mine or not self._handles or not torch.is_grad_enabled():
            return False
        now = threading.get_ident()
        self._thread = self._thread or now
        return now == self._thread

    def _wanted(self, module: nn.Module) -> bool:
        """Whether a forward is one to look at: of a module that trains, or of the one that was named."""
        if self._told.model_is:
            return is_named(module, self._told.model_is, 3)
        return any(one.requires_grad for one in module.parameters())

    def _begin_call(self, module: nn.Module) -> None:
        """An outermost forward begins: have the function mode in force, as long as there is no end to what it holds."""
        now = self._round
        if len(now.calls) >= _CALLS and not now.backs:
            self._end_touch()
            now = self._round = Round()
        elif len(now.calls) >= _CALLS:
            del now.calls[_CALLS // 2 :]
        self._inner = {}
        self._names = {id(one): name for name, one in module.named_modules()}
        if (root := root_of(module, 4)) is not None:
            now.roots[id(module)] = root
        if now.touch is None and not _compiled(module) and _roomy(module) and not self._own_watch():
            now.touch = Whole()
            now.touch.__enter__()
            now.inside = True
        elif now.inside and (len(now.backs) >= _BACKWARDS or not _roomy(module)):
            self._end_touch()
        if now.touch is not None:
            now.touch.own |= {id(one) for one in module.buffers()}

    def _end_touch(self) -> None:
        # Within a call that the mode sees, such as a backward, PyTorch has taken it away for as long as that lasts.
        if self._round.inside and not self._in_backward:
            self._round.inside = False
            assert self._round.touch is not None
            self._round.touch.__exit__(None, None, None)

    # --- losses ---------------------------------------------------------------------------------

    def _note_backward(self, tensors: Any) -> None:
        if not self._mine:
            return
        loss = tensors if isinstance(tensors, Tensor) else next(tensors_in(tensors), None)
        if loss is None:
            return
        self._in_backward = True
        try:
            if self._scaled is not None and self._scaled[0]() is loss:
                loss = self._scaled[1]
            self._scaled = None
            if self.run is not None:
                self._log(loss)
            elif self._round.touch is not None and threading.get_ident() == self._thread:
                # Before the graph is gone; what is computed here is no part of the step that is watched.
                with torch._C.DisableTorchFunction():
                    self._round.backs.append(backward_of(self._round.touch, loss, site(2)))
            else:
                self._round.backs.append(Backward(loss.detach(), site(2), None, None))
        except Exception as error:  # noqa: BLE001 - whatever it is, the script trains on
            self._failed(error)
        finally:
            self._in_backward = False

    def _log(self, loss: Tensor) -> None:
        if self.run.closed:
            self._over = True
            self._restore()
            return
        if self._step_handles and threading.get_ident() == self._thread:
            for handle in self._step_handles:
                handle.remove()
            self._step_handles = []
        here, optimizer = site(2), self.run._training.optimizers[0]
        if optimizer is not self._optimizer:
            # Another part of the script goes on with the training, by a loop of its own.
            self._optimizer, self._sites = optimizer, self._sites and {self._last_site}
        self._last_site = here
        if not self._sites or here in self._sites:
            times = divided_by(loss, self._depth)
            self.run.log(loss.detach() * times if times != 1 else loss)

    # --- steps ----------------------------------------------------------------------------------

    def _before(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        if not self._mine or not self._handles:
            self._end_touch()
            if self._mine and self.run is None and id(optimizer) not in self._known:
                self._known.add(id(optimizer))
                self._look_on()
            return
        self._known.add(id(optimizer))
        try:
            again = id(optimizer) in self._round.stepped
            if callable(kwargs.get("closure")) or (len(args) > 1 and callable(args[1])):
                self._round.inside_from[id(optimizer)] = len(self._round.backs)
            elif again or self._all_moved(optimizer):
                self._end_touch()
        except Exception as error:  # noqa: BLE001 - whatever it is, the script trains on
            self._failed(error)

    def _all_moved(self, optimizer: torch.optim.Optimizer) -> bool:
        """Whether every module whose forward ran is moved by this optimizer or by one that has stepped already."""
        moved = parameters(optimizer)
        return all(
            id(one) in moved or id(one) in self._moved
            for call in self._round.calls
            for one in call.module.parameters()
            if one.requires_grad
        )

    def _after(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        if not self._mine or not self._handles:
            return
        try:
            if self._own_watch():
                self._over = True
                self._stop_looking()
                self._restore()
                return
            if not self._round.calls and threading.get_ident() != self._thread:
                # Another thread trains than the one whose forward was seen first.
                self._thread = 0
            since = self._past.remember(optimizer, self._round)
            whole = self._all_moved(optimizer)
            again = id(optimizer) in self._round.stepped
            self._round.stepped.add(id(optimizer))
            self._moved = {*self._moved, *parameters(optimizer)}
            if whole or again:
                self._end_touch()
            self._gathering.consider(optimizer, self._round, since)
            if whole or again:
                stepped = self._round.stepped
                self._round, self._moved = Round(), set()
                self._stack = []
                self._decide(stepped)
        except Exception as error:  # noqa: BLE001 - whatever it is, the script trains on
            self._failed(error)

    def _decide(self, stepped: set[int]) -> None:
        ready = self._gathering.decide(stepped)
        if ready is not None:
            self._watch(ready)
        elif self._gathering.in_vain:
            what = self._told.model_is or "a model"
            self._rest(
                f"no forward of {what} was seen between two steps of an optimizer that moves it; "
                "--model-is names another, and aetui.watch(...) in the script says all"
            )

    def _own_watch(self) -> bool:
        """Whether the script calls `watch` itself, and says more than could be found."""
        running = sys.modules.get("aetui.watching.begin")
        return running is not None and any(not one.closed for one in running._watched.values())

    # --- beginning ------------------------------------------------------------------------------

    def _watch(self, chosen: Candidate) -> None:
        from aetui.watching import begin as running
        from aetui.watching.opening import arguments

        gathered, reading, back = self._gathering, chosen.reading, chosen.back
        self._gathering = Gathering(self._told.probe_rows)
        self._stop_looking()
        targets = torch.cat(gathered.targets) if gathered.targets else None
        try:
            given = arguments(self._told, chosen.module, reading, torch.cat(gathered.rows), targets)
            self.run = running.watch(
                given.module, given.rows, optimizer=chosen.optimizer, scaler=self._scaler, name=self._told.name,
                **given.options,
            )  # fmt: skip
        except (TypeError, ValueError) as error:
            self._rest(_ARGUMENT.sub(r"--\1", str(error)))
            return
        if back is not None:
            self._sites, self._depth = {back.site}, back.depth
        if reading is not None and reading.kl_weight is not None:
            self.run.weigh(reading.kl_weight)
        self._optimizer = chosen.optimizer
        count = self._past.recall(chosen.optimizer, self.run._training.steps, self._sites, self._depth)
        self.run.stands_at(count)
        for line in given.lines(len(gathered.rows), count, type(chosen.optimizer).__name__):
            self.run.note(self._told.worded(line))


def _compiled(module: nn.Module) -> bool:
    """Whether a part of it is compiled: a function mode would be compiled along."""
    return any(
        type(one).__name__ == "OptimizedModule" or getattr(one, "_compiled_call_impl", None) is not None
        for one in module.modules()
    )


def _roomy(module: nn.Module) -> bool:
    """Whether a step's tensors may be held for longer than the step needs them."""
    device = next((one.device for one in module.parameters()), None)
    if device is None or device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return free + unused > torch.cuda.max_memory_allocated(device)
