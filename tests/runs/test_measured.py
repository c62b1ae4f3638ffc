"""A figure that is listed is of the step beside it, or says of which."""

from contextlib import closing

import pytest

from aetui import protocol as p
from aetui.cli.main import main
from aetui.runs.database import Database
from aetui.runs.folder import RunFolder
from aetui.runs.lineage import Stretch
from aetui.runs.measured import Measured
from aetui.runs.summary import summary


def test_the_last_measurement_is_that_of_the_way() -> None:
    measured = Measured([(1, 0, 0.1), (1, 50, 0.5), (2, 40, 0.4), (1, 20, 0.2)])
    first = Stretch(1, 0, 30, 0)
    assert measured.last([first]) == (20, 0.2)
    assert measured.last([first, Stretch(2, 30, 60, 0)]) == (40, 0.4)
    assert measured.last([first, Stretch(2, 30, 39, 0)]) == (20, 0.2)
    assert measured.last([first, Stretch(3, 30, 39, 0)]) == (20, 0.2)
    measured.add(3, 35, 0.3)
    assert measured.last([first, Stretch(3, 30, 39, 0)]) == (35, 0.3)
    assert Measured([]).last([first]) is None


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a run trains nothing is measured, as where its budget is spent."""
    from aetui.engine.watch import Watch

    monkeypatch.setattr(Watch, "fit_if_due", lambda self: None)


@pytest.mark.usefixtures("unmeasured")
def test_a_checkpoint_has_its_own_explained_variance_or_says_of_which_step_it_is(drive) -> None:
    driver = drive()
    driver.load()
    driver.steps(30)
    driver.do(p.Run)
    while driver.trainer.steps < 60:
        pass
    tweaked = driver.do(p.Set, changes={"optim.lr": "0.01"}).step
    count = len(driver.events)
    driver.do(p.Pause)
    driver.wait(lambda e: isinstance(e, p.StateChanged) and e.state == "paused", count)
    driver.flush()
    places = {place.reason.partition(" ")[0]: place for place in driver.engine.places().places}
    before, pause = places["before"], places["pause"]
    assert (before.step, before.explained_step) == (tweaked, 30)
    assert pause.explained_step == pause.step
    with closing(Database(driver.folder / "run.db", write=False)) as database:
        points = {step: explained for _, step, explained in database.explained()}
        rows = {row.position.step: row.explained for row in database.checkpoints()}
    assert (before.explained, pause.explained) == (points[30], points[pause.step])
    assert (rows[tweaked], rows[pause.step]) == (None, points[pause.step])


@pytest.mark.usefixtures("unmeasured")
def test_lists_of_runs_say_of_which_step_a_figure_is(drive, capsys) -> None:
    driver = drive()
    driver.load()
    driver.steps(30)
    driver.do(p.Run)
    while driver.trainer.steps < 60:
        pass
    driver.do(p.Set, changes={"optim.lr": "0.01"})
    driver.run.recording.writer.flush()
    one = summary(RunFolder(driver.folder))
    assert one.step is not None and one.step >= 60 and one.explained_step == 30
    assert main(["runs"]) == 0 and main(["runs", "show", "test"]) == 0
    assert capsys.readouterr().out.count(f"{one.explained_variance:.3f} as of 30") == 2
    driver.do(p.Undo)
    driver.do(p.Undo)
    driver.do(p.Rewind, checkpoint=1)
    driver.run.recording.writer.flush()
    one = summary(RunFolder(driver.folder))
    assert one.explained_step == one.step


@pytest.mark.usefixtures("unmeasured")
def test_a_run_at_rest_is_measured_where_it_stands_however_near_the_last_point_is(drive) -> None:
    driver = drive()
    driver.load()
    driver.steps(1000)
    driver.steps(1)
    driver.flush()
    assert driver.run.history.points[-1].step == 1000
    newest = driver.engine.places().places[0]
    assert (newest.step, newest.explained_step) == (1001, 1001)


def test_the_layers_say_which_update_they_show(drive) -> None:
    driver = drive()
    driver.load()
    look = p.Look(have={"layers": 0, "diagnosis": 0})
    driver.engine.view(look)
    driver.steps(1)
    driver.wait_for(lambda: (view := driver.engine.view(look)).layers is not None and view.layers.step == 1)
    assert driver.engine.view(look).layers.updated == 1
    driver.run.watch._wanted.clear()
    driver.steps(20)
    driver.wait_for(lambda: driver.engine.view(look).layers.step == 21)
    found = driver.engine.view(look)
    assert found.layers.updated == 1
    driver.wait_for(lambda: driver.engine.view(look).status.diagnosed == 21)
