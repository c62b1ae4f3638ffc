"""Samples beside their reconstructions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from aetui.gauges.objective import Objective
from aetui.models.base import Autoencoder, evaluating
from aetui.protocol import Array, Pair, Pairs

Reconstruct = Callable[[Tensor], tuple[Tensor, Tensor]]
"""From rows to what a model makes of them, [rows, features], and the loss of each, [rows]."""


def through(model: Autoencoder, objective: Objective, targets: Tensor | None = None) -> Reconstruct:
    """What a model makes of rows in eval mode, as the loss compares it; `targets` are the rows unless given."""

    def reconstruct(rows: Tensor) -> tuple[Tensor, Tensor]:
        with evaluating(model):
            output = model(rows).output
            losses = objective.reduce(objective.elementwise(output, rows if targets is None else targets))
            return objective.prediction(output), losses

    return reconstruct


def measure_pairs(
    reconstruct: Reconstruct,
    samples: Tensor,
    titles: Sequence[str],
    first: int,
    count: int,
    *,
    step: int,
    version: int,
    low: float | None = None,
    high: float | None = None,
) -> Pairs:
    """`count` samples from number `first` on, with what the model makes of them.

    Args:
        samples: all samples to page through, [rows, ...], as the model takes them.
        titles: one per sample, or () for its number.
        first: brought into the range of the samples.
        low: smallest value of the data, for a common scale; the samples' own if None.
        high: largest value of the data.
    """
    first = min(max(0, first), max(0, len(samples) - count))
    chosen = samples[first : first + count]
    output, losses = reconstruct(chosen)
    errors, shown = losses.tolist(), output.float().cpu().numpy()
    inputs = chosen.flatten(1).float().cpu().numpy()
    pairs = tuple(
        Pair(
            title=titles[first + row] if titles else f"sample {first + row}",
            input=Array.of(inputs[row]),
            output=Array.of(shown[row]),
            error=errors[row],
        )
        for row in range(len(inputs))
    )
    return Pairs(
        version=version,
        step=step,
        first=first,
        count=len(samples),
        low=float(samples.min()) if low is None else low,
        high=float(samples.max()) if high is None else high,
        pairs=pairs,
    )
