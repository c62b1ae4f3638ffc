"""What a remedy would set in a run, and how it gets into the form."""

from aetui.report import Remedy
from aetui.spec import RunSpec, SpecError, changed, differences
from aetui.tui import form_fields
from aetui.tui.form import SpecForm


def effect(spec: RunSpec, remedy: Remedy, settable: frozenset[str] | None = None) -> list[tuple[str, str]]:
    """What a remedy sets in a run with `spec`, each setting as text with its role.

    settable: the settings that the run has, None for those of any spec.
    """
    if in_code(remedy, settable):
        own = "no setting does it" if settable is None else "it is in your own loop"
        return [(f"a change in the code: {remedy.line or own}", "muted")]
    try:
        wanted = changed(spec, remedy.set)
    except SpecError as error:
        return [(f"not possible in this run: {error.problems[0]}", "warning")]
    found = differences(spec, wanted)
    if not found:
        return [("in force already", "muted")]
    structural = {one.path for one in form_fields.split(spec, wanted)[1]}
    return [(f"{one} ({'new run' if one.path in structural else 'live'})", "data") for one in found]


def in_code(remedy: Remedy, settable: frozenset[str] | None) -> bool:
    """Whether a remedy is a change in the code and not of settings that the run has."""
    return not remedy.set or (settable is not None and not settable >= remedy.set.keys())


def put(form: SpecForm, remedy: Remedy, apply: str, settable: frozenset[str] | None = None) -> tuple[str, str]:
    """Put a remedy's settings into the form; what to say about it, and how seriously.

    apply: how the key that applies the form is shown.
    """
    if in_code(remedy, settable):
        own = "no setting does it, the code" if settable is None else "your own code"
        return f"{own} has to be changed: {remedy.text}", "warning"
    try:
        found = form.put(remedy.set)
    except SpecError as error:
        return f"not possible in this run: {error.problems[0]}", "error"
    if not found:
        return "these settings are in force already", "note"
    text = ", ".join(map(str, found))
    structural = {one.path for one in form.live_and_structural()[1]}
    if any(one.path in structural for one in found):
        return f"{text} is in the form; it needs a new run, {apply} offers one", "note"
    return f"{text} is in the form; {apply} applies it", "note"
