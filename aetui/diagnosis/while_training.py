"""The diagnosis of a run that trains elsewhere: evidence as it comes, findings that hold still, probes on demand."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Generator, Sequence

import torch
from msgspec.structs import replace
from torch import nn

from aetui.diagnosis import causes
from aetui.diagnosis.budget import Budget
from aetui.diagnosis.codebook import Picks, uses_of
from aetui.diagnosis.dossier import NEAR_LINEAR, Dossier, Suspect
from aetui.diagnosis.examine import EARLY, control_of, doubted, overturned, report_of, revised
from aetui.diagnosis.facts import Facts, gather
from aetui.diagnosis.isolate import clone
from aetui.diagnosis.loop import Loop
from aetui.diagnosis.observe import Fit, Snapshot, fit, measured, probe_rows, watching
from aetui.diagnosis.of_training import subject_of_training
from aetui.diagnosis.outputs import take_apart
from aetui.diagnosis.parameters import measure_weights
from aetui.diagnosis.probing import Outcomes, Progress, Rows, length_of, probe_suspects
from aetui.diagnosis.ruin import slow_norms, unsound_norms
from aetui.diagnosis.ruled_out import ruled_out
from aetui.diagnosis.subject import Subject
from aetui.diagnosis.verdict import Verdict, judge
from aetui.diagnosis.weighing import weigh
from aetui.models.base import evaluating
from aetui.models.errors import message
from aetui.report import FINE, LEARNING, Finding, Report
from aetui.training.interface import Training, Unknown

log = logging.getLogger(__name__)

KEPT = 48
"""Snapshots that are kept; beyond, every second one of the older half goes."""
AHEAD = 0.5
"""Suspicion from which a cause is named before there is a verdict."""


class LiveDiagnosis:
    """Watches a training. Everything here runs in the thread that trains, and changes nothing of the training.

    The weights at the time of construction are those that probes start from.
    """

    def __init__(self, training: Training) -> None:
        self._training = training
        self._initial: nn.Module | None = None
        self._uncopied = ""
        """Why there is no copy of the module."""
        try:
            self._initial = clone(training.measured.module)
        except Exception as error:
            log.exception("the module can't be copied")
            self._uncopied = f"the module can't be copied: {type(error).__name__}: {message(error)}"
        self._settings: object = None
        self._subject: Subject | None = None
        self._facts: Facts | None = None
        self._trained: set[str] = set()
        """Weights without a gradient in these facts that were seen to have one."""
        self._rows = probe_rows(0)
        self._snapshots: list[Snapshot] = []
        self._outcomes: Outcomes = {}
        self._spent = 0
        self._pending = ""
        self._symptom = ""
        self.report: Report | None = None
        """What is shown, None before the first look."""

    def move(self) -> None:
        """The training stands at another step: what was seen after it is of no concern there."""
        self._snapshots = [shot for shot in self._snapshots if shot.step <= self._training.steps.done]
        self._outcomes, self._spent, self._pending, self.report = {}, 0, "", None

    # --- looking --------------------------------------------------------------------------------

    def look(
        self, losses: Sequence[float], norms: Sequence[float], broken: int | None, *, resting: bool = False
    ) -> Report:
        """Measure the present state, and return the report on it.

        Args:
            losses: reconstruction term of the steps, or of a part of them evenly spread, oldest first.
            norms: joint gradient norms of the same steps.
            broken: step at which the loss was not finite, None while it is.
            resting: whether the run does not train at present, so that the verdict can't change by the next look.
        """
        d = self._dossier(losses, norms, broken)
        present = overturned(d, self._judge(d), self._outcomes)
        d.symptom = present.symptom
        suspects = causes.suspects(d)
        present = revised(d, present, self._findings(d, present, suspects))
        verdict = present if resting else self._held(present)
        if verdict.symptom != d.symptom:
            d.symptom = verdict.symptom
            suspects = causes.suspects(d)
        findings = self._findings(d, verdict, suspects)
        known = self._training.measured.floors
        floors = {"mean": known.mean, "linear": known.linear, "entropy": known.entropy}
        over = verdict.name not in (LEARNING, *FINE, "trivial-data") and not findings and bool(self._outcomes)
        against = ruled_out(d, suspects, self._outcomes, self._control(d)) if over else ()
        self.report = report_of(d, verdict, findings, d.steps, self._spent, "", 0.0, floors, against=against)
        return self.report

    def _dossier(self, losses: Sequence[float], norms: Sequence[float], broken: int | None) -> Dossier:
        subject, facts = self._known()
        self._take_snapshot(subject)
        d = Dossier(
            subject,
            self._as_trained(facts),
            tuple(self._snapshots),
            losses,
            norms,
            (),
            broken=broken,
            goal=self._training.steps.goal,
            taken=self._training.steps.done,
        )
        if d.quality < NEAR_LINEAR:
            # Only where something is wrong: these read every weight.
            model = self._training.measured.module
            d.train_fit, d.weights, d.unsound = self._train_fit(subject), measure_weights(model), unsound_norms(model)
        return d

    def _train_fit(self, subject: Subject) -> Fit | None:
        """The fit in train mode, measured on a copy, where running statistics hardly follow the batches."""
        model = self._training.measured.module
        if not slow_norms(model):
            return None
        return Rows.of(subject, self._rows).fit(Loop(subject, model=clone(model)), train=True)

    def _known(self) -> tuple[Subject, Facts]:
        """Subject and facts under the settings in force."""
        measured = self._training.measured
        settings = self._training.settings.table(), measured.loss, measured.kl_weight
        if self._subject is None or self._facts is None or settings != self._settings:
            if self._initial is None:
                raise Unknown(self._uncopied)
            self._subject = subject_of_training(self._training, clone(self._initial))
            self._rows = probe_rows(self._subject.rows)
            self._facts = gather(self._subject, self._facts)
            self._settings, self._outcomes, self._spent = settings, {}, 0
        return self._subject, self._facts

    def _as_trained(self, facts: Facts) -> Facts:
        """Facts of a loss that may have more terms than are known here, such as one that a codebook is trained by."""
        if not facts.gradients.none:
            return facts
        measured = self._training.measured
        found = measured.gradients() or {}
        self._trained |= {name for name in facts.gradients.none if name in found and bool(found[name].any())}
        sizes = {name: one.numel() for name, one in measured.module.named_parameters()}
        return dataclasses.replace(facts, gradients=facts.gradients.without(self._trained, sizes))

    def _take_snapshot(self, subject: Subject) -> None:
        module, steps = self._training.measured.module, self._training.steps.done
        if self._snapshots and self._snapshots[-1].step == steps:
            self._snapshots.pop()
        x, target = subject.inputs[self._rows], subject.targets[self._rows]
        picks = Picks(module)
        with evaluating(module), watching(module) as watcher, picks:
            output = take_apart(module(x), target.shape).reconstruction
        found = measured(watcher, output)
        compared = subject.loss.probabilities(output)
        made = _fit(compared, target)
        codes = uses_of([(picks, len(x))])
        self._snapshots.append(Snapshot(steps, made, found, codes=codes, sparse=picks.sparse))
        if len(self._snapshots) > KEPT:
            half = KEPT // 2
            self._snapshots = [*self._snapshots[:half][::2], *self._snapshots[half:]]

    def _judge(self, d: Dossier) -> Verdict:
        verdict = judge(d)
        if (verdict.name in FINE and d.steps) or verdict.name in ("diverged", "trivial-data"):
            return verdict
        if not d.steps:
            return Verdict(LEARNING, "not trained yet")
        over = d.goal is not None and d.steps >= d.goal
        if over or (d.steps >= EARLY and not d.moves):
            return verdict
        return Verdict(LEARNING, verdict.figures)

    def _held(self, verdict: Verdict) -> Verdict:
        """A change of verdict has to be seen twice, but for one that can't wait."""
        shown = self.report
        urgent = verdict.name == "diverged" or shown is None or (shown.verdict == LEARNING and not shown.steps)
        if shown is None or verdict.name == shown.verdict or urgent or self._pending == verdict.name:
            self._pending, self._symptom = "", verdict.symptom
            return verdict
        self._pending = verdict.name
        return Verdict(
            shown.verdict, verdict.headline if shown.verdict == LEARNING else shown.headline, symptom=self._symptom
        )

    def _findings(self, d: Dossier, verdict: Verdict, suspects: list[Suspect]) -> tuple[Finding, ...]:
        if verdict.name in (*FINE, "trivial-data"):
            return ()
        if verdict.name == LEARNING:
            suspects = [suspect for suspect in suspects if suspect.suspicion >= AHEAD and suspect.evidence]
        return weigh(d, suspects, self._outcomes, self._control(d))

    def _control(self, d: Dossier) -> float:
        return control_of(d, length_of(d.steps))

    # --- probes ---------------------------------------------------------------------------------

    def probe(
        self, losses: Sequence[float], norms: Sequence[float], broken: int | None
    ) -> Generator[Progress, None, Report]:
        """Check the suspects on copies of the run as it was at step 0; yields between short slices of work."""
        d = self._dossier(losses, norms, broken)
        verdict = judge(d)
        d.symptom = verdict.symptom
        suspects = causes.suspects(d)
        if verdict.name in FINE:
            suspects = doubted(d, suspects)
        rows = Rows.of(d.subject, self._rows)
        steps = max(d.steps, 600)
        # Whoever asked for them sees how far they are, and goes on training when it is enough.
        budget = Budget(math.inf)
        self._outcomes, self._spent = yield from probe_suspects(d, suspects, steps, self._control(d), rows, budget)
        return self.look(losses, norms, broken, resting=True)


def _fit(output: torch.Tensor, target: torch.Tensor) -> Fit:
    return fit(output.reshape(len(target), -1), target.flatten(1))


def same(one: Report, other: Report) -> bool:
    """Whether two reports would look the same, steps aside."""
    return _plain(one) == _plain(other)


def _plain(report: Report) -> Report:
    return replace(report, steps=0, seconds=0.0, loss=None)
