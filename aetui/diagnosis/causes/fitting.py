"""Remedies as a run can take them: what its spec does not have is left out, and so is what it has already."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from aetui.report import Remedy
from aetui.spec import RunSpec, SpecError, changed
from aetui.spec import sections as s


def fitting(spec: RunSpec | None, remedies: Iterable[Remedy], own_loss: bool = False) -> tuple[Remedy, ...]:
    """The remedies that change something, each with the settings that do.

    One that no setting of this run can do stays as a sentence; without a spec all stay as they are.

    Args:
        own_loss: whether loss or step are the user's own, so that what a spec says of the loss is not in force.
    """
    return tuple(remedies) if spec is None else tuple(_fitted(spec, remedies, own_loss))


def _fitted(spec: RunSpec, remedies: Iterable[Remedy], own_loss: bool) -> Iterator[Remedy]:
    own = isinstance(spec.model, s.OwnModel)
    without = (("loss.", "model.") if own else ("loss.", "model.kl_")) if own_loss else ()
    for remedy in remedies:
        if not remedy.set:
            yield remedy
            continue
        # The width of a user's own model is said there, not made.
        wanted = {path: value for path, value in remedy.set.items() if not (own and path == "model.code")}
        wanted = {path: value for path, value in wanted.items() if not path.startswith(without)}
        possible = _possible(spec, wanted)
        effective = _effective(spec, possible)
        # What a user's own model does is not in its spec, so nothing there says that it is done already.
        if effective or not possible or own:
            yield replace(remedy, set=effective)


def _possible(spec: RunSpec, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that the spec takes; none where it refuses a kind or the whole."""
    wanted = dict(wanted)
    for _ in range(2):
        try:
            changed(spec, wanted)
        except SpecError as error:
            refused = {problem.path for problem in error.problems}
            if any(path.endswith(".kind") for path in refused):
                break
            wanted = {path: value for path, value in wanted.items() if path not in refused}
        else:
            return wanted
    return {}


def _effective(spec: RunSpec, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The same change without the settings that are in force already; those of a new kind stay together."""
    differs = {path for path, value in wanted.items() if _differs(spec, path, value)}
    renewed = {path.partition(".")[0] for path in differs if path.endswith(".kind")}
    return {path: value for path, value in wanted.items() if path in differs or path.partition(".")[0] in renewed}


def _differs(spec: RunSpec, path: str, value: Any) -> bool:
    try:
        return changed(spec, {path: value}) != spec
    except SpecError:
        return True  # it takes the others with it
