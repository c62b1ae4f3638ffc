"""The standalone script ends in the weights of the run, in a process that can't import aetui."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from aetui.runs.export.errors import ExportError
from aetui.runs.export.script import Tweak, write_script
from aetui.spec import RunSpec, changed
from aetui.training.trainer import Trainer

RUNNER = """
import contextlib, io, json, runpy, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "aetui":
            raise ImportError("aetui is blocked")
sys.meta_path.insert(0, Blocked())
for line in sys.stdin:
    sys.argv = json.loads(line)
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()) as err:
        runpy.run_path(sys.argv[0], run_name="__main__")
    print(json.dumps({"told": json.loads(out.getvalue()), "warned": "not those of the run" in err.getvalue()}))
"""

OWN = """
import dataclasses
import torch
from torch import nn

class Vae(nn.Module):
    def __init__(self, n_features, spec):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(n_features, 16), nn.ReLU(), nn.Dropout(0.2))
        self.heads = nn.Linear(16, 2 * spec.model.code)
        self.decoder = nn.Linear(spec.model.code, n_features)

    def forward(self, x):
        print("forward")
        mu, logvar = self.heads(self.body(x)).chunk(2, 1)
        code = mu + torch.randn_like(mu) * torch.exp(0.5 * logvar)
        return {"recon": self.decoder(code), "mu": mu, "logvar": logvar}

@dataclasses.dataclass
class Out:
    y: torch.Tensor
    note: str = ""

class Image(nn.Module):
    def __init__(self, in_channels, *, width):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(in_channels, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())
        self.code = nn.LazyLinear(width)
        self.back = nn.LazyLinear(64)

    def forward(self, x):
        return Out(self.back(torch.tanh(self.code(self.conv(x)))).view_as(x))
"""


@dataclass
class Case:
    settings: dict[str, str]
    tweaks: Sequence[Tweak] = ()
    steps: int = 40


SHORT = {"data.rows": "0:400", "model.hidden": "24", "data.scaling": "max"}

CASES = {
    "plain": Case({**SHORT, "schedule.kind": "one-cycle", "train.epochs": "10", "loss.kind": "bce-logits"}),
    "every optimizer": Case(
        {**SHORT, "train.batch_size": "48", "schedule.kind": "plateau", "schedule.window": "1"},
        [
            (4 * number, {"optim.kind": kind, "optim.weight_decay": "0.01"})
            for number, kind in enumerate(
                ("nadam", "radam", "adamax", "sgd", "rmsprop", "adagrad", "adadelta", "adamw", "adam")
            )
        ],
    ),
    "every loss": Case(
        {**SHORT, "model.output_activation": "sigmoid", "model.dropout": "0.2", "model.noise": "0.1"},
        [
            (3, {"loss.kind": "mae", "loss.weighting": "inverse-variance"}),
            (6, {"loss.kind": "huber", "loss.delta": "0.5", "loss.reduction": "sum", "model.noise": "0"}),
            (9, {"loss.kind": "bce", "loss.variance_weight": "0.5", "loss.weighting": "none"}),
            (12, {"loss.kind": "log-cosh", "loss.l1_code": "0.1", "model.dropout": "0"}),
            (15, {"loss.kind": "bce-logits", "loss.variance_weight": "1"}),
            (40, {"loss.kind": "mse"}),
        ],
    ),
    "every schedule and clip": Case(
        {**SHORT, "train.steps": "60", "model.tied": "true", "model.code_activation": "tanh"},
        [
            (0, {"schedule.kind": "step", "schedule.every": "3", "clip.kind": "per-tensor", "clip.threshold": "0.05"}),
            (5, {"schedule.kind": "exponential", "schedule.decay": "0.9", "clip.kind": "value"}),
            (10, {"schedule.kind": "cosine", "clip.kind": "global"}),
            (10, {"schedule.kind": "warmup", "optim.lr": "0.02"}),
            (20, {"schedule.kind": "one-cycle", "train.batch_size": "0"}),
            (25, {"train.batch_size": "7", "clip.kind": "none"}),
            (30, {"schedule.kind": "constant", "train.steps": "0"}),
            (31, {"schedule.kind": "cosine"}),
        ],
    ),
    "conv": Case(
        {"data.rows": "0:165", "model.kind": "conv", "model.hidden": "4,6", "model.batch_norm": "true",
         "init.kind": "orthogonal", "train.batch_size": "3"},
        [(10, {"model.dropout": "0.3", "train.batch_size": "2"})], 90,
    ),
    "vae in float64": Case(
        {**SHORT, "model.kind": "vae", "train.dtype": "float64", "loss.reduction": "sum", "model.kl_warmup": "30"},
        [(10, {"model.kl_weight": "0"}), (20, {"model.kl_weight": "0.1", "model.kl_warmup": "0"})],
    ),
    "bfloat16": Case({**SHORT, "train.dtype": "bfloat16", "model.activation": "gelu"}, [(20, {"optim.lr": "0.1"})]),
    "not finite": Case({**SHORT, "optim.kind": "sgd", "optim.lr": "1e6"}, [(30, {"optim.lr": "1e-3"})]),
    "own vae": Case(
        {"model.kind": "file", "model.path": "own.py:Vae", "model.code": "5", "model.kl_weight": "0.1"},
        [(15, {"model.noise": "0.2", "loss.l1_code": "0.01"})],
    ),
    "own image": Case(
        {"model.kind": "file", "model.path": "own.py:Image", "model.args": "width=6", "loss.l1_code": "0.1",
         "init.gain": "2"},
    ),
}  # fmt: skip


def spec_of(case: Case, folder: Path) -> RunSpec:
    settings = dict(case.settings)
    if "model.path" in settings:
        settings["model.path"] = str(folder / settings["model.path"])
    return changed(RunSpec(), {"train.device": "cpu", "train.threads": "1", **settings}, text=True)


def trained(spec: RunSpec, tweaks: Sequence[Tweak], steps: int) -> Trainer:
    trainer = Trainer(spec)
    for step in range(steps + 1):
        for at, changes in tweaks:
            if at == step:
                trainer.set(changes, text=True)
        if step < steps:
            trainer.advance()
    return trainer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("scripts")
    (made / "own.py").write_text(OWN)
    return made


@pytest.fixture(scope="module")
def runs(folder: Path) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Of each case what the trainer and what the script came to."""
    threads = torch.get_num_threads()
    expected, lines = {}, []
    for number, (name, case) in enumerate(CASES.items()):
        spec = spec_of(case, folder)
        trainer = trained(spec, case.tweaks, case.steps)
        sha256 = trainer.weights_sha256()
        paths = write_script(
            folder / "out", name=f"run-{number}.x", spec=spec, tweaks=case.tweaks, steps=case.steps, threads=1,
            expected=sha256,
        )  # fmt: skip
        lines.append(json.dumps([str(paths[0])]))
        expected[name] = {"steps": case.steps, "loss": trainer.evaluate().loss, "weights_sha256": sha256}
    torch.set_num_threads(threads)
    done = subprocess.run(
        [sys.executable, "-I", "-c", RUNNER], input="\n".join(lines), capture_output=True, text=True, cwd="/"
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(CASES, zip(expected.values(), map(json.loads, done.stdout.splitlines()), strict=True), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_the_script_ends_in_the_weights_of_the_run(name: str, runs: dict[str, Any]) -> None:
    expected, got = runs[name]
    assert got == {"told": expected, "warned": False}


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., list[Path]]:
    def write(settings: dict[str, str] | None = None, **options: Any) -> list[Path]:
        spec = changed(RunSpec(), {**SHORT, "train.device": "cpu", **(settings or {})}, text=True)
        return write_script(
            tmp_path,
            **{"name": "run", "spec": spec, "tweaks": [], "steps": 5, "threads": 1, "expected": None} | options,
        )

    return write


def test_the_same_run_gives_the_same_files(written: Callable[..., list[Path]]) -> None:
    first = [path.read_bytes() for path in written(tweaks=[(2, {"optim.kind": "sgd"})])]
    assert first == [path.read_bytes() for path in written(tweaks=[(2, {"optim.kind": "sgd"})])]


def test_the_process_keeps_its_threads(written: Callable[..., list[Path]]) -> None:
    before = torch.get_num_threads()
    written(threads=before + 1)
    assert torch.get_num_threads() == before


def test_code_that_a_run_does_not_use_is_left_out(written: Callable[..., list[Path]]) -> None:
    text = written()[0].read_text()
    for word in ("TWEAKS", "Dropout", "def clip", "SGD", "rate_factor", "l1_code", "Generator(DEVICE)", "aetui import"):
        assert word not in text
    tweaked = written(tweaks=[(1, {"model.dropout": "0.1", "clip.kind": "global"})])[0].read_text()
    assert '(1, {"model.dropout": 0.1, "clip.kind": "global", "clip.threshold": 1.0}),' in tweaked
    assert "class Dropout" in tweaked and "def clip" in tweaked


def test_a_given_trainer_lends_its_data_and_stays_as_it_is(written: Callable[..., list[Path]]) -> None:
    spec = changed(RunSpec(), {**SHORT, "train.device": "cpu"}, text=True)
    first = [path.read_bytes() for path in written()]
    trainer = trained(spec, [], 3)
    before = trainer.weights_sha256()
    assert [path.read_bytes() for path in written(trainer=trainer)] == first
    assert trainer.weights_sha256() == before


@pytest.mark.parametrize(
    ("tweaks", "text"),
    [
        ([(3, {"model.code": "4"})], "model.code"),
        ([(3, {"optim.lr": "fast"})], "optim.lr"),
        ([(3, {"optim.lr": "1"}), (2, {"optim.lr": "2"})], "in order"),
    ],
)
def test_tweaks_that_no_run_took_are_refused(
    tweaks: list[Tweak], text: str, written: Callable[..., list[Path]]
) -> None:
    with pytest.raises(ExportError, match=text):
        written(tweaks=tweaks)


def test_own_models_that_need_other_files_are_refused(tmp_path: Path, written: Callable[..., list[Path]]) -> None:
    (tmp_path / "layers.py").write_text("from torch.nn import Linear\n")
    for line, told in (("import layers", "layers"), ("from aetui.spec import RunSpec", "aetui")):
        (tmp_path / "mine.py").write_text(
            f"{line}\nfrom torch import nn\ndef make(features):\n    return nn.Linear(features, features)\n"
        )
        spec = changed(RunSpec(), {"model.kind": "file", "model.path": f"{tmp_path}/mine.py:make"}, text=True)
        with pytest.raises(ExportError, match=f"mine.py, line 1: it imports {told}"):
            written(spec=spec)


def test_a_folder_that_can_t_be_written_is_one_sentence(tmp_path: Path, written: Callable[..., list[Path]]) -> None:
    (tmp_path / "run.npz").mkdir()
    with pytest.raises(ExportError, match="can't be written"):
        written()
