"""Entries that are not finite: refused, kept, or replaced by their column's mean."""

import warnings as python_warnings

import numpy as np
import pytest

from aetui import Trainer
from aetui.data import DataError, Scaler, load
from aetui.engine.history import History
from aetui.engine.measure import Gauges
from aetui.spec import RunSpec, changed
from aetui.spec.sections import File
from aetui.training.spec_training import SpecTraining


@pytest.fixture
def rows() -> np.ndarray:
    values = np.random.default_rng(0).normal(2.0, 3.0, (40, 6)).astype(np.float32)
    values[3, 1] = np.nan
    values[4, 1] = np.inf
    values[5, 4] = -np.inf
    return values


def section(tmp_path, values: np.ndarray, **settings) -> File:
    np.save(tmp_path / "x.npy", values)
    return File(path=str(tmp_path / "x.npy"), **{"validation": 0.25, "scaling": "none", **settings})


def test_they_are_refused_and_the_sentence_names_the_setting(tmp_path, rows):
    with pytest.raises(DataError, match=r"x\.npy: column 1 has 1 NaN and 1 infinite of 40 .* data\.non_finite to mean"):
        load(section(tmp_path, rows))


def test_kept_ones_pass_as_they_are_and_are_counted(tmp_path, rows):
    found = load(section(tmp_path, rows, validation=0.0, non_finite="keep"))
    np.testing.assert_array_equal(found.train, rows)
    assert any("x.npy: 3 entries are not finite, in 2 columns" in text for text in found.warnings)


@pytest.mark.parametrize("scaling", ["standardize", "minmax", "center", "max"])
def test_kept_ones_do_not_reach_the_others_through_the_scaling(tmp_path, rows, scaling):
    with python_warnings.catch_warnings():
        python_warnings.simplefilter("error")
        found = load(section(tmp_path, rows, validation=0.0, non_finite="keep", scaling=scaling)).train
    assert np.array_equal(np.isfinite(found), np.isfinite(rows))
    if scaling != "max":
        for column in (1, 4):
            finite = rows[np.isfinite(rows[:, column])][:, column : column + 1]
            expected = Scaler.fit(scaling, finite).transform(finite)[:, 0]
            np.testing.assert_array_equal(found[:, column][np.isfinite(found[:, column])], expected)


def test_means_are_those_of_the_finite_training_entries(tmp_path, rows):
    kept = load(section(tmp_path, rows, non_finite="keep"))
    found = load(section(tmp_path, rows, non_finite="mean"))
    means = np.nanmean(np.where(np.isfinite(kept.train), kept.train, np.nan), axis=0, dtype=np.float64)
    assert kept.validation is not None and found.validation is not None
    for before, after in ((kept.train, found.train), (kept.validation, found.validation)):
        np.testing.assert_allclose(after, np.where(np.isfinite(before), before, means), rtol=1e-6)
    assert any("taken as the mean of their column" in text for text in found.warnings)


def test_a_column_without_a_finite_entry_has_no_mean(tmp_path, rows):
    rows[:, 2] = np.nan
    with pytest.raises(DataError, match="column 2 has no finite entry in the 30 training rows") as caught:
        load(section(tmp_path, rows, non_finite="mean"))
    assert caught.value.path == "data.non_finite"
    kept = load(section(tmp_path, rows, non_finite="keep", scaling="standardize"))
    assert np.isnan(kept.train[:, 2]).all()


@pytest.mark.parametrize("how", ["refuse", "keep", "mean"])
def test_finite_data_are_the_same_under_each(tmp_path, rows, how):
    rows = np.nan_to_num(rows, posinf=1.0, neginf=1.0)
    found = load(section(tmp_path, rows, non_finite=how, scaling="standardize"))
    expected = load(section(tmp_path, rows, scaling="standardize"))
    np.testing.assert_array_equal(found.train, expected.train)
    assert found.warnings == expected.warnings


@pytest.mark.parametrize("loss", ["mse", "mae", "huber", "bce"])
def test_gauges_and_floors_survive_kept_ones(tmp_path, rows, loss):
    data = section(tmp_path, rows, non_finite="keep", scaling="standardize")
    spec = changed(
        RunSpec(data=data),
        {"loss.kind": loss, "loss.weighting": "inverse-variance", "loss.variance_weight": 1.0, "train.batch_size": 0},
    )
    trainer = Trainer(spec)
    assert trainer.floors().mean is None
    gauges = Gauges(SpecTraining(trainer), History())
    assert SpecTraining(trainer).info().train_rows == 30
    assert not trainer.advance(), "a batch with NaN makes no update"
    for name in ("variance", "code", "layers", "pairs"):
        gauges.measure(name, 0)
    point = gauges.fit()
    assert not np.isfinite(point.explained)
    assert not np.isfinite(trainer.evaluate().loss)
