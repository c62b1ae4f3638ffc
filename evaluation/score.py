"""Measures the diagnosis on generated and on reported cases: `python -m evaluation.score --help`."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

from aetui.report import CAUSES
from evaluation.tally import Result, builtins, text, until_interrupted


def score(
    *,
    split: str = "test",
    cases: int,
    healthy: int,
    seed: int = 0,
    jobs: int = 1,
    only: str = "",
    remember: Path | None = None,
    progress: bool = True,
) -> list[Result]:
    """Diagnose generated cases, in their order.

    Args:
        split: `calibration` or `test`.
        cases: number of cases with a fault; the causes take turns.
        healthy: number of cases without one.
        jobs: processes that work at the same time, one thread each.
        only: restrict the faults to this cause.
        remember: JSON file of accepted candidates; a case that is in it is not checked again.
        progress: write a line to the standard error stream after each case.
    """
    from evaluation.generate import identities

    ids = [str(identity) for identity in identities(split, cases, healthy, seed, only)]
    attempts = _known(remember)
    results: dict[str, Result] = {}
    began = time.monotonic()
    for result in until_interrupted(_results(ids, attempts, jobs)):
        results[result.id] = result
        if remember:
            attempts[result.id] = result.attempt
            remember.write_text(json.dumps(attempts, indent=0))
        if progress:
            elapsed = time.monotonic() - began
            first = result.ranked[0][0] if result.ranked else "-"
            line = f"{len(results)}/{len(ids)} {elapsed:.0f} s  {result.id}  {result.verdict or 'error'}: {first}"
            shown, end = (f"\r{line[:78]:78}", "") if sys.stderr.isatty() else (line, "\n")
            print(shown, end=end, file=sys.stderr, flush=True)
    if progress and ids and sys.stderr.isatty():
        print(file=sys.stderr)
    return [results[name] for name in ids if name in results]


def _known(remember: Path | None) -> dict[str, int]:
    return json.loads(remember.read_text()) if remember and remember.exists() else {}


def judge(name: str, attempt: int | None = None) -> Result:
    """Generate the case of that id and diagnose it."""
    import torch

    from aetui.diagnosis import diagnose, preflight
    from evaluation.consistent import contradictions
    from evaluation.generate import CaseId, generate

    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        case = generate(CaseId.parse(name), attempt)
        known = Result(
            id=name, cause=case.cause, variant=case.variant, visible=case.visible, attempt=case.attempt,
            figures=case.figures,
        )  # fmt: skip
        began = time.monotonic()
        try:
            report = diagnose(**case.broken)
            seconds = time.monotonic() - began
            early = preflight(**case.broken)
        except Exception as error:  # noqa: BLE001 - the score counts what the diagnosis raises
            return _with(known, error=f"{type(error).__name__}: {error}", seconds=time.monotonic() - began)
    return _with(
        known,
        verdict=report.verdict,
        headline=report.headline,
        ranked=tuple((finding.cause, finding.confidence) for finding in report.findings),
        preflight=tuple((finding.cause, finding.confidence) for finding in early),
        explained=report.explained_variance.whole,
        contradictions=tuple(contradictions(report)),
        steps=report.steps,
        probe_steps=report.probe_steps,
        seconds=seconds,
    )


def _with(result: Result, **changes: object) -> Result:
    import msgspec

    return msgspec.structs.replace(result, **changes)


def _results(ids: Sequence[str], attempts: dict[str, int], jobs: int) -> Iterator[Result]:
    if jobs <= 1:
        for name in ids:
            yield judge(name, attempts.get(name))
        return
    with (
        _single_threaded(),
        ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool,
    ):
        pending = [pool.submit(judge, name, attempts.get(name)) for name in ids]
        for future in as_completed(pending):
            yield future.result()


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Children take one thread each, however many this process takes."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


def show(name: str, attempt: int | None = None) -> None:
    """Print what was planted in the case of that id, and its report in full."""
    import torch

    from aetui.diagnosis import diagnose
    from evaluation.generate import CaseId, generate

    torch.set_num_threads(1)
    case = generate(CaseId.parse(name), attempt)
    plan = case.plan
    print(f"{case.id}  {case.variant}  (candidate {case.attempt}, checked at {case.steps} steps)")
    print("plain loop: " + ", ".join(f"{key} {value:.3f}" for key, value in case.figures.items()))
    print(f"{plan}\n{case.broken['model']}\n")
    report = diagnose(**case.broken)
    print(report)
    print([(finding.cause, round(finding.confidence, 2), finding.follows) for finding in report.findings])


def at_least(least: int) -> Callable[[str], int]:
    """A whole number of that size or more, for a command line."""

    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is below {least}")
        return value

    return number


def main(arguments: Sequence[str] | None = None) -> int:
    """Diagnose cases and print the score."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluation.score", description="Measure the diagnosis; takes a long time."
    )
    parser.add_argument(
        "--split", choices=("test", "calibration", "reported", "families"), default="test",
        help="generated cases whose seeds no threshold was set on (test, the default), those it was (calibration), or "
        "failures that people reported (reported) or bugs in kinds of models as they are published (families): all of "
        "them, whatever the numbers",
    )  # fmt: skip
    parser.add_argument("--cases", type=at_least(1), default=300, help="failures to generate, 300 by default")
    parser.add_argument("--healthy", type=at_least(0), default=200, help="healthy runs to generate, 200 by default")
    parser.add_argument("--seed", type=at_least(0), default=0, help="seed of the cases")
    parser.add_argument("--jobs", type=at_least(1), default=1, help="processes at a time")
    parser.add_argument("--only", choices=CAUSES, default="", help="failures of this cause only")
    parser.add_argument("--json", action="store_true", help="print one JSON object with every case instead of tables")
    parser.add_argument("--remember", type=Path, help="file of accepted candidates, which saves checking them again")
    parser.add_argument("--show", metavar="ID", help="print one generated case with its report, and nothing else")
    parser.add_argument(
        "--repair", action="store_true",
        help="measure experiments on forks instead: of the cases that a spec can say, how many are repaired within "
        "8 forks and 3 times the plain training, beside random search",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    if options.repair:
        import msgspec

        from evaluation.repair import measure
        from evaluation.repair import text as repairs

        if options.split not in ("test", "calibration"):
            parser.error("--repair takes generated cases: --split test or --split calibration")
        outcomes = measure(options.split, options.cases, options.healthy, options.seed, options.only)
        print(json.dumps(msgspec.to_builtins(outcomes), indent=2) if options.json else repairs(outcomes))
        return 0
    if options.show:
        show(options.show, _known(options.remember).get(options.show))
        return 0
    if options.split in ("reported", "families"):
        from evaluation import families, reported
        from evaluation.reported.score import score_written

        results = score_written((reported if options.split == "reported" else families).cases())
    else:
        results = score(
            split=options.split, cases=options.cases, healthy=options.healthy, seed=options.seed, jobs=options.jobs,
            only=options.only, remember=options.remember,
        )  # fmt: skip
    print(json.dumps(builtins(results), indent=2) if options.json else text(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
