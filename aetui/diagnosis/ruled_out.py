"""What speaks against the causes, where none is likely."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from aetui.diagnosis.causes.catalog import CATALOG
from aetui.diagnosis.dossier import Dossier, Suspect, figure
from aetui.diagnosis.weighing import Outcome

MOST = 8
"""Sentences at most."""


def ruled_out(
    d: Dossier, suspects: Sequence[Suspect], outcomes: Mapping[str, Sequence[Outcome]], control: float
) -> tuple[str, ...]:
    """A sentence with its figure for each cause that a probe or a fact speaks against, the most suspicious first."""
    return tuple([*_by_probe(suspects, outcomes, control), *_by_fact(d)][:MOST])


def _by_probe(suspects: Sequence[Suspect], outcomes: Mapping[str, Sequence[Outcome]], control: float) -> Iterator[str]:
    for suspect in suspects:
        tried = [one for one in outcomes.get(suspect.cause, ()) if not one.error]
        if not tried:
            continue
        best = max(tried, key=lambda one: one.quality)
        title = CATALOG[suspect.cause].title
        if best.fit is None:
            yield f"{title} ({suspect.cause}): with {best.probe.label} the loss was not finite either"
            continue
        gain = best.quality - control
        yield (
            f"{title} ({suspect.cause}): {best.probe.label} came to explained variance {figure(best.fit.explained)} "
            f"in {best.steps:,} steps on a copy, a share of the yardstick of {best.quality:.2f} where the training "
            f"itself had {control:.2f} ({gain:+.2f})"
        )


def _by_fact(d: Dossier) -> Iterator[str]:
    f = d.facts
    if not f.data.bad:
        yield (
            f"values that are not finite (bad-values): none among the {f.data.rows:,} rows, "
            f"which run from {figure(f.data.low)} to {figure(f.data.high)}"
        )
    if f.gradients.total and not f.gradients.lost and not f.gradients.unreachable:
        yield f"parameters that do not train (frozen-parameters): all {f.gradients.total:,} weights get a gradient"
    if f.perfect is not None and f.better is None and not f.loss_error:
        yield f"a loss not made for these data (loss-domain): {figure(f.perfect)} for a perfect copy is its least value"
    if f.outside <= 0:
        yield "an output layer that can't produce the targets (output-range): 0 % of them lie out of its reach"
