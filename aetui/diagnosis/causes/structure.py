"""Causes that lie in how the forward is put together: rows that reach each other, number formats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from aetui.diagnosis.change import Change
from aetui.diagnosis.dossier import Dossier, Probe, Suspect, evidence, figure
from aetui.report import Evidence, Finding, Remedy

SHOWN = 0.95
"""Suspicion of a fault of structure that was shown on the model itself."""
STALLED, SLOWED = 0.9, 0.5
"""Share of the first update that is lost to rounding, in squares, from which training hardly moves, and the suspicion
that belongs to it."""
EPS = 1e-4
"""Of an adaptive optimizer over float16 weights: its least normal number is 6e-5."""


def suspects(dossier: Dossier) -> Iterator[Suspect]:
    for family in (_mixing, _precision):
        found = family(dossier)
        if found is not None:
            yield found


def remarks(d: Dossier, findings: Sequence[Finding]) -> Iterator[str]:
    """What the structure does that no finding says, a sentence each."""
    text = mixing_text(d)
    if text and not any(one.cause == "batch-mixing" for one in findings):
        yield f"Rows reach each other: {text}. In another batch the same row is reconstructed differently."
    around = d.facts.bypass
    if around is not None and around.found:
        yield (
            f"Before the first step, with what {around.where} returns (taken for the code) the same for every row, the "
            f"reconstructions still vary {around.share:.0%} as much: the input also goes around it, as by skip "
            "connections, so that it is no bottleneck."
        )


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


def _precision(d: Dossier) -> Suspect | None:
    p = d.facts.precision
    facts: list[Evidence] = []
    if p.eps is not None:
        text = (
            f"the weights are {p.format}, where {d.subject.optimizer}'s eps of {figure(p.eps)} is 0: an update whose "
            "gradient is too small to be squared there is divided by 0"
        )
        facts.append(evidence("eps", p.eps, f"{EPS:g} in {p.format}", text, "optimizer"))
    if p.broken:
        text = f"{p.broken:.0%} of the weights are not finite after the first step, although its gradient is"
        facts.append(evidence("weights not finite after a step", p.broken, "0", text))
    if p.overflow:
        where = p.overflow if p.overflow == "the loss" else f"what {p.overflow} returns"
        text = f"in {p.format} {where} is not finite for the first batch, in float32 it is"
        facts.append(evidence("overflow", p.overflow, "none", text, p.overflow))
    if p.stalled >= STALLED:
        text = f"in {p.format} {p.stalled:.0%} of the first update (in squares) is lost to rounding"
        facts.append(evidence("updates lost to rounding", p.stalled, "near 0", text))
    if not facts:
        return None
    wide = "Keep the weights in float32 and compute in 16 bits under torch.autocast, float16 with a GradScaler."
    if p.autocast:
        wide = "Compute what overflows in float32, or use bfloat16, which has the range of float32."
    remedies = [Remedy(id="float32-weights", text=wide, set={} if p.autocast else {"train.dtype": "float32"})]
    probes = [Probe("float32 throughout", Change(float32=True))]
    if p.eps is not None:
        remedies.append(Remedy(id="eps", text=f"Or set eps to {EPS:g}.", set={"optim.eps": EPS}))
        probes.append(Probe(f"eps {EPS:g}", Change(eps=EPS)))
    shown = bool(p.eps is not None or p.broken or p.overflow)
    suspicion = SHOWN if shown else SLOWED
    return Suspect("precision", suspicion, tuple(facts), tuple(remedies), tuple(probes), certain=shown)
