"""`--model` on files as they lie about: scripts, packages, data that are right as they are."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from aetui.cli.main import main
from aetui.cli.options import spec_of

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
    for name in ("pkg/ae.py:C", "pkg/__init__.py:C"):
        assert main(["train", "--model", name, "--data", "x.npy", "--steps", "2"]) == 0, capsys.readouterr().err


def test_the_authors_data_are_left_alone_unless_asked(folder):
    (folder / "net.py").write_text(CLASS)
    assert spec_of(None, "x.npy", (), "net.py:AE").data.scaling == "none"
    assert spec_of(None, "x.npy", ("data.scaling=minmax",), "net.py:AE").data.scaling == "minmax"
    assert spec_of(None, "x.npy", ()).data.scaling == "standardize"
