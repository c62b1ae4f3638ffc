"""What a tweak did: loss, explained variance and speed before it and since, each with the steps it is of."""

from collections.abc import Sequence
from dataclasses import dataclass

from aetui.tui import figures
from aetui.tui.journal_entries import Entry
from aetui.tui.model import RunModel

_STEPS = 50
"""Steps whose loss is averaged on either side."""


@dataclass(frozen=True)
class _Stretch:
    """Steps between two tweaks on the way to where the run stands, or from the last one on."""

    start: int
    end: int

    def loss(self, model: RunModel) -> str:
        first = max(self.start, self.end - _STEPS)
        (mean,) = model.loss.spans([first], [self.end]).mean
        return "-" if mean != mean else figures.number(float(mean))

    def explained(self, model: RunModel) -> str:
        """The last measurement within, with its step where that is not the last one."""
        inside = [one for one in model.points if self.start < one.step <= self.end and one.explained is not None]
        if not inside:
            return "-"
        last = max(inside, key=lambda one: one.step)
        at = "" if last.step == self.end else f" at {figures.count(last.step)}"
        return f"{figures.number(last.explained)}{at}"


def comparison(model: RunModel, entries: Sequence[Entry], index: int) -> str:
    """What is known of a tweak, entry `index` of the journal; '' for one that the run has left."""
    entry = entries[index]
    if entry.kind != "tweak" or entry.left:
        return ""
    way = [one for one in entries if not one.left]
    place = way.index(entry)
    tweaks = [one for one in way if one.kind == "tweak"]
    # While a key was held the steps had values of its way.
    last, known = max(entry.last, entry.step), len(model.loss)
    end = min((one.step for one in tweaks if one.step > last), default=known)
    start = max((one.last for one in tweaks if one.step < entry.step), default=0)
    before, since = _Stretch(start, min(entry.step, known)), _Stretch(last, min(end, known))
    if since.end <= since.start:
        return ""
    parts = [f"before: {_told(model, before, _speed(way, place, -1))}"] if before.end > before.start else []
    now = model.status.steps_per_second if since.end == len(model.loss) else None
    speed = _speed(way, place, 1) or ("" if now is None else figures.count(now))
    return "; ".join([*parts, f"since, to step {figures.count(since.end)}: {_told(model, since, speed)}"])


def _told(model: RunModel, stretch: _Stretch, speed: str) -> str:
    return f"loss {stretch.loss(model)}, expl. var. {stretch.explained(model)}, {speed or '-'} steps/s"


def _speed(way: Sequence[Entry], place: int, direction: int) -> str:
    """Steps per second to the entry nearest to a tweak on one side that is of another step, by the journal's times."""
    here = place
    while 0 <= here + direction < len(way) and way[here + direction].step == way[place].step:
        here += direction  # a tweak in a pause: only what was trained counts
    other = here + direction
    if not 0 <= other < len(way):
        return ""
    steps, elapsed = way[other].step - way[here].step, way[other].time - way[here].time
    return figures.count(steps / elapsed) if steps * elapsed > 0 else ""
