"""The training loop of a diagnosis: plain PyTorch, on a copy, with at most one thing changed."""

from __future__ import annotations

import copy
import math
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from aetui.diagnosis.change import Affine, Change, affine, reset
from aetui.diagnosis.isolate import Randomness
from aetui.diagnosis.losses import resolve
from aetui.diagnosis.outputs import Output, take_apart
from aetui.diagnosis.subject import OUT_OF_DOMAIN, RECONSTRUCTION, Bound, Subject
from aetui.spec import sections as s
from aetui.training.batches import BatchOrder
from aetui.training.clipping import clip_on_host
from aetui.training.schedules import RateSchedule
from aetui.training.step import joint_norm, update_on_host

_CHUNK = 1024
"""Rows per forward pass in evaluation."""


class Loop:
    """Trains a copy of a subject's model, step by step.

    Steps stop counting at the first loss or gradient that is not finite: `broken` is then its
    number, and the weights are those before it.
    """

    def __init__(self, subject: Subject, change: Change | None = None, *, model: nn.Module | None = None) -> None:
        self.subject, self.change = subject, change or Change()
        self.randomness = Randomness(subject.seed, subject.device)
        self.model = subject.copy() if model is None else model
        self._loss = resolve(self.change.loss) if self.change.loss else None
        self.bound = Bound(subject, self.model)
        self._mode = self.change.mode()
        self.affine: Affine | None = affine(self.change.scale, subject.inputs)
        same = subject.targets is subject.inputs
        self._target_affine = self.affine if same else affine(self.change.scale, subject.targets)
        self.inputs = subject.inputs if self.affine is None else self.affine.apply(subject.inputs)
        self.targets = (
            self.inputs if same
            else subject.targets if self._target_affine is None
            else self._target_affine.apply(subject.targets)
        )  # fmt: skip
        with self.randomness.own():
            if self.change.reinit:
                reset(self.model)
            self.optimizer = self._optimizer()
        self.schedule = RateSchedule(subject.schedule)
        limit = self.change.clip
        self._clip: s.Clip = subject.clip if limit is None else s.GlobalNorm(threshold=limit) if limit else s.NoClip()
        self._rates = [group["lr"] for group in self.optimizer.param_groups]
        self.trained: list[Tensor] = [p for group in self.optimizer.param_groups for p in group["params"]]
        rows = torch.arange(subject.rows)[:, None]
        order = torch.Generator().manual_seed(subject.order_seed)
        self._order = BatchOrder(rows, subject.batch_size, order, subject.least)
        self.steps = 0
        self.broken: int | None = None
        self.losses: list[float] = []
        """Reconstruction term of each step."""
        self.totals: list[float] = []
        self.norms: list[float] = []
        """Joint gradient norm of each step, before clipping."""
        self.clipped: list[bool] = []
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
            if change.momentum is not None and "momentum" in group:
                group["momentum"] = change.momentum
        return optimizer

    def _unlisted(self) -> list[Tensor]:
        """Parameters that the model computes with and does not list."""
        rows = slice(0, min(2, self.subject.rows))
        with self._mode:
            output = take_apart(self.model(self.inputs[rows].clone()), self.targets[rows].shape)
        return list(leaves_of(output.reconstruction.sum()).values())

    # --- stepping -------------------------------------------------------------------------------

    def forward(self, x: Tensor, target: Tensor) -> Output:
        with nullcontext() if self._mode.idle else self._mode:
            raw = self.model(x)
        output = take_apart(raw, target.shape)
        if self.change.reshape and output.reconstruction.shape != target.shape:
            fitted = output.reconstruction.reshape(target.shape)
            output = Output(fitted, fitted)
        return output

    def terms(self, output: Output, target: Tensor) -> dict[str, Tensor]:
        """The parts of the loss that are in force."""
        terms = self.subject.terms(self.model, output, target, self.steps, self.bound)
        if self._loss is not None:
            terms[RECONSTRUCTION] = self._loss.call(output.reconstruction, target)
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
        try:
            terms = self.terms(self.forward(x, target), target)
            total = sum(terms.values(), start=x.new_zeros(()))
            if total.requires_grad:
                total.backward()
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
        rates: list[float] = []
        if self.schedule.moves:
            factor = self.schedule.factor(self.steps - 1, self.subject.horizon)
            rates = [rate * factor for rate in self._rates]
        finite, clipped = update_on_host(
            self.optimizer, rates, partial(clip_on_host, self._clip, grads, grads), value, norm
        )
        if not finite:
            return self._break(value)
        if self.schedule.needs_loss:
            self.schedule.observe(value)
        self.losses.append(self.parts.get(RECONSTRUCTION, value))
        self.totals.append(value)
        self.norms.append(norm)
        self.clipped.append(clipped)
        return True

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
        inner = x if self.affine is None else self.affine.apply(x)
        self._mode.tap, self._mode.tapped = index, None
        try:
            with self.looking():
                self.forward(inner.clone(), target)
            return self._mode.tapped
        finally:
            self._mode.tap = self._mode.tapped = None

    def reconstruct(self, x: Tensor, target: Tensor, *, train: bool = False) -> Tensor:
        """What the model makes of rows in the caller's units, compared with `target`: [rows, features].

        Args:
            x: inputs, [rows, ...], in the caller's units.
            train: in train mode, in batches of the training's own size.
        """
        size = min(max(self.subject.least, self.subject.batch_size or _CHUNK), _CHUNK) if train else _CHUNK
        inner = x if self.affine is None else self.affine.apply(x)
        parts: list[Tensor] = []
        with self.looking(train=train):
            for chunk, wanted in zip(inner.split(size), target.split(size), strict=True):
                if train and len(chunk) < self.subject.least and parts:
                    parts.append(wanted.reshape(len(wanted), -1))
                    continue
                # A forward may change its input in place.
                made = self.compared(self.forward(chunk.clone(), wanted).reconstruction)
                made = _fitted(made, wanted)
                parts.append((made if self._target_affine is None else self._target_affine.undo(made)).flatten(1))
        return torch.cat(parts)

    def compared(self, reconstruction: Tensor) -> Tensor:
        """A reconstruction as the loss compares it with targets."""
        return (self._loss or self.subject.loss).probabilities(reconstruction)


def _fitted(made: Tensor, wanted: Tensor) -> Tensor:
    if made.shape == wanted.shape:
        return made
    if made.numel() == wanted.numel():
        return made.reshape(wanted.shape)
    try:
        return made.expand(wanted.shape)
    except RuntimeError:
        while made.ndim > wanted.ndim and 1 in made.shape[1:]:
            made = made.squeeze(1 + list(made.shape[1:]).index(1))
        if made.numel() == wanted.numel():
            return made.reshape(wanted.shape)
        return made.flatten(1).mean(1).reshape(-1, *[1] * (wanted.ndim - 1)).expand(wanted.shape)


def _adopted(optimizer: torch.optim.Optimizer, old: nn.Module, new: nn.Module) -> torch.optim.Optimizer:
    """An optimizer over the copy's parameters in place of one that was built over the caller's own."""
    twins: dict[int, nn.Parameter] = {id(one): two for one, two in zip(old.parameters(), new.parameters(), strict=True)}
    held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    if old is new or not any(id(parameter) in twins for parameter in held):
        return optimizer
    # The caller may hand out the same optimizer each time, and train on with it.
    made = copy.copy(optimizer)
    made.param_groups = [
        {**group, "params": [twins.get(id(parameter), parameter) for parameter in group["params"]]}
        for group in optimizer.param_groups
    ]
    states = {twins.get(id(one), one): copy.deepcopy(kept) for one, kept in optimizer.state.items()}
    made.state = defaultdict(dict, states)
    return made


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
