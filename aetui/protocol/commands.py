"""What a screen may ask for."""

from __future__ import annotations

from msgspec import Struct


class Command(Struct, frozen=True, tag_field="type"):
    """Base of what a screen may ask for; `id` comes back in the acknowledgement."""

    id: int


class Run(Command, frozen=True, tag="run"):
    """Train on, or `steps` more steps and pause. With no `steps` to the spec's own end."""

    steps: int | None = None


class Pause(Command, frozen=True, tag="pause"):
    """Stop before the next step."""


class Set(Command, frozen=True, tag="set"):
    """Change live settings, all or nothing: values by path, as text."""

    changes: dict[str, str] = {}


NUDGE_ENDS = 1e-12, 1e3
"""Between which keys move a number. Below, no update reaches the digits of a weight in float32 (1e-7 of it), whatever
the optimizer; above, a step is a thousand times the gradient, which no training survives. A form takes any value."""


class Nudge(Command, frozen=True, tag="nudge"):
    """Multiply a live number by 10 ** (by / 4), not past NUDGE_ENDS; equal and opposite nudges cancel exactly.

    Nudges of one number within a moment, with no other command between, are one tweak.
    """

    path: str = "optim.lr"
    by: int = 1


class New(Command, frozen=True, tag="new"):
    """Leave the present run and load another spec, given as TOML, paused at step 0."""

    spec: str = ""
    start: bool = False


class Open(Command, frozen=True, tag="open"):
    """Leave the present run and continue a stored one where its record ends."""

    folder: str = ""
    """The stored run's folder, an absolute path."""
    start: bool = False


class Undo(Command, frozen=True, tag="undo"):
    """Return to just before the last tweak; what came after stays in the store as a branch."""


class Redo(Command, frozen=True, tag="redo"):
    """Return to where the last undo left from, as long as nothing has happened since."""


class Rewind(Command, frozen=True, tag="rewind"):
    """Return to a checkpoint; what came after it stays in the store as a branch."""

    checkpoint: int = 0
    """`Place.checkpoint`."""


class Examine(Command, frozen=True, tag="examine"):
    """Stop before the next step and check the suspected causes with short probes on copies of the run."""


class Stop(Command, frozen=True, tag="stop"):
    """Write a checkpoint and end the engine."""


class Look(Struct, frozen=True, tag_field="type", tag="look"):
    """Ask for a view: what changed since the last one."""

    run: int = 0
    """Number of the run that `since` and `have` speak of; another run's history starts over."""
    since: int = 0
    """Steps of history that the screen already has."""
    points: int = 0
    """Measurements that the screen already has."""
    have: dict[str, int] = {}
    """Panes on the screen, by gauge name, with the version that the screen already has (0: none)."""
    sample: int = 0
    """First sample of the reconstructions wanted."""
    trial: int = 0
    """`TryState.version` that the screen already has, 0 for none."""


READ_ONLY = "this screen only watches; aetui attach without --read-only steers"
"""Why a screen that only watches is refused."""


class ReadOnly(Struct, frozen=True, tag_field="type", tag="read-only"):
    """This screen only watches: each command that it sends from now on is refused."""


class ListPlaces(Struct, frozen=True, tag_field="type", tag="list-places"):
    """Ask for the checkpoints that a rewind can go to."""
