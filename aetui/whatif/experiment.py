"""An experiment on forks of a run as plain data; `judging` tells what it shows. Nothing here loads torch."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from aetui.report import CONSTANT_OUTPUTS, DEAD_CODE, LOST_FEATURES, MEMORIZED
from aetui.spec import Difference

Origin = Literal["untouched", "reordered", "remedy", "user", "combination", "random"]
CONTROLS: tuple[Origin, ...] = ("untouched", "reordered")
"""Origins of the forks that change no setting; the second draws another order of batches and other noise."""

Verdict = Literal["", "control", "fixes it", "helps", "no effect", "worse", "diverged", "not told from noise"]
"""What a fork shows; '' before it has come to its half."""

Status = Literal["waiting", "running", "done", "stopped", "diverged", "failed", "cancelled"]
"""`stopped`: hopeless, and said why; `failed`: it could not be computed."""
ENDED: tuple[Status, ...] = ("done", "stopped", "diverged", "failed", "cancelled")

WHOLE = ""
SYMPTOMS = (WHOLE, DEAD_CODE, LOST_FEATURES, CONSTANT_OUTPUTS, MEMORIZED)
"""What a verdict objects to: the fit as a whole, or one of these, which is then judged by itself."""


class Change(Struct, frozen=True, kw_only=True):
    """What one fork changes."""

    origin: Origin
    settings: tuple[Difference, ...] = ()
    """From what to what, as text, as compared with the run; () for a control."""
    values: dict[str, str] = {}
    """What is set, as text by path, as `--set` takes it."""
    text: str = ""
    """A remedy's sentence."""
    cause: str = ""
    """The finding that a remedy is of."""
    remedies: tuple[str, ...] = ()
    """Ids of the remedies of `aetui.report` that it is made of."""

    @property
    def live(self) -> bool:
        """Whether it may be made between two steps, so that the fork leaves from a checkpoint."""
        return all(setting.live for setting in self.settings)

    @property
    def label(self) -> str:
        """`optim.lr 0.01 -> 0.001, clip.kind none -> global-norm`."""
        if self.origin == "untouched":
            return "nothing"
        if self.origin == "reordered":
            return "only the order of batches and the noise"
        return ", ".join(map(str, self.settings))


class Described(Struct, frozen=True, kw_only=True):
    """A remedy that no setting makes, so that no fork can try it."""

    remedy: str
    cause: str
    text: str
    code: str = ""
    """The line to alter, or what to write in PyTorch, where that is known."""


class Point(Struct, frozen=True, array_like=True):
    """A fork after `step` steps of the run."""

    step: int
    loss: float | None
    """Reconstruction term over the last steps, in train mode; None where it is not finite."""
    explained: float | None
    """Explained variance in the data's own units, in eval mode over the probe rows; None where it is not finite."""


class Figures(Struct, frozen=True, kw_only=True):
    """A fork measured at a horizon, in the data's own units and in eval mode over the probe rows."""

    step: int
    loss: float | None = None
    explained: float | None = None
    """Explained variance, None where the outputs are not finite."""
    even: float = 0.0
    """Mean over the features that vary of what is explained of each, each at least 0: the same on every scale."""
    lost: int = 0
    """Features of which less than a tenth is explained."""
    features: int = 0
    """Features that vary."""
    ratio: float | None = None
    """Median variance ratio."""
    dead: int = 0
    """Hidden units, code included, that give the same for every row."""
    units: int = 0
    dead_code: int = 0
    """Code units of them."""
    code: int = 0
    unanswered: float = 0.0
    """Share of the targets' variance that lies in features whose output is constant."""
    held_out: float | None = None
    """Explained variance on the rows held out, None without any."""
    sound: bool | None = None
    """Whether a diagnosis of this very state finds nothing wrong; None where it was not asked."""


class Fork(Struct, frozen=True, kw_only=True):
    """One training of the experiment."""

    name: str
    """Unique within the experiment: `untouched`, `lr-0.001`, `edit-1`."""
    change: Change
    start: int = 0
    """Step that it leaves from: that of the run, or 0 where it is trained anew."""
    end: int = 0
    """Step up to which it is to train."""
    status: Status = "waiting"
    step: int = 0
    """Step at which it is."""
    curve: tuple[Point, ...] = ()
    half: Figures | None = None
    full: Figures | None = None
    verdict: Verdict = ""
    why: str = ""
    """Why it ended early, or what its verdict has to be read with, in a sentence."""
    weights: str = ""
    """SHA-256 of its weights at the end."""
    seconds: float = 0.0

    @property
    def last(self) -> Figures | None:
        """The figures of the later horizon that it came to."""
        return self.full or self.half

    @property
    def control(self) -> bool:
        return self.change.origin in CONTROLS

    @property
    def restarts(self) -> bool:
        """Whether it is trained anew from step 0, although the run is beyond it."""
        return not self.start and not self.control and not self.change.live


class Seeded(Struct, frozen=True, kw_only=True):
    """The winner and the run without a change, both trained anew with another seed."""

    seed: int
    untouched: Figures | None
    winner: Figures | None
    holds: bool
    """Whether the winner mends the symptom, or does better by more than the noise band, with this seed too."""


class Experiment(Struct, frozen=True, kw_only=True):
    """Forks of one run, beside controls."""

    run: str
    """Name of the stored run, or of the target that a spec was taken from."""
    spec: str
    """The spec in force where the forks leave, as TOML."""
    step: int
    """Step of the run that live changes leave from; 0 for a run that has not begun."""
    half: int
    full: int
    """The two horizons, as steps of the run; all forks are compared there."""
    symptom: str = WHOLE
    """One of SYMPTOMS."""
    target: float | None = None
    """Standing from which the symptom counts as mended; None where each fork's own diagnosis says so."""
    linear: float | None = None
    """Explained variance, in the data's own units, of PCA with as many components as the code is wide."""
    stored: bool = False
    """Whether `run` is a run of the store."""
    threads: int = 1
    """Threads of each fork: those of the run, since another number rounds otherwise."""
    forks: tuple[Fork, ...] = ()
    described: tuple[Described, ...] = ()
    seeds: tuple[Seeded, ...] = ()
    held: str = ""
    """Name of the fork that `seeds` are of."""
    note: str = ""
    """What the whole has to be read with: why it ended early, what there is no control for."""
    began: float = 0.0
    """Seconds since the epoch."""
    seconds: float = 0.0

    def fork(self, name: str) -> Fork:
        """The fork of that name.

        Raises:
            KeyError: there is none.
        """
        for fork in self.forks:
            if fork.name == name:
                return fork
        raise KeyError(name)

    @property
    def over(self) -> bool:
        """Whether every fork has ended."""
        return all(fork.status in ENDED for fork in self.forks)
