"""`aetui train`: what it prints is the run, and nothing else."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aetui import Trainer
from aetui.cli.main import main
from aetui.cli.options import spec_of
from aetui.spec import from_mapping, to_mapping

KEYS = {
    "run", "spec", "steps", "loss", "validation_loss", "explained_variance", "floors", "variance_ratio",
    "steps_per_second", "weights_sha256",
}  # fmt: skip
RATIO_KEYS = {"min", "p10", "median", "p90", "max", "below_0.1", "features"}
SMALL = (
    "--set", "data.kind=gaussian", "--set", "data.rows=60", "--set", "data.features=8",
    "--set", "model.hidden=6", "--set", "model.code=3", "--set", "train.batch_size=16",
)  # fmt: skip


def outcome(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> dict[str, Any]:
    """The JSON object that a training prints, and that is all it prints."""
    assert main(["train", *arguments, "--json"]) == status
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1 and printed.startswith("{")

    def refuse(constant: str) -> float:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(printed, parse_constant=refuse)


def hashed(trainer: Trainer) -> str:
    """The hash as documented: name, dtype, shape and little-endian bytes of every entry, in order."""
    digest = hashlib.sha256()
    for name, tensor in trainer.model.state_dict().items():
        values = tensor.numpy()
        digest.update(b"\0".join(text.encode() for text in (name, values.dtype.name, str(values.shape), "")))
        digest.update(values.astype(values.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


def test_the_object_has_the_documented_keys_and_sane_values(capsys):
    found = outcome(capsys, *SMALL, "--steps", "25")
    assert set(found) == KEYS
    assert found["steps"] == 25 and found["steps_per_second"] > 0
    assert set(found["floors"]) == {"mean", "linear"} and set(found["variance_ratio"]) == RATIO_KEYS
    assert 0 <= found["floors"]["linear"] < found["floors"]["mean"]
    assert found["loss"] >= found["floors"]["linear"]
    assert found["explained_variance"] < 1
    ratio = found["variance_ratio"]
    assert 0 <= ratio["min"] <= ratio["p10"] <= ratio["median"] <= ratio["p90"] <= ratio["max"]
    assert 0 <= ratio["below_0.1"] <= ratio["features"] == 8
    assert from_mapping(found["spec"]) == spec_of(None, None, SMALL[1::2])


def test_the_figures_are_those_of_a_trainer_and_the_hash_that_of_its_weights(capsys):
    found = outcome(capsys, *SMALL, "--steps", "25")
    again = outcome(capsys, *SMALL, "--steps", "25")
    trainer = Trainer(spec_of(None, None, SMALL[1::2]))
    trainer.run(25)
    measured = trainer.evaluate()
    assert found["weights_sha256"] == again["weights_sha256"] == hashed(trainer)
    assert found["loss"] == measured.loss and found["validation_loss"] == measured.validation_loss
    rows = trainer.dataset.scaler.inverse(trainer.dataset.train)
    error = np.square(trainer.dataset.scaler.transform(trainer.reconstruct(rows)) - trainer.dataset.train)
    assert found["loss"] == pytest.approx(error.mean(), rel=1e-4)
    deviation = np.square(trainer.dataset.train - trainer.dataset.train.mean(0))
    assert found["explained_variance"] == pytest.approx(1 - error.sum() / deviation.sum(), abs=1e-4)
    assert found["floors"]["mean"] == pytest.approx(deviation.mean(), rel=1e-4)


def test_other_seeds_and_steps_give_other_weights(capsys):
    hashes = {
        outcome(capsys, *SMALL, "--steps", steps, "--set", f"train.seed={seed}")["weights_sha256"]
        for steps, seed in (("5", 0), ("6", 0), ("5", 1))
    }
    assert len(hashes) == 3


def test_no_validation_part_gives_null(capsys):
    assert outcome(capsys, *SMALL, "--steps", "2")["validation_loss"] > 0
    assert outcome(capsys, *SMALL, "--steps", "2", "--set", "data.validation=0")["validation_loss"] is None


@pytest.mark.parametrize(("changes", "steps"), [(("train.steps=7",), 7), (("train.steps=0", "train.epochs=2"), 8)])
def test_the_spec_sets_the_steps_where_the_option_does_not(capsys, changes, steps):
    sets = [word for item in changes for word in ("--set", item)]
    assert outcome(capsys, *SMALL, *sets)["steps"] == steps
    assert outcome(capsys, *SMALL, *sets, "--steps", "3")["steps"] == 3


def test_no_number_of_steps_is_refused(capsys):
    assert main(["train", *SMALL, "--set", "train.steps=0", "--set", "train.epochs=0"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "aetui: --steps: missing; the spec sets neither train.steps nor train.epochs\n"


def test_a_toml_target_trains_as_the_spec_it_was_printed_from(capsys, tmp_path):
    assert main(["spec", *SMALL]) == 0
    file = tmp_path / "run.toml"
    file.write_text(capsys.readouterr().out)
    first, second = (outcome(capsys, *target, "--steps", "4") for target in (SMALL, (str(file),)))
    assert first["weights_sha256"] == second["weights_sha256"] and first["spec"] == second["spec"]


def test_the_table_has_the_same_figures_beside_their_yardsticks(capsys):
    found = outcome(capsys, *SMALL, "--steps", "5")
    assert main(["train", *SMALL, "--steps", "5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    table = {line[:20].strip(): line[20:] for line in lines}
    assert table["steps"].startswith("5 (")
    for name, value in (
        ("loss", found["loss"]),
        ("predict the mean", found["floors"]["mean"]),
        ("PCA with 3", found["floors"]["linear"]),
        ("validation loss", found["validation_loss"]),
    ):
        assert float(table[name]) == pytest.approx(value, rel=1e-3)
    assert found["weights_sha256"].startswith(table["weights"].removeprefix("sha256 "))
    assert "one fresh random input" in lines and "its output" in lines


def test_training_that_stops_being_finite_says_where_and_still_reports(capsys):
    arguments = (*SMALL, "--set", "optim.kind=sgd", "--set", "optim.lr=1e6", "--steps", "50")
    assert main(["train", *arguments, "--json"]) == 1
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert set(found) == KEYS and found["steps"] < 50
    assert f"loss or gradient was not finite at step {found['steps']}; training stopped there" in printed.err


def test_figures_that_are_not_finite_are_null(capsys):
    """Outputs below 0 are no probabilities: the run stops at once and says why."""
    arguments = (*SMALL, "--set", "data.scaling=minmax", "--set", "loss.kind=bce", "--steps", "3")
    assert main(["train", *arguments, "--json"]) == 1
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert found["loss"] is None and found["validation_loss"] is None and found["steps"] == 1
    assert "loss.kind bce takes outputs from 0 to 1" in printed.err
    assert "set model.output_activation to sigmoid" in printed.err


def test_targets_outside_a_cross_entropy_are_a_warning(capsys):
    arguments = (*SMALL, "--set", "loss.kind=bce", "--set", "model.output_activation=sigmoid", "--steps", "3")
    assert main(["train", *arguments, "--json"]) == 0
    printed = capsys.readouterr()
    assert "takes targets from 0 to 1 and the scaled data run from -" in printed.err
    assert "data.scaling to minmax" in printed.err
    assert json.loads(printed.out)["floors"] == {"mean": None, "linear": None}


def test_a_step_that_fails_ends_in_a_sentence(capsys, monkeypatch):
    def fail(self: Trainer) -> bool:
        raise RuntimeError("the device went away\nand more")

    monkeypatch.setattr(Trainer, "advance", fail)
    assert main(["train", *SMALL, "--steps", "3", "--quiet"]) == 1
    assert capsys.readouterr().err == "aetui: step 1 failed: RuntimeError: the device went away; and more\n"


def write(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text)
    return str(folder / name)


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("gaps.csv", "a,b\n1,2\n3,nan\n5,6\n", "gaps.csv: column 'b' has 1 NaN of 3 entries"),
        ("words.csv", "a,b\n1,2\n3,red\n5,6\n", "words.csv: column 'b' is not numeric"),
        ("ragged.csv", "a,b\n1,2\n3\n", "ragged.csv: 1 line does not have 2 cells"),
        ("empty.csv", "", "empty.csv: is empty"),
        ("one.csv", "a,b\n1,2\n", "one.csv: has 1 row to train on; it takes at least 2"),
        ("rows.npy", "a,b\n1,2\n", "rows.npy: is not an .npy file"),
        ("rows.xyz", "1", "rows.xyz: '.xyz' files are not known"),
    ],
)
def test_data_that_cannot_be_trained_on_is_refused(capsys, tmp_path, name, text, sentence):
    assert main(["train", "--data", write(tmp_path, name, text), "--steps", "1", "--json"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1 and printed.err.startswith("aetui: data.") and sentence in printed.err


def test_a_file_that_is_not_there_is_refused(capsys, tmp_path):
    assert main(["train", "--data", str(tmp_path / "none.npy"), "--steps", "1"]) == 2
    assert "none.npy: there is no such file" in capsys.readouterr().err


def test_a_model_that_cannot_be_built_is_refused_once(capsys):
    assert main(["train", *SMALL, "--set", "model.kind=conv", "--steps", "1"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("aetui: model.kind: conv needs image-shaped rows") and err.count("model.kind: ") == 1


def test_constant_columns_are_a_warning_and_left_out_of_the_ratios(capsys, tmp_path):
    rows = np.random.default_rng(0).normal(size=(40, 4))
    rows[:, 2] = 7
    np.save(tmp_path / "rows.npy", rows)
    assert main(["train", "--data", str(tmp_path / "rows.npy"), "--steps", "2", "--json"]) == 0
    printed = capsys.readouterr()
    assert "1 of 4 columns is constant" in printed.err
    assert json.loads(printed.out)["variance_ratio"]["features"] == 3


@pytest.mark.parametrize("preset", ["latent-and-loss", "bad-init", "lr-and-clipping"])
def test_the_classic_examples_stay_between_the_floors(capsys, preset):
    """100 epochs on pure noise: no code this narrow does better than PCA, and PCA does little."""
    found = outcome(capsys, preset)
    assert found["steps"] == to_mapping(spec_of(preset, None, ()))["train"]["epochs"] == 100
    assert found["floors"]["mean"] == pytest.approx(1, abs=0.05)
    assert found["floors"]["linear"] > 0.65
    assert found["floors"]["linear"] < found["loss"] < 1.2 * found["floors"]["mean"]
    assert found["explained_variance"] < 1 - found["floors"]["linear"] / found["floors"]["mean"]
    assert found["variance_ratio"]["features"] == 100 and found["variance_ratio"]["median"] < 0.5
