"""What is measured of a fork: in the data's own units, so that a change of scaling or loss changes no yardstick."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from aetui.diagnosis.figures import held_out_linear, measure_linear
from aetui.diagnosis.observe import fit
from aetui.diagnosis.while_training import LiveDiagnosis
from aetui.models.custom import OwnAutoencoder
from aetui.models.units import VARIES, measure_units
from aetui.report import CONSTANT_OUTPUTS, DEAD_CODE, FINE, LOST_FEATURES, MEMORIZED
from aetui.spec import sections as s
from aetui.training.interface import spread
from aetui.training.records import Records
from aetui.training.trainer import Trainer
from aetui.whatif.experiment import Figures
from aetui.whatif.judging import LEAST

ROWS = 1024
"""Training rows at most on which forks are compared, spread evenly over the data."""
REACHED = 0.9
"""Share of what PCA of the code's width explains from which a training counts as repaired."""
ALIVE = 0.9
"""Share of the code's units that have to vary for dead ones to count as revived."""
ANSWERED = 0.95
"""Share of the targets' variance in features whose output varies from which no constant output matters."""
FORGOTTEN = 0.25
"""What held-out rows may be explained less than the better of PCA and EXPECTED, once nothing is learned by heart."""
EXPECTED = 0.3
MORE = 0.05
"""Explained variance that has to be gained where bounded outputs kept a model that does its work from more."""
LAST = 20
"""Steps over which the loss of a point is averaged."""


class Yardstick:
    """Rows of one fork's data in its own scale and in the data's own units."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        chosen = torch.from_numpy(spread(len(trainer.train_data), ROWS)).to(trainer.device)
        self._rows = trainer.train_data[chosen]
        held = trainer.validation_data
        self._held = None if held is None else held[:ROWS]
        self._targets = self._own(self._rows)

    def _own(self, values: Tensor) -> Tensor:
        """Rows in the model's scale, [rows, features], in the data's own units."""
        scaler = self._trainer.dataset.scaler
        plain = values.detach().float().cpu()
        return plain if scaler.kind == "none" else torch.from_numpy(scaler.inverse(plain.numpy()))

    def explained(self) -> float | None:
        """Explained variance now, None where the outputs are not finite."""
        output, _, _, _ = self._trainer.predict(self._rows)
        return _finite(fit(self._own(output), self._targets).explained)

    def figures(self, *, sound: bool | None = None, loss: float | None = None) -> Figures:
        """All that a fork is judged by.

        Args:
            sound: as in `Figures`. loss: the reconstruction term over the last steps.
        """
        trainer = self._trainer
        output, code, _, _ = trainer.predict(self._rows)
        made = fit(self._own(output), self._targets)
        features = int(made.ratio["features"] or 0)
        held = None
        if self._held is not None:
            held = fit(self._own(trainer.predict(self._held)[0]), self._own(self._held)).explained
        dead, units = self._dead()
        spreads, largest = code.amax(0) - code.amin(0), code.abs().amax()
        return Figures(
            step=trainer.steps,
            loss=loss,
            explained=_finite(made.explained),
            even=made.features,
            lost=round(made.lost * features),
            features=features,
            ratio=_finite(made.ratio["median"]),
            dead=dead,
            units=units,
            dead_code=int((~(spreads > VARIES * largest)).sum()),
            code=code.shape[1],
            unanswered=made.unanswered,
            held_out=_finite(held),
            sound=sound,
        )

    def _dead(self) -> tuple[int, int]:
        """Units that give the same for every row, of all but those of the last layer, and how many there are."""
        layers = list(measure_units(self._trainer.model, self._rows).values())[:-1]
        return sum(int(one.dead()) for one in layers), sum(len(one.spread) for one in layers)

    def linear(self) -> float | None:
        """Explained variance in the data's own units of PCA with as many components as the code is wide."""
        return measure_linear(self._targets, self._trainer.code_width).explained

    def target(self, symptom: str, base: float | None, bounded: bool) -> float | None:
        """Standing from which a symptom counts as mended; None where a fork's own diagnosis has to say so.

        Args:
            base: explained variance of the run without a change, where it is known.
            bounded: whether the verdict objects to the bounds of the outputs alone.
        """
        if symptom == DEAD_CODE:
            return ALIVE
        if symptom == CONSTANT_OUTPUTS:
            return ANSWERED
        if by_diagnosis(self._trainer):
            return None
        width = self._trainer.code_width
        if symptom == MEMORIZED and self._held is not None:
            linear = held_out_linear(self._targets, self._own(self._held), width)
            return max(EXPECTED, linear or 0.0) - FORGOTTEN
        found = measure_linear(self._targets, width)
        if symptom == LOST_FEATURES:
            return None if found.standardized is None else REACHED * found.standardized
        if found.explained is None:
            return None
        wanted = REACHED * found.explained
        return max(wanted, base + MORE) if bounded and base is not None else max(wanted, LEAST)


def by_diagnosis(trainer: Trainer) -> bool:
    """Whether PCA is no yardstick for a model: a KL or a codebook costs explained variance by design."""
    return isinstance(trainer.spec.model, s.Vae | s.OwnModel) or isinstance(trainer.model, OwnAutoencoder)


def soundness(diagnosis: LiveDiagnosis, records: Records, broken: int | None) -> bool:
    """Whether a diagnosis of the present state finds nothing wrong. `records`: of all steps of the fork."""
    losses, norms = records.loss.tolist(), records.grad_norm.tolist()
    return diagnosis.look(losses, norms, broken, resting=True).verdict in FINE


def recent_loss(records: Records) -> float | None:
    """Mean of the last LAST losses, None where it is not finite or there are none."""
    if not len(records):
        return None
    return _finite(float(records.loss[-LAST:].mean()))


def _finite(value: float | int | str | None) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
