import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from textual._xterm_parser import XTermParser
from textual.events import Key

from aetui import protocol as p
from aetui.tui.actions import ACTIONS
from aetui.tui.user_settings import Settings, load_settings


def loaded(folder: Path, text: str) -> tuple[Settings, list[str]]:
    path = folder / "settings.toml"
    path.write_text(text)
    return load_settings(path, others=["code.toggle"])


def test_everything_can_be_set(tmp_path: Path) -> None:
    text = """
    theme = "light"
    refresh = 2
    engine = "thread"
    [keys]
    step = "f10, k"
    lr-up = ["]", "ctrl+up"]
    sample-next = "down"
    "code.toggle" = "u"
    """
    found, problems = loaded(tmp_path, text)
    assert problems == []
    assert (found.theme, found.refresh, found.engine) == ("light", 2.0, "thread")
    assert found.keymap == {
        "step": "f10,k", "lr-up": "right_square_bracket,ctrl+up", "sample-next": "down", "code.toggle": "u",
    }  # fmt: skip


def test_no_file_means_the_defaults(tmp_path: Path) -> None:
    assert load_settings(tmp_path / "settings.toml") == (Settings(), [])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("refresh = 50", "refresh 50 is not allowed; it takes a number of frames per second from 0.5 to 10; using 3.0"),
        ("refresh = 'fast'", "refresh 'fast' is not allowed"),
        ("engine = 'gpu'", "engine 'gpu' is not allowed; it takes process or thread; using process"),
        ("theme = 3", "theme 3 is not allowed; it takes the name of a theme; using dark"),
        ("them = 'dark'", "unknown setting them; did you mean theme?"),
        ("keys = 3", "keys 3 is not allowed"),
        ("[keys]\nstepp = 'f10'", "keys.stepp: unknown action; did you mean step?"),
        ("[keys]\nstep = 'f99'", "keys.step: 'f99' is not a key"),
        ("[keys]\nstep = 'hyperspace+x'", "keys.step: 'hyperspace+x' is not a key"),
        ("[keys]\nstep = 'hyper+q'", "keys.step: 'hyper+q' is not a key that terminals send; ctrl goes with a to z"),
        ("[keys]\nstep = 'super+x'", "keys.step: 'super+x' is not a key that terminals send"),
        ("[keys]\nstep = 'ctrl+ö'", "keys.step: 'ctrl+ö' is not a key that terminals send"),
        ("[keys]\nstep = 'shift+a'", "keys.step: 'shift+a' is not a key; terminals send the capital letter, write A"),
        ("[keys]\nstep = ''", "keys.step: no key is given"),
        ("[keys]\nstep = 7", "keys.step: 7 is not allowed"),
        ("[keys]\nstep = 'f5'", "keys.step: F5 already belongs to run-pause; give run-pause another key too"),
        ("[keys]\nstep = 'f10'\nrun-steps = 'f10'", "already belongs to"),
        ("theme = ", "is not valid TOML"),
    ],
)
def test_one_sentence_for_each_problem_and_safe_values(tmp_path: Path, text: str, said: str) -> None:
    found, problems = loaded(tmp_path, text)
    assert len(problems) == 1
    assert said in problems[0]
    assert "settings.toml" in problems[0]
    assert (found.theme, found.refresh, found.engine) == ("dark", 3.0, "process")
    assert len(found.keys) <= 1


def test_what_is_right_is_taken_beside_what_is_wrong(tmp_path: Path) -> None:
    found, problems = loaded(tmp_path, "refresh = 'x'\ntheme = 'light'\n[keys]\nstep = 'f10'\nquit = 'nokey'")
    assert found.theme == "light"
    assert found.keymap == {"step": "f10"}
    assert len(problems) == 2


@pytest.mark.parametrize(
    ("written", "name"),
    [
        *(("ö", "ö"), ("o\u0308", "ö"), ("#", "number_sign"), ("€", "euro_sign"), ("字", "字"), ("_", "underscore")),
        *(
            (";", "semicolon"),
            ("ctrl+ l", "ctrl+l"),
            ("Ctrl+L", "ctrl+l"),
            ("alt+x", "alt+x"),
            ("F10", "f10"),
            ("A", "A"),
        ),
    ],
)
def test_a_key_is_written_as_it_is_typed(tmp_path: Path, written: str, name: str) -> None:
    found, problems = loaded(tmp_path, f"[keys]\nstep = '{written}'")
    assert (found.keymap, problems) == ({"step": name}, [])


def test_any_character_that_a_terminal_sends_can_be_a_key(tmp_path: Path) -> None:
    taken = {key for action in ACTIONS for key in action.plain_keys}
    for code in (*range(0x21, 0x250), *range(0x370, 0x530), *range(0x5D0, 0x5EB), *range(0x2010, 0x20C0), 0x5B57):
        character = chr(code)
        if not character.isprintable():
            continue
        (sent,) = [one for one in XTermParser().feed(character) if isinstance(one, Key)]
        if sent.key in taken:
            continue
        found, problems = loaded(tmp_path, f"[keys]\nstep = [{json.dumps(character)}]")
        assert problems == [] and found.keymap == {"step": sent.key}, character


@pytest.mark.parametrize("character", ["ö", "«", "²", "&", "ß"])
async def test_a_character_of_another_layout_acts(tmp_path: Path, workbench, opened, character: str) -> None:
    found, _ = loaded(tmp_path, f"[keys]\nstep = '{character}'")
    app, link = workbench(settings=found)
    async with opened(app) as pilot:
        (sent,) = [one for one in XTermParser().feed(character) if isinstance(one, Key)]
        link.commands()
        await pilot.press(sent.key)
        await pilot.pause()
        assert link.commands() == [p.Run(id=0, steps=1)]
        assert app.shell.key("step") == character


def test_keys_can_be_swapped(tmp_path: Path) -> None:
    found, problems = loaded(tmp_path, "[keys]\nstep = 'f5'\nrun-pause = 'f6'")
    assert problems == []
    assert found.keymap == {"step": "f5", "run-pause": "f6"}


def test_a_file_that_can_not_be_read_is_one_problem(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").mkdir()
    assert len(load_settings(tmp_path / "settings.toml")[1]) == 1
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe")
    assert "UTF-8" in load_settings(tmp_path / "bad.toml")[1][0]


KEY = st.sampled_from([key for action in ACTIONS for key in action.keys + action.plain_keys] + ["f11", "e", "ctrl+l"])


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from([action.id for action in ACTIONS]), KEY, max_size=6))
def test_no_key_ever_has_two_actions(tmp_path_factory: pytest.TempPathFactory, wanted: dict[str, str]) -> None:
    lines = "\n".join(f"{action} = '{key}'" for action, key in wanted.items())
    found, _ = loaded(tmp_path_factory.mktemp("settings"), f"[keys]\n{lines}")
    owners = [
        key
        for action in ACTIONS
        for key in (
            found.keymap[action.id].split(",") if action.id in found.keymap else action.keys + action.plain_keys
        )
    ]
    assert len(owners) == len(set(owners))
