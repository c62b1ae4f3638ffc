"""The subject of a diagnosis that is a training step of the caller's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from aetui.diagnosis import following
from aetui.diagnosis.arrays import held_rows
from aetui.diagnosis.change import Change
from aetui.diagnosis.feed import feed_of, length
from aetui.diagnosis.intake import (
    FEWEST_ROWS,
    NOTHING_COMPARED,
    Stepped,
    adapted,
    judge_all,
    loss_kind,
    output_of,
    stated,
    target_path,
)
from aetui.diagnosis.isolate import Randomness, clone, rebound
from aetui.diagnosis.loop import Loop
from aetui.diagnosis.losses import Loss
from aetui.diagnosis.observe import probe_rows
from aetui.diagnosis.paths import found_in
from aetui.diagnosis.subject import BuildOptimizer, Subject
from aetui.diagnosis.taken import Look, StepError
from aetui.diagnosis.width import Code, find_code
from aetui.models.errors import first_line
from aetui.report import Taken
from aetui.spec import sections as s
from aetui.training.batches import least_rows

AMP = {"float16": torch.float16, "fp16": torch.float16, "half": torch.float16, "bfloat16": torch.bfloat16,
       "bf16": torch.bfloat16}  # fmt: skip
"""Kinds of autocast by name."""
_FIRST_ROWS = 64
"""Rows of a batch where neither the caller nor their loader says how many."""


def subject_of_step(
    step: Any,
    model: nn.Module,
    data: Any,
    *,
    build: BuildOptimizer,
    optimizer: str,
    clip: s.Clip,
    clip_call: Callable[[list[Tensor]], Any] | None,
    follow: Follow | None,
    each: str | None,
    batch_size: int | None,
    steps: int | None,
    seed: int,
    amp: Any,
    own: dict[str, Any],
) -> Subject:
    """A caller's step as a subject, tried out on a copy.

    Args:
        each: `step` or `epoch`, after which the scheduler takes one; None for what its kind is made for.
        own: `reconstruct`, `target`, `code` and `kl` in the caller's own words, None where they gave none.

    Raises:
        ValueError, TypeError: it can't be run at all; one sentence says why.
    """
    for name, one in own.items():
        if one is not None and not callable(one):
            raise TypeError(f"{name}: {one!r} is not allowed; it takes a callable on {_TAKES[name]}")
    first = next(iter(model.parameters()), None)
    device = torch.device("cpu") if first is None else first.device
    dtype = torch.float32 if first is None or not first.is_floating_point() else first.dtype
    feed = feed_of(data, device, dtype, seed, steps)
    size = feed.size or _FIRST_ROWS if batch_size is None else batch_size
    size = 1 if feed.whole else min(size or feed.rows, feed.rows)
    stepped = Stepped(adapted(step, model), feed, device, **own, amp=_kind(amp), chunk=size)
    least = max(least_rows(model) if not feed.whole else 1, min(feed.least, size))
    stepped, found, batch = _tried(stepped, model, seed)
    numbers = torch.arange(feed.rows, device=device)
    kept, held = held_rows(numbers) if not feed.whole or feed.rows >= 20 else (numbers, None)
    if len(kept) < size:
        kept, held = numbers, None
    each = each or ("step" if follow is None or follow.each_step(build, model) else "epoch")
    subject = Subject(
        model=model, inputs=kept, targets=kept,
        held_out=None if held is None else (held, held),
        loss=Loss(loss_kind(found), False, _no_call, named=False),
        build_optimizer=build, optimizer=optimizer, batch_size=size, least=least, clip=clip, horizon=steps,
        seed=seed, order_seed=seed, takes_raw=True, stepped=stepped, clip_call=clip_call, follow=follow,
        steps_per_turn=1 if each == "step" else max(1, (feed.rows + feed.left) // size),
    )  # fmt: skip
    subject = replace(subject, compared=_compared(subject, seed), exchanged=found.exchanged)
    code = _code(subject, seed)
    taken = stated(found, batch, stepped)
    if code is not None:
        taken = (*taken, Taken(role="code", shape=code.shape, source=code.where))
    if follow is not None:
        turns = "one step after each batch"
        if each == "epoch":
            turns = f"one step after each epoch of {subject.steps_per_turn:,} batches"
        taken = (*taken, Taken(role="scheduler", source=turns))
    return replace(subject, code_width=None if code is None else code.width, taken=taken)


_TAKES = {"reconstruct": "(model, batch)", "target": "(batch)", "code": "(model, batch)", "kl": "(model, batch)"}


def _no_call(output: Any, target: Tensor) -> Tensor:
    raise TypeError("the loss of a step is computed in the step")


def _kind(amp: Any) -> torch.dtype | None:
    if amp is None or amp is False:
        return None
    kind = amp if isinstance(amp, torch.dtype) else AMP.get(str(amp).lower()) if amp is not True else torch.bfloat16
    if kind not in (torch.float16, torch.bfloat16):
        raise ValueError(f"amp: {amp!r} is not allowed; it takes torch.float16, torch.bfloat16, or None")
    return kind


class Follow:
    """From an optimizer to the caller's scheduler over it."""

    def __init__(self, scheduler: Any) -> None:
        if not callable(scheduler) and not callable(getattr(scheduler, "step", None)):
            raise TypeError(
                f"scheduler: {scheduler!r} is not allowed; it takes a torch.optim.lr_scheduler, or a callable on the "
                "optimizer that returns one"
            )
        self.scheduler = scheduler
        self.kind: type = type(scheduler)
        """Of the scheduler, as it was made last."""

    def __call__(self, optimizer: torch.optim.Optimizer) -> Any:
        made = following.follow(self.scheduler, optimizer)
        self.kind = type(made)
        return made

    def each_step(self, build: BuildOptimizer, model: nn.Module) -> bool:
        """Whether it is of a kind that takes a step after every batch."""
        made = self.scheduler
        if not callable(getattr(made, "step", None)):
            copy = clone(model)
            groups = rebound(build, model, copy)(copy).param_groups
            # The caller's own optimizer is not to be known to a scheduler of ours.
            stand_in = [{"params": [nn.Parameter(torch.zeros(1))], "lr": group["lr"]} for group in groups]
            made = self(torch.optim.SGD(stand_in, lr=1e-3, momentum=0.9))
        return isinstance(made, following.EACH_STEP)


def _tried(stepped: Stepped, model: nn.Module, seed: int) -> tuple[Stepped, Look, Any]:
    """One batch through a copy, so that what can't run at all is said in one sentence."""
    copy = clone(model).train()
    batch = stepped.feed.batch(list(range(stepped.chunk)))
    run = rebound(stepped.step, model, copy)
    try:
        with Randomness(seed, stepped.device).own():
            found = stepped.look(copy, batch, run, lambda one: rebound(one, model, copy), Change())
    except StepError:
        raise
    except Exception as error:
        raise ValueError(f"step: it can't take a batch of {_shown(batch)}: {first_line(error)}") from error
    if found.main is None:
        raise ValueError(NOTHING_COMPARED)
    return replace(stepped, target_path=target_path(found, batch, stepped.feed)), found, batch


def _shown(batch: Any) -> str:
    if isinstance(batch, Tensor):
        return f"shape {list(batch.shape)}"
    if isinstance(batch, dict):
        return "{" + ", ".join(f"{key!r}: {_shown(one)}" for key, one in batch.items()) + "}"
    if isinstance(batch, list | tuple):
        return f"[{', '.join(map(_shown, batch))}]"
    return type(batch).__name__


def _compared(subject: Subject, seed: int) -> Tensor:
    """What the rows' reconstructions are compared with, [rows, ...]."""
    stepped = subject.stepped
    assert stepped is not None
    if stepped.target_path is not None:
        target: Tensor = found_in(stepped.feed.stacked, stepped.target_path)
        return target[subject.inputs]
    loop = Loop(subject)
    rows = subject.inputs[probe_rows(subject.rows, FEWEST_ROWS)]
    looks: list[tuple[Look, int]] = []
    with loop.looking():
        for chunk in rows.split(stepped.chunk):
            if looks and len(chunk) < subject.least:
                continue
            found = loop.forward(chunk, chunk).look
            if found is not None and found.main is not None:
                looks.append((found, len(found.main.made) if stepped.feed.whole else len(chunk)))
    return judge_all(stepped, looks).wanted.float()


def _code(subject: Subject, seed: int) -> Code | None:
    stepped = subject.stepped
    assert stepped is not None
    rows = subject.inputs[: stepped.chunk].tolist()
    batch = stepped.feed.batch(rows)
    if stepped.code is not None:
        copy = clone(subject.model).eval()
        with Randomness(seed, subject.device).own(), torch.no_grad():
            made = rebound(stepped.code, subject.model, copy)(copy, batch)
        if not isinstance(made, Tensor) or made.ndim < 2:
            raise ValueError(f"code: it returned {type(made).__name__}; it has to return a tensor, [rows, ...]")
        return Code(made[0].numel(), tuple(made.shape), "code, as it was given")
    count = (length(batch) if stepped.feed.whole else 0) or len(rows)

    def run(copy: nn.Module) -> Any:
        step = rebound(stepped.step, subject.model, copy)
        return output_of(stepped.look(copy, batch, step, lambda one: rebound(one, subject.model, copy), Change()))

    return find_code(subject.model, count, subject.device, run, seed)
