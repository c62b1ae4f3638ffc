"""All that is known of a training when its causes are weighed, and what a suspicion is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from aetui.diagnosis.change import Change
from aetui.diagnosis.codebook import CodeUse, allowed
from aetui.diagnosis.facts import Facts
from aetui.diagnosis.losses import ENTROPIC
from aetui.diagnosis.observe import Activity, Fit, Snapshot
from aetui.diagnosis.parameters import Weight
from aetui.diagnosis.parted import KL, MATCHING, RECONSTRUCTION
from aetui.diagnosis.rates import Rates, measured
from aetui.diagnosis.subject import Subject
from aetui.report import Evidence, Remedy

DEAD_CODE, CONSTANT_OUTPUTS, BOUNDED = "dead code units", "constant outputs", "bounded outputs"
"""Symptoms of which a verdict can speak beside the fit as a whole."""
MEMORIZED, MODES = "memorized rows", "eval mode"
SPARED = 0.1
"""Quality that a repair of something else may cost."""
NEAR_LINEAR = 0.8
"""Share of what PCA explains from which a training counts as doing its work."""


WHOLE, EACH = 0.7, 0.3
"""Parts that all features together, and each of them alike, have in the quality of a fit."""
LEARNED = 0.5
"""Explained variance below which nothing can have been memorized."""
EXPECTED = 0.3
"""Explained variance of held-out rows that a model has to fall short of, where PCA reaches less, to have memorized."""
FEWEST_LOSSES = 16
"""Steps below which no trend of the loss is told."""
LEAST_CURVATURE = 1e-3
"""Curvature of a cross-entropy at least, in those of half the squared error: targets of nearly one value."""
LEAST_LIMIT = 0.02
"""Explained variance of PCA below which it is no yardstick: a fit then counts as it is."""


@dataclass(frozen=True)
class Probe:
    """A controlled experiment: the training from step 0 with one thing changed."""

    label: str
    """The change in a few words: `learning rate / 10`."""
    change: Change
    remedy: str = ""
    """Id of the remedy that it tries, where its cause has several of which the better ones are to be named."""


@dataclass(frozen=True)
class Suspect:
    """A cause that the evidence speaks for, before any probe.

    suspicion: from 0 to 1, how likely it is the root from what was measured. probes: experiments
    that repair the training if it is. certain: the evidence is the fault itself, and no probe is needed.
    """

    cause: str
    suspicion: float
    evidence: tuple[Evidence, ...] = ()
    remedies: tuple[Remedy, ...] = ()
    probes: tuple[Probe, ...] = ()
    certain: bool = False
    follows: str = ""


@dataclass
class Dossier:
    """A training up to now. Before the first step only `subject` and `facts` are there."""

    subject: Subject
    facts: Facts
    snapshots: Sequence[Snapshot] = ()
    losses: Sequence[float] = ()
    norms: Sequence[float] = ()
    clipped: Sequence[bool] = ()
    broken: int | None = None
    goal: int | None = None
    """The caller's own training length."""
    train_fit: Fit | None = None
    """The fit in train mode, where it was measured."""
    held_fit: Fit | None = None
    held_linear: float | None = None
    """Explained variance of PCA on the rows held out, fitted to those trained on."""
    code_active: tuple[int, int] | None = None
    """Code units that vary over the rows, and all of them."""
    schedule: Sequence[float] = ()
    """Learning rate of each step."""
    taken: int | None = None
    """Steps taken, where `losses` are only some of them."""
    parts: dict[str, float] = field(default_factory=dict)
    """Parts of the last loss."""
    weights: tuple[Weight, ...] = ()
    """The weight matrices as they are now, where they were measured."""
    unsound: tuple[str, ...] = ()
    """Batch normalizations whose running statistics are not finite."""
    symptom: str = ""
    """What the verdict objects to, where that is not the fit as a whole; probes are judged by it."""

    @property
    def started(self) -> bool:
        return len(self.losses) > 0

    @property
    def fit(self) -> Fit:
        return self.snapshots[-1].fit if self.snapshots else self.facts.fit

    @property
    def steps(self) -> int:
        return len(self.losses) if self.taken is None else self.taken

    @cached_property
    def kl_limit(self) -> float | None:
        """Explained variance that a linear VAE with this weight of the KL has; None where the weight is unknown.

        With a KL of weight b against half the summed squared error, components with variance v > b
        are kept, and b^2/v of each is missed (Lucas et al. 2019, section 4); b of each where the code is drawn in
        eval mode too, since the decoder passes the noise on. A cross-entropy has about
        the squared error's curvature divided by p(1 - p), with the mean variance of its targets at most that.
        """
        linear, beta = self.facts.linear, self.facts.beta
        if beta is None or not linear.total:
            return None
        if self.subject.loss.kind in ENTROPIC:
            beta *= max(LEAST_CURVATURE, self.facts.data.mean * (1 - self.facts.data.mean))
        noise = beta / linear.total
        missed = [noise if self.facts.draws else noise * noise / share for share in linear.variances if share > noise]
        kept = [share for share in linear.variances if share > noise]
        return sum(share - lost for share, lost in zip(kept, missed, strict=True))

    @property
    def codebooks(self) -> tuple[CodeUse, ...]:
        """The codebooks of a discrete code, as the rows use them now."""
        return self.snapshots[-1].codes if self.snapshots else ()

    @property
    def allowed(self) -> float | None:
        """Explained variance that the bits of a discrete code allow; None where the code is none."""
        variances = self.facts.linear.variances
        if not self.codebooks or not variances:
            return None
        return allowed(sum(one.bits for one in self.codebooks), variances)

    @property
    def limit(self) -> float | None:
        """Explained variance that a working model of this code reaches: `linear_limit`, and for a discrete one what its
        bits allow."""
        if self.linear_limit is None or self.allowed is None:
            return self.linear_limit
        return min(self.linear_limit, self.allowed)

    @cached_property
    def linear_limit(self) -> float | None:
        """Explained variance that a working model of this code width reaches: PCA's, or that of a linear VAE whose
        KL has an ordinary weight or leaves most of it; from other inputs than the targets, that of a linear map."""
        linear, beta = self.facts.linear.explained, self.facts.beta
        if self._told is not None:
            linear = self._told
        if linear is None or self.kl_limit is None or beta is None:
            return linear
        if beta > ORDINARY_BETA and self.kl_limit < MOST_KEPT * linear:
            return linear
        return min(linear, self.kl_limit)

    @property
    def _told(self) -> float | None:
        """What the inputs tell of the targets, where that is less than PCA of the targets explains."""
        linear, told = self.facts.linear.explained, self.facts.linear.told
        if linear is None or told is None or not LEAST_TOLD * linear <= told < linear:
            return None
        return told

    @property
    def memorized(self) -> float:
        """How much less the held-out rows are explained than the trained ones, beyond what PCA loses there too."""
        if self.held_fit is None or self.fit.explained < LEARNED:
            return 0.0
        reference = self.fit.explained if self.held_linear is None else min(self.fit.explained, self.held_linear)
        return min(self.fit.explained, max(reference, EXPECTED)) - self.held_fit.explained

    @property
    def penalties(self) -> tuple[str, ...]:
        """Names of what is added to the reconstruction besides a KL and what matches a code with its codebook."""
        known = (RECONSTRUCTION, KL, MATCHING, "constant")
        return tuple(dict.fromkeys((*self.subject.penalties, *(n for n in self.facts.terms if n not in known))))

    @property
    def rates(self) -> Rates | None:
        """The learning rate over the run, as it is planned or, where that is not known, as it was; None for a constant
        one."""
        return self.facts.rates or measured(self.schedule, self.facts.lr)

    @property
    def quality(self) -> float:
        return self.quality_of(self.fit)

    def quality_of(self, fit: Fit) -> float:
        """Share of what the linear yardstick explains, 0 to 1: over all features, and for data of uneven
        scale over each feature alike."""
        limit = self.limit
        if not fit.finite:
            return 0.0
        whole = _share(fit.explained, limit)
        reference = self.facts.linear.standardized if self.facts.data.uneven > UNEVEN else self.facts.linear.features
        if reference is not None and self._told is not None and self.facts.linear.explained:
            # Of each feature the inputs tell about as much less as of the whole.
            reference *= self._told / self.facts.linear.explained
        each = _share(fit.features, reference)
        return min(1.0, WHOLE * whole + EACH * min(1.0, each))

    def standing(self, fit: Fit, alive: float | None = None) -> float:
        """How well a state does in what the verdict objects to, 0 to 1.

        Args:
            alive: share of the code's units that vary over the rows, where that was measured.
        """
        if self.symptom == DEAD_CODE and alive is not None:
            # Units that vary and tell nothing are no repair.
            return alive if self.quality_of(fit) >= self.quality - SPARED else 0.0
        if self.symptom == CONSTANT_OUTPUTS:
            return (1 - fit.unanswered) * self.quality_of(fit)
        if self.symptom == BOUNDED:
            return max(0.0, fit.explained) if fit.finite else 0.0
        return self.quality_of(fit)

    @property
    def activities(self) -> tuple[Activity, ...]:
        return self.snapshots[-1].activities if self.snapshots else self.facts.activities

    @property
    def hidden(self) -> tuple[Activity, ...]:
        return tuple(one for one in self.activities if not one.output)

    @property
    def dead_code(self) -> Activity | None:
        """A rectified code with units that give the same for every row."""
        width = self.facts.linear.width or 0
        return next(
            (one for one in self.hidden if one.kind == "relu" and one.units <= width and one.dead * one.units >= 1),
            None,
        )

    @property
    def saturated_at_start(self) -> Activity | None:
        """The hidden activation with the largest saturated share before the first step."""
        hidden = [one for one in self.facts.activities if not one.output]
        return max(hidden, key=lambda one: one.saturated, default=None)

    @property
    def trend(self) -> float:
        """By what share the loss fell from the third to the last quarter of the steps; 0.0 where there are few."""
        losses = np.asarray(self.losses, dtype=np.float64)
        if len(losses) < FEWEST_LOSSES or not np.isfinite(losses).all():
            return 0.0
        quarter = len(losses) // 4
        third, last = np.median(losses[-2 * quarter : -quarter]), np.median(losses[-quarter:])
        return float((third - last) / abs(third)) if third else 0.0

    @property
    def gain(self) -> float:
        """By how much the explained variance rose over the last half of the steps."""
        before = [shot for shot in self.snapshots if shot.step <= self.steps / 2] or list(self.snapshots[:1])
        return self.fit.explained - before[-1].fit.explained if before else 0.0

    @property
    def moves(self) -> bool:
        """Whether the loss falls and the outputs come closer to the data; noise of the loss alone is no progress."""
        return self.trend > STILL and self.gain > STILL

    @property
    def update(self) -> float | None:
        """Median update ratio over parameters and snapshots after the first steps."""
        ratios = [value for shot in self.snapshots[1:] for value in shot.updates.values()]
        return float(np.median(ratios)) if ratios else self.facts.update


STEADY = 0.005
"""Fall of the loss over the last quarter, relative, that is no more than its noise."""
STILL = 0.01
"""Fall of the loss over the last quarter, relative, and gain of explained variance over the last half of the steps,
below which a training no longer moves."""
ORDINARY_BETA = 1.5
"""Weight of the KL up to which its cost belongs to the model and is no fault."""
LEAST_TOLD = 0.3
"""Share of what PCA of the targets explains that a linear map of the inputs has to reach to be their yardstick; below,
the targets are no noisy or coarse version of the inputs, and what those tell of them may be nothing linear."""
MOST_KEPT = 0.6
"""Share of what PCA explains from which, where a linear VAE keeps it, a larger weight of the KL is a choice."""
OUTLIER = 15.0
"""Distance of the largest row from the middle, in those of the median row, from which single rows rule the gradient."""
UNEVEN = 30.0
"""Ratio between the features' ranges from which a squared error sees only the large ones."""


def graded(value: float, scale: Sequence[tuple[float, float]], rest: float) -> float:
    """The suspicion that belongs to the first of the bounds, largest first, which `value` exceeds; `rest` for none."""
    return next((doubt for bound, doubt in scale if value > bound), rest)


def _share(value: float, limit: float | None) -> float:
    if not math.isfinite(value):
        return 0.0
    return max(0.0, min(1.0, value / limit)) if limit and limit > LEAST_LIMIT else max(0.0, min(1.0, value))


def evidence(measure: str, value: float | int | str | None, normal: str, text: str, where: str = "") -> Evidence:
    """An `Evidence`, with three significant digits."""
    if isinstance(value, float):
        value = None if not math.isfinite(value) else float(f"{value:.3g}")
    return Evidence(measure=measure, value=value, normal=normal, where=where, text=text)


def figure(value: float) -> str:
    """A number as sentences show it."""
    return f"{value:.3g}"
