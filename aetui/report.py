"""What a diagnosis says: a verdict, the findings behind it and their figures; and the same as plain text.

Plain data without torch: the screen, the command line and scripts read the same report.
"""

from __future__ import annotations

import math
import shlex
import textwrap
from collections.abc import Iterable, Sequence
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

DEAD_CODE, CONSTANT_OUTPUTS, BOUNDED = "dead code units", "constant outputs", "bounded outputs"
LOST_FEATURES, MEMORIZED, MODES = "lost features", "memorized rows", "eval mode"
"""Symptoms: what a verdict can object to beside the fit as a whole."""

CAUSES = (
    "bad-values", "shape-broadcast", "loss-domain", "output-range", "input-scaling", "frozen-parameters",
    "init-symmetry", "init-scale", "posterior-collapse", "penalty-too-strong", "noise-too-strong", "lr-too-high",
    "lr-too-low", "optimizer", "clipping-too-tight", "exploding-gradients", "dead-units", "saturated-units",
    "train-eval-mismatch", "code-too-small", "code-too-large", "under-trained", "batch-mixing", "precision",
    "lr-schedule", "codebook-collapse",
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
    python: str = ""
    """The same as arguments of `aetui.diagnose`, or as a line of PyTorch, where those called it: `lr=0.0001`."""
    line: str = ""
    """What to change in the caller's own code, where that is known: `vae.py:14: return torch.sigmoid(x)`."""
    verified: bool | None = None
    """Whether it mended the run on a fork beside controls; None where it was not tried."""
    tried: str = ""
    """The verdict of that fork: `fixes it`, `helps`, `no effect`, ...; '' where it was not tried."""
    explained: float | None = None
    """Explained variance of that fork, in the data's own units; None where it was not tried or is not finite."""


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
    kl: float | None = None
    """What a linear VAE of that width explains under the weight that the loss gives its KL; None without one."""


class Taken(Struct, frozen=True, kw_only=True):
    """What of a user's model, loss or step was taken as what."""

    role: str
    """`reconstruction`, `target`, `mask`, `code`, `mean`, `log-variance`, `batches`, ..."""
    shape: tuple[int, ...] | None = None
    """Of one batch; None where it is no tensor."""
    source: str
    """Where it comes from: `second item of forward's tuple, compared with the target in mse_loss`."""


class Report(Struct, frozen=True, kw_only=True):
    """The outcome of a diagnosis."""

    verdict: str
    """A key of VERDICTS, or LEARNING in the report on a run that still trains."""
    headline: str
    """The verdict in one line, with its figure: `outputs vary 0.4 % as much as the data`."""
    symptom: str = ""
    """One of the above that the verdict objects to; '' for the fit as a whole."""
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
    ruined: str = ""
    """Why no change of settings mends the run from where it stands, in one sentence; '' where one may."""
    python: bool = False
    """Whether a model was handed over from Python, so that remedies are said in Python and not as settings."""
    ruled_out: tuple[str, ...] = ()
    """Where something is wrong and no cause is likely: what speaks against the causes, a sentence with its figure
    each."""
    notes: tuple[str, ...] = ()
    """Remarks that are no findings."""
    taken: tuple[Taken, ...] = ()
    """What was taken as what."""
    seconds: float = 0.0

    @property
    def wrong(self) -> bool:
        """Whether something has to be changed."""
        return self.verdict not in FINE

    @property
    def unexplained(self) -> bool:
        """Whether something is wrong and no cause is likely."""
        return not self.findings and bool(self.ruled_out)

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
        return render(self)


TOO_LATE = "Too late for a remedy in this state:"
"""What comes before `Report.ruined` where it is shown."""

UNEXPLAINED = "No cause is likely. What speaks against them:"
"""What comes before `Report.ruled_out` where it is shown."""
NEXT = (
    "change one thing yourself and compare: the same data through one linear layer each way, which reaches what PCA "
    "explains if data and loss are sound; then the model's own layers, one at a time. When asking somebody, send this "
    "report as JSON with the model's forward and the loss."
)
"""What to do where no cause is likely."""

LEAST_WIDTH = 24
"""Narrower texts are laid out as if they were this wide."""

_BOLD, _DIM, _GOOD, _WARNING, _BAD, _MARK = "1", "2", "1;32", "1;33", "1;31", "36"
_MILD = ("partial", "under-trained")
_HEAD = 20
"""Cells that the name of a figure takes."""


def render(report: Report, width: int = 88, color: bool = False) -> str:
    """`report` as text, no line wider than `width` cells.

    Args:
        width: cells of a line, at least LEAST_WIDTH.
        color: emphasize with the terminal's own colors; nothing is said by color alone.

    Returns: lines without a line break at the end.
    """
    page = _Page(max(width, LEAST_WIDTH), color)
    meaning = VERDICTS.get(report.verdict, "no verdict yet")
    word = report.verdict.upper() or "LEARNING"
    page.add(f"{word}: {report.headline or meaning}", style=_style(report.verdict))
    if report.headline and meaning not in report.headline:
        page.add(meaning, style=_DIM)
    page.gap()
    for name, text in figures(report):
        page.named(name, text)
    if report.ruined:
        page.gap()
        page.add(f"{TOO_LATE} {report.ruined}. The remedies are for a new run.", style=_BAD)
    _findings(page, report.findings, report.verdict in FINE, report.python)
    if report.unexplained:
        page.gap()
        page.add(UNEXPLAINED, style=_WARNING)
        for sentence in report.ruled_out:
            page.bullet(sentence, indent=2)
        page.add(f"Next: {NEXT}", rest=2, style=_MARK)
    if report.taken:
        page.gap()
        page.add("Taken", style=_BOLD)
        for one in report.taken:
            page.bullet(taken_text(one), indent=2)
    if report.notes:
        page.gap()
        page.add("Notes", style=_BOLD)
        for note in report.notes:
            page.bullet(note, indent=2)
    page.gap()
    page.add(_ending(report), style=_DIM)
    return page.text()


def figures(report: Report) -> list[tuple[str, str]]:
    """The figures of a report as (name, value with its yardsticks), those that were measured."""
    explained, ratio, floors = report.explained_variance, report.variance_ratio, report.floors
    rows: list[tuple[str, str]] = []
    if any(value is not None for value in (explained.whole, explained.median_feature, explained.linear)):
        yardsticks = [
            f"{name} {number(value)}"
            for name, value in (
                ("PCA", explained.linear),
                ("linear VAE", explained.kl),
                ("median feature", explained.median_feature),
            )
            if value is not None
        ]
        rows.append(("explained variance", _beside(number(explained.whole), yardsticks)))
    spread = [f"{name} {number(ratio[name])}" for name in ("min", "p10", "p90", "max") if ratio.get(name) is not None]
    if ratio.get("features") is not None and ratio.get("below_0.1") is not None:
        spread.append(f"{number(ratio['below_0.1'])} of {number(ratio['features'])} features below 0.1")
    if ratio.get("median") is not None:
        rows.append(("variance ratio", _beside(f"median {number(ratio['median'])}", spread)))
    names = {"mean": "predict the mean", "linear": "PCA", "entropy": "least possible"}
    yardsticks = [f"{names.get(name, name)} {number(value)}" for name, value in floors.items() if value is not None]
    if report.loss is not None or yardsticks:
        rows.append(("loss", _beside(number(report.loss), yardsticks)))
    return rows


def taken_text(taken: Taken) -> str:
    """`reconstruction [64, 784]: second item of forward's tuple`."""
    shape = "" if taken.shape is None else f" [{', '.join(map(str, taken.shape))}]"
    return f"{taken.role}{shape}: {taken.source}"


def number(value: float | int | str | None) -> str:
    """A figure as text: four significant digits, thousands separated."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "not finite"
    if isinstance(value, str):
        return value
    if isinstance(value, int) or (value.is_integer() and abs(value) < 1e6):
        return f"{int(value):,}"
    return f"{value:.4g}"


def options(remedy: Remedy) -> list[str]:
    """A remedy's settings as options of the command line: `--set optim.lr=0.0001`."""
    return [option(path, _setting(value)) for path, value in remedy.set.items()]


def option(path: str, value: str) -> str:
    """A setting with its value, as text, as an option of the command line."""
    return f"--set {shlex.quote(f'{path}={value}')}"


def _setting(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ",".join(map(_setting, value))
    return repr(value) if isinstance(value, float) else str(value)


def _beside(value: str, yardsticks: Sequence[str]) -> str:
    return f"{value}  ({', '.join(yardsticks)})" if yardsticks else value


def _style(verdict: str) -> str:
    return _GOOD if verdict in FINE else _WARNING if verdict in _MILD else _BAD


def _findings(page: _Page, findings: Iterable[Finding], fine: bool, python: bool = False) -> None:
    for rank, finding in enumerate(findings, 1):
        page.gap()
        follows = f", follows from {finding.follows}" if finding.follows else ""
        page.add(
            f"{rank}. {finding.title} ({finding.cause}{follows}), confidence {100 * finding.confidence:.0f} %",
            rest=3,
            style=_BOLD if fine else _WARNING,
        )
        page.add(finding.text, 3)
        if finding.evidence:
            page.add("Evidence", 3, style=_BOLD)
            for evidence in finding.evidence:
                page.bullet(evidence.text, indent=5)
                page.add(_measured(evidence), 7, style=_DIM)
        for remedy in finding.remedies:
            page.add(f"Remedy: {remedy.text}", 3, rest=5, style=_MARK)
            for option in filter(None, [remedy.python]) if python else options(remedy):
                page.add(option, 5, style=_BOLD)
            if remedy.line:
                page.add(f"at {remedy.line}", 5, rest=7, style=_BOLD)
            if remedy.tried:
                shown = f"tried on a fork: {remedy.tried}, explained variance {number(remedy.explained)}"
                page.add(shown, 5, rest=7, style=_GOOD if remedy.verified else _WARNING)
        page.add(f"Source: {finding.source}", 3, rest=5, style=_DIM)


def _measured(evidence: Evidence) -> str:
    parts = [f"{evidence.measure}: {number(evidence.value)}"]
    if evidence.normal:
        parts.append(f"normal: {evidence.normal}")
    if evidence.where:
        parts.append(f"where: {evidence.where}")
    return "; ".join(parts)


def _ending(report: Report) -> str:
    steps = "1 step" if report.steps == 1 else f"{report.steps:,} steps"
    probes = f", {report.probe_steps:,} more in probes" if report.probe_steps else ""
    settled = f"{report.settled[:1].upper()}{report.settled[1:].rstrip('.')}. " if report.settled else ""
    took = f", {report.seconds:.1f} s" if report.seconds else ""
    return f"{settled}{steps}{probes}{took}."


class _Page:
    """Lines of text, wrapped to a width and emphasized."""

    def __init__(self, width: int, color: bool) -> None:
        self.width = width
        self.color = color
        self.lines: list[str] = []

    def text(self) -> str:
        return "\n".join(self.lines)

    def gap(self) -> None:
        """An empty line, unless there is one already."""
        if self.lines and self.lines[-1]:
            self.lines.append("")

    def add(self, text: str, indent: int = 0, *, rest: int | None = None, style: str = "") -> None:
        """`text` from cell `indent` on, its further lines from `rest`."""
        rest = indent if rest is None else rest
        self._wrap(text, " " * indent, " " * rest, style)

    def bullet(self, text: str, indent: int) -> None:
        self._wrap(text, " " * indent + "- ", " " * (indent + 2), "")

    def named(self, name: str, text: str) -> None:
        """A figure: its name in a column of its own, where there is room for one."""
        if self.width >= 2 * _HEAD + 8:
            self._wrap(text, f"{name:<{_HEAD}}", " " * _HEAD, "")
        else:
            self._wrap(f"{name} {text}", "", "  ", "")

    def _wrap(self, text: str, first: str, rest: str, style: str) -> None:
        plain = "".join(letter if letter.isprintable() else " " for letter in text)
        wrapped = textwrap.wrap(plain, self.width, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)
        for line in wrapped:
            body = line.lstrip()
            shown = f"{line[: len(line) - len(body)]}\x1b[{style}m{body}\x1b[0m" if self.color and style else line
            self.lines.append(shown)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
