"""`aetui diagnose RUN`: the verdict on a run of the store, from its engine while it is alive, else from its record."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from aetui import presets
from aetui import protocol as p
from aetui.cli.diagnose import diagnose_and_print
from aetui.cli.lines import INTERRUPTED, colored, line_width
from aetui.cli.progress import Intervals, say, stages_on_stderr
from aetui.cli.standing import fresh_view, judged_in, of_record, reading
from aetui.cli.talk import NoAnswer, Talk
from aetui.report import LEARNING, render
from aetui.runs.folder import RunError, RunFolder
from aetui.runs.judged import Judged
from aetui.runs.tree import Tree
from aetui.spec import Problem, RunSpec, SpecError, changed, loads
from aetui.tui.figures import duration

COMMAND = "aetui diagnose"
_PATIENCE = 20.0
"""Seconds to wait for a verdict on the present step; after that the last one is taken, with its step."""
_GLANCE = 0.2
_CLOSE, _LISTED = 2, 8
"""Most names that an unknown one is close to, and most runs that are listed."""


def stored_run(target: str | None, command: str = COMMAND) -> RunFolder | None:
    """The run that TARGET names; None where it is left out, or names a preset, a spec, or another file.

    Raises:
        SpecError: it begins the names of several runs, or names nothing.
    """
    if target is None or not target or presets.is_preset(target) or target.lower().endswith(".toml"):
        return None
    try:
        return RunFolder.find(target)
    except RunError as error:
        names = [folder.name for folder in RunFolder.all()]
        if any(name.startswith(target) for name in names):
            raise SpecError([Problem(command, str(error))]) from None
        if Path(target).expanduser().exists():
            return None
        raise SpecError([Problem("target", _unknown(target, names))]) from None


def _unknown(target: str, runs: list[str]) -> str:
    """That neither a preset nor a run has this name, with the closest of both, or with what there is."""
    known = {name.lower(): name for name in (*presets.names(), *presets.clinic_names(), *runs)}
    close = get_close_matches(target.lower(), known, _CLOSE)
    if close:
        hint = f"did you mean {' or '.join(known[name] for name in close)}?"
    else:
        stored = ", ".join(runs[:_LISTED]) + (" and more (aetui runs)" if len(runs) > _LISTED else "")
        hint = (
            f"presets: {', '.join(presets.names())}, and those of aetui clinic; stored runs: {stored or 'none'}; "
            "a path to a .toml file is taken too"
        )
    return f"there is no preset and no stored run {target!r}; {hint}"


def diagnose_run(folder: RunFolder, *, probes: bool, as_json: bool, verify: bool = False) -> int:
    """Print the verdict on a run as it stands; status 1 where something has to be changed.

    Args:
        verify: try the remedies on forks of what the record has.
        probes: check the suspects on copies: an engine pauses for that and goes on, and a run of a spec that has ended
            is trained anew by its spec.

    Raises:
        SpecError: there is no verdict, and why.
    """
    engine = folder.holder()
    if engine is None:
        if probes:
            return diagnose_and_print(spec_in_force(folder), steps=None, as_json=as_json, verify=verify)
        return _of_record(folder, as_json, verify)
    try:
        with Talk(folder, COMMAND) as talk:
            judged = _probed(talk) if probes else _judged(talk)
            name, step, state = talk.name, talk.view().status.step, talk.state
    except NoAnswer as error:
        raise SpecError([Problem(COMMAND, f"{folder.name}: {error}")]) from None
    if judged is None:
        return INTERRUPTED
    where = "while it trains" if state == "running" else state
    about = {"run": name, "step": step, "state": state, "from": "engine", "age": 0.0}
    if verify:
        judged, about = _verified(judged, about, folder)
    _print(judged, about, where, as_json)
    return _status(judged)


def _verified(judged: Judged, about: dict[str, Any], folder: RunFolder) -> tuple[Judged, dict[str, Any]]:
    """The verdict with its remedies tried on forks, and what is said of the run with the experiment."""
    from aetui.cli.verify import verified
    from aetui.cli.whatif import plain

    with stages_on_stderr() as show:
        report, experiment = verified(judged.report, folder, show)
    more = {} if experiment is None else {"experiment": plain(experiment)}
    return replace(judged, report=report), about | more


def _of_record(folder: RunFolder, as_json: bool, verify: bool = False) -> int:
    one = of_record(folder, COMMAND)
    if one.judged is None:
        again = one.kind == "spec"
        way = f"; {COMMAND} {one.run} --probes trains it anew by its spec" if again else ""
        raise SpecError(
            [Problem(COMMAND, f"the record of {one.run} has no verdict: none was made before it ended{way}")]
        )
    about = {"run": one.run, "step": one.step, "state": one.state, "from": "record", "age": one.age}
    judged = one.judged
    if verify:
        judged, about = _verified(judged, about, folder)
    _print(judged, about, f"from its record, {duration(one.age or 0.0)} old", as_json)
    return _status(one.judged)


def spec_in_force(folder: RunFolder) -> RunSpec:
    """The spec of a run with the tweaks on the way to where it stands.

    Raises:
        SpecError: no spec assembled it, or its record can't be read.
    """
    with reading(folder, COMMAND) as database:
        meta, tree = database.meta(), Tree.of(database)
    if not meta.get("spec"):
        text = (
            f"--probes train copies, and the loop of {folder.name} has ended; without it the record's verdict is shown"
        )
        raise SpecError([Problem(COMMAND, text)])
    spec = loads(meta["spec"])
    for tweak in tree.tweaks_on(tree.path_to(tree.stood(meta))):
        spec = changed(spec, tweak.changes, text=True)
    return spec


# --- of an engine -------------------------------------------------------------------------------


def _judged(talk: Talk) -> Judged:
    """The report of an engine, on the present step where that comes in time.

    Raises:
        SpecError: it has none, and why.
    """
    talk.join()
    view = fresh_view(talk, ("diagnosis",), _PATIENCE)
    found = judged_in(view)
    if found is None:
        raise SpecError([Problem(COMMAND, _why_none(talk, view))])
    return found


def _why_none(talk: Talk, view: p.View) -> str:
    why = view.unknown.get("diagnosis")
    if why is None:
        return f"{talk.name} has no verdict yet: the step under way takes long"
    hint = next((text for text in talk.info.warnings if "no diagnosis" in text), "") if talk.info else ""
    return f"{talk.name} has no verdict: {why}{f' ({hint})' if hint else ''}"


def _probed(talk: Talk) -> Judged | None:
    """The report of an engine after its probes, which pause the run meanwhile; None where ctrl+c ended them."""
    _judged(talk)
    trained = talk.state == "running"
    try:
        answer = talk.ask(p.Examine)
        if isinstance(answer, p.Refused):
            raise SpecError([Problem(COMMAND, f"{talk.name}: {answer.text}")])
        return _after_probes(talk)
    except KeyboardInterrupt:
        return None
    finally:
        if trained:
            # A run that trained goes on, whatever has become of the probes.
            with suppress(NoAnswer):
                talk.ask(p.Run)


def _after_probes(talk: Talk) -> Judged:
    began, shown, heard = time.monotonic(), Intervals(60.0, at_once=True), len(talk.past)
    while True:
        view = talk.view(("diagnosis",), since=1 << 62)
        found = view.diagnosis
        failed = [event for event in talk.past[heard:] if getattr(event, "text", "").startswith("the probes failed")]
        if failed:
            raise SpecError([Problem(COMMAND, f"{talk.name}: {getattr(failed[0], 'text', '')}")])
        if found is not None and found.probed and not found.stage:
            judged = judged_in(view)
            assert judged is not None
            return judged
        if found is not None and found.stage and shown.take_turn():
            say(f"after {time.monotonic() - began:.0f} s: {found.stage}")
        talk.pause(_GLANCE)


# --- what is printed ----------------------------------------------------------------------------


def _print(judged: Judged, about: dict[str, Any], where: str, as_json: bool) -> None:
    report = judged.report
    if as_json:
        print(json.dumps({**about, "verdict_step": judged.step, "probed": judged.probed, **report.to_dict()}, indent=2))
        return
    at = f"at step {judged.step:,}" + ("" if judged.step == about["step"] else f" of {about['step']:,}")
    print(f"{about['run']} {at}, {where}\n")
    print(render(report, width=line_width(), color=colored()))


def _status(judged: Judged) -> int:
    return int(judged.report.wrong and judged.report.verdict != LEARNING)


def refuse_options(folder: RunFolder, given: dict[str, Any]) -> None:
    """Raises:
    SpecError: an option that is for a spec was given with a run.
    """
    wrong = [option for option, value in given.items() if value not in (None, ())]
    if wrong:
        text = f"is for a preset or a spec, and {folder.name} is a run of the store, whose settings aetui steer changes"
        raise SpecError([Problem(option, text) for option in wrong])
