"""The figures of the status as texts, in forms that fit from 80 columns on: pure functions of the model."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from aetui.spec import sections
from aetui.tui import figures, texts
from aetui.tui.model import RunModel

STATES = {
    "loading": "LOADING",
    "paused": "PAUSED",
    "running": "RUNNING",
    "finished": "FINISHED",
    "non-finite": "STOPPED: NON-FINITE",
    "failed": "FAILED",
    "ended": "ENDED",
}
"""The word for each state."""

READ_ONLY = "READ-ONLY"
"""Said in the status line of a screen that only watches."""
OLD = 3.0
"""Seconds after which the figures of a running run are said to be old."""
GAP = "  "
_LEFT, _ENDS = len(", 119 min left"), len(", ends 14:32")
_AS_OF = len(" as of 12,345")
"""Cells kept for the step that a figure is of."""

Piece = tuple[str, str]
"""Text and role."""


@dataclass(frozen=True)
class Part:
    """One figure of the status in its forms, fullest first; an empty last form may be left out.

    `widths` are the cells kept for each form, so that its neighbors stay where they are.
    """

    name: str
    forms: tuple[tuple[Piece, ...], ...]
    widths: tuple[int, ...]


REDUCTIONS = (
    *("step", "step", "crowd", "step", "step", "device", "grad", "loss", "stall", "loss", "expl", "expl", "device"),
    *("lr", "epoch", "lr", "grad", "grad", "expl", "stall", "crowd"),
)
"""Parts to shorten, in this order, until the status fits; a part on its last form is skipped."""


def state_word(model: RunModel) -> str:
    """The state as one word or two, in capitals."""
    if model.error and model.info is None:
        return STATES["failed"]
    if model.asked.state:
        return model.asked.state
    return STATES.get(model.status.state, model.status.state.upper())


def state_role(model: RunModel) -> str:
    state = model.status.state
    if model.asked.state:
        return "mark"
    if model.error or state in ("non-finite", "failed"):
        return "warning"
    return "good" if state in ("running", "finished") else "text"


def age(model: RunModel, now: float) -> float | None:
    """Seconds since the figures came, where a running run makes that worth saying."""
    if model.status.state != "running" or not model.received:
        return None
    seconds = now - model.received
    return seconds if seconds > OLD else None


def stage_age(model: RunModel, now: float) -> float | None:
    """Seconds that the present stage of a load has taken, where that is worth saying."""
    seconds = now - model.since
    return seconds if seconds > OLD and not model.error else None


def stage_text(model: RunModel, now: float) -> str:
    """What is being loaded, with the seconds that it has taken and where it is, once that is long."""
    seconds = stage_age(model, now)
    if seconds is None:
        return model.stage
    return f"{model.stage}, {seconds:.0f} s{f', in {model.where}' if model.where else ''}"


def status_parts(model: RunModel, now: float) -> list[Part]:
    """The figures of a loaded run, in reading order. now: time.monotonic()."""
    return [
        _state(model, now),
        *[Part("read-only", (((READ_ONLY, "mark"),),), (len(READ_ONLY),))] * model.read_only,
        *_stall(model),
        _step(model),
        _rate(model),
        _gradient(model),
        _loss(model),
        _explained(model),
        _epoch(model),
        _device(model),
        *_crowd(model),
    ]


def _state(model: RunModel, now: float) -> Part:
    word, status = state_word(model), model.status
    old, stalled = age(model, now), status.stalled
    role = "warning" if old is not None or stalled is not None else "text"
    note = ""
    if old is not None:
        note = f"figures {old:.0f} s old"
    elif stalled is not None:
        note = f"{'no step' if _steps(model) else 'busy'} for {stalled.seconds} s"
    elif model.asked.note:
        note = model.asked.note
    elif status.queued:
        note = f"{status.queued} key{'s' * (status.queued > 1)} waiting"
    elif status.state == "running" and status.steps_per_second is not None:
        note = f"{figures.number(_rounded(status.steps_per_second), 6)} steps/s"
    return Part("state", (((word, state_role(model)), (f" {note}" if note else "", role)),), (22,))


def _steps(model: RunModel) -> bool:
    """Whether the run takes steps, or is asked for one."""
    return model.status.state == "running" or model.asked.state == "STEPPING"


def _stall(model: RunModel) -> list[Part]:
    """Where in its code the engine is, while nothing gets on; the state says for how long."""
    stalled = model.status.stalled
    if stalled is None or not (stalled.doing or stalled.place):
        return []
    short = f"in {texts.plain(stalled.doing or stalled.place)}"
    full = f"{short} ({texts.plain(stalled.place)})" if stalled.doing and stalled.place else short
    forms = list(dict.fromkeys((full, short)))
    return [Part("stall", (*(((form, "warning"),) for form in forms), ()), (*map(cell_len, forms), 0))]


def _rounded(rate: float) -> float:
    """Rates from 100 up without fractions."""
    return round(rate) if rate >= 100 else rate


def _step(model: RunModel) -> Part:
    """The step beside the run's goal, the time up to that and when it is by the clock."""
    step = f"step {figures.count(model.status.step)}"
    goal = model.info.goal if model.info else None
    if not goal:
        return Part("step", (((step, "text"),),), (12,))
    of = f" of {figures.count(goal)}"
    wide = len(of)
    if goal < model.status.step:
        of = ""
    left = ends = ""
    if model.status.seconds_left is not None and state_word(model) == STATES["running"]:
        now = time.time()
        left = f", {figures.duration(model.status.seconds_left)} left"
        ends = f", ends {figures.clock(now + model.status.seconds_left, now)}"
    forms = tuple(((step, "text"), (tail, "muted")) for tail in (of + left + ends, of + left, left or of, of, ""))
    more = (wide + _LEFT + _ENDS, wide + _LEFT, max(wide, _LEFT), wide, 0)
    return Part("step", forms, tuple(12 + cells for cells in more))


def _epoch(model: RunModel) -> Part:
    epoch = model.status.epoch
    text = figures.count(epoch) if epoch is None or epoch >= 100 else f"{epoch:.1f}"
    return Part("epoch", ((("epoch ", "muted"), (text, "text")), ()), (11, 0))


def _rate(model: RunModel) -> Part:
    """The rate in force, and what makes it: the setting times the schedule's factor."""
    status = model.status
    rate = model.spec.optim.lr if status.lr is None else status.lr
    lead: tuple[Piece, ...] = (("lr ", "muted"), (figures.number(rate), "text"))
    if isinstance(model.spec.schedule, sections.Constant):
        return Part("lr", (lead,), (11,))
    if status.lr is None or not status.base_lr:
        return Part("lr", (lead, lead, lead), (28, 19, 11))
    factor = figures.number(status.lr / status.base_lr)
    full, short = f" ({figures.number(status.base_lr)} x {factor})", f" (x{factor})"
    return Part("lr", ((*lead, (full, "muted")), (*lead, (short, "muted")), lead), (28, 19, 11))


def _gradient(model: RunModel) -> Part:
    """The gradient's norm beside what it is clipped to, and how often it was."""
    part = _norm(model)
    # What takes so long is worth more.
    return part if model.status.stalled is None else Part(part.name, (*part.forms, ()), (*part.widths, 0))


def _norm(model: RunModel) -> Part:
    status, clip = model.status, model.spec.clip
    lead: tuple[Piece, ...] = (("grad ", "muted"), (figures.number(status.grad_norm), figures.role(status.grad_norm)))
    if isinstance(clip, sections.NoClip):
        return Part("grad", (lead,), (13,))
    kind = {sections.GlobalNorm: "global", sections.PerTensor: "per-tensor", sections.ValueClip: "value"}[type(clip)]
    threshold = figures.number(clip.threshold if status.threshold is None else status.threshold)
    clipped = figures.share(status.clipped_share)
    # Only the joint norm compares with the norm beside it.
    beside = f"/{threshold}" if kind == "global" else ""
    full, short, least = f" ({kind} {threshold}, clipped {clipped})", f"{beside} clip {clipped}", f"{beside} {clipped}"
    spare = 10 - len(clipped)
    return Part(
        "grad",
        tuple((*lead, (tail, "muted")) for tail in (full, short, least)),
        (8 + spare + len(full), 5 + spare + len(short), 5 + spare + len(least)),
    )


def _loss(model: RunModel) -> Part:
    """The loss between its floors."""
    status, floors = model.status, model.info.floors if model.info else None
    lead: tuple[Piece, ...] = (("loss ", "muted"), (figures.number(status.loss), figures.role(status.loss)))
    named = []
    if floors is not None:
        pca = f"PCA-{model.code_width}"
        pairs = (("mean", floors.mean), (pca, floors.linear), ("least", floors.entropy))
        named = [(name, figures.number(value)) for name, value in pairs if value is not None]
    forms = [named, named[:2], [(name.partition("-")[0], value) for name, value in named[:2]]]
    tails = [" (" + ", ".join(f"{name} {value}" for name, value in form) + ")" if form else "" for form in forms]
    kept = [tail for i, tail in enumerate(tails) if tail not in tails[:i]]
    return Part(
        "loss",
        tuple((*lead, (tail, "floor")) for tail in kept),
        tuple(12 + len(tail) for tail in kept),
    )


def _explained(model: RunModel) -> Part:
    status, floors = model.status, model.info.floors if model.info else None
    value = status.explained_variance
    text = figures.explained(value)
    of = figures.as_of(text, status.explained_step, status.step).removeprefix(text)
    figure: tuple[Piece, ...] = ((text, figures.role(value)), (of, "muted")) if of else ((text, figures.role(value)),)
    lead: tuple[Piece, ...] = (("expl. var. ", "muted"), *figure)
    brief: tuple[Piece, ...] = (("expl. ", "muted"), *figure)
    # In training the figure is now and then of the very step, and its neighbors are to stay where they are.
    kept = max(len(of), _AS_OF) if of or status.state == "running" else 0
    linear = floors.linear_explained if floors else None
    if linear is None:
        return Part("expl", (lead, brief), (17 + kept, 12 + kept))
    full, short = f" (PCA-{model.code_width} {linear:.3f})", f" (PCA {linear:.2f})"
    forms = ((*lead, (full, "floor")), (*lead, (short, "floor")), (*brief, (short, "floor")), brief)
    widths = (17 + len(full), 17 + len(short), 12 + len(short), 12)
    return Part("expl", forms, tuple(width + kept for width in widths))


def _device(model: RunModel) -> Part:
    device = texts.plain(model.info.device) if model.info else ""
    memory = "" if model.status.memory is None else f" {figures.bytes_text(model.status.memory)}"
    bare: tuple[Piece, ...] = ((device, "muted"),)
    return Part("device", ((*bare, (memory, "muted")), bare, ()), (len(device) + 8, len(device), 0))


def _crowd(model: RunModel) -> list[Part]:
    """What slows a run, and what would serve one that shares its cores."""
    status = model.status
    if not (status.crowded or status.slowed) or state_word(model) != STATES["running"]:
        return []
    own = model.info is not None and not model.info.spec
    faster = f"{'torch.set_num_threads(1)' if own else 'train.threads=1'} may be faster"
    if not status.slowed:
        forms: tuple[str, ...] = (f"busy machine: {faster}", "busy: try 1 thread", "busy")
    else:
        slowed = f"slowed: {texts.plain(status.slowed)}"
        forms = (*[f"{slowed}; {faster}"] * status.crowded, slowed, "slowed")
    return [Part("crowd", tuple(((form, "warning"),) for form in forms), tuple(map(len, forms)))]


def flow(parts: Sequence[Part], width: int, lines: int, seen: dict[tuple[str, int], int]) -> list[list[Piece]]:
    """`parts` set in at most `lines` lines of `width` cells, shortened as `REDUCTIONS` says until they fit.

    seen: the widest that each form of each part has been; it is updated, so that columns that
    had to move once do not move back.
    """
    form = dict.fromkeys((part.name for part in parts), 0)
    for part in parts:
        for index, (pieces, least) in enumerate(zip(part.forms, part.widths, strict=True)):
            key = (part.name, index)
            seen[key] = max(seen.get(key, least), _cells(pieces))
    last = {part.name: len(part.forms) - 1 for part in parts}
    reduced: list[str] = []
    for name in REDUCTIONS:
        if len(_rows(parts, form, width, seen)) <= lines:
            break
        if form.get(name, 0) < last.get(name, 0):
            form[name] += 1
            reduced.append(name)
    # Shortening a late part may have made room for one shortened before it.
    for name in reversed(reduced):
        fuller = form | {name: form[name] - 1}
        if len(_rows(parts, fuller, width, seen)) <= lines:
            form = fuller
    return [_set(row, form, seen) for row in _rows(parts, form, width, seen)[:lines]]


def _rows(
    parts: Sequence[Part], form: dict[str, int], width: int, seen: dict[tuple[str, int], int]
) -> list[list[Part]]:
    rows: list[list[Part]] = [[]]
    used = 0
    for part in parts:
        cells = seen[part.name, form[part.name]]
        if not cells:
            continue
        if rows[-1] and used + len(GAP) + cells > width:
            rows.append([])
            used = 0
        used += cells + (len(GAP) if rows[-1] else 0)
        rows[-1].append(part)
    return rows


def _set(row: Sequence[Part], form: dict[str, int], seen: dict[tuple[str, int], int]) -> list[Piece]:
    pieces: list[Piece] = []
    for part in row:
        shown = part.forms[form[part.name]]
        pieces += shown
        pieces.append((" " * (seen[part.name, form[part.name]] - _cells(shown)) + GAP, "text"))
    return pieces


def _cells(pieces: Sequence[Piece]) -> int:
    return sum(cell_len(text) for text, _ in pieces)
