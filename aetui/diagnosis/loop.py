"""The training loop of a diagnosis: plain PyTorch, on a copy, with at most one thing changed."""

from __future__ import annotations

import copy
import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from aetui.diagnosis.change import Affine, Change, affine, reset
from aetui.diagnosis.feed import mapped
from aetui.diagnosis.following import Scaling, turn
from aetui.diagnosis.intake import Stepped, joined, output_of
from aetui.diagnosis.isolate import Randomness, twins_of
from aetui.diagnosis.losses import resolve
from aetui.diagnosis.observe import Fit, fit
from aetui.diagnosis.outputs import Output, take_apart
from aetui.diagnosis.subject import OUT_OF_DOMAIN, RECONSTRUCTION, Bound, Subject
from aetui.diagnosis.taken import Judged, fitted, judged, look
from aetui.models.ownstate import unchanged
from aetui.spec import sections as s
from aetui.training.batches import BatchOrder
from aetui.training.clipping import clip_on_host
from aetui.training.schedules import RateSchedule
from aetui.training.step import joint_norm, update_on_host

HALVES = (torch.float16, torch.bfloat16)
"""Number formats of 16 bits."""
_CHUNK = 1024
"""Rows per forward pass in evaluation."""


class Loop:
    """Trains a copy of a subject's model, step by step.

    Steps stop counting at the first loss or gradient that is not finite: `broken` is then its
    number, and the weights are those before it.
    """

    def __init__(self, subject: Subject, change: Change | None = None, *, model: nn.Module | None = None) -> None:
        self.change = change or Change()
        if self.change.float32 and subject.stepped is not None:
            subject = replace(subject, stepped=replace(subject.stepped, amp=None))
        self.subject = subject
        self.randomness = Randomness(subject.seed, subject.device)
        self.model = subject.copy() if model is None else model
        if self.change.float32:
            self.model.float()
        self._loss = resolve(self.change.loss) if self.change.loss else None
        self.bound = Bound(subject, self.model)
        self._mode = self.change.mode()
        stepped = subject.stepped
        self.step_of: Any = None if stepped is None else subject.bound(stepped.step, self.model)
        same = subject.targets is subject.inputs
        self.affine: Affine | None = None
        if stepped is None:
            self.affine = affine(self.change.scale, subject.inputs, subject.indices)
            self._target_affine = self.affine if same else affine(self.change.scale, subject.targets)
            self._feed = None
        else:
            self._feed, self._target_affine = stepped.scaled(self.change.scale)
        self.inputs = self._inner(subject.inputs)
        self.targets = (
            self.inputs if same
            else self._wide(subject.targets) if self._target_affine is None
            else self._target_affine.apply(self._wide(subject.targets))
        )  # fmt: skip
        with self.randomness.own():
            if self.change.reinit:
                reset(self.model)
            self.optimizer = self._optimizer()
        self.schedule = RateSchedule(s.Constant() if self.change.steady else subject.schedule)
        limit = self.change.clip
        self._clip: s.Clip = subject.clip if limit is None else s.GlobalNorm(threshold=limit) if limit else s.NoClip()
        self._follower = None
        if self.change.steady:
            for group in self.optimizer.param_groups:
                group["lr"] = group.get("initial_lr", group["lr"])
        elif subject.follow is not None:
            self._follower = subject.follow(self.optimizer)
        self._rates = [group["lr"] for group in self.optimizer.param_groups]
        self.trained: list[Tensor] = [p for group in self.optimizer.param_groups for p in group["params"]]
        rows = torch.arange(subject.rows)[:, None]
        order = torch.Generator().manual_seed(subject.order_seed)
        self._order = BatchOrder(rows, subject.batch_size, order, subject.least)
        self._main = -1
        self._scaler = Scaling(self.trained) if stepped is not None and stepped.amp is torch.float16 else None
        self.steps = 0
        self.broken: int | None = None
        self.losses: list[float] = []
        """Reconstruction term of each step."""
        self.totals: list[float] = []
        self.norms: list[float] = []
        """Joint gradient norm of each step, before clipping."""
        self.clipped: list[bool] = []
        self.rates: list[float] = []
        """Learning rate of each step, that of the first parameter group."""
        self.parts: dict[str, float] = {}
        """Parts of the last step's loss."""

    def _optimizer(self) -> torch.optim.Optimizer:
        change, model = self.change, self.model
        if change.unfreeze:
            for parameter in model.parameters():
                parameter.requires_grad_(True)
        if change.adam is not None:
            return torch.optim.Adam(model.parameters(), lr=change.adam)
        build = self.subject.bound(self.subject.build_optimizer, model)
        optimizer: torch.optim.Optimizer = build(model)
        optimizer = _adopted(optimizer, self.subject.caller_model or self.subject.model, model)
        if change.unfreeze:
            known = {id(p) for group in optimizer.param_groups for p in group["params"]}
            rest = [p for p in (*model.parameters(), *self._unlisted()) if id(p) not in known]
            if rest:
                optimizer.add_param_group({"params": list(dict.fromkeys(rest))})
        for group in optimizer.param_groups:
            group["lr"] = group["lr"] * change.lr
            if not change.weight_decay and "weight_decay" in group:
                group["weight_decay"] = 0.0
            if change.eps is not None and "eps" in group:
                group["eps"] = change.eps
            if change.momentum is not None and "momentum" in group:
                group["momentum"] = change.momentum
        return optimizer

    def _unlisted(self) -> list[Tensor]:
        """Parameters that the model computes with and does not list."""
        rows = slice(0, min(2, self.subject.rows))
        if self.subject.stepped is not None:
            return list(leaves_of(self.forward(self.inputs[: self.chunk], self.targets).look.loss).values())  # pyright: ignore[reportOptionalMemberAccess]
        with self._mode:
            output = take_apart(self.model(self.inputs[rows].clone()), self.targets[rows].shape)
        return list(leaves_of(output.reconstruction.sum()).values())

    # --- stepping -------------------------------------------------------------------------------

    @property
    def chunk(self) -> int:
        """Rows of a batch that is looked at."""
        return _CHUNK if self.subject.stepped is None else self.subject.stepped.chunk

    def batch(self, rows: Tensor) -> Any:
        """The caller's batch of some rows, by number."""
        assert self._feed is not None
        made = self._feed.batch(rows.tolist())
        return mapped(made, self._wide) if self.change.float32 else made

    def _inner(self, x: Tensor) -> Tensor:
        """Rows in the caller's units as the model gets them."""
        x = self._wide(x)
        return x if self.affine is None else self.affine.apply(x)

    def _wide(self, values: Tensor) -> Tensor:
        return values.float() if self.change.float32 and values.dtype in HALVES else values

    def forward(self, x: Tensor, target: Tensor) -> Output:
        if self.subject.stepped is not None:
            with nullcontext() if self._mode.idle else self._mode:
                found = self.subject.stepped.look(
                    self.model, self.batch(x), self.step_of, partial(self.subject.bound, copy=self.model), self.change
                )  # fmt: skip
            self._main = -1 if found.main is None else found.main.number
            return output_of(found)
        with nullcontext() if self._mode.idle else self._mode:
            raw = self.model(x)
        output = take_apart(raw, target.shape, self.subject.places)
        if self.change.reshape and output.reconstruction.shape != target.shape:
            fitted = output.reconstruction.reshape(target.shape)
            output = Output(fitted, fitted)
        return output

    def loss_with(self, output: Tensor, rows: Tensor) -> float | None:
        """The loss of the caller's step with another output in place of its own; None where there is no such place."""
        stepped = self.subject.stepped
        assert stepped is not None
        with self.looking(train=True), unchanged(self.model), stepped.autocast():
            found = look(
                self.model, self.batch(rows), self.step_of, (self._main, lambda made, _: output.to(made.dtype))
            )
        return None if self._main < 0 else float(found.loss)

    def terms(self, output: Output, target: Tensor) -> dict[str, Tensor]:
        """The parts of the loss that are in force."""
        terms = self.subject.terms(self.model, output, target, self.steps, self.bound)
        if self._loss is not None:
            wanted = target if output.look is None or output.look.main is None else output.look.main.wanted
            terms[RECONSTRUCTION] = self._loss.call(output.reconstruction, wanted)
        return {name: term for name, term in terms.items() if name not in self.change.drop}

    def advance(self, steps: int) -> bool:
        """Train that many steps; False where one was not finite, now or before."""
        with self.randomness.own():
            self.model.train()
            for _ in range(steps):
                if self.broken is not None or not self._step():
                    return False
        return True

    def _step(self) -> bool:
        rows = self._order.next()[:, 0].to(self.inputs.device)
        x = self.inputs[rows]
        target = x if self.targets is self.inputs else self.targets[rows]
        self.optimizer.zero_grad(set_to_none=True)
        self.steps += 1
        self.rates.append(self._rate())
        try:
            total, terms = self._computed(x, target)
            if total.requires_grad:
                (total if self._scaler is None else self._scaler.scale(total)).backward()
            if self._scaler is not None and self._scaler.unscale():
                self.parts = {name: float(term.detach()) for name, term in terms.items()}
                return self._note(total.item(), 0.0, False)
        except RuntimeError as error:
            # PyTorch's own cross-entropy raises where outputs leave 0..1, NaN included.
            # Shapes that broadcast by chance stop doing so where the last batch of an epoch is smaller.
            broadcast = "must match the size of tensor" in str(error) and self.steps > 1
            if not (OUT_OF_DOMAIN in str(error) or "nan" in str(error).lower() or broadcast):
                raise
            return self._break(math.nan)
        grads = [p.grad for p in self.trained if p.grad is not None]
        norm = float(joint_norm(grads)) if grads else 0.0
        value = total.item()
        self.parts = {name: float(term.detach()) for name, term in terms.items()}
        rates = [rate * self._factor() for rate in self._rates] if self.schedule.moves else []
        own = self.subject.clip_call if self.change.clip is None else None
        clip = partial(clip_on_host, self._clip, grads, grads) if own is None else partial(_clipped, own, self.trained)
        finite, clipped = update_on_host(self.optimizer, rates, clip, value, norm)
        if not finite:
            return self._break(value)
        if self.schedule.needs_loss:
            self.schedule.observe(value)
        if self._follower is not None and self.steps % self.subject.steps_per_turn == 0:
            turn(self._follower, value)
        return self._note(value, norm, clipped)

    def _factor(self) -> float:
        """What the spec's schedule makes of the rate of the step under way."""
        return self.schedule.factor(self.steps - 1, self.subject.horizon)

    def _rate(self) -> float:
        if self.schedule.moves:
            return float(self._rates[0] * self._factor())
        return float(self.optimizer.param_groups[0]["lr"])

    def _note(self, value: float, norm: float, clipped: bool) -> bool:
        self.losses.append(self.parts.get(RECONSTRUCTION, value))
        self.totals.append(value)
        self.norms.append(norm)
        self.clipped.append(clipped)
        return True

    def _computed(self, x: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch, and its parts."""
        stepped = self.subject.stepped
        plain = not (self.change.drop or self.change.reshape or self._loss)
        if stepped is not None and plain:
            with nullcontext() if self._mode.idle else self._mode:
                total = stepped.total(self.model, self.batch(x), self.step_of)
            return total, {RECONSTRUCTION: total}
        terms = self.terms(self.forward(x, target), target)
        return sum(terms.values(), start=torch.zeros((), device=x.device)), terms

    def _break(self, value: float) -> bool:
        self.broken = self.steps
        self.losses.append(math.nan)
        self.totals.append(value)
        self.norms.append(math.nan)
        self.clipped.append(False)
        return False

    # --- looking --------------------------------------------------------------------------------

    @contextmanager
    def looking(self, *, train: bool = False) -> Iterator[None]:
        """No gradients, eval (or train) mode, and everything as it was afterwards, buffers and random states too."""
        flags = [(module, module.training) for module in self.model.modules()]
        buffers = [(buffer, buffer.clone()) for buffer in self.model.buffers()] if train else []
        inside = Randomness(self.subject.seed + 1, self.subject.device)
        self.model.train(train)
        try:
            with inside.own(), torch.no_grad():
                yield
        finally:
            for module, training in flags:
                module.training = training
            for buffer, value in buffers:
                buffer.copy_(value)

    def activation(self, index: int, x: Tensor, target: Tensor) -> Tensor | None:
        """What the forward's activation of that number makes of rows in the caller's units, [rows, ...], in eval mode;
        None where there is none."""
        inner = self._inner(x)
        self._mode.tap, self._mode.tapped = index, None
        try:
            with self.looking():
                self.forward(inner.clone(), target)
            return self._mode.tapped
        finally:
            self._mode.tap = self._mode.tapped = None

    def made(self, rows: Tensor, *, train: bool = False) -> Tensor:
        """The reconstruction of rows by number in one batch, as the model returns it, in float32."""
        with self.looking(train=train), unchanged(self.model):
            return self.forward(self.inputs[rows].clone(), self.targets[rows]).reconstruction.detach().float()

    def reconstruct(self, x: Tensor, target: Tensor, *, train: bool = False) -> Tensor:
        """What the model makes of rows in the caller's units, compared with `target`: [rows, features].

        Args:
            x: inputs, [rows, ...], in the caller's units.
            train: in train mode, in batches of the training's own size.
        """
        return self.compare(x, target, train=train).made

    def fit(self, x: Tensor, target: Tensor, *, train: bool = False) -> Fit:
        """How outputs for rows compare with their targets."""
        found = self.compare(x, target, train=train)
        return fit(found.made, found.wanted, found.mask)

    def compare(self, x: Tensor, target: Tensor, *, train: bool = False) -> Judged:
        """Outputs for rows in the caller's units beside their targets."""
        if self.subject.stepped is not None:
            return self._judged(self.subject.stepped, x, target, train)
        size = min(max(self.subject.least, self.subject.batch_size or _CHUNK), _CHUNK) if train else _CHUNK
        inner, target = self._inner(x), self._wide(target)
        parts: list[Tensor] = []
        with self.looking(train=train):
            for chunk, wanted in zip(inner.split(size), target.split(size), strict=True):
                if train and len(chunk) < self.subject.least and parts:
                    parts.append(wanted.reshape(len(wanted), -1))
                    continue
                # A forward may change its input in place.
                made = self.compared(self.forward(chunk.clone(), wanted).reconstruction)
                made = fitted(made, wanted)
                parts.append((made if self._target_affine is None else self._target_affine.undo(made)).flatten(1))
        return Judged(torch.cat(parts), target.flatten(1))

    def _judged(self, stepped: Stepped, x: Tensor, target: Tensor, train: bool) -> Judged:
        parts: list[Judged] = []
        with self.looking(train=train), unchanged(self.model):
            for rows in x.split(stepped.chunk):
                if parts and len(rows) < self.subject.least:
                    continue
                found = self.forward(rows, target).look
                if found is not None and found.main is not None:
                    count = rows.numel() if not stepped.feed.whole else len(found.main.made)
                    parts.append(judged(found.touch, found.main, count))
        made = joined(parts)
        undo = self._target_affine
        if undo is None:
            return made
        shift, scale = (one.expand(self.subject.judged.shape[1:]).flatten() for one in (undo.shift, undo.scale))
        if made.made.shape[1] != len(shift):
            return made
        return Judged(made.made * scale + shift, made.wanted * scale + shift, made.mask)

    def compared(self, reconstruction: Tensor) -> Tensor:
        """A reconstruction as the loss compares it with targets."""
        return (self._loss or self.subject.loss).probabilities(reconstruction)


def _adopted(optimizer: torch.optim.Optimizer, old: nn.Module, new: nn.Module) -> torch.optim.Optimizer:
    """An optimizer over the copy's parameters in place of one that was built over the caller's own."""
    twins: dict[int, Any] = twins_of(old, new)
    held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    if old is new or not any(id(parameter) in twins for parameter in held):
        return optimizer
    # The caller may hand out the same optimizer each time, and train on with it.
    made = copy.copy(optimizer)
    for parameter in held:
        if id(parameter) not in twins:
            # Of another model, which is the caller's own too.
            twins[id(parameter)] = nn.Parameter(parameter.detach().clone(), parameter.requires_grad)
    made.param_groups = [
        {**group, "params": [twins[id(parameter)] for parameter in group["params"]]} for group in optimizer.param_groups
    ]
    states = {twins.get(id(one), one): copy.deepcopy(kept) for one, kept in optimizer.state.items()}
    made.state = defaultdict(dict, states)
    return made


def _clipped(clip: Callable[[list[Tensor]], Any], parameters: list[Tensor], norm: float) -> bool:
    """The caller's own clipping; whether it changed the gradient."""
    clip(parameters)
    grads = [p.grad for p in parameters if p.grad is not None]
    return bool(grads) and float(joint_norm(grads)) < norm * (1 - 1e-6)


def leaves_of(total: Tensor) -> dict[int, Tensor]:
    """All parameters that the loss depends on, registered or not."""
    found: dict[int, Tensor] = {}
    seen: set[Any] = set()
    stack: list[Any] = [total.grad_fn]
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        variable = getattr(node, "variable", None)
        if isinstance(variable, Tensor):
            found[id(variable)] = variable
        stack.extend(parent for parent, _ in node.next_functions)
    return found
