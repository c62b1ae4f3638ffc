"""Every preset loads, says what it shows, and is found by name."""

from pathlib import Path

import pytest

from aetui import presets
from aetui.data import load as load_data
from aetui.spec import RunSpec, SpecError, changed, dumps, loads
from aetui.spec.sections import Adam, Digits, Gaussian, KerasInit, Mlp, Mse, NoClip, NormalInit, PerTensor, Train


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
