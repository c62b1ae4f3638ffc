"""Which checkpoints are kept."""

from pathlib import Path

import pytest
import torch

from aetui.runs import writer
from aetui.runs.database import CheckpointKind, Database, SavedCheckpoint
from aetui.runs.lineage import Fork, Position
from aetui.runs.writer import Writer
from aetui.training.interface import Checkpoint


@pytest.fixture
def kept(tmp_path: Path):
    def fill(database: Database) -> None:
        database.add_branch(Fork(1, None), 0.0)

    database = Database.create(tmp_path / "run.db", fill)
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    made = Writer(database, folder, lambda row: row.kind == "before-tweak")

    def save(number: int, kind: CheckpointKind) -> None:
        row = SavedCheckpoint(number, Position(1, number), 0.0, kind, "", None, None, f"{number:06d}.safetensors", 0)
        made.save(row, Checkpoint({"values": torch.zeros(1000)}, {"steps": number}), {})
        assert made.wait_saved(60)

    def steps() -> list[int]:
        assert made.flush(60)
        return [row.position.step for row in made.rows]

    yield save, steps, folder
    assert made.close()


def test_the_first_the_last_and_those_before_tweaks_are_kept(kept):
    save, steps, folder = kept
    for number in range(1, 21):
        save(number, "before-tweak" if number in (3, 4) else "passing")
    assert steps() == [1, 3, 4, 16, 17, 18, 19, 20]
    assert len(list(folder.iterdir())) == 8


def test_beyond_the_budget_those_of_old_tweaks_go(kept, monkeypatch):
    save, steps, folder = kept
    save(10, "before-tweak")
    (file,) = folder.iterdir()
    monkeypatch.setattr(writer, "BUDGET", 8 * file.stat().st_size)
    for number in range(11, 31):
        save(number, "before-tweak")
    assert steps() == [10, *range(24, 31)]
