"""Train every run of the clinic as it is and repaired: failures have to fail, and their repair to work.

    python scripts/check_clinic.py [NAME ...]

Every figure is taken after the run's own steps, in eval mode, over the training rows. The repair is all
knobs of the preset together, with nothing else changed. No diagnosis takes part.
"""

import argparse
import math
import sys
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from aetui import RunSpec, Trainer, presets
from aetui.gauges.explained import explained_variance
from aetui.gauges.floors import floors
from aetui.models.base import evaluating
from aetui.models.moments import feature_variance
from aetui.spec import changed

GAIN = 0.08
"""What a repair has to add to the measure of the case."""
NEAR_LINEAR = 0.03
"""How far below PCA a run may end that nothing is wrong with."""
WORST = -1.0
"""A run that ended without finite outputs, or far below the mean, counts as this."""

_MEASURES = {"input-scaling": "median feature", "code-too-large": "noise refused"}
"""By cause, what the failure shows in; the explained variance of the whole elsewhere."""


@dataclass(frozen=True)
class Figures:
    """One finished run."""

    whole: float
    median_feature: float
    noise_refused: float
    """1 - the explained variance of noise with the data's means and variances."""
    linear: float
    finite: bool
    trivial: bool
    steps: int
    seconds: float

    def of(self, measure: str) -> float:
        value = {
            "whole": self.whole, "median feature": self.median_feature, "noise refused": self.noise_refused,
        }[measure]  # fmt: skip
        return max(value, WORST) if self.finite and math.isfinite(value) else WORST


@dataclass(frozen=True)
class Outcome:
    """A case as it is and, where it is a failure, repaired."""

    name: str
    cause: str
    measure: str
    before: Figures
    after: Figures | None

    @property
    def works(self) -> bool:
        """Whether the case shows what it says."""
        before = self.before.of(self.measure)
        if self.after is None:
            return self.before.finite and (self.before.trivial or before >= self.before.linear - NEAR_LINEAR)
        return self.after.of(self.measure) >= max(0.4, before + GAIN)

    def __str__(self) -> str:
        before = self.before.of(self.measure)
        after = f" -> {self.after.of(self.measure):6.3f}" if self.after else " " * 10
        seconds = self.before.seconds + (self.after.seconds if self.after else 0)
        return (
            f"{'ok  ' if self.works else 'BAD '} {self.name:<32} {self.cause or '-':<20} {self.measure:<15} "
            f"{before:6.3f}{after}  PCA {self.before.linear:6.3f}  {self.before.steps:5} steps {seconds:5.1f} s"
        )


def check(name: str) -> Outcome:
    """Train the preset `clinic/...`, and its repair where it is a failure."""
    spec = presets.load(name)
    about = spec.about
    repaired = changed(spec, dict(knob.split("=", 1) for knob in about.knobs), text=True) if about.cause else None
    return Outcome(
        name=name,
        cause=about.cause,
        measure=_MEASURES.get(about.cause, "whole"),
        before=trained(spec),
        after=trained(repaired) if repaired else None,
    )


def trained(spec: RunSpec) -> Figures:
    """Train `spec` to its end, or to the first step that is not finite, and measure it."""
    start = time.perf_counter()
    # A user's own model as a plain loop would train it, whatever the shape of its outputs.
    trainer = Trainer(spec, strict=False)
    goal = trainer.goal
    assert goal is not None, "a preset of the clinic ends by itself"
    finite = True
    while finite and trainer.steps < goal:
        finite = trainer.advance()
    data = trainer.train_data
    seconds = time.perf_counter() - start
    if not finite or not bool(torch.isfinite(data).all()):
        return Figures(math.nan, math.nan, math.nan, math.nan, False, False, trainer.steps, seconds)
    output, code = _predicted(trainer, data)
    deviation = feature_variance(data)
    varies = deviation > 0
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal((1000, data.shape[1]))).to(data)
    noise = noise * data.std(0) + data.mean(0)
    copied, _ = _predicted(trainer, noise)
    per_feature = 1 - (output - data).square().mean(0)[varies] / deviation[varies]
    return Figures(
        whole=explained_variance(output, data),
        median_feature=float(per_feature.median()) if bool(varies.any()) else math.nan,
        noise_refused=1 - explained_variance(copied, noise),
        linear=_linear(trainer, code),
        finite=bool(torch.isfinite(output).all()),
        trivial=not bool(varies.any()),
        steps=trainer.steps,
        seconds=seconds,
    )


def _predicted(trainer: Trainer, data: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs and codes of `data` in eval mode, as many values per row as the data have."""
    with evaluating(trainer.model):
        made = trainer.model(data)
        return trainer.objective.prediction(made.output).reshape(data.shape), made.code


def _linear(trainer: Trainer, code: Tensor) -> float:
    """What PCA explains with as many components as the code has units in use."""
    width = min(code.shape[1], trainer.spec.model.code or code.shape[1])
    if trainer.model.variational:
        # Burda et al. 2016, section 5: active units.
        width = max(1, int((feature_variance(code) > 0.01).sum()))
    return floors(trainer.train_data, trainer.objective, width).linear_explained or 0.0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="presets to check, all of the clinic without")
    wanted = [name if "/" in name else presets.CLINIC + name for name in parser.parse_args().names]
    bad = 0
    for name in wanted or presets.clinic_names():
        outcome = check(name)
        bad += not outcome.works
        print(outcome, flush=True)
    print(f"{bad} of {len(wanted or presets.clinic_names())} do not show what they say" if bad else "all as they say")
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
