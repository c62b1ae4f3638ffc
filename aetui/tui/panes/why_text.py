"""What the Why pane says, as lines of text with roles: pure functions of the model."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rich.cells import cell_len

from aetui import protocol as p
from aetui.report import (
    FINE,
    LEARNING,
    NEXT,
    TOO_LATE,
    UNEXPLAINED,
    VERDICTS,
    Evidence,
    Finding,
    Remedy,
    Report,
    taken_text,
)
from aetui.spec import RunSpec
from aetui.tui import figures, remedies, shades, texts

BAR = 5
"""Cells of a bar of confidence."""
_WIDEST = 110
"""Cells of a line of text; longer ones are hard to read."""
_LABEL = 18
_TITLE = 24
"""Cells of a finding's title, at the cost of what it follows from."""
_MEASURE = 14
"""Cells that a measure needs for the evidence to be a table."""
_GAP = 2


class Piece(NamedTuple):
    """Text with its role."""

    text: str
    role: str = "text"
    bold: bool = False


Line = tuple[Piece, ...]


def indented(text: str, width: int, role: str = "text", first: str = "", rest: str | None = None) -> list[Line]:
    """`text` wrapped to `width`, after `first` and, on further lines, after `rest`."""
    rest = " " * cell_len(first) if rest is None else rest
    wrapped = texts.wrap(text, min(width, _WIDEST) - max(cell_len(first), cell_len(rest)))
    return [(Piece(rest if i else first), Piece(line, role)) for i, line in enumerate(wrapped)]


def value_text(value: float | str | None) -> str:
    """A measured value as elsewhere on the screen."""
    if value is None:
        return "not finite"
    if isinstance(value, str):
        return texts.plain(value)
    return str(value).lower() if isinstance(value, bool) else figures.number(value)


def state_line(found: p.Diagnosis, key: str) -> Piece:
    """What the findings rest on, or what the probes are busy with. key: what starts the probes."""
    if found.stage:
        return Piece(f"checking the suspects: {texts.plain(found.stage)}", "mark")
    step = f"step {figures.count(found.step)}"
    if found.probed:
        return Piece(f"{step}, checked with {figures.count(found.report.probe_steps)} steps on copies", "muted")
    more = f", from the run alone; {key} checks the suspects with short probes" if found.report.findings and key else ""
    return Piece(f"{step}{more}", "muted")


def figure_lines(report: Report, code: int | None, width: int) -> list[Line]:
    """The report's figures beside their yardsticks, one to a line where there is room."""
    pca = f"PCA-{code}" if code else "PCA"
    explained, ratio, floors = report.explained_variance, report.variance_ratio, report.floors
    rows: list[tuple[str, str, list[str]]] = []
    if explained.whole is not None or explained.linear is not None:
        beside = [("median feature", explained.median_feature), (pca, explained.linear)]
        rows.append(
            (
                "explained variance",
                figures.explained(explained.whole),
                [f"{n} {figures.explained(v)}" for n, v in beside if v is not None],
            )
        )
    if ratio.get("median") is not None:
        beside = [f"{name} {figures.number(ratio[name])}" for name in ("p10", "p90") if ratio.get(name) is not None]
        if ratio.get("below_0.1") is not None and ratio.get("features") is not None:
            beside.append(f"{figures.count(ratio['below_0.1'])} of {figures.count(ratio['features'])} below 0.1")
        rows.append(("variance ratio", figures.number(ratio["median"]), ["median feature", *beside]))
    named = [("mean floor", floors.get("mean")), (pca, floors.get("linear")), ("least", floors.get("entropy"))]
    beside = [f"{name} {figures.number(floor)}" for name, floor in named if floor is not None]
    if report.loss is not None or beside:
        rows.append(("loss", figures.number(report.loss), beside))
    values = max((len(value) for _, value, _ in rows), default=0)
    lines: list[Line] = []
    for name, value, beside in rows:
        lead = (Piece(name.ljust(_LABEL + _GAP), "muted"), Piece(value.rjust(values)))
        room = width - _LABEL - _GAP - values - _GAP
        first, *more = texts.wrap(", ".join(beside), room) if room >= 12 else [""]
        blank = " " * (_LABEL + _GAP + values + _GAP)
        lines.append((*lead, Piece(" " * _GAP), Piece(first, "floor")))
        lines += [(Piece(blank), Piece(line, "floor")) for line in more]
    return lines


def bar(confidence: float) -> str:
    """A confidence as a bar of `BAR` cells."""
    return shades.level_bar(max(0.0, min(confidence, 1.0)) * BAR).ljust(BAR)


def finding_lines(findings: Sequence[Finding], selected: int, width: int) -> list[Line]:
    """One line for each finding: title, confidence, and whether it is a root."""
    titles = [f"{number} {texts.plain(finding.title)}" for number, finding in enumerate(findings, 1)]
    numbers = {finding.cause: str(number) for number, finding in enumerate(findings, 1)}
    origins = [
        f"follows from {numbers.get(finding.follows, finding.follows)}" if finding.follows else "root"
        for finding in findings
    ]
    fixed = 2 + _GAP + 4 + 1 + BAR
    room = min(max(map(cell_len, titles), default=0), width - fixed - _GAP - max(map(len, origins), default=0))
    room = room if room >= _TITLE else max(10, min(_TITLE, width - fixed))
    rest = width - fixed - room - _GAP
    lines: list[Line] = []
    for index, (finding, title, origin) in enumerate(zip(findings, titles, origins, strict=True)):
        here = index == selected
        lines.append(
            (
                Piece("› " if here else "  ", "text", here),
                Piece(texts.pad(title, room), "text", here),
                Piece(f"  {finding.confidence:.2f} ", "text", here),
                Piece(bar(finding.confidence), "muted" if finding.follows else "mark"),
                Piece(f"  {texts.cut(origin, rest)}" if rest >= 4 else "", "muted"),
            )
        )
    return lines


def detail(
    report: Report,
    finding: Finding | None,
    spec: RunSpec,
    remedy: int,
    width: int,
    settable: frozenset[str] | None = None,
) -> list[list[Line]]:
    """The finding in parts: evidence, remedies (the chosen one marked), what it does and where that is described."""
    late = indented(f"{TOO_LATE} {report.ruined}.", width, "warning") if report.ruined else []
    if finding is None:
        return [late, _without_finding(report, width)]
    changes = [
        line
        for index, one in enumerate(finding.remedies)
        for line in _remedy(one, remedies.effect(spec, one, settable), index == remedy, len(finding.remedies), width)
    ]
    text = indented(finding.text, width)
    if finding.source:
        text += indented(f"source: {finding.source}", width, "muted")
    return [late, _evidence(finding.evidence, width), changes, text]


def stacked(parts: Iterable[list[Line]], rows: int) -> list[Line]:
    """The parts one below the other, with an empty line between them where all of it then fits `rows`."""
    kept = [part for part in parts if part]
    lines = [line for part in kept for line in part]
    if len(lines) + len(kept) - 1 > rows:
        return lines
    return [line for i, part in enumerate(kept) for line in ([()] if i else []) + part]


def _without_finding(report: Report, width: int) -> list[Line]:
    if report.verdict == LEARNING:
        return indented("The training moves and is not judged yet; nothing speaks against it so far.", width)
    meaning = VERDICTS.get(report.verdict, "")
    if report.verdict in FINE:
        return indented(f"Nothing has to be changed: {meaning}.", width, "good")
    lead = f"{meaning[:1].upper()}{meaning[1:]}."
    if not report.ruled_out:
        return indented(f"{lead} No cause stands out so far.", width)
    lines = indented(f"{lead} {UNEXPLAINED}", width)
    for sentence in report.ruled_out:
        lines += indented(texts.plain(sentence), width, first="- ")
    return lines + indented(f"Next: {NEXT}", width, "mark")


def _evidence(evidence: Sequence[Evidence], width: int) -> list[Line]:
    """A table where its columns have room, else the facts as sentences."""
    if not evidence:
        return []
    head = ("evidence", "value", "normal", "where")
    rows = [
        (texts.plain(e.measure), value_text(e.value), texts.plain(e.normal), texts.plain(e.where)) for e in evidence
    ]
    used = [0, 1, *(i for i in (2, 3) if any(row[i] for row in rows))]
    widths = {i: max(len(head[i]), *(cell_len(row[i]) for row in rows)) for i in used}
    share = (min(width, _WIDEST) - widths[1]) // (len(used) + 1)
    for i in used[2:]:
        widths[i] = min(widths[i], max(10, share, *(texts.longest_part(row[i]) for row in rows)))
    room = min(width, _WIDEST) - sum(widths[i] + _GAP for i in used[1:])
    if room < _MEASURE:
        return [line for e in evidence for line in indented(e.text, width, first="- ")]
    widths[0] = min(widths[0], room)
    lines: list[Line] = [_row([head[i] for i in used], [widths[i] for i in used], ["muted"] * len(used))]
    roles = {0: "text", 1: "output", 2: "floor", 3: "muted"}
    for row in rows:
        cells = [texts.wrap(row[i], widths[i]) for i in used]
        for y in range(max(map(len, cells))):
            shown = [cell[y] if y < len(cell) else "" for cell in cells]
            lines.append(_row(shown, [widths[i] for i in used], [roles[i] for i in used]))
    return lines


def _row(cells: Iterable[str], widths: Iterable[int], roles: Iterable[str]) -> Line:
    """Cells in columns, the second, which has the values, to the right."""
    return tuple(
        Piece((" " * (width - cell_len(text)) + text if i == 1 else texts.pad(text, width)) + " " * _GAP, role)
        for i, (text, width, role) in enumerate(zip(cells, widths, roles, strict=True))
    )


def _remedy(remedy: Remedy, effect: Iterable[tuple[str, str]], chosen: bool, count: int, width: int) -> list[Line]:
    lead = "remedy  " if count == 1 else "› remedy  " if chosen else "  remedy  "
    indent = " " * len(lead)
    first, *rest = indented(remedy.text, width, first=lead)
    head = (Piece(lead, "good" if chosen else "muted", chosen), first[1])
    lines: list[Line] = [head, *rest]
    for text, role in effect:
        lines += indented(text, width, role, first=indent)
    return lines


def remarks(report: Report, width: int) -> list[Line]:
    """Why the diagnosis is as it is, what else was noticed, and what was taken as what."""
    said = [report.settled, *report.notes]
    lines = [line for text in said if text for line in indented(text, width, "muted")]
    for number, one in enumerate(report.taken):
        lines += indented(texts.plain(taken_text(one)), width, "muted", first="      " if number else "taken ")
    return lines


def waiting_lines(reason: str, key: str, width: int) -> list[Line]:
    """What an empty pane says. reason: what the verdict waits for."""
    text = (
        f"no verdict yet: {reason}. It will say whether something is wrong, the likely causes with their evidence, "
        f"and which setting to change."
    )
    more = f" {key} checks the suspects with short probes on copies of the run." if key else ""
    return indented(text + more, width, "muted")
