"""Every preset loads, says what it shows, and is found by name."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
from msgspec.structs import replace

from aetui import presets
from aetui.data import DataError
from aetui.data import load as load_data
from aetui.models.build import build
from aetui.report import CAUSES
from aetui.spec import RunSpec, SpecError, changed, dumps, loads
from aetui.spec.sections import (
    About,
    Adam,
    Digits,
    File,
    Gaussian,
    KerasInit,
    Mlp,
    Mse,
    NoClip,
    NormalInit,
    PerTensor,
    Train,
)


@pytest.fixture(scope="module")
def check_clinic() -> ModuleType:
    path = Path(__file__).parents[2] / "scripts" / "check_clinic.py"
    spec = importlib.util.spec_from_file_location("check_clinic", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["check_clinic"] = module
    spec.loader.exec_module(module)
    return module


def test_the_classic_examples_come_first() -> None:
    assert presets.names()[:4] == ("latent-and-loss", "bad-init", "lr-and-clipping", "digits")
    healthy = {"digits-conv", "digits-vae", "digits-denoising", "digits-linear", "digits-bce"}
    assert healthy <= set(presets.names())
    assert len(set(presets.names())) == len(presets.names())


@pytest.mark.parametrize("name", presets.names())
def test_a_preset_is_complete(name: str) -> None:
    spec = presets.load(name)
    assert loads(dumps(spec)) == spec
    assert presets.summary(name) == spec.about.title
    assert 0 < len(spec.about.title) <= 60
    assert len(spec.about.text) > 100
    assert "\n" not in spec.about.text
    assert "  " not in spec.about.text
    assert spec.train.steps or spec.train.epochs
    assert load_data(spec.data).features in (64, 100)


@pytest.mark.parametrize("name", presets.names())
def test_the_knobs_of_a_preset_change_it(name: str) -> None:
    spec = presets.load(name)
    assert spec.about.knobs
    for knob in spec.about.knobs:
        path, _, value = knob.partition("=")
        assert changed(spec, {path: value}, text=True) != spec, knob


@pytest.mark.parametrize(
    ("name", "code", "init", "lr", "clip"),
    [
        ("latent-and-loss", 10, KerasInit(), 1e-3, PerTensor(threshold=1.0)),
        ("bad-init", 20, NormalInit(std=0.05), 1e-3, NoClip()),
        ("lr-and-clipping", 20, KerasInit(), 1e-4, PerTensor(threshold=1.0)),
    ],
)
def test_the_classic_examples_are_faithful(name: str, code: int, init: object, lr: float, clip: object) -> None:
    spec = presets.load(name)
    assert spec == RunSpec(
        data=Gaussian(rows=1000, features=100, scaling="none", validation=0),
        model=Mlp(hidden=(50,), code=code, activation="relu", code_activation="linear", output_activation="linear"),
        init=init,  # pyright: ignore[reportArgumentType]
        loss=Mse(),
        optim=Adam(lr=lr, eps=1e-7),
        clip=clip,  # pyright: ignore[reportArgumentType]
        train=Train(batch_size=0, epochs=100),
        about=spec.about,
    )


def test_resolve_takes_nothing_a_name_or_a_file(tmp_path: Path) -> None:
    assert presets.resolve(None) == presets.load("digits")
    assert isinstance(presets.resolve(None).data, Digits)
    assert presets.resolve("bad-init") == presets.load("bad-init")
    path = tmp_path / "mine.toml"
    path.write_text("[model]\ncode = 3\n")
    assert presets.resolve(str(path)) == changed(RunSpec(), {"model.code": 3})


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("bad-innit", "there is no preset 'bad-innit'; did you mean bad-init? A path to a .toml file is taken too"),
        ("qqq", "there is no preset 'qqq'; known: latent-and-loss, bad-init, "),
        ("", "there is no preset ''; "),
    ],
)
def test_resolve_names_the_nearest_preset(
    target: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpecError) as caught:
        presets.resolve(target)
    assert str(caught.value).startswith(f"target: {sentence}")


def test_resolve_sends_data_files_to_the_data_option_and_reports_bad_files(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(SpecError, match=r"is neither a preset nor a \.toml file; data goes with --data"):
        presets.resolve(str(path))
    with pytest.raises(SpecError, match="can't be read: No such file"):
        presets.resolve(str(tmp_path / "none.toml"))
    bad = tmp_path / "bad.toml"
    bad.write_text("[model]\ncode = 0\n")
    with pytest.raises(SpecError, match=r"model\.code: 0 is not allowed"):
        presets.resolve(str(bad))


def test_load_refuses_unknown_names() -> None:
    with pytest.raises(SpecError, match="there is no preset 'digit'; did you mean digits"):
        presets.load("digit")


def test_the_clinic_has_every_cause_and_what_is_taken_for_one() -> None:
    names = presets.clinic_names()
    causes = [presets.load(name).about.cause for name in names]
    assert {*causes} == {*CAUSES, ""}
    assert causes.count("") >= 7
    known = [CAUSES.index(cause) for cause in causes if cause]
    assert known == sorted(known) and causes[len(known) :] == [""] * causes.count("")
    assert set(names).isdisjoint(presets.names())


@pytest.mark.parametrize("name", presets.clinic_names())
def test_a_case_of_the_clinic_is_complete(name: str) -> None:
    spec = presets.load(name)
    about = spec.about
    assert loads(dumps(spec)) == spec == presets.resolve(name)
    assert 0 < len(about.title) <= 60
    assert len(about.text) > 150 and "\n" not in about.text and "  " not in about.text
    assert 0 < spec.train.steps <= 6000
    assert load_data(spec.data).rows > 100
    assert bool(about.knobs) == bool(about.cause)
    assert about.source or not about.cause
    if about.cause:
        assert repaired(spec) != spec


@pytest.mark.parametrize("name", [name for name in presets.clinic_names() if presets.load(name).model.code == 10])
def test_a_model_of_the_clinic_can_be_built(name: str) -> None:
    spec = presets.load(name)
    for one in (spec, repaired(spec)):
        dataset = load_data(one.data)
        build(one, dataset.features, dataset.image_shape, seed=0, strict=False)


@pytest.mark.parametrize("name", ["clinic/too-few-steps", "clinic/sigmoid-on-raw-pixels", "clinic/identical-rows"])
def test_a_case_of_the_clinic_shows_what_it_says(name: str, check_clinic: ModuleType) -> None:
    """All of them: python scripts/check_clinic.py."""
    outcome = check_clinic.check(name)
    assert outcome.works, str(outcome)


def test_a_case_that_does_not_fail_is_found_out(check_clinic: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    healthy = replace(
        presets.load("digits"), train=Train(steps=300), about=About(cause="init-scale", knobs=("init.gain=1.1",))
    )
    monkeypatch.setattr(presets, "load", lambda name: healthy)
    assert not check_clinic.check("clinic/any").works


def test_names_of_the_clinic_are_found_by_their_own_kind() -> None:
    with pytest.raises(SpecError, match="there is no preset 'clinic/zero-weight'; did you mean clinic/zero-weights"):
        presets.resolve("clinic/zero-weight")


def repaired(spec: RunSpec) -> RunSpec:
    """`spec` with all its knobs turned."""
    return changed(spec, dict(knob.split("=", 1) for knob in spec.about.knobs), text=True)


def test_data_that_comes_with_aetui_is_named_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = load_data(File(path="preset:clinic/digits.npz", key="one", scaling="none", validation=0))
    assert data.train.shape == (200, 64) and (data.train == data.train[0]).all()
    with pytest.raises(DataError, match=r"clinic/digit\.npz: there is no such file"):
        load_data(File(path="preset:clinic/digit.npz"))
