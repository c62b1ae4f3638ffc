"""Finds in an untouched script what `aetui.watch` would be told, and watches from there on.

PyTorch's global hooks show the forwards and the steps of the optimizers; they are gone as soon as the model is known. A
function mode watches the first steps' losses, from forward to backward, and goes with them. What stays is one look at
the tensor whose backward runs, which is the loss.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from aetui.diagnosis.paths import items_of
from aetui.diagnosis.touched import tensors_in
from aetui.watching import gradients, prepared
from aetui.watching.reading import Backward, Call, Reader, Reading, Seen, Whole, backward_of, packed, read

log = logging.getLogger("aetui.watching")

_ROUNDS = 3
"""Steps after which a reconstruction that was not seen is not waited for."""
_BATCHES = 16
_PATIENCE = 5.0
"""Seconds from the first step on after which the rows that there are have to do."""
_CALLS, _BACKWARDS = 64, 3
"""Forwards without a backward, and backwards without a step, that are held in memory."""
_PARENTS = 40
"""Frames that are looked through for the module whose method calls another one's forward."""


@dataclass
class Told:
    """What the command line says."""

    script: str = ""
    module: str = ""
    name: str | None = None
    folder: str = ""
    output: str = ""
    control: int | None = None
    typed: int | None = None
    model_is: str = ""
    probe_rows: int = 512
    reconstruct: str = ""
    target: str = ""
    loss: str = ""


@dataclass
class _Round:
    """What was seen since the step before."""

    touch: Whole | None = None
    inside: bool = False
    """Whether the function mode is in force."""
    calls: list[Call] = field(default_factory=list)
    backs: list[Backward] = field(default_factory=list)
    stepped: set[int] = field(default_factory=set)
    told: dict[int, int] = field(default_factory=dict)
    """Backwards that an optimizer's last step has seen already."""
    roots: dict[int, nn.Module] = field(default_factory=dict)
    """The module whose method called an outermost forward, by the id of the module called."""


@dataclass
class _Candidate:
    optimizer: torch.optim.Optimizer
    module: nn.Module
    reading: Reading | None
    back: Backward | None
    rows: Tensor


class Finder:
    """Looks on until it knows what trains what, and begins the run."""

    def __init__(self, told: Told, began: Callable[[Any], None], lost: Callable[[str], None]) -> None:
        """began: told of the run. lost: gets a sentence where nothing can be watched."""
        self._told, self._began, self._lost = told, began, lost
        self.run: Any = None
        self._over = False
        self._process, self._thread = os.getpid(), 0
        self._stack: list[nn.Module] = []
        self._inner: dict[int, tuple[str, Any]] = {}
        self._names: dict[int, str] = {}
        self._moved: set[int] = set()
        self._round = _Round()
        self._rounds = 0
        self._candidates: list[_Candidate] = []
        self._chosen: _Candidate | None = None
        self._rows: list[Tensor] = []
        self._targets: list[Tensor] = []
        self._first = 0.0
        self._closure = self._in_backward = False
        self._scaled: tuple[weakref.ref[Tensor], Tensor] | None = None
        self._scaler: Any = None
        self._sites: set[tuple[Any, int]] = set()
        self._times = 1.0
        self._past: list[tuple[int, list[Backward], Any]] = []
        """The steps before the run begins: optimizer, losses and gradient norm."""
        self._left: list[Any] = []
        """Hooks on optimizers: they are taken away outside of a step, which walks through them."""
        self._handles = [
            register_module_forward_pre_hook(self._enter),
            register_module_forward_hook(self._leave, with_kwargs=True, always_call=True),
        ]
        self._step_handles = [
            register_optimizer_step_pre_hook(self._before),
            register_optimizer_step_post_hook(self._after),
        ]
        self._patch()

    # --- where it hangs -------------------------------------------------------------------------

    def _patch(self) -> None:
        original = torch.autograd.backward
        scale = torch.amp.grad_scaler.GradScaler.scale

        @wraps(original)
        def backward(tensors: Any, *args: Any, **kwargs: Any) -> Any:
            self._note_backward(tensors)
            return original(tensors, *args, **kwargs)

        @wraps(scale)
        def scaled(scaler: Any, outputs: Any) -> Any:
            made = scale(scaler, outputs)
            if isinstance(made, Tensor) and isinstance(outputs, Tensor) and self._mine:
                self._scaled, self._scaler = (weakref.ref(made), outputs), scaler
            return made

        torch.autograd.backward = backward
        torch.amp.grad_scaler.GradScaler.scale = scaled  # pyright: ignore[reportAttributeAccessIssue]

        def restore() -> None:
            if torch.autograd.backward is backward:
                torch.autograd.backward = original
            if torch.amp.grad_scaler.GradScaler.scale is scaled:
                torch.amp.grad_scaler.GradScaler.scale = scale

        self._restore = restore

    def remove(self) -> None:
        """Take everything away; from without a step."""
        self._over = True
        self._stop_looking()
        self._restore()
        for handle in self._step_handles:
            handle.remove()
        self._step_handles = []

    def _stop_looking(self) -> None:
        self._end_touch()
        for handle in self._handles:
            handle.remove()
        self._handles, self._stack = [], []
        if not self._round.inside:
            self._round = _Round()
        self._candidates = []

    @property
    def _mine(self) -> bool:
        return not self._over and os.getpid() == self._process

    def _give_up(self, text: str) -> None:
        """Nothing can be watched: said once."""
        self._over = True
        self._stop_looking()
        self._lost(text)

    def _failed(self, error: Exception) -> None:
        log.debug("the finder failed", exc_info=error)
        self._give_up(f"{type(error).__name__}: {error}")

    # --- forwards -------------------------------------------------------------------------------

    def _enter(self, module: nn.Module, args: Any) -> None:
        if torch.compiler.is_compiling():
            return
        if not self._looks():
            return
        try:
            if not self._stack and not self._wanted(module):
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
            return self._is_named(module)
        return any(one.requires_grad for one in module.parameters())

    def _is_named(self, module: nn.Module) -> bool:
        """Whether a module has the name that was given: its class's, a variable's or an attribute's."""
        name = self._told.model_is
        if type(module).__name__ == name or vars(sys.modules["__main__"]).get(name) is module:
            return True
        for one in self._callers(2):
            held = getattr(one, "__dict__", {})
            if held.get(name) is module or (isinstance(one, nn.Module) and one._modules.get(name) is module):
                return True
        return False

    def _callers(self, depth: int) -> list[Any]:
        """The objects of which a method is being called, the nearest first."""
        found: list[Any] = []
        frame: FrameType | None = sys._getframe(depth)
        for _ in range(_PARENTS):
            if frame is None:
                break
            if frame.f_code.co_varnames[:1] == ("self",):
                one = frame.f_locals.get("self")
                if not any(one is other for other in found):
                    found.append(one)
            frame = frame.f_back
        return found

    def _root_of(self, module: nn.Module) -> nn.Module | None:
        """The outermost module that has this one in it, and of which a method calls its forward."""
        holding = [
            one for one in self._callers(4)
            if isinstance(one, nn.Module) and one is not module and any(part is module for part in one.modules())
        ]  # fmt: skip
        return holding[-1] if holding else None

    def _begin_call(self, module: nn.Module) -> None:
        """An outermost forward begins: have the function mode in force, as long as there is no end to what it holds."""
        now = self._round
        if len(now.calls) >= _CALLS and not now.backs:
            self._end_touch()
            now = self._round = _Round()
        self._inner = {}
        self._names = {id(one): name for name, one in module.named_modules()}
        if (root := self._root_of(module)) is not None:
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
                    self._round.backs.append(backward_of(self._round.touch, loss, _site()))
            else:
                self._round.backs.append(Backward(loss.detach(), _site(), None, None))
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
        if not self._sites or _site() in self._sites:
            value = loss.detach()
            self.run.log(value * self._times if self._times != 1 else value)

    # --- steps ----------------------------------------------------------------------------------

    def _before(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        if not self._mine or not self._handles:
            self._end_touch()
            return
        try:
            self._closure = callable(kwargs.get("closure")) or (len(args) > 1 and callable(args[1]))
            if id(optimizer) in self._round.stepped and not self._closure:
                self._end_touch()
            elif not self._closure and self._all_moved(optimizer):
                self._end_touch()
        except Exception as error:  # noqa: BLE001 - whatever it is, the script trains on
            self._failed(error)

    def _all_moved(self, optimizer: torch.optim.Optimizer) -> bool:
        """Whether every module whose forward ran is moved by this optimizer or by one that has stepped already."""
        moved = _parameters(optimizer)
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
            self._first = self._first or time.monotonic()
            if self._own_watch():
                self._over = True
                self._stop_looking()
                self._restore()
                return
            self._remember(optimizer)
            whole = self._all_moved(optimizer)
            again = id(optimizer) in self._round.stepped
            self._round.stepped.add(id(optimizer))
            self._moved = {*self._moved, *_parameters(optimizer)}
            if whole or again:
                self._end_touch()
            self._consider(optimizer)
            if whole or again:
                self._round, self._moved = _Round(), set()
                self._stack = []
                self._rounds += 1
                self._decide(optimizer)
        except Exception as error:  # noqa: BLE001 - whatever it is, the script trains on
            self._failed(error)

    def _remember(self, optimizer: torch.optim.Optimizer) -> None:
        now, key = self._round, id(optimizer)
        fresh = [Backward(one.loss, one.site, None, None) for one in now.backs[now.told.get(key, 0) :]]
        now.told[key] = len(now.backs)
        self._past.append((key, fresh, gradients.joint_norm(gradients.of_optimizer(optimizer))))

    def _recall(self, optimizer: torch.optim.Optimizer) -> int:
        """Have the steps that were taken before the run began in its record; how many there were."""
        steps, taken = self.run._training.steps, 0
        for key, backs, norm in self._past:
            losses = [one.loss for one in backs if not self._sites or one.site in self._sites]
            if key != id(optimizer):
                continue
            for loss in losses[:1] if self._closure else losses:
                steps.log(loss * self._times, {})
            steps.add(0.0 if norm is None else float(norm) if norm.device.type == "cpu" else norm, 0.0)
            taken += 1
        steps.close()
        self._past = []
        return taken

    def _consider(self, optimizer: torch.optim.Optimizer) -> None:
        """What this optimizer's step is the training of."""
        now, moved = self._round, _parameters(optimizer)
        calls = [one for one in now.calls if any(id(part) in moved for part in one.module.parameters())]
        if not calls or (self._chosen is not None and self._chosen.optimizer is not optimizer):
            return
        best: _Candidate | None = None
        if now.touch is not None:
            held, names = _labels(calls, now.roots)
            for back in now.backs:
                back.settle(now.backs)
                found = read(now.touch, now.calls, back, names)
                if found is not None and (best is None or best.reading is None or found.score > best.reading.score):
                    module = _watched(found, held, names)
                    rows = packed([one.detach() for one in found.inputs]).clone()
                    best = _Candidate(optimizer, module, found, back, rows)
        if best is None and self._rounds + 1 >= _ROUNDS and self._chosen is None:
            best = self._without_loss(optimizer, calls)
        if best is not None:
            self._candidates.append(best)

    def _without_loss(self, optimizer: torch.optim.Optimizer, calls: list[Call]) -> _Candidate | None:
        """The first forward that takes rows; what its output is compared with was not seen."""
        for call in calls:
            given = [one for one in tensors_in((call.args, call.kwargs)) if one.ndim and len(one) > 1]
            if given:
                back = self._round.backs[-1] if self._round.backs else None
                return _Candidate(optimizer, call.module, None, back, given[0].detach().clone())
        return None

    def _decide(self, optimizer: torch.optim.Optimizer) -> None:
        """Choose what is watched, gather rows of it, and begin."""
        found, self._candidates = self._candidates, []
        if self._chosen is None:
            if not found:
                if self._rounds >= _ROUNDS:
                    what = self._told.model_is or "a model"
                    self._give_up(
                        f"no forward of {what} was seen between two steps of an optimizer that moves it; "
                        "--model-is names another, and aetui.watch(...) in the script says all"
                    )
                return
            seen = [one for one in found if one.reading is not None]
            self._chosen = max(seen, key=lambda one: one.reading.score if one.reading else (), default=found[0])
            found = [self._chosen]
        chosen = self._chosen
        for one in found:
            self._keep(one)
        had = sum(map(len, self._rows))
        enough = had >= self._told.probe_rows or len(self._rows) >= _BATCHES or self._repeats()
        if enough or time.monotonic() - self._first > _PATIENCE or not found:
            self._watch(chosen)

    def _keep(self, one: _Candidate) -> None:
        if self._rows and one.rows.shape[1:] != self._rows[0].shape[1:]:
            return
        wanted = None if one.reading is None else one.reading.wanted
        if (wanted is None) != (not self._targets and bool(self._rows)) and self._rows:
            return
        if wanted is not None:
            wanted = wanted.detach()
            if self._targets and wanted.shape[1:] != self._targets[0].shape[1:]:
                return
            self._targets.append(wanted.clone())
        self._rows.append(one.rows)

    def _repeats(self) -> bool:
        """Whether the rows are the first ones again."""
        last, first = self._rows[-1], self._rows[0]
        return len(self._rows) > 1 and last.shape == first.shape and bool(torch.equal(last, first))

    def _own_watch(self) -> bool:
        """Whether the script calls `watch` itself, and says more than could be found."""
        running = sys.modules.get("aetui.watching.run")
        return running is not None and any(not one.closed for one in running._watched.values())

    # --- beginning ------------------------------------------------------------------------------

    def _watch(self, chosen: _Candidate) -> None:
        from aetui.watching import run as running
        from aetui.watching.opening import arguments

        reading, backs = chosen.reading, chosen.back
        rows, targets = self._rows, self._targets
        if self._repeats():
            rows, targets = rows[:-1], targets[:-1]
        self._stop_looking()
        self._chosen = None
        try:
            given = arguments(self._told, chosen.module, reading, torch.cat(rows), torch.cat(targets) if targets else None)
            self.run = running.watch(
                given.module, given.rows, optimizer=chosen.optimizer, scaler=self._scaler, name=self._told.name,
                **given.options,
            )  # fmt: skip
        except (TypeError, ValueError) as error:
            self._give_up(str(error))
            return
        if backs is not None:
            self._sites, self._times = {backs.site}, backs.times
        count = self._recall(chosen.optimizer)
        if self._closure:
            # From now on the closure's own value is the loss of a step.
            self._sites = {(None, 0)}
        self._rows, self._targets = [], []
        for line in given.lines(len(rows), count, type(chosen.optimizer).__name__):
            self.run._engine.note(line)
        self._began(self.run)


def _labels(
    calls: list[Call], roots: dict[int, nn.Module]
) -> tuple[dict[str, nn.Module], dict[nn.Module, str]]:
    """Names of the modules that were called, each within the module that holds it."""
    held: dict[str, nn.Module] = {}
    names: dict[nn.Module, str] = {}
    for call in calls:
        if call.module in names:
            continue
        root = roots.get(id(call.module), call.module)
        label = next((name for name, one in held.items() if one is root), None)
        if label is None:
            label = _variable(root) or type(root).__name__.lower()
            label = label if label.isidentifier() and label not in held and not hasattr(nn.Module, label) else f"model{len(held)}"
            held[label] = root
        path = next(name for name, one in root.named_modules() if one is call.module)
        names[call.module] = f"{label}.{path}" if path else label
    return held, names


def _watched(reading: Reading, held: dict[str, nn.Module], names: dict[nn.Module, str]) -> nn.Module:
    """The module itself, where its forward is all there is to it; else one that goes the script's way through them."""
    if reading.simple and len(reading.modules) == 1:
        return reading.modules[0]
    used = {names[one].partition(".")[0] for one in reading.modules}
    shapes = [(one.shape[1:], one.dtype) for one in reading.inputs]
    return Seen({name: one for name, one in held.items() if name in used}, reading.program, shapes)


def _variable(module: nn.Module) -> str:
    """What the script calls a module, '' where it has no variable of its own."""
    found = (name for name, one in list(vars(sys.modules["__main__"]).items()) if one is module)
    return next((name for name in found if not name.startswith("_")), "")


def _parameters(optimizer: torch.optim.Optimizer) -> set[int]:
    return {id(one) for group in optimizer.param_groups for one in group["params"]}


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
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device) > torch.cuda.max_memory_allocated(device)


def _site() -> tuple[Any, int]:
    """Where in the script a backward is called."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in ("torch", "aetui"):
        frame = frame.f_back
    return (None, 0) if frame is None else (frame.f_code, frame.f_lasti)


# --- for the runner -------------------------------------------------------------------------------

_finder: Finder | None = None


def begin(told: dict[str, Any]) -> Finder:
    """Look on from now on; torch has just been imported."""
    global _finder
    wishes = Told(**told)

    def began_as(name: str, folder: str) -> None:
        if wishes.typed is not None:
            _read_from(wishes.typed, wishes.control)
        _tell(wishes.control, {"run": name, "folder": folder})

    prepared.prepare(
        prepared.Prepared(
            folder=Path(wishes.folder) if wishes.folder else None,
            output=wishes.output,
            began=None if wishes.control is None else began_as,
        )
    )

    def lost(text: str) -> None:
        print(f"aetui: the script is not watched: {text}; it trains on", file=sys.stderr, flush=True)

    _finder = Finder(wishes, lambda run: None, lost)
    return _finder


def note_end(error: BaseException) -> None:
    """The script raised something: the journal says what."""
    run = None if _finder is None else _finder.run
    if run is not None and not run.closed and not isinstance(error, KeyboardInterrupt):
        run._engine.note(f"the script ended by {type(error).__name__}: {str(error).partition(chr(10))[0]}", warning=True)


def _read_from(typed: int, control: int | None) -> None:
    """The terminal becomes the screen's: what the script reads from it comes by way of the command, which is told."""
    if not os.isatty(0):
        return
    os.dup2(typed, 0)

    def audit(event: str, _args: Any) -> None:
        if event == "builtins.input":
            _tell(control, {"asks": True})
        elif event == "builtins.input/result":
            _tell(control, {"asks": False})

    sys.addaudithook(audit)


def _tell(control: int | None, message: dict[str, Any]) -> None:
    """To the command that started this process, which may be gone."""
    if control is not None:
        try:
            os.write(control, (json.dumps(message) + "\n").encode())
        except OSError:
            pass


__all__ = ["Finder", "Reader", "Told", "begin", "note_end"]
