"""Damaged files: what can be read is gone on with and the loss is said, or one sentence says why not."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from aetui import protocol as p

TWEAK = {"optim.lr": "0.004"}


@dataclass(frozen=True)
class Killed:
    """A folder as a kill left it, and where the run stood."""

    folder: Path
    step: int
    sha: str


@pytest.fixture
def killed(drive, tmp_path) -> Killed:
    """A run with tweaks and a branch, its last steps in the log of the record only."""
    driver = drive()
    driver.load()
    driver.steps(300)
    driver.do(p.Set, changes=TWEAK)
    driver.steps(300)
    driver.do(p.Set, changes={"train.batch_size": "20"})
    driver.steps(20)
    driver.do(p.Undo)
    driver.steps(50)
    driver.flush()
    folder = tmp_path / "killed"
    shutil.copytree(driver.folder, folder, ignore=shutil.ignore_patterns("engine.sock"))
    found = Killed(folder, driver.trainer.steps, driver.trainer.weights_sha256())
    driver.stop()
    return found


def flip(data: bytes, where: int, draw: random.Random) -> bytes:
    where = min(where, len(data) - 1)
    return data[:where] + bytes([data[where] ^ (1 << draw.randrange(8))]) + data[where + 1 :]


def one_sentence(text: str) -> None:
    assert text
    assert "\n" not in text
    assert "Traceback" not in text
    assert "Error:" not in text


REGIONS: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "cut to nothing": lambda data, draw: b"",
    "cut in the header": lambda data, draw: data[:50],
    "cut in the tensors": lambda data, draw: data[: len(data) * 3 // 4],
    "cut by a byte": lambda data, draw: data[:-1],
    "longer by a byte": lambda data, draw: data + b"\0",
    "length": lambda data, draw: flip(data, draw.randrange(8), draw),
    "header": lambda data, draw: flip(data, 8 + draw.randrange(400), draw),
    "text": lambda data, draw: flip(data, data.index(b"position") + draw.randrange(20), draw),
    "first tensor": lambda data, draw: flip(data, len(data) // 2, draw),
    "last byte": lambda data, draw: flip(data, len(data) - 1, draw),
    "zeros": lambda data, draw: bytes(len(data)),
    "noise": lambda data, draw: draw.randbytes(len(data)),
}


@pytest.mark.parametrize("damage", REGIONS.values(), ids=REGIONS.keys())
def test_a_damaged_checkpoint_is_said_and_the_one_before_it_is_taken(killed, drive, check, damage):
    draw = random.Random(1)
    newest = max(killed.folder.glob("checkpoints/*.safetensors"))
    newest.write_bytes(damage(newest.read_bytes(), draw))
    driver = drive()
    assert isinstance(driver.open(killed.folder), p.Accepted)
    (note,) = driver.notes()
    one_sentence(note)
    assert newest.name in note
    assert "the one before it was taken" in note
    assert (driver.trainer.steps, driver.trainer.weights_sha256()) == (killed.step, killed.sha)
    driver.steps(5)
    check(driver)


def test_without_any_checkpoint_the_run_is_trained_again(killed, drive, check):
    draw = random.Random(2)
    for file in killed.folder.glob("checkpoints/*.safetensors"):
        file.write_bytes(flip(file.read_bytes(), 3000, draw))
    driver = drive()
    assert isinstance(driver.open(killed.folder), p.Accepted)
    for note in driver.notes():
        one_sentence(note)
    assert (driver.trainer.steps, driver.trainer.weights_sha256()) == (killed.step, killed.sha)
    check(driver)


def harm(data: bytes, draw: random.Random) -> bytes | None:
    """The bytes after one of many mishaps; None for a file that is gone."""
    kind = draw.randrange(10)
    if kind == 0:
        return None
    if kind == 1:
        return data[: draw.randrange(len(data) + 1)]
    if kind == 2:
        page = draw.randrange(max(1, len(data) // 4096)) * 4096
        return data[:page] + bytes(4096) + data[page + 4096 :]
    if kind == 3:
        start = draw.randrange(len(data) or 1)
        return data[:start] + draw.randbytes(512) + data[start + 512 :]
    for _ in range(draw.choice([1, 1, 1, 20])):
        used = [at for at in (draw.randrange(len(data) or 1) for _ in range(50)) if data[at : at + 1] != b"\0"]
        data = flip(data, used[0] if used else 0, draw) if data else data
    return data


def outcome(killed: Killed, driver, check, file: str, checkpoints: bool) -> str:
    answer = driver.open(killed.folder)
    if not isinstance(answer, p.Accepted):
        one_sentence(answer.text)
        assert str(killed.folder.name) in answer.text
        return "refused"
    for note in driver.notes():
        one_sentence(note)
    at = driver.trainer.steps, driver.trainer.weights_sha256()
    if driver.notes():
        driver.steps(3)
        return "remarked, whole" if at == (killed.step, killed.sha) else "remarked"
    if file == "run.db-wal" and at[0] != killed.step:
        # Without the last of its log a record is as it was a moment before, and nothing tells the two apart.
        assert at[0] >= 300 or not checkpoints
        check(driver)
        return "a moment before"
    assert at == (killed.step, killed.sha)
    driver.steps(3)
    return "whole"


@pytest.mark.parametrize("file", ["run.db", "run.db-wal"])
@pytest.mark.parametrize("checkpoints", [True, False])
def test_a_damaged_record_is_rebuilt_or_refused_in_a_sentence(killed, drive, check, tmp_path, file, checkpoints):
    if not checkpoints:
        shutil.rmtree(killed.folder / "checkpoints")
        (killed.folder / "checkpoints").mkdir(mode=0o700)
    if file == "run.db":
        # All of it in the one file.
        driver = drive()
        driver.open(killed.folder)
        driver.stop()
    seen: list[str] = []
    for seed in range(15):
        draw = random.Random(f"{file} {checkpoints} {seed}")
        copy = tmp_path / f"copy-{seed}"
        shutil.copytree(killed.folder, copy)
        data = harm((copy / file).read_bytes(), draw)
        (copy / file).unlink()
        if data is not None:
            (copy / file).write_bytes(data)
        (copy / "run.db-shm").unlink(missing_ok=True)
        driver = drive(f"run-{seed}")
        seen.append(outcome(Killed(copy, killed.step, killed.sha), driver, check, file, checkpoints))
        driver.stop()
    if checkpoints and file == "run.db":
        assert seen.count("refused") <= 2, seen


def test_a_rebuilt_record_keeps_the_damaged_one_beside_it(killed, drive):
    database = killed.folder / "run.db"
    for name in ("run.db-wal", "run.db-shm"):
        (killed.folder / name).unlink()
    database.write_bytes(b"\0" * 100 + database.read_bytes()[100:])
    driver = drive()
    assert isinstance(driver.open(killed.folder), p.Accepted)
    (note,) = driver.notes()[:1]
    assert "the record of this run was damaged" in note
    (aside,) = [path for path in killed.folder.glob("run.db.damaged*") if path.name[-1].isdigit()]
    assert aside.read_bytes().startswith(b"\0" * 100)
    driver.steps(5)
    driver.stop()
    again = drive()
    assert isinstance(again.open(killed.folder), p.Accepted)
    assert again.notes() == []
    assert again.trainer.steps == driver.run.recording.position.step >= killed.step
