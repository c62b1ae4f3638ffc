"""Whoever goes back in a run is told how to return to what was left."""

from aetui import protocol as p


def test_an_undo_says_what_returns_to_where_it_left_and_a_redo_that_is_too_late_where_that_is_kept(drive) -> None:
    driver = drive()
    driver.load()
    assert driver.do(p.Redo).left is None
    driver.steps(10)
    driver.do(p.Set, changes={"optim.lr": "0.01"})
    driver.steps(20)
    undone = driver.do(p.Undo)
    assert (undone.step, undone.redo, undone.left) == (10, 30, 30)
    driver.steps(5)
    refused = driver.do(p.Redo)
    assert (refused.text, refused.left) == ("nothing to redo; what was left at step 30 is kept", 30)
    driver.flush()
    (place,) = [one for one in driver.engine.places().places if one.step == refused.left and not one.on_path]
    back = driver.do(p.Rewind, checkpoint=place.checkpoint)
    assert (back.step, back.redo, back.left) == (30, None, 15)
    assert driver.do(p.Redo).left == 15


def test_a_redo_names_what_was_left_also_after_the_run_was_opened_again(drive) -> None:
    driver = drive()
    driver.load()
    driver.do(p.Set, changes={"optim.lr": "0.01"})
    driver.steps(20)
    driver.do(p.Undo)
    redone = driver.do(p.Redo)
    assert (redone.step, redone.redo, redone.left) == (20, None, None)
    driver.do(p.Undo)
    driver.steps(3)
    folder = driver.folder
    driver.stop()
    again = drive()
    again.open(folder)
    assert again.do(p.Redo).left == 20


def test_an_undo_without_a_checkpoint_of_what_it_leaves_promises_none(drive, monkeypatch) -> None:
    from aetui.runs.writer import Writer

    driver = drive()
    driver.load()
    driver.do(p.Set, changes={"optim.lr": "0.01"})
    driver.steps(20)
    driver.flush()
    driver.do(p.Run, steps=5)
    driver.wait_for(lambda: driver.trainer.steps == 25 and driver.engine.state == "paused")
    driver.flush()
    driver.do(p.Undo)
    driver.do(p.Redo)
    monkeypatch.setattr(Writer, "full", property(lambda self: True))
    driver.steps(1)
    undone = driver.do(p.Undo)
    assert (undone.redo, undone.left) == (26, None)
    assert driver.do(p.Redo).step == 26
