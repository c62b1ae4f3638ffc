"""What a diagnosis says: a verdict, the findings behind it, and the figures they rest on.

Plain data without torch: the screen, the command line and scripts read the same report.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec
from msgspec import Struct

FINE = ("healthy", "at-limit")
"""Verdicts under which nothing is wrong with the run."""

LEARNING = ""
"""In place of a verdict while a training moves and is not judged yet."""

VERDICTS: dict[str, str] = {
    "healthy": "the outputs follow the data",
    "at-limit": "as good as these data allow for this code width",
    "trivial-data": "there is nothing to learn: the rows are all the same",
    "under-trained": "still on its way when the steps ran out",
    "partial": "fine as a whole, but some features, samples or code units are lost",
    "worse-than-linear": "below what PCA with the same code width explains",
    "collapsed": "nearly the same output for every input",
    "diverged": "loss or outputs grew without bound",
}
"""Every verdict, with what it means in a few words."""

CAUSES = (
    "bad-values", "shape-broadcast", "loss-domain", "output-range", "input-scaling", "frozen-parameters",
    "init-symmetry", "init-scale", "posterior-collapse", "penalty-too-strong", "noise-too-strong", "lr-too-high",
    "lr-too-low", "optimizer", "clipping-too-tight", "exploding-gradients", "dead-units", "saturated-units",
    "train-eval-mismatch", "code-too-small", "code-too-large", "under-trained",
)  # fmt: skip
"""Every cause that a finding can name."""


class Evidence(Struct, frozen=True, kw_only=True):
    """One measured fact."""

    measure: str
    """What was measured, in a few words: `learning rate`, `dead units`, `explained variance with lr 1e-4`."""
    value: float | int | str | None
    """None where it is not finite."""
    normal: str = ""
    """What a working run shows there."""
    where: str = ""
    """Layer, features or samples; '' for the whole."""
    text: str
    """The fact as one sentence."""


class Remedy(Struct, frozen=True, kw_only=True):
    """A change that should help."""

    id: str
    text: str
    """The change in one sentence, in the terms of PyTorch code."""
    set: dict[str, Any] = {}
    """The same as settings of a run: `{"optim.lr": 1e-4}`; empty where no setting does it."""


class Finding(Struct, frozen=True, kw_only=True):
    """One cause, with what speaks for it."""

    cause: str
    """One of CAUSES."""
    confidence: float
    """From 0 to 1: how sure it is that this is what has to be changed."""
    title: str
    """The cause in a few words: `learning rate too high`."""
    text: str
    """What it does to the training, in two or three sentences."""
    source: str
    """Where this is described: a paper with its section, or documentation."""
    follows: str = ""
    """The cause that this one is only a consequence of; '' for a root."""
    evidence: tuple[Evidence, ...] = ()
    remedies: tuple[Remedy, ...] = ()


class Explained(Struct, frozen=True, kw_only=True):
    """Explained variance (1 - FVU), in eval mode over the probe rows."""

    whole: float | None = None
    """Over all features together."""
    median_feature: float | None = None
    """Of the median feature among those that vary in the data."""
    linear: float | None = None
    """What PCA with as many components as the code is wide explains."""


class Report(Struct, frozen=True, kw_only=True):
    """The outcome of a diagnosis."""

    verdict: str
    """A key of VERDICTS, or LEARNING in the report on a run that still trains."""
    headline: str
    """The verdict in one line, with its figure: `outputs vary 0.4 % as much as the data`."""
    findings: tuple[Finding, ...] = ()
    """Best first."""
    explained_variance: Explained = Explained()
    variance_ratio: dict[str, float | int | None] = {}
    """min, p10, median, p90, max and `below_0.1` over the features that vary, `features`."""
    floors: dict[str, float | None] = {}
    """Losses that need no training: mean, linear, entropy; None where it does not apply."""
    loss: float | None = None
    """Reconstruction term over the last steps."""
    steps: int = 0
    """Steps that the run itself took."""
    probe_steps: int = 0
    """Steps that controlled probes on copies took besides."""
    settled: str = ""
    """Why the diagnosis stopped where it did, in one sentence."""
    notes: tuple[str, ...] = ()
    """Remarks that are no findings."""
    seconds: float = 0.0

    @property
    def wrong(self) -> bool:
        """Whether something has to be changed."""
        return self.verdict not in FINE

    @property
    def cause(self) -> str | None:
        """The most likely cause, None where there is no finding."""
        return self.findings[0].cause if self.findings else None

    def to_dict(self) -> dict[str, Any]:
        """The report as plain dicts, lists, numbers and texts; figures that are not finite are None."""
        return _finite(msgspec.to_builtins(self))

    def to_json(self, indent: int | None = 2) -> str:
        """`to_dict` as JSON."""
        raw = msgspec.json.encode(self.to_dict())
        return (raw if indent is None else msgspec.json.format(raw, indent=indent)).decode()

    def __str__(self) -> str:
        from aetui.report_text import render

        return render(self)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
