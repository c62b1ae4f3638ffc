"""The columns of a comparison as text: what a row shows at a step, and which columns there is room for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from aetui.comparison import Row
from aetui.tui import figures, texts

GAP = 2
"""Cells between two columns."""
_REST = 14
"""Cells that the differences should have at least."""
_LONGEST_NAME = 24


@dataclass(frozen=True)
class Column:
    """One column: its head, its texts by row, and how soon it goes where there is no room."""

    head: str
    text: Callable[[Row, int | None], str]
    least: int = 0
    """Cells, at least, so that columns stay where they are as digits come."""
    right: bool = True
    keep: int = 0
    """Those with the least go first."""
    needed: Callable[[Row], bool] = lambda row: True
    """Whether a row has something to show there; without any the column is left out."""


def at_step(text: str, measured: int | None, here: int) -> str:
    """A figure beside step `here`, with its own where that is another: `0.812 @1,150`."""
    if measured is None or text == figures.MISSING:
        return figures.MISSING
    return text if measured == here else f"{text} @{figures.count(measured)}"


def _here(row: Row, at: int | None) -> int:
    return row.step if at is None else at


def steps_text(row: Row, at: int | None = None) -> str:
    return figures.count(row.step)


def loss_text(row: Row, at: int | None) -> str:
    found = row.loss_at(at)
    return at_step(figures.number(found[1]), found[0], _here(row, at)) if found else figures.MISSING


def explained_text(row: Row, at: int | None) -> str:
    found = row.explained_at(at)
    return at_step(figures.explained(found[1]), found[0], _here(row, at)) if found else figures.MISSING


def verdict_text(row: Row, at: int | None = None) -> str:
    """The verdict on the training as it stands, wherever the cursor is."""
    word = row.verdict or figures.MISSING
    return word if row.verdict_step is None else at_step(word, row.verdict_step, row.step)


def _floor(name: str) -> Column:
    return Column(
        {"mean": "mean fl.", "linear": "PCA fl."}[name],
        lambda row, at: figures.number(row.floors.get(name)),
        8,
        keep=2,
        needed=lambda row: row.floors.get(name) is not None,
    )


NAME = Column("name", lambda row, at: texts.cut(texts.plain(row.name), _LONGEST_NAME), right=False, keep=9)
COLUMNS = (
    NAME,
    Column("state", lambda row, at: row.state, right=False, keep=1),
    Column("steps", steps_text, 6, keep=6),
    Column("loss", loss_text, 8, keep=8),
    Column("expl. var.", explained_text, 6, keep=7),
    _floor("mean"),
    _floor("linear"),
    Column(
        "var. ratio", lambda row, at: figures.number(row.variance_ratio), 6, keep=3,
        needed=lambda row: row.kind == "fork" and row.variance_ratio is not None,
    ),
    Column("lost", lambda row, at: figures.count(row.lost), keep=4,
           needed=lambda row: row.kind == "fork" and row.lost is not None),
    Column("dead", lambda row, at: figures.count(row.dead), keep=3, needed=lambda row: row.dead is not None),
    Column("verdict", verdict_text, right=False, keep=8),
)  # fmt: skip


def cells(rows: Sequence[Row], at: int | None, width: int) -> tuple[list[str], list[list[str]]]:
    """Heads and texts of the columns that fit in `width` cells, each text in its cells; the rest is for differences."""
    found = [column for column in COLUMNS if not rows or any(map(column.needed, rows))]
    table = {column.head: [column.text(row, at) for row in rows] for column in found}
    widths = {
        column.head: max([column.least, cell_len(column.head), *map(cell_len, table[column.head])]) for column in found
    }
    while len(found) > 1 and sum(widths[column.head] + GAP for column in found) + _REST > width:
        least = min(found, key=lambda column: column.keep)
        if least.keep >= NAME.keep - 3:
            break
        found.remove(least)

    def padded(column: Column, text: str) -> str:
        room = widths[column.head]
        return " " * (room - cell_len(text)) + text if column.right else texts.pad(text, room)

    heads = [padded(column, column.head) for column in found]
    return heads, [[padded(column, table[column.head][index]) for column in found] for index in range(len(rows))]
