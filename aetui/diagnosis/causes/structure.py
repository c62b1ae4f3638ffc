"""Causes that lie in how the forward is put together: rows that reach each other, number formats."""

from __future__ import annotations

from collections.abc import Iterator

from aetui.diagnosis.dossier import Dossier, Suspect, evidence, figure
from aetui.report import Remedy

SHOWN = 0.95
"""Suspicion of a fault of structure that was shown on the model itself."""


def suspects(dossier: Dossier) -> Iterator[Suspect]:
    for family in (_mixing,):
        found = family(dossier)
        if found is not None:
            yield found


def mixing_text(d: Dossier) -> str:
    """Which row reaches which, as one sentence; '' where they stay apart."""
    found = d.facts.separation.mixing
    if found is None:
        return ""
    where = f", first in what {found.where} returns" if found.where else ""
    others = "" if found.others == 1 else f"; {found.others} of the {found.rows - 1} others change"
    return (
        f"in a batch of {found.rows}, another input for row {found.changed} changes the reconstruction of row "
        f"{found.reached} by {found.change:.2g} of the largest output (its own by {found.own:.2g}){where}{others}"
    )


def _mixing(d: Dossier) -> Suspect | None:
    found = d.facts.separation.mixing
    if found is None:
        return None
    facts = (
        evidence(
            f"change of row {found.reached} with row {found.changed}", found.change, "0", mixing_text(d), found.where
        ),
        evidence(
            f"change of row {found.changed} with itself", found.own, "well above that of other rows",
            f"the reconstruction of row {found.changed} itself changes by {figure(found.own)}", found.where,
        ),
    )  # fmt: skip
    remedy = Remedy(
        id="rows-apart",
        text="Keep the rows in one dimension throughout: batch_first=True in every recurrent and attention layer that "
        "is given [rows, time, ...], transpose or permute in place of view and reshape where dimensions change places, "
        "and softmax and normalize over dim=-1.",
    )
    return Suspect("batch-mixing", SHOWN, facts, (remedy,), certain=True)
