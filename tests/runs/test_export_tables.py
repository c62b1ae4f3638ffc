"""The history as .csv and .parquet, and the weights as .pt."""

import csv
import sys
from pathlib import Path

import numpy as np
import polars
import pytest
import torch

from aetui.runs.export.errors import ExportError
from aetui.runs.export.history_table import COLUMNS, Points, Table, write_csv, write_parquet
from aetui.runs.export.weights_file import write_state_dict


@pytest.fixture
def table() -> Table:
    random = np.random.default_rng(0)
    loss = random.random(6).astype(np.float32)
    loss[3:5] = np.nan, np.inf
    return Table(
        steps=np.arange(1, 7),
        loss=loss,
        total=loss * 2,
        grad_norm=random.random(6).astype(np.float32),
        clipped=np.array([0, 1, 0, 1, 0, 0], np.float32),
        lr=np.full(6, 1e-3),
        points=Points(np.array([0, 4]), np.array([np.nan, 0.25]), np.array([-1.5, 0.1])),
        tweaks=[(0, "optim.lr 0.01 -> 0.001"), (4, 'a, "b"'), (4, "c")],
    )


def test_csv_has_a_row_per_step_and_empty_cells(tmp_path: Path, table: Table) -> None:
    with write_csv(tmp_path / "history.csv", table).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [row["step"] for row in rows] == list("0123456")
    assert rows[0] == dict.fromkeys(COLUMNS, "") | {
        "step": "0", "explained_variance": "-1.5", "tweak": "optim.lr 0.01 -> 0.001"
    }  # fmt: skip
    assert [np.float32(row["loss"]) for row in rows[1:]] == pytest.approx(table.loss, rel=0, abs=0, nan_ok=True)
    assert [row["clipped"] for row in rows] == ["", "0", "1", "0", "1", "0", "0"]
    assert rows[4]["tweak"] == 'a, "b"; c' and rows[4]["validation_loss"] == "0.25" and rows[1]["lr"] == "0.001"


def test_parquet_and_csv_hold_the_same(tmp_path: Path, table: Table) -> None:
    frame = polars.read_parquet(write_parquet(tmp_path / "history.parquet", table))
    assert tuple(frame.columns) == COLUMNS
    assert frame["loss"].null_count() == 1 and frame["loss"].is_nan().sum() == 1
    assert np.array_equal(frame["loss"][1:].to_numpy(), table.loss, equal_nan=True)
    assert frame["clipped"].to_list() == [None, False, True, False, True, False, False]
    assert frame["tweak"].to_list() == ["optim.lr 0.01 -> 0.001", None, None, None, 'a, "b"; c', None, None]
    text = polars.read_csv(write_csv(tmp_path / "history.csv", table))
    assert np.array_equal(text["total"].cast(polars.Float32)[1:].to_numpy(), table.total, equal_nan=True)


def test_a_run_of_no_steps_has_a_header(tmp_path: Path) -> None:
    nothing = np.zeros(0)
    path = write_csv(tmp_path / "history.csv", Table(nothing, nothing, nothing, nothing, nothing))
    assert path.read_text() == ",".join(COLUMNS) + "\n"


def test_what_can_t_be_written_is_one_sentence(tmp_path: Path, table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    for write in (lambda path: write_csv(path, table), lambda path: write_state_dict(path, {})):
        with pytest.raises(ExportError, match="can't be written: No such file"):
            write(tmp_path / "none" / "file")
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(ExportError, match=r"pip install aetui\[tables\]"):
        write_parquet(tmp_path / "history.parquet", table)


def test_a_state_dict_is_plain_tensors_that_share_no_memory(tmp_path: Path) -> None:
    flat = torch.arange(12.0)
    state = {"a.weight": flat[:6].view(2, 3), "b": flat[6:].view(3, 2).t(), "n": torch.tensor(3)}
    loaded = torch.load(write_state_dict(tmp_path / "weights.pt", state), weights_only=True)
    assert list(loaded) == list(state)
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())
    assert loaded["a.weight"].untyped_storage().nbytes() == 24
