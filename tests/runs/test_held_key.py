"""A key that is held is one tweak: every value takes effect at once, and all of them are taken back together."""

import shutil
from pathlib import Path

import pytest

from aetui import protocol as p
from aetui.cli.main import main
from aetui.engine import steering
from aetui.engine.steering import MOMENT, Hold, Ladder
from aetui.runs import lineage
from aetui.runs.lineage import Tweak


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a loaded machine takes between two keys, they are pressed within a moment."""
    monkeypatch.setattr(steering, "MOMENT", 1e9)


def hold(driver, keys: int) -> list[p.Accepted]:
    """Press a key so many times while the run trains, with steps between; what was answered."""
    driver.do(p.Run)
    answers = []
    for _ in range(keys):
        before = driver.trainer.steps
        while driver.trainer.steps < before + 3:
            pass
        answers.append(driver.do(p.Nudge, by=-1))
    count = len(driver.events)
    driver.do(p.Pause)
    driver.wait(lambda e: isinstance(e, p.StateChanged) and e.state == "paused", count)
    return answers


@pytest.mark.usefixtures("unhurried")
def test_a_key_held_in_training_is_one_tweak_one_checkpoint_and_one_undo(drive, check, undisturbed, capsys) -> None:
    driver = drive()
    spec = driver.load()
    driver.steps(20)
    answers = hold(driver, 12)
    assert [answer.repeat for answer in answers] == [False, *[True] * 11]
    assert len({answer.step for answer in answers}) == 12
    assert driver.trainer.spec.optim.lr == 1e-6
    record = check(driver)
    assert [step for step, _ in record.tweaks] == [answer.step for answer in answers]
    driver.flush()
    before = [place for place in driver.engine.places().places if place.reason.startswith("before")]
    assert [place.step for place in before] == [answers[0].step]
    sha, first = driver.trainer.weights_sha256(), answers[0].step
    moved = driver.do(p.Undo)
    assert moved.text.startswith(f"undone: optim.lr 0.001 -> 1e-6 in 12 moves up to step {answers[-1].step:,};")
    assert driver.trainer.steps == first
    assert driver.trainer.weights_sha256() == undisturbed(spec, first, {})
    assert isinstance(driver.do(p.Redo), p.Moved)
    assert driver.trainer.weights_sha256() == sha
    driver.stop()
    assert main(["runs", "show", "test"]) == 0
    printed = capsys.readouterr().out
    assert " 1 tweaks, " in printed
    assert [line.split("tweak", 1)[1].strip() for line in printed.splitlines() if " tweak " in line] == [
        f"optim.lr 0.001 -> 1e-6 in 12 moves up to step {answers[-1].step:,}"
    ]
    assert " repeat " not in printed


@pytest.mark.usefixtures("unhurried")
@pytest.mark.parametrize("kept", [True, False])
def test_a_run_killed_under_a_held_key_comes_back_with_every_value_and_one_tweak(
    drive, check, private_home, kept: bool
) -> None:
    driver = drive()
    driver.load()
    hold(driver, 8)
    driver.flush()
    sha, copy = driver.trainer.weights_sha256(), Path(f"{driver.folder}-copy")
    shutil.copytree(driver.folder, copy, ignore=shutil.ignore_patterns("engine.sock"))
    driver.stop()
    if not kept:
        for file in copy.glob("checkpoints/*"):
            file.unlink()
    again = drive()
    assert isinstance(again.open(copy), p.Accepted)
    assert again.trainer.weights_sha256() == sha
    check(again)
    assert len(again.do(p.Undo).text.split(" -> ")) == 2
    assert again.run.recording.tweaks_on_path() == []


@pytest.mark.usefixtures("unhurried")
@pytest.mark.parametrize("between", [p.Pause, p.Run, p.Redo, p.Examine])
def test_what_is_asked_for_between_two_keys_parts_them(drive, between) -> None:
    driver = drive()
    driver.load()
    driver.steps(5)
    assert not driver.do(p.Nudge, by=-1).repeat
    driver.do(between)
    assert not driver.do(p.Nudge, by=-1).repeat
    assert driver.do(p.Nudge, by=-1).repeat
    assert not driver.do(p.Nudge, path="optim.beta2", by=-1).repeat


@pytest.mark.parametrize(
    ("path", "later", "steps", "goes_on"),
    [
        ("optim.lr", MOMENT, 5000, True),
        ("optim.lr", MOMENT + 0.1, 2, False),
        ("optim.lr", 60.0, 1, True),
        ("optim.eps", 0.1, 0, False),
    ],
)
def test_a_moment_is_a_second_or_a_step_that_takes_longer(path: str, later: float, steps: int, goes_on: bool) -> None:
    held = Hold()
    assert not held.goes_on("optim.lr", 10.0, 100)
    held.note("optim.lr", 10.0, 100)
    assert held.goes_on(path, 10.0 + later, 100 + steps) == goes_on
    held.end()
    assert not held.goes_on("optim.lr", 10.0, 100)


def test_keys_stop_at_the_ends_of_what_makes_sense_and_turn_round_exactly(drive) -> None:
    driver = drive()
    driver.load()
    for by, end, back in ((-1, 1e-12, 36), (1, 1e3, 24)):
        answers = [driver.do(p.Nudge, by=by) for _ in range(back + 5)]
        assert driver.trainer.spec.optim.lr == end
        idle = [answer for answer in answers if not answer.changes]
        assert {answer.text for answer in idle} == {
            f"nothing to change: optim.lr is {end:g}; its keys move it between 1e-12 and 1,000"
        }
        assert [answer.effect for answer in idle] == ["none"] * 5
        for _ in range(back):
            assert driver.do(p.Nudge, by=-by).changes
        assert driver.trainer.spec.optim.lr == 1e-3
    driver.do(p.Set, changes={"optim.lr": "1e-20"})
    assert not driver.do(p.Nudge, by=-1).changes
    assert driver.do(p.Nudge, by=1).changes[0].new == "1.77828e-20"
    driver.do(p.Set, changes={"optim.lr": "0"})
    assert not driver.do(p.Nudge, by=1).changes


def test_no_tweak_leads_from_a_value_to_itself(drive) -> None:
    driver = drive()
    driver.load()
    driver.steps(3)
    for by in (-1, -1, 1, 1):
        driver.do(p.Nudge, by=by)
    assert driver.do(p.Undo).text == "undone: optim.lr moved and back to 0.001; the run stands at step 3"


def tweak(seq: int, step: int, old: str, new: str, repeat: bool = False, path: str = "optim.lr") -> Tweak:
    return Tweak(seq, 1, step, {path: new}, f"{path} {old} -> {new}", repeat)


def test_tweaks_that_count_as_one_are_told_as_one() -> None:
    tweaks = [
        tweak(1, 5, "1", "2"),
        tweak(2, 5, "2", "3"),
        tweak(3, 9, "3", "4"),
        tweak(4, 12, "4", "5", repeat=True),
        tweak(5, 13, "5", "4; rate in force 2 (schedule step x 0.5)", repeat=True),
        tweak(6, 13, "0.9", "0.8", path="optim.beta1"),
    ]
    assert [lineage.told(group) for group in lineage.grouped(tweaks)] == [
        "optim.lr 1 -> 3",
        "optim.lr 3 -> 4 in 3 moves up to step 13; rate in force 2 (schedule step x 0.5)",
        "optim.beta1 0.9 -> 0.8",
    ]


def test_the_ladder_does_not_jump_past_an_end() -> None:
    ladder = Ladder()
    assert ladder.moved(2e-12, -2) == 2e-12
    assert ladder.moved(2e-12, -1) == 1.12468e-12
    assert ladder.moved(1.12468e-12, 1) == 2e-12
