"""What all curves were at one step, and which tweak was in force there."""

from __future__ import annotations

from bisect import bisect_right

from aetui.tui import figures, texts
from aetui.tui.model import RunModel
from aetui.tui.panes import legend
from aetui.tui.panes.curves import known_rates
from aetui.tui.series import Series


def parts(model: RunModel, step: int, place: str) -> list[legend.Part]:
    """The legend's parts for a step. place: where it is on an axis of epochs or time, '' on one of steps."""
    found: list[legend.Part] = [(f"step {figures.count(step)}{f' ({place})' if place else ''}", "mark")]
    found.append((f"train {_at(model.loss, step)}", "train"))
    held_out = _measured([(point.step, point.validation) for point in model.points], step)
    if held_out is not None:
        found.append((f"val {figures.as_of(figures.number(held_out[1]), held_out[0], step)}", "validation"))
    if len(model.total):
        found.append((f"total {_at(model.total, step)}", "text"))
    found.append((f"grad {_at(model.grad_norm, step)}", "text"))
    rates = known_rates(model)
    index = bisect_right(rates, step - 1, key=lambda pair: pair[0])
    if index:
        found.append((f"lr {figures.number(rates[index - 1][1])}", "text"))
    fit = _measured([(point.step, point.explained) for point in model.points], step)
    if fit is not None:
        found.append((f"expl. var. {figures.as_of(figures.explained(fit[1]), fit[0], step)}", "text"))
    found += [(f"{texts.plain(name)} {_at(series, step)}", "text") for name, series in model.parts.items()]
    found.append((tweak(model, step), "mark"))
    return found


def _at(series: Series, step: int) -> str:
    """The value of a step; of one so long ago that single values are not kept, the mean around it."""
    at = series.spans([step - 1], [step])
    mean = float(at.mean[0])
    if at.broken[0] and not at.count[0]:
        return "not finite" if step <= len(series) else figures.MISSING
    return f"{'~' if at.count[0] > 1 else ''}{figures.number(mean)}"


def _measured(points: list[tuple[int, float | None]], step: int) -> tuple[int, float] | None:
    """The last measurement up to a step, with its own."""
    known = [(at, value) for at, value in points if value is not None and at <= step]
    return known[-1] if known else None


def tweak(model: RunModel, step: int) -> str:
    """The last tweak that was in force in a step: one at the end of step n is from n + 1 on."""
    done = [entry for entry in model.journal if entry.kind == "tweak" and not entry.left and entry.last < step]
    if not done:
        return "no tweak so far"
    return f"since {figures.count(done[-1].last + 1)}: {texts.plain(done[-1].text)}"
