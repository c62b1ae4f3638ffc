"""`aetui steer`: the keys of a screen as commands, for runs of every kind."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from aetui import protocol as p
from aetui.cli.options import changes_of
from aetui.cli.progress import say
from aetui.cli.runs import running
from aetui.cli.talk import NoAnswer, Talk
from aetui.spec import Problem, SpecError

COMMAND = "aetui steer"
ACTIONS = {
    "pause": "pause",
    "go": "go",
    "step": "step N",
    "set": "set optim.lr=1e-4 ...",
    "undo": "undo",
}
"""Each with how it is written."""


@dataclass(frozen=True)
class Order:
    """What is asked of a run: one of ACTIONS, with how many steps, or which settings."""

    action: str
    steps: int | None = None
    changes: dict[str, str] = field(default_factory=dict)

    @property
    def command(self) -> tuple[type[p.Command], dict[str, object]]:
        """The engine's command, and what it says."""
        match self.action:
            case "pause":
                return p.Pause, {}
            case "undo":
                return p.Undo, {}
            case "set":
                return p.Set, {"changes": self.changes}
            case _:
                return p.Run, {"steps": self.steps}


def steer(words: Sequence[str], *, wait: bool, patience: float, as_json: bool) -> int:
    """Have a run that is alive do something, and say from which step on; status 1 where it is refused.

    Args:
        words: the run, which may be left out where one alone is alive; one of ACTIONS; what it takes.
        wait: with `step`, until the run rests.
        patience: seconds that the acknowledgement may take.

    Raises:
        SpecError: the words are none of these, or there is no such run, or none that is alive.
    """
    if not (patience > 0 and math.isfinite(patience)):
        raise SpecError([Problem("--timeout", f"{patience:g} is not allowed; it takes a number of seconds above 0")])
    name, order = order_of(words)
    if wait and order.action != "step":
        raise SpecError([Problem("--wait", f"is for step N, which ends by itself, and not for {order.action}")])
    folder = running(name, COMMAND)
    try:
        with Talk(folder, COMMAND, patience) as talk:
            kind, values = order.command
            answer = talk.ask(kind, **values)
            found = _told(order, answer, talk)
            if wait and not isinstance(answer, p.Refused):
                talk.wait_for()
                found |= {"state": talk.state, "text": f"{talk.state} at step {talk.step:,}", "step": talk.step}
    except NoAnswer as error:
        found = {"run": folder.name, "action": order.action, "effect": "unknown", "text": str(error)}
    if as_json:
        print(json.dumps(found))
    if found["effect"] in ("refused", "unknown"):
        say(f"{folder.name}: {found['text']}")
        return 1
    if not as_json:
        print(found["text"])
    return 0


def _told(order: Order, answer: p.Accepted | p.Refused | p.Moved, talk: Talk) -> dict[str, Any]:
    """What came of it: `step` is that of the last whole step before it took effect."""
    found: dict[str, Any] = {
        "run": talk.name,
        "action": order.action,
        "effect": "done",
        "step": answer.step,
        "state": talk.state,
        "text": answer.text,
        "changes": [],
    }
    if isinstance(answer, p.Refused):
        return found | {"effect": "refused"}
    if isinstance(answer, p.Moved):
        # An undo leaves the run paused, whatever it was before.
        return found | {"state": "paused"}
    at, first = f"{answer.step:,}", f"{answer.step + 1:,}"
    match order.action:
        case "pause" if talk.state == "running":
            found |= {"state": "paused", "text": f"paused at step {at}"}
        case "pause":
            found |= {"effect": "none", "text": f"{talk.state} already, at step {at}"}
        case "go" if talk.state == "running":
            found |= {"effect": "none", "text": f"running already, at step {at}"}
        case "go" if answer.text.startswith("running"):
            found |= {"state": "running", "text": f"goes on from step {first}"}
        case "step" if answer.text.startswith("running"):
            many = "1 step" if order.steps == 1 else f"{order.steps:,} steps"
            found |= {"state": "running", "text": f"takes {many} from step {first}, and pauses"}
        case "set" if answer.effect == "done":
            changed = ", ".join(map(str, answer.changes))
            found["changes"] = [{"path": one.path, "old": one.old, "new": one.new} for one in answer.changes]
            found["text"] = f"{changed} from step {first}{answer.text.removeprefix(changed)}"
        case _:
            found |= {"effect": answer.effect, "text": f"{answer.text}, at step {at}"}
    return found


# --- what was written ---------------------------------------------------------------------------


def order_of(words: Sequence[str]) -> tuple[str | None, Order]:
    """The run's name, None where it is left out, and what is asked of it.

    Raises:
        SpecError: it is something else; one sentence.
    """
    words = list(words)
    # A run may have the name of an action: `aetui steer pause pause`.
    named = bool(words) and (words[0] not in ACTIONS or (len(words) > 1 and words[1] in ACTIONS))
    name = words.pop(0) if named else None
    if not words or words[0] not in ACTIONS:
        what = f"{words[0]!r} is not allowed; " if words else ""
        raise SpecError([Problem(COMMAND, f"{what}it takes RUN and one of {', '.join(ACTIONS.values())}")])
    action, *rest = words
    if action == "step":
        return name, Order(action, steps=_steps(rest))
    if action == "set":
        return name, Order(action, changes=_changes(rest))
    if rest:
        raise SpecError([Problem(f"{COMMAND} {action}", f"{' '.join(rest)!r} is not allowed; it takes nothing more")])
    return name, Order(action)


def _steps(rest: Sequence[str]) -> int:
    text = " ".join(rest) or "1"
    plain = text.replace(",", "").replace("_", "")
    if not (plain.isascii() and plain.isdigit() and 1 <= int(plain) < 1 << 63):
        clause = f"{text!r} is not allowed; it takes a whole number of at least 1"
        raise SpecError([Problem(f"{COMMAND} step", clause)])
    return int(plain)


def _changes(rest: Sequence[str]) -> dict[str, str]:
    if not rest:
        raise SpecError(
            [Problem(f"{COMMAND} set", "it takes section.key=value, such as optim.lr=3e-4; several at once")]
        )
    return changes_of(rest, f"{COMMAND} set")
