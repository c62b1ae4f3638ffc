"""Samples beside their reconstructions."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from aetui.gauges.objective import Objective
from aetui.models.base import Autoencoder, evaluating
from aetui.protocol import Array, Pair, Pairs


def measure_pairs(
    model: Autoencoder,
    objective: Objective,
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
    """`count` samples from number `first` on, with what the model makes of them in eval mode.

    Args:
        samples: all samples to page through, [rows, features], as the loss sees them.
        titles: one per sample, or () for its number.
        first: brought into the range of the samples.
        low: smallest value of the data, for a common scale; the samples' own if None.
        high: largest value of the data.
    """
    first = min(max(0, first), max(0, len(samples) - count))
    chosen = samples[first : first + count]
    with evaluating(model):
        output = model(chosen).output
        errors = objective.reduce(objective.elementwise(output, chosen)).tolist()
        shown = objective.prediction(output).float().cpu().numpy()
    inputs = chosen.float().cpu().numpy()
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
