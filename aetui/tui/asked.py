"""What keys have asked for and the engine has not acknowledged yet, in words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from aetui import protocol as p
from aetui.spec import RunSpec, to_mapping

_WAITS = "waits for the step under way"
_GOING = {p.Undo: "UNDOING", p.Redo: "REDOING", p.Rewind: "REWINDING"}


@dataclass(frozen=True)
class Asked:
    """What is on its way: a word in place of the state's, one beside it, and a sentence; '' where there is none."""

    state: str = ""
    note: str = ""
    text: str = ""


def asked(commands: Iterable[p.Commands], state: str, spec: RunSpec, *, stepping: bool = False) -> Asked:
    """What `commands` ask of a run in `state`, in the order they were sent. stepping: single steps are under way."""
    commands = list(commands)
    words = [word for command in commands if (word := _word(command, state))]
    words += ["STEPPING"] * stepping
    if state == "loading":
        # Nothing can be asked of a run that is not there yet but to have it.
        words = []
    changes = _changes(commands, spec)
    text = f"{', '.join(changes)} ...: {_WAITS if state == 'running' else 'applying'}" if changes else ""
    return Asked(words[0] if words else "", "applying" if changes else "", text)


def _word(command: p.Commands, state: str) -> str:
    match command:
        case p.Pause() | p.Examine() | p.TryForks():
            return "PAUSING" if state == "running" else ""
        case p.Run(steps=1):
            return "STEPPING"
        case p.Run():
            return "" if state == "running" else "STARTING"
        case p.Adopt():
            return "ADOPTING"
        case p.New() | p.Open():
            return "LOADING"
        case _:
            return _GOING.get(type(command), "")


def _changes(commands: list[p.Commands], spec: RunSpec) -> list[str]:
    """`optim.lr 0.001 -> 0.000562341` for each setting that is to change."""
    before: dict[str, str] = {}
    after: dict[str, str] = {}
    for command in commands:
        if isinstance(command, p.Set):
            changes = command.changes
        elif isinstance(command, p.Nudge) and (value := _number(after.get(command.path), spec, command.path)):
            changes = {command.path: f"{_moved(value, command.by):g}"}
        else:
            continue
        for path, value in changes.items():
            before.setdefault(path, _present(spec, path))
            after[path] = value
    return [f"{path} {before[path]} -> {value}" for path, value in after.items() if value != before[path]]


def _present(spec: RunSpec, path: str) -> str:
    section, _, name = path.partition(".")
    value = to_mapping(spec).get(section, {}).get(name, "")
    return f"{value:g}" if isinstance(value, float) else str(value)


def _moved(value: float, by: int) -> float:
    reached, (least, most) = value * 10 ** (by / 4), p.NUDGE_ENDS
    # As many digits as the engine's ladder has, or rounding would pass the end.
    reached = float(f"{reached:.6g}")
    return value if (by < 0 and reached < least) or (by > 0 and reached > most) else reached


def _number(asked: str | None, spec: RunSpec, path: str) -> float | None:
    try:
        return float(_present(spec, path) if asked is None else asked)
    except ValueError:
        return None


def again(commands: Iterable[p.Commands], state: str) -> str:
    """Why the key that runs and pauses waits: what it asked for last is not done yet; '' where it is."""
    for command in commands:
        if isinstance(command, p.Pause | p.Examine | p.TryForks) and state == "running":
            return f"pausing: {_WAITS}"
        if isinstance(command, p.Pause):
            return "pausing: waits for the engine"
        if isinstance(command, p.Run) and command.steps != 1:
            return (
                "starting: waits for the run to be loaded" if state == "loading" else "starting: waits for the engine"
            )
    return ""
