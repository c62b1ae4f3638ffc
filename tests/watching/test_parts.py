"""What a loop logs by name: kept for every step, drawn, stored and exported, and never at the loop's price."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch

from aetui import protocol as p
from aetui.cli.main import main
from aetui.engine.history import History
from aetui.runs.columns import pack, unpack
from aetui.training.records import Records
from aetui.tui.model import RunModel
from aetui.watching import parts
from tests.watching.conftest import Screen, autoencoder, data


def train(watched, logged, steps=None, **options):
    """A loop that logs what `logged` gives for each step, the loss and its parts; the run."""
    model = autoencoder()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    run = watched(model, optimizer=optimizer, **options)
    for number in range(steps or len(logged)):
        optimizer.zero_grad()
        model(data()).square().mean().backward()
        optimizer.step()
        loss, named = logged[number]
        run.log(loss, **named)
    return run


def kept(run) -> p.History:
    run._engine.run.collect()
    found = run._engine.run.history.since(0)
    assert found is not None
    return found


def test_every_name_is_a_curve_of_its_own_from_the_step_on_that_logged_it(watched):
    run = train(
        watched, [(4.0, {}), (3.0, {"kl": torch.tensor(0.5)}), (2.0, {"kl": 0.25, "l1": 7}), (1.0, {"l1": 8.0})]
    )
    found = kept(run)
    nan = float("nan")
    np.testing.assert_array_equal(found.parts["kl"].numpy(), np.float32([nan, 0.5, 0.25, nan]))
    np.testing.assert_array_equal(found.parts["l1"].numpy(), np.float32([nan, nan, 7, 8]))
    assert found.loss.numpy().tolist() == [4, 3, 2, 1]


def test_a_reconstruction_is_the_loss_that_floors_are_compared_with_and_a_curve_too(watched):
    found = kept(train(watched, [(4.0, {"reconstruction": 3.0, "kl": 1.0})] * 2))
    assert found.loss.numpy().tolist() == [3, 3] == found.parts["reconstruction"].numpy().tolist()
    assert found.total is not None and found.total.numpy().tolist() == [4, 4]


def test_what_is_logged_several_times_for_a_step_is_its_mean(watched):
    model = autoencoder()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    run = watched(model, optimizer=optimizer)
    for _ in range(2):
        optimizer.zero_grad()
        for part in (1.0, 3.0):
            loss = model(data()).square().mean()
            loss.backward()
            run.log(loss, kl=torch.full((5,), part))
        optimizer.step()
    optimizer.step()
    assert kept(run).parts["kl"].numpy()[:2].tolist() == [2, 2]


def test_what_is_no_number_and_names_without_end_are_left_out_and_said_once(watched, monkeypatch):
    monkeypatch.setattr(parts, "MOST", 2)
    logged = [(1.0, {"phase": "warm", "a": 1.0, "b": 2.0, f"x{number}": 1.0}) for number in range(6)]
    run = train(watched, logged)
    screen = Screen(run)
    found = kept(run)
    assert set(found.parts) == {"a", "b"} and len(found.loss.numpy()) == 6
    notes = [event.text for past in screen.events if isinstance(past, p.Past) for event in past.events
             if isinstance(event, p.Noted)]  # fmt: skip
    assert sum("'phase' of run.log is no number" in text for text in notes) == 1
    assert sum("is not kept" in text for text in notes) == 1
    assert not any("watching ended" in text for text in notes)


def test_a_number_beyond_float32_is_infinite_and_warns_nobody(watched, recwarn):
    found = kept(train(watched, [(1.0, {"big": 1e300}), (1.0, {"big": -1e300})]))
    assert found.parts["big"].numpy().tolist() == [np.inf, -np.inf]
    assert not [one for one in recwarn if "overflow" in str(one.message)]


def test_going_back_takes_the_curves_back(watched):
    run = train(watched, [(1.0, {"kl": float(number)}) for number in range(4)])
    steps = run._training.steps
    steps.stand_at(1)
    assert steps.drain().parts == {} and steps.done == 1


def test_parts_come_through_record_and_export(watched, tmp_path, monkeypatch):
    run = train(watched, [(4.0, {}), (3.0, {"kl": 0.1}), (2.0, {"kl": 0.25, "lr": 9.0})], name="mine")
    run.close()
    monkeypatch.chdir(tmp_path)
    assert main(["export", "mine", "--to", "csv"]) == 0
    with open("mine.csv", newline="") as file:
        rows = {row["step"]: row for row in csv.DictReader(file)}
    assert [rows[step]["kl"] for step in "123"] == ["", "0.1", "0.25"]
    assert [rows[step]["lr_logged"] for step in "123"] == ["", "", "9.0"] and rows["3"]["lr"] == ""
    assert main(["export", "mine", "--to", "tensorboard"]) == 0
    (events,) = (tmp_path / "mine").iterdir()
    assert events.read_bytes().count(b"\n\x02kl\x15") == 2
    polars = pytest.importorskip("polars")
    assert main(["export", "mine", "--to", "parquet"]) == 0
    table = polars.read_parquet("mine.parquet").filter(polars.col("step") > 0)
    assert table["kl"].to_list() == [None, np.float32(0.1), 0.25]


# --- arrays and bytes ---------------------------------------------------------------------------


def records(count: int, start: float = 0.0, **named: list[float]) -> Records:
    values = np.arange(count, dtype=np.float32) + np.float32(start)
    return Records(values, values, values, np.zeros(count), {name: np.float32(part) for name, part in named.items()})


@pytest.mark.parametrize("count", [1, 7, 8, 9])
@pytest.mark.parametrize("extra", [0, 1])
def test_blocks_come_back_as_they_were(count: int, extra: int):
    plain = records(count)
    named = records(count, **{"kl": [0.5] * count, "naïve \U0001f600": [np.nan] * count})
    for one in (plain, named):
        one = Records(one.loss, one.loss + np.float32(extra), one.grad_norm, one.clipped, one.parts)
        back = unpack(pack(one), count)
        assert back is not None and list(back.parts) == list(one.parts)
        np.testing.assert_array_equal(back.total, one.total)
        for name, values in one.parts.items():
            np.testing.assert_array_equal(back.parts[name], values)
        for wrong in (count - 1, count + 1, 2 * count):
            assert unpack(pack(one), wrong) is None or (wrong + 7) // 8 == 0
        assert unpack(pack(one)[:-1], count) is None


def test_steps_are_joined_whatever_was_logged_of_them():
    whole = Records.joined([records(2, kl=[1, 2]), Records.gap(1), records(1, l1=[3])])
    np.testing.assert_array_equal(whole.parts["kl"], np.float32([1, 2, np.nan, np.nan]))
    np.testing.assert_array_equal(whole.parts["l1"], np.float32([np.nan] * 3 + [3]))
    assert whole[1:2].parts["kl"].tolist() == [2]


def test_the_history_grows_with_its_parts_and_a_screen_puts_pages_together():
    history = History()
    history.append(records(3))
    history.append(records(5000, kl=[0.5] * 5000))
    history.append(records(2))
    page = history.since(2)
    assert page is not None
    kl = page.parts["kl"].numpy()
    assert np.isnan(kl[0]) and kl[1] == kl[5000] == 0.5 and np.isnan(kl[5001:]).all()
    model = RunModel(info=p.RunInfo(
        run=1, name="", spec="", source="", architecture="", parameters=1, features=1, train_rows=1, validation_rows=0,
    ))  # fmt: skip
    early = p.History(start=0, loss=p.Array.of([1, 2]), total=None, grad_norm=p.Array.of([1, 2]), end=5005)
    for part in (early, page):
        model.absorb(p.View(run=1, status=p.Status(), history=part))
    assert len(model.parts["kl"]) == len(model.loss) == 5005
    assert model.parts["kl"].last() != model.parts["kl"].last()
