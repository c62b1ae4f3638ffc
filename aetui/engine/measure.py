"""The gauges of a run in training, measured on a fixed probe set in eval mode."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace
from torch import Tensor

from aetui import protocol as p
from aetui.diagnosis.probing import Progress
from aetui.diagnosis.while_training import LiveDiagnosis, same
from aetui.engine.history import History
from aetui.gauges import explained
from aetui.gauges.code import measure_code
from aetui.gauges.layers import measure_layers
from aetui.gauges.pairs import measure_pairs
from aetui.gauges.variance import measure_variance
from aetui.models.moments import finite_range
from aetui.report import Report
from aetui.training.interface import Predicted, Rows, Training, Unknown

PAGE = 16
"""Pairs in one view."""


class Gauges:
    """What is measured of a training; nothing here changes its weights, buffers or randomness."""

    def __init__(self, training: Training, history: History, diagnosis: LiveDiagnosis | None = None) -> None:
        """`diagnosis` is that of the same training from before it moved to another step."""
        self.history = history
        self._steps, self._measured = training.steps, training.measured
        self.diagnosis = diagnosis or LiveDiagnosis(training)
        self._shown: p.Diagnosis | None = None
        self.resting = True
        """Whether the run does not train at present."""
        self._range: tuple[float, float] | None = None
        """Of the samples."""
        self._updates: dict[str, float] | None = None
        self._updated: int | None = None
        """Step that the updates are of."""
        self.diagnosed: int | None = None
        """Step that was diagnosed last."""
        self._probed: tuple[tuple[int, object], Predicted] | None = None
        self._versions = 0

    def _predicted(self) -> Predicted:
        """What the model makes of the probe set, computed once per step and loss for all gauges."""
        now = (self._steps.done, self._measured.loss)
        if self._probed is None or self._probed[0] != now:
            self._probed = now, self._measured.predict(self._measured.probe)
        return self._probed[1]

    def fit(self) -> p.Point:
        """Explained variance on the probe set and loss on the validation part."""
        output = self._predicted().output
        held_out = self._measured.held_out
        return p.Point(
            step=self._steps.done,
            validation=None if held_out is None else self._measured.predict(held_out).loss,
            explained=explained.explained_variance(output, self._measured.probe.targets),
        )

    @property
    def has_updates(self) -> bool:
        return self._updates is not None

    def remember_updates(self, updates: dict[str, float]) -> None:
        """Keep the update norms of a step for the layers gauge."""
        self._updates, self._updated = updates, self._steps.done

    def diagnose(self, *, stage: str = "", probed: bool = False) -> p.Diagnosis:
        """The report on the present step; the same message as before where nothing of it has changed."""
        before, self.diagnosed = self._shown, self._steps.done
        report = self.diagnosis.look(*self.history.sampled(), self._broken(), resting=self.resting)
        probed = probed or (before is not None and before.probed and report.probe_steps > 0)
        unchanged = before is not None and (before.stage, before.probed) == (stage, probed)
        # A run at rest shows its own step, whatever the report says.
        here = before is not None and (not self.resting or before.step == self._steps.done)
        if before is not None and unchanged and here and same(before.report, report):
            return before
        return self._show(report, stage, probed)

    def staged(self, stage: str) -> p.Diagnosis:
        """The last report, with what its probes are busy with."""
        shown = self._shown or self.diagnose()
        return self._show(shown.report, stage, shown.probed)

    def probe(self) -> Iterator[Progress]:
        """Check the suspects on copies, a slice of work at a time."""
        return self.diagnosis.probe(*self.history.sampled(), self._broken())

    def _show(self, report: Report, stage: str, probed: bool) -> p.Diagnosis:
        self._versions += 1
        self._shown = p.Diagnosis(
            version=self._versions, step=self._steps.done, report=report, stage=stage, probed=probed
        )
        return self._shown

    def _broken(self) -> int | None:
        """The last step, where it was not finite."""
        steps = len(self.history)
        return steps if steps and self.history.last_bad == steps else None

    def measure(self, name: str, first: int) -> p.Diagnosis | p.Variance | p.Code | p.Pairs | p.Layers:
        """One gauge of `protocol.GAUGES`; `first` is the first pair wanted."""
        if name == "diagnosis":
            return self.diagnose()
        self._versions += 1
        step, version, measured = self._steps.done, self._versions, self._measured
        if name == "variance":
            output = self._predicted().output
            return measure_variance(output, self._measured.probe.targets, step=step, version=version)
        if name == "code":
            found = self._predicted()
            if found.code is None:
                raise Unknown("it is not known how to get the code")
            code = measure_code(found.code, measured.probe.labels, step=step, version=version, vae=measured.variational)
            if found.kl is None:
                return code
            by_unit = p.Array.of(found.kl.cpu().numpy()) if len(found.kl) == code.width else None
            return replace(code, kl=float(found.kl.sum()), unit_kl=by_unit)
        if name == "layers":
            layers = measure_layers(
                measured.module, measured.probe.inputs, step=step, version=version,
                grads=measured.gradients(), updates=self._updates,
            )  # fmt: skip
            return replace(layers, updated=self._updated)

        samples = measured.samples
        if self._range is None:
            self._range = finite_range(samples.inputs)

        def reconstruct(rows: Tensor) -> tuple[Tensor, Tensor]:
            where = slice(shown, shown + len(rows))
            return measured.errors(Rows(rows, samples.targets[where]))

        shown = min(max(0, first), max(0, len(samples.inputs) - PAGE))
        return measure_pairs(
            reconstruct, samples.inputs, samples.titles, first, PAGE,
            step=step, version=version, low=self._range[0], high=self._range[1],
        )  # fmt: skip
