"""`aetui diagnose --verify`: the remedies of a report, tried on forks beside controls."""

from __future__ import annotations

from dataclasses import replace as with_fields

from msgspec.structs import replace

from aetui.cli.whatif import Show, run, source_of
from aetui.report import Remedy, Report
from aetui.runs.folder import RunFolder
from aetui.spec import RunSpec
from aetui.whatif import choice
from aetui.whatif.course import Trial
from aetui.whatif.experiment import Experiment, Fork
from aetui.whatif.source import Source


def verified(report: Report, target: RunSpec | RunFolder, show: Show) -> tuple[Report, Experiment | None]:
    """The report with what became of each remedy that a setting makes, and the experiment; None where it has none.

    Raises:
        SpecError: the run can't be used.
    """
    source = source_of(target, target.name if isinstance(target, RunFolder) else "the run", diagnosed=False, show=show)
    return _marked(with_fields(source, report=report), report, show)


def _marked(source: Source, report: Report, show: Show) -> tuple[Report, Experiment | None]:
    changes, _ = choice.remedies_of(source.spec, report)
    if not changes:
        return report, None
    # All of them are to be marked, so there is room for all, and none for rivals.
    experiment = run(Trial(source, draws=0, forks=len(changes) + 3), 0, show)
    findings = tuple(
        replace(finding, remedies=tuple(_with_outcome(remedy, source.spec, experiment) for remedy in finding.remedies))
        for finding in report.findings
    )
    return replace(report, findings=findings), experiment


def _with_outcome(remedy: Remedy, spec: RunSpec, experiment: Experiment) -> Remedy:
    fork = _fork_of(remedy, spec, experiment)
    if fork is None or not fork.verdict:
        return remedy
    explained = None if fork.full is None else fork.full.explained
    return replace(remedy, verified=fork.verdict == "fixes it", tried=fork.verdict, explained=explained)


def _fork_of(remedy: Remedy, spec: RunSpec, experiment: Experiment) -> Fork | None:
    """The fork that tried a remedy; another finding may have the same one."""
    change = choice.remedy_change(spec, remedy)
    if change is None:
        return None
    return next((fork for fork in experiment.forks if fork.change.values == change.values), None)
