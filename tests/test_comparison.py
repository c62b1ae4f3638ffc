"""What can be said of trainings side by side."""

import json

import numpy as np
import pytest

from aetui.comparison import Row, difference_text, differing, matches, plain, short_names, yardsticks


def row(name: str = "a", **fields: object) -> Row:
    values: dict[str, object] = {
        "name": name,
        "state": "finished",
        "loss": np.array([4, 3, 2, 1], np.float32),
        "measured_at": np.array([0, 2, 4]),
        "explained": np.array([-1, 0.25, 0.5]),
    }
    return Row(**(values | fields))  # pyright: ignore[reportArgumentType]


def test_a_loss_is_that_of_the_step_asked_for():
    assert [row().loss_at(step) for step in (None, 0, 1, 4, 5)] == [(4, 1), None, (1, 4), (4, 1), None]


def test_a_fork_has_losses_from_its_fork_point_on():
    fork = row(start=100)
    assert fork.step == 104
    assert [fork.loss_at(step) for step in (100, 101, 104, 105)] == [None, (101, 4), (104, 1), None]


def test_a_loss_that_not_every_step_has_says_of_which_it_is():
    fork = row(start=100, done=140, recorded_at=np.array([110, 120, 130, 140]))
    assert [fork.loss_at(step) for step in (None, 105, 110, 125, 141)] == [(140, 1), None, (110, 4), (120, 3), None]


def test_an_explained_variance_says_of_which_step_it_is():
    assert [row().explained_at(step) for step in (None, 0, 3, 4)] == [(4, 0.5), (0, -1.0), (2, 0.25), (4, 0.5)]
    assert row().explained_at(5) is None
    assert row(measured_at=np.array([3]), explained=np.array([0.1])).explained_at(2) is None


def test_what_comes_with_another_kind_is_no_difference_of_its_own():
    adam = {"optim.kind": "adam", "optim.lr": "0.001", "optim.beta1": "0.9", "train.seed": "1"}
    sgd = {"optim.kind": "sgd", "optim.lr": "0.1", "optim.momentum": "0", "train.seed": "1"}
    rows = [row("a", settings=adam), row("b", settings=sgd)]
    assert differing(rows) == ["optim.kind", "optim.lr"]
    # With two of a kind that differ in it, it is one.
    rows.append(row("c", settings={**adam, "optim.beta1": "0.5"}))
    assert differing(rows) == ["optim.kind", "optim.lr", "optim.beta1"]


def test_a_setting_that_only_one_loop_has_is_a_difference():
    rows = [row("a", settings={"group0.lr": "0.1"}), row("b", settings={"group0.lr": "0.1", "group1.lr": "0.1"})]
    assert differing(rows) == ["group1.lr"]


def test_names_of_settings_are_short_where_that_is_enough():
    names = short_names(["optim.kind", "optim.lr", "group0.lr", "model.code"])
    assert names == {"optim.kind": "optim.kind", "optim.lr": "optim.lr", "group0.lr": "group0.lr", "model.code": "code"}
    one = row(settings={"optim.lr": "0.1", "model.code": "3"})
    assert difference_text(one, ["optim.lr", "model.code"]) == "lr 0.1, code 3"
    assert difference_text(row(change="lr / 10"), ["optim.lr"]) == "lr / 10"


def test_losses_under_another_yardstick_are_not_comparable():
    rows = [row("a", settings={"loss.kind": "mse", "optim.lr": "1"}), row("b", settings={"loss.kind": "mae"})]
    assert yardsticks(rows) == ["loss.kind"]
    assert yardsticks([rows[0], row("c", settings={"loss.kind": "mse"})]) == []


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        ("", True), ("otter", True), ("OTTER", True), ("heron", False), ("lr=0.001", True), ("optim.lr=1e-3", True),
        ("lr<0.01", True), ("lr>0.01", False), ("lr>=0.001", True), ("lr!=0.001", False), ("kind=ada", True),
        ("kind=sgd", False), ("kind!=sgd", True), ("momentum!=0", False), ("otter lr<0.01", True),
        ("otter lr>1", False), ("r=0.001", False), ("kind<3", False),
    ],
)  # fmt: skip
def test_a_filter_takes_names_and_settings(wanted: str, fits: bool):
    settings = {"optim.kind": "adam", "optim.lr": "1e-3"}
    assert matches(row("brisk-otter-41", settings=settings), wanted) is fits


def test_as_json_nothing_is_not_finite():
    found = plain([row(loss=np.array([np.nan], np.float32), floors={"mean": float("inf")}), row("b")])
    assert json.loads(json.dumps(found, allow_nan=False))["runs"][0]["loss"] is None
    assert found["runs"][0]["floors"] == {"mean": None}
    assert found["runs"][1]["explained_step"] == 4
