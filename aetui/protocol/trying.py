"""An experiment on forks of the run: how a screen asks for one, and what it sees of it."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from aetui.protocol.commands import Command
from aetui.protocol.values import Array


class TryForks(Command, frozen=True, tag="try-forks"):
    """Stop before the next step and try changes on forks of the run, beside two that change nothing.

    The run itself stays as it is. One experiment at a time: the one before it ends.
    """

    remedies: tuple[tuple[str, str], ...] = ()
    """Cause and id of those of the verdict's remedies that are to be tried."""
    edits: tuple[dict[str, str], ...] = ()
    """The user's own, each the settings of one fork as text by path."""
    draws: int = 0
    """Forks with a change drawn at random."""
    combine: bool = True
    """Whether the two best are tried together where neither mends the run alone."""
    anew: bool = False
    """Whether all forks start over from step 0: where the run stands, nothing may mend it any more."""
    steps: int | None = None
    """Steps of each fork, None for as many as it takes."""
    seed: int = 0
    """Of the draws."""


class CancelTry(Command, frozen=True, tag="cancel-try"):
    """End the experiment; what its forks have shown so far stays to be seen."""


class Adopt(Command, frozen=True, tag="adopt"):
    """Make a fork's change the run's own, and train up to where the fork came; undo takes it back.

    One that starts over is a new run with the fork's spec; the present one stays in the store.
    """

    fork: str = ""
    """Its name in the experiment."""


class ForkState(Struct, frozen=True, kw_only=True):
    """One fork of an experiment, as far as it has come."""

    name: str
    change: str
    """What it changes of the run, in words."""
    text: str = ""
    """What its verdict has to be read with, or why it ended early; else the remedy's sentence."""
    control: bool = False
    live: bool = True
    """Whether it leaves from the run's present step, else it is trained anew from step 0."""
    start: int
    end: int
    step: int
    status: str
    """`waiting`, `running`, `done`, `stopped`, `diverged`, `failed`, `cancelled`."""
    verdict: str = ""
    """`fixes it`, `helps`, `no effect`, `worse`, `diverged`, `not told from noise`, `control`; '' until it is known."""
    steps: Array
    """Of the points of its curve, shape (n,)."""
    loss: Array
    """Mean over the last steps, NaN where it is not finite, shape (n,)."""
    explained: Array
    """In the data's own units, NaN where it is not finite, shape (n,)."""
    settings: dict[str, str] = {}
    """What it sets, as text by path."""
    ratio: float | None = None
    lost: int | None = None
    dead: int | None = None


class TryState(Struct, frozen=True, kw_only=True):
    """An experiment, as far as it has come."""

    version: int
    run: str
    """Name of the run."""
    spec: str
    """The spec that the forks leave, as TOML."""
    step: int
    """Step of the run that live changes leave from."""
    half: int
    full: int
    """The two steps at which forks are compared."""
    state: Literal["running", "done", "cancelled", "failed"] = "running"
    symptom: str = ""
    """What is judged by itself, '' for the explained variance."""
    linear: float | None = None
    """What PCA as wide as the code explains."""
    forks: tuple[ForkState, ...] = ()
    winner: str = ""
    """Name of the fork that did best, '' where none did better than noise."""
    text: str = ""
    """What came out, or how far it is, in a sentence or two."""
