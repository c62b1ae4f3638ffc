"""What a terminal can show follows from locale and TERM, and all that is drawn is put in its characters."""

import re
from pathlib import Path

import numpy as np
import pytest

import aetui.tui
from aetui.tui.characters import of_environment


@pytest.mark.parametrize(
    ("environment", "repertoire", "colors"),
    [
        ({"TERM": "xterm-256color", "LANG": "en_US.UTF-8"}, "braille", True),
        ({"TERM": "xterm-256color"}, "braille", True),
        ({"TERM": "xterm-256color", "LC_ALL": "C", "LANG": "en_US.UTF-8"}, "ascii", True),
        ({"TERM": "xterm", "LANG": "de_DE.ISO-8859-1"}, "ascii", True),
        ({"TERM": "linux", "LANG": "C.utf8"}, "blocks", True),
        ({"TERM": "linux", "LC_ALL": "C"}, "ascii", True),
        ({"TERM": "vt100", "LANG": "C.UTF-8"}, "ascii", False),
        ({"TERM": "xterm", "LANG": "C.UTF-8", "NO_COLOR": "1"}, "braille", False),
    ],
)
def test_locale_and_term_decide(environment: dict[str, str], repertoire: str, colors: bool) -> None:
    terminal = of_environment("auto", environment)
    assert (terminal.repertoire, terminal.colors) == (repertoire, colors)
    assert of_environment("blocks", environment).repertoire == "blocks"


@pytest.mark.parametrize("repertoire", ["blocks", "ascii"])
def test_every_character_that_the_program_draws_has_another_for_it(repertoire: str) -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in Path(aetui.tui.__file__).parent.rglob("*.py"))
    drawn = (
        set(re.findall(r"[^\x00-\x7f]", sources)) | {chr(0x2800 + dots) for dots in range(256)} | set("╭─╮│╰╯▔▁▊▎é→")
    )
    codes = np.array([ord(character) for character in drawn], np.uint32)
    shown = "".join(map(chr, of_environment(repertoire, {}).translate(codes).tolist()))
    assert "?" not in shown
    assert all(ord(c) < 127 for c in shown) if repertoire == "ascii" else shown.encode("cp437")


def test_a_line_keeps_its_direction_in_ascii() -> None:
    codes = np.array([ord(c) for c in "⠑⠊⠒⣀⠉⢸"], np.uint32)
    assert "".join(map(chr, of_environment("ascii", {}).translate(codes).tolist())) == "\\/-_'|"
