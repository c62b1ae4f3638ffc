"""The commands without a run: presets, specs, version, and one sentence for each thing that is wrong."""

import re
import tomllib
from pathlib import Path

import pytest

from aetui import RunSpec, __version__, presets
from aetui.cli import main as cli
from aetui.cli.options import spec_of
from aetui.spec import loads, to_mapping


def refusals(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    """The sentences with which a command line is refused."""
    assert cli.main(list(arguments)) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and "Traceback" not in printed.err
    lines = printed.err.splitlines()
    assert lines and all(line.startswith("aetui: ") for line in lines)
    return [line.removeprefix("aetui: ") for line in lines]


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == __version__


def test_help_names_every_command(capsys):
    assert cli.main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(
        f" {command} " in shown for command in ("run", "train", "diagnose", "clinic", "presets", "spec", "bench")
    )


def test_presets_lists_each_with_its_title(capsys):
    assert cli.main(["presets"]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(presets.names())
    assert last.startswith("clinic/NAME") and "aetui clinic" in last
    assert all(line.endswith(presets.summary(line.split()[0])) for line in lines)


@pytest.mark.parametrize("name", presets.names())
def test_spec_prints_toml_that_is_the_preset(capsys, name):
    assert cli.main(["spec", name]) == 0
    text = capsys.readouterr().out
    assert loads(text) == presets.load(name)
    assert "# " in text


def test_spec_states_every_setting_and_takes_changes(capsys, tmp_path):
    sets = ("optim.kind=nadam", "optim.lr=3e-4", "model.hidden=64, 32")
    assert cli.main(["spec", *(word for item in sets for word in ("--set", item))]) == 0
    text = capsys.readouterr().out
    spec = loads(text)
    assert to_mapping(spec)["optim"]["kind"] == "nadam" and spec.optim.lr == 3e-4
    assert to_mapping(spec)["model"]["hidden"] == (64, 32)
    printed, whole = tomllib.loads(text), to_mapping(spec)
    assert {section: set(values) for section, values in printed.items()} == {
        section: set(values) for section, values in whole.items()
    }
    file = tmp_path / "run.toml"
    file.write_text(text)
    assert spec_of(str(file), None, ()) == spec


def test_later_options_win_and_data_means_a_file():
    spec = spec_of("bad-init", "~/rows.csv", ("optim.lr=1", "optim.lr=2"))
    assert spec.optim.lr == 2
    assert to_mapping(spec)["data"]["path"] == str(Path.home() / "rows.csv")
    assert spec_of(None, None, ()) == presets.load("digits")
    assert isinstance(spec, RunSpec)


def test_each_bad_value_gets_a_sentence(capsys):
    wrong = refusals(capsys, "spec", "--set", "optim.lr=fast", "--set", "model.code=0", "--set", "clip.kind=soft")
    assert len(wrong) == 3
    assert any(re.match(r"optim\.lr: 'fast' is not allowed; it takes a number from 0", line) for line in wrong)
    assert any(re.match(r"model\.code: '0' is not allowed; it takes a whole number from 1", line) for line in wrong)
    assert any(line.startswith("clip.kind: 'soft' is not allowed; it takes one of none, per-tensor") for line in wrong)


@pytest.mark.parametrize(
    ("arguments", "start", "hint"),
    [
        (["spec", "--set", "optim.lr"], "--set: 'optim.lr' is not allowed", "section.key=value"),
        (["spec", "--set", "optm.lr=1"], "optm.lr: there is no section 'optm'", "did you mean optim?"),
        (
            ["spec", "--set", "optim.momentun=1", "--set", "optim.kind=sgd"],
            "optim.momentun: ",
            "did you mean optim.momentum?",
        ),
        (["spec", "digit"], "target: there is no preset 'digit'", "did you mean digits?"),
        (["spec", "nowhere.toml"], "nowhere.toml: can't be read", "No such file"),
        (["train", "--steps", "0"], "--steps: 0 is not allowed", "at least 1"),
        (["train", "--steps", "ten"], 'Invalid value for --steps: unable to convert "ten"', "int"),
        (["train", "--epoch", "3"], "Unknown option: --epoch", ""),
        (["run", "--engine", "gpu"], 'Invalid value "gpu" for --engine', '"process", "thread"'),
        (["bench", "--rounds", "0"], 'Invalid value "0" for --rounds', ">= 1"),
        (["bench", "--seconds", "nan"], 'Invalid value "nan" for --seconds', ""),
        (["run"], "aetui run: needs a terminal", "aetui train"),
        ([], "aetui run: needs a terminal", "aetui train"),
    ],
)
def test_what_is_refused_says_what_is_allowed(capsys, arguments, start, hint):
    (line,) = refusals(capsys, *arguments)
    assert line.startswith(start) and hint in line


def test_a_toml_with_unknown_keys_is_refused_key_by_key(capsys, tmp_path):
    file = tmp_path / "run.toml"
    file.write_text("[optim]\nlr = 'high'\nweigth_decay = 0.1\n[modl]\ncode = 3\n")
    wrong = refusals(capsys, "spec", str(file))
    assert [line.partition(":")[0] for line in sorted(wrong)] == ["modl", "optim.lr", "optim.weigth_decay"]
    assert sum("did you mean" in line for line in wrong) == 2


def test_a_toml_that_is_none_is_refused(capsys, tmp_path):
    file = tmp_path / "run.toml"
    file.write_text("[optim\n")
    (line,) = refusals(capsys, "spec", str(file))
    assert line.startswith(f"{file}: is not valid TOML")


def test_a_data_file_in_place_of_a_target_names_the_option(capsys, tmp_path):
    file = tmp_path / "rows.csv"
    file.write_text("a,b\n1,2\n")
    (line,) = refusals(capsys, "spec", str(file))
    assert f"data goes with --data {file}" in line


def test_interruption_and_a_reader_that_left_end_quietly(capsys, monkeypatch):
    for error, status in ((KeyboardInterrupt, 130), (BrokenPipeError, 0)):

        def interrupted(*_: object, error: type[BaseException] = error) -> int:
            raise error

        monkeypatch.setattr(cli, "run_command", interrupted)
        monkeypatch.setattr("sys.stderr", open("/dev/null", "w"))  # noqa: SIM115
        assert cli.main([]) == status
    assert capsys.readouterr().out == ""
