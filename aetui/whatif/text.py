"""An experiment as plain text: what is tried, what came out, what to make of it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from aetui.report import number
from aetui.whatif import judging
from aetui.whatif.experiment import Experiment, Figures, Fork

_HEAD = ("fork", "verdict", "half", "full", "loss", "ratio", "lost", "dead", "steps")
_LEFT = ("fork", "verdict")


def render(x: Experiment, width: int = 100) -> str:
    """The experiment as text; only the table, and a path that is a word of its own, may be wider than `width` cells."""
    lines = [*_wrapped(_what(x), width), ""]
    lines += table(x)
    if any(setting.path.startswith(("data.", "loss.")) for fork in x.forks for setting in fork.change.settings):
        lines += ["", *_wrapped("Losses of another scaling or loss can't be compared; explained variances can.", width)]
    lines += [""]
    for fork in x.forks:
        lines += _wrapped(f"{fork.name}: {_tried(fork, x)}", width, rest=2)
    lines += ["", *_wrapped(conclusion(x), width)]
    lines += _held(x, width)
    if x.described:
        lines += ["", "Not tried, since no setting does it:"]
        for one in x.described:
            code = f" At {one.code}" if one.code else ""
            lines += _wrapped(f"- {one.text}{code} ({one.cause})", width, rest=2)
    if x.note:
        lines += ["", *_wrapped(f"Note: {x.note}.", width)]
    return "\n".join(lines)


def table(x: Experiment) -> list[str]:
    """A line for each fork, its figures in columns; half and full are explained variances."""
    rows = [_HEAD, *(_row(fork, x) for fork in x.forks)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    return ["  ".join(_cell(text, name, size) for text, name, size in zip(row, _HEAD, widths, strict=True)).rstrip()
            for row in rows]  # fmt: skip


def _cell(text: str, name: str, width: int) -> str:
    return text.ljust(width) if name in _LEFT else text.rjust(width)


def _row(fork: Fork, x: Experiment) -> tuple[str, ...]:
    last = fork.last
    verdict = fork.verdict or fork.status
    half, full = _explained(fork.half), _explained(fork.full)
    if last is None or last.explained is None:
        return fork.name, verdict, half, full, "-", "-", "-", "-", _steps(fork, x)
    return (
        fork.name,
        verdict,
        half,
        full,
        "-" if last.loss is None else number(last.loss),
        "-" if last.ratio is None else f"{last.ratio:.2f}",
        f"{last.lost}/{last.features}",
        f"{last.dead}/{last.units}",
        _steps(fork, x),
    )


def _explained(figures: Figures | None) -> str:
    if figures is None:
        return "-"
    return "not finite" if figures.explained is None else f"{figures.explained:.3f}"


def _steps(fork: Fork, x: Experiment) -> str:
    """`1,200 +600` for one that left the run at step 1,200, `1,800` for one trained anew."""
    return f"{fork.start:,} +{max(0, fork.step - fork.start):,}" if fork.start else f"{fork.step:,}"


def _tried(fork: Fork, x: Experiment) -> str:
    parts = [fork.change.label]
    if not fork.start and x.step:
        parts.append("trained anew from step 0")
    text = "; ".join(parts)
    return f"{text}. {_sentence(fork.why)}" if fork.why else text


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def _what(x: Experiment) -> str:
    where = f"{x.run} at step {x.step:,}" if x.step else f"{x.run} from step 0"
    span = f"{x.half:,} and {x.full:,}"
    linear = "" if x.linear is None else f" PCA with the code's width explains {x.linear:.3f}."
    judged = f"; judged by its {x.symptom}" if x.symptom else ""
    by = f"by explained variance in the data's own units{judged}"
    return f"{where}: {len(x.forks)} forks, compared at steps {span} {by}.{linear}"


def conclusion(x: Experiment) -> str:
    """What came out, in a sentence or two."""
    found = judging.band(x.forks, x.step, x.symptom)
    if found is None:
        return "The controls did not come to the end, so nothing can be told."
    noise = (
        f"the controls stand at {found.low + found.noise:.3f} to {found.high - found.noise:.3f}, +- {found.noise:.3f}"
    )
    best = judging.winner(x)
    if best is None:
        return f"No change does better than what noise does: {noise}."
    figure = judging.standing(best.full, x.symptom)
    what = f" ({x.symptom})" if x.symptom else ""
    return f"{best.name} {best.verdict}: {figure:.3f}{what}; {noise}."


def _held(x: Experiment, width: int) -> Iterator[str]:
    if not x.held:
        return
    yield ""
    kept = sum(one.holds for one in x.seeds)
    yield f"{x.held} on {len(x.seeds)} other seeds: holds in {kept} of {len(x.seeds)}."
    for one in x.seeds:
        without, with_it = (f"{judging.standing(figures, x.symptom):.3f}" for figures in (one.untouched, one.winner))
        yield from _wrapped(f"seed {one.seed}: {with_it}, untouched {without}", width, indent=2)


def _wrapped(text: str, width: int, *, indent: int = 0, rest: int = 0) -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent=" " * indent, subsequent_indent=" " * (indent + rest), break_on_hyphens=False,
        break_long_words=False,
    )  # fmt: skip


def line(fork: Fork) -> str:
    """A fork with its figures, for a journal."""
    said = fork.verdict or fork.status
    parts, last = [said], fork.last
    if last is not None and last.explained is not None:
        parts.append(f"explained variance {last.explained:.3f}")
        parts += [f"loss {number(last.loss)}"] if last.loss is not None else []
        parts += [f"variance ratio {last.ratio:.2f}"] if last.ratio is not None else []
        parts += [f"{last.lost} of {last.features} features lost", f"{last.dead} of {last.units} units dead"]
        parts.append(f"at step {last.step:,}")
    why = f"; {fork.why}" if fork.why and fork.why != said else ""
    return f"fork {fork.name} ({fork.change.label}): {', '.join(parts)}{why}"


def progress(x: Experiment) -> str:
    """How far an experiment is, in a line."""
    ended = sum(fork.status not in ("waiting", "running") for fork in x.forks)
    running = [f"{fork.name} at {fork.step:,}" for fork in x.forks if fork.status == "running"]
    return ", ".join([f"{ended} of {len(x.forks)} forks done", *running])
