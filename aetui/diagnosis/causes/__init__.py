"""Rules that turn what was measured into suspects, one module per family of causes."""

from __future__ import annotations

from dataclasses import replace

from aetui.diagnosis.causes import code, network, penalties, schedule, steps, structure, values
from aetui.diagnosis.causes.fitting import fitting
from aetui.diagnosis.causes.python import spoken
from aetui.diagnosis.dossier import Dossier, Suspect

_FAMILIES = (values, structure, penalties, network, steps, code, schedule)


def suspects(dossier: Dossier) -> list[Suspect]:
    """Every suspect, the most suspicious first; before the first step those that can be seen then."""
    found = [
        replace(
            suspect,
            remedies=spoken(dossier, fitting(dossier.subject.spec, suspect.remedies, not dossier.subject.loss.named)),
            probes=tuple(probe for probe in suspect.probes if dossier.subject.allows(probe.change)),
        )
        for family in _FAMILIES
        for suspect in family.suspects(dossier)
    ]
    return sorted(found, key=lambda suspect: -suspect.suspicion)
