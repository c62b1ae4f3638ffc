"""`--model`: a user's own module on the command line."""

import json
from pathlib import Path

import pytest

from aetui.cli.main import main
from aetui.cli.options import spec_of
from aetui.spec import SpecError, loads
from aetui.spec.sections import About, OwnModel, PytorchInit

MODEL = """
from torch import nn

class AE(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(64, 6), nn.Linear(6, 64)

    def forward(self, x):
        print("noise on stdout")
        return self.decoder(self.encoder(x))
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "my_model.py"
    path.write_text(MODEL)
    return path


def test_the_file_is_named_from_everywhere_and_nothing_else_of_the_target_is_lost(file):
    spec = spec_of("bad-init", None, ("model.noise=0.5",), "my_model.py:AE")
    assert spec.model == OwnModel(path=f"{file}:AE", noise=0.5)
    assert spec.init == PytorchInit() and spec.about == About()
    target = spec_of("bad-init", None, ())
    assert (spec.data, spec.loss, spec.optim) == (target.data, target.loss, target.optim)
    assert spec_of(None, None, (), "preset:models.py:AE").model == OwnModel(path="preset:models.py:AE")


@pytest.mark.parametrize(
    ("text", "part"), [("my_model.py", "file.py:name"), ("none.py:AE", "none.py: there is no such")]
)
def test_another_form_or_no_file_is_refused(file, text, part):
    with pytest.raises(SpecError, match=part):
        spec_of(None, None, (), text)


def test_spec_prints_what_reads_back(file, capsys):
    assert main(["spec", "--model", "my_model.py:AE"]) == 0
    assert loads(capsys.readouterr().out).model == OwnModel(path=f"{file}:AE")


def test_train_trains_it_and_prints_one_object(file, capsys):
    assert main(["train", "--model", "my_model.py:AE", "--steps", "3", "--set", "data.rows=0:100", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["steps"] == 3 and found["spec"]["model"]["kind"] == "file"


def test_a_module_that_fails_is_a_sentence_and_status_2(file, capsys):
    file.write_text(MODEL.replace("return self", "return oops"))
    assert main(["train", "--model", "my_model.py:AE", "--steps", "3"]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and "my_model.py, line 11: NameError: name 'oops'" in printed.err
    assert "Traceback" not in printed.err
