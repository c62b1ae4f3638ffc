"""What is sent to a terminal shows what was drawn, whatever was there, in few bytes."""

import pyte
from hypothesis import given
from hypothesis import strategies as st

from aetui.tui.cells import Cells

SIZE = 20, 6
TEXTS = st.text(st.sampled_from("ab │⠒▀中é "), min_size=1, max_size=12)
STYLES = st.sampled_from(["", "1", "38;2;1;2;3", "1;38;5;9;48;2;9;9;9", "7;31", "4;48;5;3"])
DRAWN = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 20), STYLES, TEXTS), max_size=12)


def drawn(pieces: list[tuple[int, int, str, str]]) -> str:
    return "".join(f"\x1b[{y};{x}H" + (f"\x1b[{s}m{t}\x1b[0m" if s else t) for y, x, s, t in pieces)


def look(screen: pyte.Screen) -> list[tuple[object, ...]]:
    cells = [screen.buffer[y][x] for y in range(SIZE[1]) for x in range(SIZE[0])]
    return [(c.data or "", c.bg, c.reverse, c.underscore, *((c.fg, c.bold) if c.data.strip() else ())) for c in cells]


@given(st.lists(DRAWN, min_size=1, max_size=4), st.integers(20, 300))
def test_the_terminal_shows_what_was_drawn(frames, room) -> None:
    plain = [[(y, x, s, t.replace("中", "c")) for y, x, s, t in pieces if x + len(t) <= 21] for pieces in frames]
    cells = Cells(*SIZE, lambda codes: codes)
    sent, whole = pyte.Screen(*SIZE), pyte.Screen(*SIZE)
    streams = pyte.Stream(sent), pyte.Stream(whole)
    for pieces in plain:
        cells.write(drawn(pieces))
        streams[1].feed(drawn(pieces))
        while runs := cells.changes()[0]:
            streams[0].feed(cells.encode(runs, room))
    assert look(sent) == look(whole)


def test_what_is_shown_already_is_not_sent_again() -> None:
    cells = Cells(*SIZE, lambda codes: codes)
    cells.write(drawn([(1, 1, "31", "step 1,234")]))
    cells.encode(cells.changes()[0], 1e9)
    cells.write(drawn([(1, 1, "31", "step 1,235")]))
    assert cells.encode(cells.changes()[0], 1e9) == "\x1b[1;10H\x1b[31m5\x1b[0m"


def test_a_wide_character_is_sent_whole() -> None:
    cells = Cells(*SIZE, lambda codes: codes)
    cells.write("\x1b[1;1Ha中b")
    cells.encode(cells.changes()[0], 1e9)
    cells.write("\x1b[1;1Ha文b")
    assert "文" in cells.encode(cells.changes()[0], 1e9)


def test_modes_pass_and_cells_of_a_cleared_screen_are_sent_again() -> None:
    cells = Cells(*SIZE, lambda codes: codes)
    cells.encode(cells.changes()[0], 1e9)
    assert cells.write("\x1b[?1049h\x1b[?25l\x07") == "\x1b[?1049h\x1b[?25l\x07"
    assert cells.changes()[0]


def test_without_colors_only_attributes_are_sent() -> None:
    cells = Cells(*SIZE, lambda codes: codes, colors=False)
    cells.write(drawn([(1, 1, "1;38;2;1;2;3;48;5;4", "PAUSED")]))
    sent = cells.encode(cells.changes()[0], 1e9)
    assert "\x1b[1mPAUSED" in sent and "38;" not in sent and "48;" not in sent
