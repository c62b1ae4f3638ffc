"""What an experiment shows: the noise band of its controls, and the verdict of each fork. Pure functions, no torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from aetui.report import CONSTANT_OUTPUTS, DEAD_CODE, LOST_FEATURES, MEMORIZED
from aetui.whatif.experiment import CONTROLS, WHOLE, Experiment, Figures, Fork, Point, Verdict

LEAST = 0.01
"""Explained variance that a difference has to exceed at least, however little the controls differ."""
SPARED = 0.1
"""Explained variance that a mended symptom may cost where it is another than the fit as a whole."""
WORST = -10.0
"""Explained variance at which a training counts whose outputs are not finite, or that far from the data."""
_FEWEST = 6
"""Points of a curve from which its pace is told."""
_FASTER, _BELOW = 2.0, 2.0
"""Times its pace that a fork is credited with, and widths of the noise that it has to stay below the band even so."""
_REACH = 2.0
"""Times the typical difference of the two curves within which a third one is expected."""


class Band(Struct, frozen=True):
    """Where a training without any change may stand at a horizon."""

    low: float
    high: float
    noise: float
    """How far apart two such trainings are taken to be."""

    @property
    def middle(self) -> float:
        return (self.low + self.high) / 2


def standing(figures: Figures | None, symptom: str) -> float:
    """How well a training does in what the verdict objects to, from WORST to 1."""
    if figures is None or figures.explained is None:
        return WORST
    if symptom == DEAD_CODE and figures.code:
        return 1 - figures.dead_code / figures.code
    if symptom == LOST_FEATURES:
        return figures.even
    if symptom == CONSTANT_OUTPUTS:
        return 1 - figures.unanswered
    if symptom == MEMORIZED and figures.held_out is not None:
        return max(WORST, figures.held_out)
    return max(WORST, figures.explained)


def controls(forks: Iterable[Fork], start: int) -> tuple[Fork | None, Fork | None]:
    """The untouched control and the one with another order that a fork from step `start` is compared with.

    Where there is none from that step, the one from another step has trained as long.
    """
    found: list[Fork | None] = []
    for origin in CONTROLS:
        these = [fork for fork in forks if fork.change.origin == origin]
        found.append(next((fork for fork in these if fork.start == start), these[0] if these else None))
    return found[0], found[1]


def band(forks: Sequence[Fork], start: int, symptom: str, *, half: bool = False) -> Band | None:
    """The noise band of forks from step `start`, from the two controls; None before both have come to the horizon.

    It reaches as far as the controls differ there, and at least as far as their curves typically differ over
    the second half of the way: how near two curves come at one step is chance. How far below 0 they are does not
    count as a difference: a training that explains nothing may be anywhere there, and one that diverges is.
    """
    untouched, reordered = controls(forks, start)
    if untouched is None or reordered is None:
        return None
    ends = [one.half if half else one.full for one in (untouched, reordered)]
    if any(end is None for end in ends):
        return None
    first, second = (standing(end, symptom) for end in ends)
    apart = abs(max(0.0, first) - max(0.0, second))
    noise = max(LEAST, apart, _REACH * _typical(untouched.curve, reordered.curve))
    return Band(min(first, second) - noise, max(first, second) + noise, noise)


def _typical(one: Sequence[Point], other: Sequence[Point]) -> float:
    """Root mean square of the difference of two curves over the second half of the steps that both have."""
    beside = {point.step: _bounded(point.explained) for point in other}
    pairs = [(point.step, _bounded(point.explained) - beside[point.step]) for point in one if point.step in beside]
    late = [value for _, value in pairs[len(pairs) // 2 :]]
    return math.sqrt(sum(value * value for value in late) / len(late)) if late else 0.0


def _bounded(explained: float | None) -> float:
    """An explained variance as the noise band counts it: below 0 nothing is explained."""
    return 0.0 if explained is None else max(0.0, explained)


def verdict_of(fork: Fork, forks: Sequence[Fork], symptom: str, target: float | None) -> tuple[Verdict, str]:
    """What a fork shows, given the controls among `forks`, and what that has to be read with.

    '' before it has come to the full horizon, or before the noise band is known there. It never says more than the
    symptom's own figure does, and never that a fork does better which does worse in explained variance.

    Args:
        symptom, target: as in `Experiment`.
    """
    if fork.control:
        return "control", ""
    if fork.status == "diverged":
        return "diverged", fork.why
    if fork.status == "stopped":
        # It was behind by more than the noise band, and fell further.
        return "worse", fork.why
    if fork.status in ("failed", "cancelled") or fork.full is None:
        return "", fork.why
    found = band(forks, fork.start, symptom)
    untouched, _ = controls(forks, fork.start)
    if found is None or untouched is None:
        return "", fork.why
    if fork.weights and fork.weights == untouched.weights:
        return "no effect", "its weights are those of the untouched control"
    here = standing(fork.full, symptom)
    if found.low <= here <= found.high:
        sharp = found.noise <= LEAST and abs(here - found.middle) <= LEAST
        return ("no effect" if sharp else "not told from noise"), ""
    if here < found.low:
        return ("diverged" if here <= WORST else "worse"), ""
    if here <= LEAST:
        return "no effect", "it explains no more than the mean of the data does"
    costs = _costs(fork, forks, symptom)
    if costs:
        return "worse", costs
    remarks = [_remark(fork, forks, symptom)]
    if untouched.full is not None and fork.full.step > untouched.full.step:
        remarks.append(f"after {fork.full.step:,} steps, the controls after {untouched.full.step:,}")
    # What was not broken can't be fixed.
    fixes = mended(fork.full, symptom, target) and not mended(untouched.full, symptom, target)
    return ("fixes it" if fixes else "helps"), "; ".join(filter(None, remarks))


def mended(figures: Figures | None, symptom: str, target: float | None) -> bool:
    """Whether the symptom is gone at a horizon."""
    if figures is None:
        return False
    return bool(figures.sound) if target is None else standing(figures, symptom) >= target


def _costs(fork: Fork, forks: Sequence[Fork], symptom: str) -> str:
    """What a fork that does better in the symptom loses in explained variance, where that is too much."""
    if symptom == WHOLE or fork.full is None:
        return ""
    whole = band(forks, fork.start, WHOLE)
    after = standing(fork.full, WHOLE)
    # Rows that were learned by heart are explained less once they no longer are.
    spared = math.inf if symptom == MEMORIZED else SPARED
    if whole is None or after >= whole.low - spared:
        return ""
    return f"it mends the {symptom}, and explains {after:.3f} where the controls explain {whole.middle:.3f}"


def _remark(fork: Fork, forks: Sequence[Fork], symptom: str) -> str:
    """How the fork stood half-way, where that is another story than the end."""
    half, full = band(forks, fork.start, symptom, half=True), band(forks, fork.start, symptom)
    if half is None or full is None or fork.half is None or fork.full is None:
        return ""
    lead = standing(fork.half, symptom) - half.middle
    now = standing(fork.full, symptom) - full.middle
    if lead < -half.noise:
        return "behind half-way"
    return "its lead shrinks" if lead > 2 * now and lead - now > full.noise else ""


def judged(experiment: Experiment) -> Experiment:
    """The same with the verdict of each fork, as far as one can be given."""
    forks = []
    for fork in experiment.forks:
        verdict, why = verdict_of(fork, experiment.forks, experiment.symptom, experiment.target)
        forks.append(replace(fork, verdict=verdict, why=why or fork.why))
    return replace(experiment, forks=tuple(forks))


def hopeless(fork: Fork, forks: Sequence[Fork], symptom: str, full: int) -> str:
    """Why a fork need not train on from where it is, a sentence; '' while it may still come to something.

    Nothing is hopeless before both controls are through or before its half, and then only what would stay below
    the noise band at twice the pace of the second half of its way: a lower rate looks worse early.
    """
    found = band(forks, fork.start, symptom)
    if found is None or fork.half is None or fork.end > full or symptom != WHOLE or len(fork.curve) < _FEWEST:
        return ""
    last = fork.curve[-1]
    middle = min(fork.curve, key=lambda point: abs(point.step - (fork.start + last.step) / 2))
    here = WORST if last.explained is None else last.explained
    pace = (here - (WORST if middle.explained is None else middle.explained)) / max(1, last.step - middle.step)
    expected = here + _FASTER * max(0.0, pace) * (full - last.step)
    if expected >= found.low - _BELOW * found.noise:
        return ""
    shown = "not finite" if last.explained is None else f"{last.explained:.3f}"
    return (
        f"stopped at step {last.step:,} of {fork.end:,}: explained variance {shown} would be {expected:.3f} at twice "
        f"its pace, and the controls end at {found.low + found.noise:.3f} or above"
    )


def winner(experiment: Experiment) -> Fork | None:
    """The best fork among those that fix the run or, where none does, that help; None without any.

    As far as noise lets them be told apart, it is the one that changes least.
    """
    symptom = experiment.symptom
    for verdict in ("fixes it", "helps"):
        good = [fork for fork in experiment.forks if fork.verdict == verdict and fork.full is not None]
        if not good:
            continue
        best = max(standing(fork.full, symptom) for fork in good)
        found = band(experiment.forks, experiment.step, symptom)
        near = LEAST if found is None else found.noise
        return min(
            (fork for fork in good if best - standing(fork.full, symptom) <= near),
            key=lambda fork: len(fork.change.settings),
        )
    return None
