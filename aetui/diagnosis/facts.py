"""What is known before the first step, gathered from data, model, loss and one batch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from aetui.diagnosis.domain import handles_shape, kl_weight, least_near_perfect, terms_of, true_kl
from aetui.diagnosis.figures import Data, Linear, measure_data, measure_linear
from aetui.diagnosis.loop import Loop
from aetui.diagnosis.observe import Activity, Fit, measured, probe_rows, watching
from aetui.diagnosis.output_layer import is_one_of, output_activation, output_range, reach, recurrent_outputs
from aetui.diagnosis.parameters import Gradients, Weight, first_update, measure_gradients, measure_weights
from aetui.diagnosis.subject import KL, Subject
from aetui.diagnosis.told import told
from aetui.models.base import TiedLinear
from aetui.models.units import weight_layers


@dataclass(frozen=True)
class Facts:
    """Everything known before the first step."""

    data: Data
    linear: Linear
    output: str
    """Output activation, '' for none or one that bounds nothing."""
    output_index: int | None
    """Its number among the forward's activations."""
    low: float
    high: float
    """What it can produce, as the loss compares it."""
    outside: float
    """Share of the target values beyond that."""
    reach: float
    """Explained variance of the targets cut to that range: the most that such outputs can explain."""
    shape: tuple[int, ...]
    target_shape: tuple[int, ...]
    fit: Fit
    activities: tuple[Activity, ...]
    weights: tuple[Weight, ...]
    gradients: Gradients
    terms: dict[str, float]
    term_norms: dict[str, float]
    """Gradient norm of each part of the loss."""
    perfect: float | None
    """Loss of a perfect copy."""
    better: float | None
    """Least loss found around a perfect copy, where that is lower."""
    better_text: str
    loss_error: str
    """What the loss raised, '' if it did not."""
    handles_shape: bool
    """Whether the loss itself brings output and target into one shape."""
    beta: float | None
    """Weight of the KL against the summed reconstruction, as in a beta-VAE."""
    variational: bool
    noise: dict[str, float]
    """Standard deviation over train-mode passes of the output, over the data's; and shares dropped."""
    batch_norms: tuple[tuple[str, float | None], ...]
    """Batch normalizations and their momentum."""
    lr: float
    options: dict[str, Any]
    update: float | None
    """Norm of the first update over the norm of the parameters."""
    recurrent: bool
    dense: bool
    """Whether all of its weights are in dense layers."""
    draws: bool = False
    """Whether outputs in eval mode are drawn at random."""
    output_line: str = ""
    """Line of the caller's own code that calls the output activation."""
    cuts: tuple[str, ...] = ()
    """Lines of the caller's own code that cut the gradient."""


def gather(subject: Subject, known: Facts | None = None) -> Facts:
    """Run one batch forward and backward through a copy and measure what can be known from it.

    Args:
        known: of the same model and data under other settings, which is then not measured again.

    Raises:
        RuntimeError, ValueError, TypeError: the model or the loss can't compute this batch at all.
    """
    data = known.data if known else measure_data(subject.judged)
    loop = Loop(subject)
    rows = probe_rows(subject.rows, min(subject.rows, max(2, min(subject.batch_size or 256, 256))))
    x, target = subject.inputs[rows], subject.targets[rows]
    handles = x if subject.stepped is not None else None
    loop.model.train()
    with loop.randomness.own():
        with watching(loop.model) as watcher, recurrent_outputs(loop.model) as recurrent:
            output = loop.forward(x, target)
        made = output.reconstruction
        kind = output_activation(made) or ("recurrent" if is_one_of(made, recurrent) else "")
        index = None
        if kind:
            index = next(
                (
                    call.index
                    for call in reversed(watcher.calls)
                    if call.kind == kind or (kind == "hardtanh" and call.kind in ("clamp", "tanh"))
                ),
                None,
            )
        if output.look is not None and output.look.main is not None:
            target = output.look.main.wanted.detach()
            target = target if target.is_floating_point() else target.to(made.dtype)
        terms, error = terms_of(loop, output, target)
        gradients, norms = measure_gradients(loop, terms, watcher.called)
        update = first_update(loop)
    at_start, activities = (known.fit, known.activities) if known else _at_start(subject)
    low, high = output_range(made, kind)
    finite = target[torch.isfinite(target)]
    slack = 1e-3 * max(1e-12, float(finite.max() - finite.min())) if finite.numel() else 0.0
    outside = float(((finite < low - slack) | (finite > high + slack)).double().mean()) if finite.numel() else 0.0
    if subject.loss.kind == "bce_logits":
        low, high = 0.0, 1.0
        outside = float(((finite < -slack) | (finite > 1 + slack)).double().mean()) if finite.numel() else 0.0
    reachable = reach(subject.judged, low, high, kind)
    perfect, better, text = least_near_perfect(loop, made, finite, target, handles)
    group = loop.optimizer.param_groups[0]
    kl = true_kl(loop.model, output)
    noise_kinds = {place for place, _ in watcher.noise}
    return Facts(
        data=data,
        linear=known.linear if known else _linear(subject),
        output=kind, output_index=index, low=low, high=high, outside=outside, reach=reachable,
        shape=tuple(made.shape), target_shape=tuple(target.shape),
        fit=at_start,
        activities=activities,
        weights=known.weights if known else measure_weights(subject.model),
        gradients=gradients,
        terms={name: float(term.detach()) for name, term in terms.items()},
        term_norms=norms,
        perfect=perfect, better=better, better_text=text, loss_error=error,
        handles_shape=handles_shape(loop, output, target),
        beta=kl_weight(loop, terms, output, target, kl),
        variational=kl is not None or KL in subject.penalties or (bool(subject.penalties) and "noise" in noise_kinds),
        noise=_noise(subject, subject.inputs[rows], target, noise_kinds),
        batch_norms=tuple(
            (name, module.momentum) for name, module in subject.model.named_modules()
            if isinstance(module, nn.modules.batchnorm._BatchNorm)
        ),
        lr=float(group["lr"]),
        options={
            key: value for key, value in group.items() if isinstance(value, int | float | tuple) and key != "params"
        },
        update=update,
        dense=all(isinstance(module, nn.Linear | TiedLinear) for _, module in weight_layers(subject.model)),
        draws=known.draws if known else _draws(subject, x, target),
        output_line=next((call.line for call in watcher.calls if call.index == index), ""),
        cuts=tuple(dict.fromkeys(filter(None, watcher.cuts))),
        recurrent=any(isinstance(module, nn.RNNBase | nn.RNNCellBase) for module in subject.model.modules()),
    )  # fmt: skip


def _at_start(subject: Subject) -> tuple[Fit, tuple[Activity, ...]]:
    """The outputs and the units of the initial model, in eval mode."""
    loop, rows = Loop(subject), probe_rows(subject.rows)
    x, target = subject.inputs[rows], subject.targets[rows]
    made = loop.fit(x, target)
    few = slice(0, loop.chunk)
    with loop.looking(), watching(loop.model) as watcher:
        again = loop.forward(x[few], target[few]).reconstruction
    return made, measured(watcher, again)


def _linear(subject: Subject) -> Linear:
    """What PCA of the targets explains, and of targets that are not what the model is told what that tells of them."""
    return replace(measure_linear(subject.judged, subject.code_width), told=told(subject))


def _draws(subject: Subject, x: Tensor, target: Tensor) -> bool:
    """Whether two passes over the same rows in eval mode differ."""
    loop = Loop(subject)
    with loop.looking():
        first, second = (loop.forward(x.clone(), target).reconstruction for _ in range(2))
    return not torch.equal(first.nan_to_num(), second.nan_to_num())


def _noise(subject: Subject, x: Tensor, target: Tensor, kinds: set[str]) -> dict[str, float]:
    """Dropped share, and how much train-mode passes over the same rows differ, in standard deviations of the data."""
    found: dict[str, float] = {}
    dropped = [float(m.p) for m in subject.model.modules() if isinstance(m, nn.modules.dropout._DropoutNd)]
    if dropped or "dropout" in kinds:
        found["dropout"] = max(dropped, default=0.0)
    if "noise" in kinds:
        loop = Loop(subject)
        with loop.looking(train=True):
            first, second = (loop.forward(x, target).reconstruction for _ in range(2))
        found["noise"] = float((first - second).detach().std()) / max(float(target.std()), 1e-12)
    return found
