"""Which settings are in force when, so that a script holds no more than its run uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aetui.runs.export.errors import ExportError
from aetui.spec import RunSpec, SpecError, changed, differences
from aetui.spec.fields import fields_of, kind_of

Tweak = tuple[int, Mapping[str, Any]]
"""A number of completed steps, and the settings, as text, that are in force from the next step on."""


class Plan:
    """The settings of a run from its first step to its last.

    Code is written by asking: `varies`, `ever` and `never_zero` say what a setting does over the run, and
    `get` puts it into the code; `first` and `tweaks` then hold the settings that the code reads.

    Args:
        goal: the step at which a spec ends its run, None for never.

    Raises:
        ExportError: a tweak is refused, changes what can't change, or comes after one at a later step.
    """

    def __init__(self, spec: RunSpec, tweaks: Sequence[Tweak], goal: Callable[[RunSpec], int | None]) -> None:
        self.spec = spec
        self._goal = goal
        self._origin = 0
        self._used: set[str] = set()
        self._states = [(0, self._numbers(spec))]
        at = 0
        for step, changes in tweaks:
            if step < at:
                raise ExportError(
                    f"the tweak at step {step:,} comes after one at step {at:,}; they have to be in order"
                )
            at = step
            spec = self._tweaked(spec, step, changes)
            self._states.append((step, self._numbers(spec)))

    def _tweaked(self, spec: RunSpec, step: int, changes: Mapping[str, Any]) -> RunSpec:
        try:
            new = changed(spec, changes, text=True)
        except SpecError as error:
            raise ExportError(f"the tweak at step {step:,} is refused: {str(error).splitlines()[0]}") from error
        fixed = [one.path for one in differences(spec, new) if not one.live]
        if fixed:
            raise ExportError(f"the tweak at step {step:,} changes {fixed[0]}, which can't change while a run trains")
        if type(new.schedule) is not type(spec.schedule):
            self._origin = step
        return new

    def _numbers(self, spec: RunSpec) -> dict[str, Any]:
        """The settings that may change, by path, as a step computes with them."""
        found: dict[str, Any] = {"train.batch_size": spec.train.batch_size, "schedule.since": self._origin}
        model = spec.model
        found |= {f"model.{name}": getattr(model, name) for name in _LIVE_OF_MODELS if hasattr(model, name)}
        for section in ("loss", "optim", "schedule", "clip"):
            part = getattr(spec, section)
            found[f"{section}.kind"] = kind_of(part)
            found |= {f"{section}.{name}": getattr(part, name) for name in fields_of(type(part))}
        if getattr(spec.schedule, "steps", None) == 0:
            goal = self._goal(spec)
            found["schedule.steps"] = max(0, goal - self._origin) if goal is not None else 0
        return found

    # --- asking ---------------------------------------------------------------------------------

    def values(self, path: str) -> list[Any]:
        """Every value that the setting has over the run, in order, each once."""
        return list(dict.fromkeys(state[path] for _, state in self._states if path in state))

    def varies(self, path: str) -> bool:
        return len(self.values(path)) > 1

    def ever(self, path: str) -> bool:
        """Whether the setting is anything but 0, false or empty at some time."""
        return any(self.values(path))

    def never_zero(self, path: str) -> bool:
        return all(self.values(path))

    def get(self, path: str) -> str:
        """The expression that reads the setting."""
        self._used.add(path)
        return f'setting["{path}"]'

    @property
    def tweaked(self) -> bool:
        return bool(self.tweaks())

    def first(self) -> dict[str, Any]:
        """What the code reads, with the values at step 0."""
        return {path: value for path, value in self._states[0][1].items() if path in self._used}

    def tweaks(self) -> list[tuple[int, dict[str, Any]]]:
        """What changes of it, and at which step."""
        held = self.first()
        found: list[tuple[int, dict[str, Any]]] = []
        for step, state in self._states[1:]:
            missing = object()
            news = {
                path: value for path, value in state.items() if path in self._used and held.get(path, missing) != value
            }
            if news:
                found.append((step, news))
                held |= news
        return found


_LIVE_OF_MODELS = ("noise", "dropout", "kl_weight", "kl_warmup")


def indented(text: str, by: int = 4) -> str:
    return "\n".join(" " * by + line if line else line for line in text.split("\n"))


def choice(plan: Plan, path: str, branches: dict[str, str]) -> str:
    """Code that takes the branch of the setting's value; each branch returns. Without a choice, that branch alone."""
    if len(branches) == 1:
        return next(iter(branches.values()))
    parts = [f'if {plan.get(path)} == "{value}":\n{indented(code)}' for value, code in list(branches.items())[:-1]]
    last = list(branches.values())[-1]
    return "\n".join([*parts, last])
