"""Stored runs as rows of a comparison: whole, as they go on, and where they can't be read."""

import numpy as np

from aetui.runs.comparing import StoredRow
from aetui.runs.folder import RunFolder
from tests.runs.conftest import Driver


def test_a_row_has_what_the_run_has(drive):
    driver: Driver = drive("otter")
    spec = driver.load()
    driver.steps(30)
    driver.flush()
    row = StoredRow(RunFolder.find("otter")).read()
    assert (row.name, row.kind, row.state, row.step) == ("otter", "spec", "paused", 30)
    np.testing.assert_array_equal(row.loss, driver.run.history.since(0).loss.numpy())
    assert row.settings["optim.lr"] == str(spec.optim.lr)


def test_a_run_that_goes_on_is_read_on(drive):
    driver: Driver = drive("otter")
    driver.load()
    stored = StoredRow(RunFolder(driver.folder))
    for _ in range(3):
        driver.steps(7)
        driver.flush()
        row = stored.read()
        assert stored.read() is row
        np.testing.assert_array_equal(row.loss, driver.run.history.since(0).loss.numpy())
    assert row.step == 21


def test_after_an_undo_the_row_is_that_of_the_path(drive):
    from aetui import protocol as p

    driver: Driver = drive("otter")
    driver.load()
    driver.steps(10)
    driver.do(p.Set, changes={"optim.lr": "0.5"})
    driver.steps(10)
    driver.flush()
    stored = StoredRow(RunFolder(driver.folder))
    tweaked = stored.read()
    assert (tweaked.step, float(tweaked.settings["optim.lr"])) == (20, 0.5)
    driver.do(p.Undo)
    driver.steps(15)
    driver.flush()
    row = stored.read()
    assert row.step == 25 and float(row.settings["optim.lr"]) != 0.5
    np.testing.assert_array_equal(row.loss, driver.run.history.since(0).loss.numpy())
    np.testing.assert_array_equal(row.loss[:10], tweaked.loss[:10])
    assert not np.array_equal(row.loss[10:20], tweaked.loss[10:])


def test_a_record_that_can_not_be_read_says_why(drive):
    driver: Driver = drive("otter")
    driver.load()
    driver.steps(3)
    driver.stop()
    folder = RunFolder(driver.folder)
    folder.database.write_bytes(b"no database at all, and long enough to be looked at as one" * 40)
    row = StoredRow(folder).read()
    assert row.state == "damaged" and "can't be read" in row.told and row.step == 0
