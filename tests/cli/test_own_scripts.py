"""`--model` on files as they lie about: scripts, packages, data that are right as they are."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from aetui.cli.main import main
from aetui.cli.options import spec_of
from aetui.spec import RunSpec, SpecError, changed, loads

CLASS = """
from torch import nn
class AE(nn.Module):
    def __init__(self):
        super().__init__()
        self.n = nn.Linear(6, 6)
    def forward(self, x):
        return self.n(x)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(60, 6)).astype("float32"))
    return tmp_path


TRAINS = "import torch\nnet = AE()\nloss = net(torch.ones(2, 6)).sum()\nloss.backward()\ntorch.save(net, 'best.pth')\n"
INSIDE = "def run():\n    import torch\n    torch.save(AE(), 'best.pth')\n"


@pytest.mark.parametrize(
    ("more", "line", "what"),
    [
        (TRAINS, 12, "trains (backward)"),
        ("import argparse\nargs = argparse.ArgumentParser().parse_args()\n", 10, "reads the command line (parse_args)"),
        (INSIDE + "run()\n", 12, "writes files (save)"),
    ],
)
def test_a_script_is_refused_before_anything_of_it_is_run(folder, capsys, more, line, what):
    (folder / "net.py").write_text(f"{CLASS}{more}open('touched', 'w')\n")
    assert main(["train", "--model", "net.py:AE", "--data", "x.npy", "--steps", "2"]) == 2
    said = capsys.readouterr().err
    assert f"net.py, line {line}: importing it {what}" in said and "__main__" in said
    assert not (folder / "best.pth").exists() and not (folder / "touched").exists()


GUARDED = "if __name__ == '__main__':\n    import torch\n    torch.save(1, 'best.pth')\n"


@pytest.mark.parametrize("more", [INSIDE, GUARDED])
def test_what_is_only_defined_or_guarded_is_no_reason(folder, more):
    (folder / "net.py").write_text(CLASS + more)
    assert main(["train", "--model", "net.py:AE", "--data", "x.npy", "--steps", "2"]) == 0
    assert not (folder / "best.pth").exists()


def test_the_file_has_its_own_arguments_and_the_current_folder_on_the_path(folder, capsys):
    (folder / "beside.py").write_text("width = 6\n")
    (folder / "sub").mkdir()
    (folder / "sub" / "net.py").write_text(f"import sys\nimport beside\nassert len(sys.argv) == 1, sys.argv\n{CLASS}")
    before = list(sys.argv), list(sys.path)
    assert main(["train", "--model", "sub/net.py:AE", "--data", "x.npy", "--steps", "2"]) == 0
    assert (list(sys.argv), list(sys.path)) == before


def test_a_module_of_a_package_imports_relatively(folder, capsys):
    (folder / "pkg").mkdir()
    (folder / "pkg" / "__init__.py").write_text("from .ae import C\n")
    (folder / "pkg" / "base.py").write_text("from torch import nn\nclass Base(nn.Module): pass\n")
    (folder / "pkg" / "ae.py").write_text(
        CLASS.replace("nn.Module", "Base").replace("class", "from .base import Base\nclass").replace("AE", "C")
    )
    for name in ("pkg/ae.py:C", "pkg/__init__.py:C", "pkg.ae:C", "pkg:C"):
        assert main(["train", "--model", name, "--data", "x.npy", "--steps", "2"]) == 0, capsys.readouterr().err


def test_a_package_without_an_init_imports_relatively_too(folder, capsys):
    (folder / "pkg").mkdir()
    (folder / "pkg" / "base.py").write_text("width = 6\n")
    (folder / "pkg" / "ae.py").write_text(f"from .base import width\n{CLASS}")
    assert main(["train", "--model", "pkg.ae:AE", "--data", "x.npy", "--steps", "2"]) == 0, capsys.readouterr().err


WIDE = """
from torch import nn
class A(nn.Module):
    def __init__(self, feature_size, latent_dim, layers=(4,), act="relu"):
        super().__init__()
        assert act == "tanh" and list(layers) == [5, 3], (act, layers)
        self.n = nn.Sequential(nn.Linear(feature_size, latent_dim), nn.Linear(latent_dim, feature_size))
    def forward(self, x):
        return self.n(x)
made = nn.Linear(6, 6)
"""
ARGUMENTS = ["--model-arg", "latent_dim=2", "--model-arg", "layers=[5, 3]", "--model-arg", "act=tanh"]


def test_a_constructor_gets_arguments_by_name_from_the_data_and_from_the_command_line(folder, capsys):
    (folder / "net.py").write_text(WIDE)
    command = ["train", "--model", "net.py:A", "--data", "x.npy", "--steps", "2", "--json"]
    assert main([*command, *ARGUMENTS]) == 0, capsys.readouterr().err
    first = json.loads(capsys.readouterr().out)
    # The record of the run says the same, and what it says makes the same model.
    assert main(["spec", "--model", "net.py:A", "--data", "x.npy", *ARGUMENTS]) == 0
    (folder / "again.toml").write_text(capsys.readouterr().out)
    assert loads((folder / "again.toml").read_text()).model.args == "latent_dim=2, layers=[5, 3], act='tanh'"
    assert main(["train", "again.toml", "--steps", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["weights_sha256"] == first["weights_sha256"]
    assert main(["resume", first["run"], "--headless", "--steps", "3", "--json"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "args", "part"),
    [
        ("net.py:A", (), "net.py:A needs latent_dim, which the data don't tell; give it with --model-arg latent_dim="),
        ("net.py:A", ("latent_dim=2", "lay=1"), "net.py:A takes no 'lay'; did you mean layers?"),
        ("net.py:A", ("latent_dim",), "--model-arg: 'latent_dim' is not allowed; it takes key=value"),
        ("net.py:A(2)", (), "arguments are given with --model-arg"),
        ("net.py:made", ("a=1",), "is a module already"),
        ("nowhere.net:A", (), "nowhere.net: there is no such module"),
        (None, ("a=1",), "--model-arg: it goes with --model"),
    ],
)
def test_an_argument_that_is_missing_or_not_taken_is_one_sentence(folder, capsys, name, args, part):
    (folder / "net.py").write_text(WIDE)
    given = [] if name is None else ["--model", name]
    assert main(["train", *given, "--data", "x.npy", "--steps", "2", *(f"--model-arg={one}" for one in args)]) == 2
    said = capsys.readouterr().err
    assert part in said and "Traceback" not in said


@pytest.mark.parametrize("text", ["3", "a=b", "**x", "a=1; b=2", "a=__import__('os')", "a=1, a", "a=1) + f(b=2"])
def test_arguments_of_another_form_are_refused_by_the_spec(text):
    with pytest.raises(SpecError, match=r"model\.args: .* is not allowed"):
        changed(RunSpec(), {"model.kind": "file", "model.path": "net.py:A", "model.args": text})


STEPS = """
import torch.nn.functional as F
from net import AE
def mine(output, target):
    return ((output - target) ** 2).sum(1).mean()
def both(model, batch):
    x, y = batch
    assert isinstance(model, AE)
    return {"loss": mine(model(x), y)}
def one(model, batch):
    return mine(model(batch[0]), batch[0])
def alone(model, x):
    assert x.ndim == 2
    return mine(model(x), x)
def none(model, batch):
    return model(batch[0]).mean()
"""


@pytest.mark.parametrize(
    ("option", "batch"),
    [("--loss=own.py:mine", None), ("--loss=own:mine", None), ("--step=own.py:both", "(rows, rows)"),
     ("--step=own.py:one", "(rows,)"), ("--step=own.py:alone", "rows")],
)  # fmt: skip
def test_a_loss_or_a_step_of_ones_own_is_diagnosed(folder, capsys, option, batch):
    (folder / "net.py").write_text(CLASS)
    (folder / "own.py").write_text(STEPS)
    command = ["diagnose", "--model", "net.py:AE", "--data", "x.npy", "--steps", "300", "--no-probes", "--json"]
    status = main([*command, option, "--set", "optim.lr=0.02"])
    found = json.loads(capsys.readouterr().out)
    assert status == 0 and found["verdict"] == "healthy" and not found["python"]
    taken = {one["role"]: one["source"] for one in found["taken"]}
    assert "compared with the target by a difference" in taken["reconstruction"]
    assert taken.get("a batch") == batch
    assert main([*command, option, "--set", "optim.lr=1e-7"]) == 1
    report = json.loads(capsys.readouterr().out)
    # Settings that the user's own loss and model do not see are no remedies.
    changes = {path for one in report["findings"] for remedy in one["remedies"] for path in remedy["set"]}
    assert "optim.lr" in changes and not any(path.startswith(("loss.", "model.")) for path in changes)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--loss=own.py:mine", "--step=own.py:one"], "--loss: it is not allowed together with --step"),
        (["--loss=own.py:nine"], "--loss: own.py: there is no 'nine'; did you mean none?"),
        (["--loss=own.py:F"], "F is an object of type module; it takes a function"),
        (["--step=nowhere.py:f"], "--step: nowhere.py: there is no such file"),
        (["--step=own.py:none"], "--step: its loss compares no output of the model with the batch"),
        (["--step=own.py:mine"], "--step: it can't take a batch of"),
        (["--loss=own.py:AE"], "--loss: AE does not take (output, target)"),
    ],
)
def test_a_loss_or_step_that_can_not_be_used_is_one_sentence(folder, capsys, options, part):
    (folder / "net.py").write_text(CLASS)
    (folder / "own.py").write_text(STEPS)
    assert main(["diagnose", "--model", "net.py:AE", "--data", "x.npy", *options]) == 2
    assert part in capsys.readouterr().err


def test_the_authors_data_are_left_alone_unless_asked(folder):
    (folder / "net.py").write_text(CLASS)
    assert spec_of(None, "x.npy", (), "net.py:AE").data.scaling == "none"
    assert spec_of(None, "x.npy", ("data.scaling=minmax",), "net.py:AE").data.scaling == "minmax"
    assert spec_of(None, "x.npy", ()).data.scaling == "standardize"


def test_a_sigmoid_model_on_data_in_0_to_1_is_healthy_as_its_author_has_it(folder, capsys):
    draw = np.random.default_rng(0)
    np.save("u.npy", (1 / (1 + np.exp(-draw.normal(size=(400, 3)) @ draw.normal(size=(3, 20))))).astype("float32"))
    (folder / "net.py").write_text(
        "from torch import nn\nclass AE(nn.Sequential):\n    def __init__(self):\n        super().__init__("
        "nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 4), nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 20), "
        "nn.Sigmoid())\n"
    )
    command = ["diagnose", "--model", "net.py:AE", "--data", "u.npy", "--steps", "900", "--json"]
    assert main([*command, "--set", "optim.lr=3e-3"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "healthy"
