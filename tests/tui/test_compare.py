"""`aetui compare` on a terminal: the same table and chart at each size, by keys alone."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import numpy as np
import pytest
from textual.pilot import Pilot

from aetui.comparison import Row
from aetui.tui import figures
from aetui.tui.compare.app import CompareApp
from aetui.tui.compare.columns import cells
from aetui.tui.compare.sides import MOST, Sides

SIZES = [(80, 24), (120, 40)]


def row(name: str, lr: float = 0.001, steps: int = 1200, seed: int = 0, **fields: object) -> Row:
    """A run whose loss falls faster with a larger rate."""
    noise = np.random.default_rng(seed).normal(0, 0.05, steps)
    n = np.arange(1, steps + 1)
    loss = (0.1 + 0.9 * np.exp(-n * lr * 5) + np.abs(noise)).astype(np.float32)
    at = np.arange(0, steps + 1, 100)
    values: dict[str, object] = {
        "name": name,
        "state": "finished",
        "source": "digits 1797 x 64",
        "settings": {"data.kind": "digits", "model.code": "10", "optim.kind": "adam", "optim.lr": f"{lr:g}"},
        "loss": loss,
        "measured_at": at,
        "explained": 1 - np.exp(-at * lr * 3),
        "floors": {"mean": 0.953, "linear": 0.251, "entropy": None},
        "linear_explained": 0.737,
        "verdict": "healthy",
        "verdict_step": steps,
        "told": "explained variance 0.874",
    }
    return Row(**(values | fields))  # pyright: ignore[reportArgumentType]


def three() -> list[Row]:
    return [
        row("brisk-otter-41"),
        row("slow-heron-12", 0.0001, 900, 1, verdict="under-trained", state="paused"),
        row("own-loop", 0.01, 700, 2, kind="own loop", settings={"group0.lr": "0.01"}, source="train.py", floors={}),
    ]


def many(count: int) -> list[Row]:
    return [row(f"run-{index:02}", 0.001 * (index + 1), 300, index) for index in range(count)]


async def drive(
    rows: Callable[[], Sequence[Row]], size: tuple[int, int], keys: Sequence[str], then: Any = None, **options: Any
) -> tuple[list[str], CompareApp]:
    app = CompareApp(rows, **options)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        for key in keys:
            await pilot.press(key)
        await pilot.pause()
        if then is not None:
            await then(pilot)
            await pilot.pause()
        width, height = size
        lines = ["".join(segment.text for segment in line) for line in app.screen._compositor.render_strips()]
        assert len(lines) == height and all(len(line) == width for line in lines)
        return lines, app


def app_of(pilot: Pilot[None]) -> CompareApp:
    assert isinstance(pilot.app, CompareApp)
    return pilot.app


def look(size: tuple[int, int] = (80, 24), keys: Sequence[str] = (), rows: Any = None, **options: Any) -> list[str]:
    found = rows if rows is not None else three()
    return asyncio.run(drive(lambda: found, size, keys, **options))[0]


@pytest.mark.parametrize("size", SIZES)
def test_all_runs_are_in_the_table_and_on_the_chart(size: tuple[int, int]) -> None:
    lines = look(size)
    text = "\n".join(lines)
    assert "3 runs  each at its last step" in lines[0]
    for marker, name in (("A", "brisk-otter-41"), ("B", "slow-heron-12"), ("C", "own-loop")):
        assert any(f"{marker}  {name}" in line for line in lines[2:6]), text
        # Each curve carries its marker, inside the canvas and beside its end.
        assert sum(line[9:].count(marker) for line in lines[9:]) >= 2, text
    assert "healthy" in text and "under-trained" in text
    assert "q quit" in lines[-1] and "F1 help" in lines[-1]


@pytest.mark.parametrize("size", SIZES)
def test_the_cursor_shows_the_values_of_all_at_a_step(size: tuple[int, int]) -> None:
    rows = three()
    text = "\n".join(look(size, ["home", *["full_stop"] * 9], rows))
    assert "at step 10" in text
    for one in rows:
        assert figures.number(float(one.loss[9])) in text
    # The explained variance was measured at 0, which it says.
    assert "0.000 @0" in text


def test_at_a_step_that_a_run_has_not_come_to_it_has_no_value() -> None:
    lines = look((120, 40), ["end"])
    own = next(line for line in lines if "own-loop" in line)
    assert "at step 1,200" in lines[0] and own.split()[4:7] == ["700", "-", "-"], own


def test_a_column_of_the_chart_is_one_key() -> None:
    seen: list[int] = []

    async def then(pilot: Pilot[None]) -> None:
        seen.append(app_of(pilot).compared.chart.column_steps)

    _, app = asyncio.run(drive(lambda: many(2), (80, 24), ["right", "right"], then))
    assert app.compared.sides.at == 2 * seen[0] > 2


@pytest.mark.parametrize("size", SIZES)
def test_a_pinned_run_stays_whatever_the_filter(size: tuple[int, int]) -> None:
    lines = look(size, ["down", "space", "slash", *"lr>0.0005", "enter"])
    text = "\n".join(lines)
    assert "3 shown by the filter 'lr>0.0005'" in lines[0]
    assert "B* slow-heron-12" in lines[3], text
    lines = look(size, ["slash", *"lr>0.0005 own", "enter"])
    assert "1 shown" in lines[0] and "own-loop" in lines[3]


def test_a_filter_that_nothing_fits_says_so_and_escape_drops_it() -> None:
    nothing = ["slash", *"heron lr>5", "enter"]
    text = "\n".join(look((80, 24), nothing))
    assert "nothing fits the filter 'heron lr>5'" in text and "no steps yet" in text
    assert "brisk-otter-41" in "\n".join(look((80, 24), [*nothing, "escape"]))


def test_a_key_shows_the_explained_variance_on_a_linear_axis() -> None:
    text = "\n".join(look((120, 40), ["v"]))
    assert "Explained variance" in text and "linear y" in text and "PCA 0.737" in text
    assert "log y" in "\n".join(look((120, 40)))
    assert "linear y" in "\n".join(look((120, 40), ["l"]))


def test_a_wild_step_does_not_flatten_the_explained_variance_and_is_said_to_be_cut() -> None:
    wild = row("wild", explained=np.r_[-0.5, -4000.0, np.linspace(0, 0.7, 11)])
    text = "\n".join(look((120, 40), ["v"], [row("a"), wild]))
    assert "below -1.00 cut" in text and "-1.0" in text and "000┤" not in text
    low = row("low", explained=np.linspace(-5, -3, 13))
    text = "\n".join(look((120, 40), ["v"], [row("a"), low]))
    assert "below -3.00 cut" in text and "-3" in text


def test_losses_of_another_kind_are_said_not_to_compare() -> None:
    rows = [row("a", settings={"loss.kind": "mse"}), row("b", settings={"loss.kind": "mae"})]
    assert "losses not comparable: loss.kind" in look((120, 40), rows=rows)[0]
    assert "not comparable" not in look((120, 40), ["v"], rows)[0]


def test_a_floor_that_not_all_have_is_of_the_marked_one() -> None:
    rows = [row("a"), row("b", floors={"mean": 0.5, "linear": 0.2, "entropy": None})]
    assert "A: predict the mean 0.953" in "\n".join(look((120, 40), rows=rows))
    assert "B: predict the mean 0.500" in "\n".join(look((120, 40), ["down"], rows))
    rows[1] = row("b")
    assert " predict the mean 0.953" in "\n".join(look((120, 40), rows=rows))


def test_enter_lists_the_settings_that_differ() -> None:
    text = "\n".join(look((120, 40), ["enter"]))
    assert "group0.lr" in text and "A brisk-otter-41: 0.001" in text and "C own-loop: -" in text


def test_help_names_every_key() -> None:
    text = "\n".join(look((120, 40), ["f1"]))
    assert "space p: pin" in text and "/: show those" in text and "esc: take the cursor away" in text


def test_with_more_runs_than_can_be_told_apart_the_chart_says_how_many_it_has() -> None:
    rows = many(MOST + 8)
    text = "\n".join(look((120, 40), rows=rows))
    assert f"{MOST} of {len(rows)} drawn" in text and "1 to " in text
    # The marked one is always drawn, and always in sight.
    _, app = asyncio.run(drive(lambda: rows, (80, 24), ["down"] * 30))
    assert app.compared.sides.marked.row.name == rows[-1].name  # pyright: ignore[reportOptionalMemberAccess]
    assert app.compared.sides.marked in app.compared.sides.drawn
    assert rows[-1].name in "\n".join(look((80, 24), ["down"] * 30, rows))


def test_a_run_that_goes_on_is_followed_and_keeps_its_marker() -> None:
    rows = [row("first", steps=100), row("second", steps=100)]

    async def then(pilot: Pilot[None]) -> None:
        rows.insert(0, row("new", steps=50))
        rows[1] = row("first", steps=2000)
        await app_of(pilot)._follow()

    lines, app = asyncio.run(drive(lambda: list(rows), (120, 40), [], then))
    assert [(side.marker, side.row.name, len(side.loss)) for side in app.compared.sides.sides] == [
        ("A", "first", 2000), ("B", "second", 100), ("C", "new", 50),
    ]  # fmt: skip
    assert "2,000" in next(line for line in lines if "A  first" in line)


def test_a_run_that_went_back_is_drawn_anew() -> None:
    sides = Sides([row("a", steps=100)])
    sides.follow([row("a", steps=60, seed=5)])
    assert len(sides.sides[0].loss) == 60
    assert sides.sides[0].loss.last() == sides.sides[0].row.loss[59]


def test_too_small_it_says_so_and_nothing_overflows() -> None:
    assert "needs 24 x 5" in "\n".join(look((22, 14)))
    look((40, 10), ["right", "v"])


@pytest.mark.parametrize("width", [40, 76, 116, 196])
def test_columns_go_before_the_differences_do(width: int) -> None:
    heads, texts = cells(three(), None, width)
    assert "name" in heads[0] and any("loss" in head for head in heads)
    if width >= 76:
        assert sum(len(head) + 2 for head in heads) <= width - 10
    assert ("state" in "".join(heads)) is (width >= 116)
    assert all(len(row) == len(heads) for row in texts)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("keys", [(), ("right", "right", "right", "v", "down", "space")], ids=["loss", "explained"])
def test_pictures(
    snap_compare: Callable[..., bool], monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], keys: tuple[str, ...]
) -> None:
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("TERM", "xterm-256color")

    async def reach(pilot: Pilot[None]) -> None:
        await pilot.pause()
        await pilot.press(*keys)
        await pilot.pause()

    run_before: Callable[[Pilot[None]], Awaitable[None]] = reach
    assert snap_compare(CompareApp(three), terminal_size=size, run_before=run_before)
