"""Scripts that other people could have written, untouched, under the runner."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from aetui.runs.folder import RunFolder
from aetui.watching import finder, finding, gathering, gradients, opening, prepared, reading, script

SCRIPTS = Path(__file__).parent / "scripts"


@dataclass
class Ended:
    """What a script printed, and what was found in it."""

    printed: str
    run: Any
    said: str
    notes: str = ""

    @property
    def losses(self) -> list[float]:
        return self.run._engine.run.history.since(0).loss.numpy().tolist()


@contextlib.contextmanager
def as_python_does(arguments: list[str]) -> Iterator[None]:
    """What a script's run changes in this process is put back."""
    before = sys.argv, list(sys.path), sys.modules["__main__"], os.getcwd(), sys.excepthook
    random = torch.get_rng_state()
    os.chdir(SCRIPTS)
    sys.argv = ["", *arguments]
    try:
        yield
    finally:
        sys.argv, sys.path[:], sys.modules["__main__"], where, sys.excepthook = before
        os.chdir(where)
        torch.set_rng_state(random)
        for name in [name for name in sys.modules if name.partition(".")[0] == "packaged"]:
            del sys.modules[name]


@pytest.fixture
def run_script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Ended]]:
    def run(what: str, /, *arguments: str, watched: bool = True, **told: Any) -> Ended:
        monkeypatch.setenv("AETUI_WATCH", "1" if watched else "0")
        finding._finder = None
        key = "script" if what.endswith(".py") else "module"
        printed, said = io.StringIO(), io.StringIO()
        with as_python_does(list(arguments)), contextlib.redirect_stdout(printed), contextlib.redirect_stderr(said):
            script.become({key: what, **told})
        found: Any = finding._finder
        ended = Ended(printed.getvalue(), None if found is None else found.run, said.getvalue())
        if found is not None:
            found.remove()
            if found.run is not None:
                found.run.close()
                ended.notes = "\n".join(text for text in _notes(found.run))
            prepared._waiting.clear()
        return ended

    yield run
    finding._finder = None


def _notes(run: Any) -> list[str]:
    heard: list[Any] = []
    run._engine.join(heard.append)
    events = [event for one in heard for event in getattr(one, "events", [one])]
    return [event.text for event in events if getattr(event, "text", "")]


CASES = [
    ("plain.py", (), "Sequential", "Adam", "mse", "what net returns", "the input itself", 40),
    ("functions.py", (), "ConvAE", "AdamW", "bce", "what convae returns", "the input itself", 20),
    ("trainer_class.py", (), "VAE", "Adam", "bce_sum", "first item of what vae returns", "the input itself", 25),
    ("with_argparse.py", ("--epochs", "6"), "DAE", "SGD", "mse", "what autoencoder returns", "computed from", 24),
    ("packaged.train", ("6",), "Seen", "RMSprop", "mse", "second item of", "the input itself", 24),
    ("two_modules.py", (), "Seen", "Adam", "mae", "what dec returns", "the input itself", 36),
    ("notebook.py", (), "Seen", "Adam", "mse_sum", "what model.d2 returns", "the input itself", 30),
    ("two_models.py", (), "Generator", "Adam", "mse", "first item of what G returns", "the input itself", 30),
    ("conditional.py", (), "Seen", "LBFGS", "smooth_l1", "'decoded' of what cae returns", "the input itself", 8),
    ("sampled_outside.py", (), "Seen", "Adam", "mse times 4.5", "what dec returns", "the input itself", 40),
    ("module_with_steps.py", (), "Seen", "Adam", "mse", "what m.decoder returns", "the input itself", 24),
]


@pytest.mark.parametrize(("name", "given", "model", "optimizer", "loss", "made", "wanted", "steps"), CASES)
def test_an_untouched_script_is_understood_and_trains_as_without(
    run_script, name, given, model, optimizer, loss, made, wanted, steps
):
    alone = run_script(name, *given, watched=False)
    assert "weights 0x" in alone.printed
    ended = run_script(name, *given)
    assert ended.printed == alone.printed
    assert ended.run is not None, ended.said
    training = ended.run._training
    assert type(training.module).__name__ == model
    assert [type(one).__name__ for one in training.optimizers] == [optimizer]
    assert re.search(rf"loss: {loss}(;|$)", ended.notes, re.MULTILINE)
    assert (training.measured.floors.mean is not None) == (loss != "smooth_l1")
    assert f"reconstruction: {made}" in ended.notes
    assert f"target: {wanted}" in ended.notes
    assert training.steps.done == steps == len(ended.losses)
    predicted = training.measured.predict(training.measured.probe)
    assert predicted.output.shape == training.measured.probe.targets.shape


def test_the_curve_is_the_loss_that_the_script_prints(run_script):
    ended = run_script("plain.py")
    printed = [float(line.rpartition(" ")[2]) for line in ended.printed.splitlines() if line.startswith("step")]
    assert [ended.losses[step] for step in (0, 10, 20, 30)] == pytest.approx(printed, abs=1e-6)


def test_batches_that_are_added_up_make_one_loss_a_step(run_script):
    ended = run_script("packaged.train", "6")
    assert max(ended.losses) / min(ended.losses) < 1.5
    last = float(ended.printed.splitlines()[-2].rpartition("=")[2])
    assert ended.losses[-1] == pytest.approx(last, rel=0.2)


# --- as Python itself would -----------------------------------------------------------------------


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "aetui", "watch", "--headless", *words]


def ran(tmp_path: Path, source: str, *words: str, start: list[str]) -> Any:
    file = tmp_path / "mine.py"
    file.write_text(source)
    return subprocess.run([*start, str(file), *words], capture_output=True, text=True, cwd=tmp_path, input="typed\n")


def both(tmp_path: Path, source: str, *words: str) -> tuple[Any, Any]:
    """A script under Python and under the runner."""
    return ran(tmp_path, source, *words, start=[sys.executable]), ran(tmp_path, source, *words, start=command())


@pytest.mark.parametrize(
    "source",
    [
        "import sys; print(sys.argv, sys.path[0], __name__, __file__, __package__, __spec__, sorted(vars()))",
        "import sys; print('half', end=''); sys.exit(7)",
        "import sys; sys.exit('a sentence')",
        "raise SystemExit",
        "def inner():\n    raise ValueError('why')\n\ntry:\n    inner()\nexcept ValueError as error:\n"
        "    raise RuntimeError('no') from error",
        "print('a'\n",
        "import os; os.kill(os.getpid(), 15)",
        "raise KeyboardInterrupt('by hand')",
        "import atexit, pickle\nclass Thing: pass\natexit.register(lambda: print(pickle.dumps(Thing())))",
        "print(input('? ') + ' read')",
        "import threading\nthreading.Thread(target=lambda: print('later')).start()",
    ],
)
def test_what_a_script_does_to_its_process_means_the_same(tmp_path: Path, source: str):
    alone, watched = both(tmp_path, source, "--epochs", "3", "--name", "x", "-h")
    assert watched.stdout == alone.stdout
    assert watched.stderr == alone.stderr
    assert watched.returncode == alone.returncode


def test_a_module_is_run_as_python_does(tmp_path: Path):
    package = tmp_path / "pack"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "inner.py").write_text(
        "import sys\nfrom . import __name__ as mine\n"
        "print(mine, __name__, __package__, __spec__.name, sys.argv, sys.path[0])"
    )
    (package / "__main__.py").write_text("from . import inner; import sys; sys.exit(5)")
    for module in ("pack.inner", "pack", "pack.nothing"):
        alone, watched = (
            subprocess.run([*start, "-m", module, "--x"], capture_output=True, text=True, cwd=tmp_path)
            for start in ([sys.executable], command())
        )
        assert (watched.stdout, watched.returncode) == (alone.stdout, alone.returncode)


def test_torch_is_imported_by_the_script_and_not_before(tmp_path: Path):
    alone, watched = both(tmp_path, "import sys; print('torch' in sys.modules, 'numpy' in sys.modules)")
    assert watched.stdout == alone.stdout == "False False\n"


def test_arguments_of_the_script_are_its_own():
    from aetui.cli.watch import parted

    assert parted(["--name", "a", "train.py", "--name", "b", "-m"]) == [
        "--name",
        "a",
        "--",
        "train.py",
        "--name",
        "b",
        "-m",
    ]
    assert parted(["-m", "pack.train", "--loss", "x"]) == ["--module", "pack.train", "--", "--loss", "x"]
    assert parted(["--headless", "--", "-odd.py"]) == ["--headless", "--", "-odd.py"]


def test_what_can_not_be_run_is_said_in_a_sentence(tmp_path: Path, capsys):
    from aetui.cli.main import main

    assert main(["watch", str(tmp_path / "none.py")]) == 2
    assert "there is no such file" in capsys.readouterr().err
    assert main(["watch"]) == 2
    assert "takes a script" in capsys.readouterr().err
    assert main(["watch", "--reconstruct", "x", __file__]) == 2
    assert "it takes file.py:name" in capsys.readouterr().err


# --- what else may be said, and what may go wrong -------------------------------------------------


def test_options_correct_what_was_found(run_script, tmp_path: Path):
    own = tmp_path / "own.py"
    own.write_text("def rebuilt(model, rows):\n    return model(rows) * 2\n\ndef doubled(rows):\n    return rows * 2\n")
    ended = run_script(
        "plain.py", loss="mae", reconstruct=f"{own}:rebuilt", target=f"{own}:doubled", probe_rows=100, name="told"
    )
    measured = ended.run._training.measured
    assert ended.run.name == "told"
    assert measured.loss == "mae"
    assert len(measured.probe.inputs) == 100
    assert torch.equal(measured.probe.targets, measured.probe.inputs * 2)
    assert "as --reconstruct says" in ended.notes


@pytest.mark.parametrize(
    ("name", "named", "model"),
    [
        ("two_models.py", "Generator", "Generator"), ("two_models.py", "G", "Generator"),
        ("trainer_class.py", "model", "VAE"),
    ],
)  # fmt: skip
def test_the_model_can_be_named_by_class_variable_or_attribute(run_script, name: str, named: str, model: str):
    ended = run_script(name, model_is=named)
    assert type(ended.run._training.module).__name__ == model
    assert "reconstruction: first item" in ended.notes


def test_a_model_that_is_not_there_is_said(run_script):
    ended = run_script("plain.py", model_is="Nothing")
    assert ended.run is None
    assert "no forward of Nothing was seen" in ended.said


@pytest.mark.parametrize(
    ("module", "fault"),
    [
        *((finder, name) for name in ("backward_of", "site", "root_of", "parameters", "_compiled", "_roomy", "Whole")),
        *((gathering, name) for name in ("read", "_labels", "_watched", "packed", "parameters")),
        (opening, "arguments"), (opening, "find_code"), (reading, "loss_kind"), (gradients, "of_optimizer"),
    ],
)  # fmt: skip
def test_a_fault_in_the_finder_leaves_the_script_training(run_script, monkeypatch, module: Any, fault: str):
    alone = run_script("two_models.py", watched=False)

    def fails(*_args: Any, **_options: Any) -> Any:
        raise OSError("a fault")

    monkeypatch.setattr(module, fault, fails)
    ended = run_script("two_models.py")
    assert ended.printed == alone.printed
    assert fault == "find_code" or "OSError: a fault" in ended.said + ended.notes


def test_hooks_and_patches_are_gone_once_the_model_is_known(run_script, tmp_path: Path):
    before = torch.autograd.backward, torch.amp.grad_scaler.GradScaler.scale
    ended = run_script("plain.py")
    assert ended.run is not None
    hooks = torch.nn.modules.module
    assert not hooks._global_forward_hooks
    assert not hooks._global_forward_pre_hooks
    assert (torch.autograd.backward, torch.amp.grad_scaler.GradScaler.scale) == before


@pytest.mark.parametrize("own", [True, False])
def test_a_script_that_watches_itself_is_left_to_it(run_script, tmp_path: Path, own: bool):
    source = (SCRIPTS / "plain.py").read_text()
    file = tmp_path / "plain.py"
    words = "run = aetui.watch(net, probe=data, name='own')" if own else "pass"
    end = "run.close()" if own else "pass"
    file.write_text(f"import aetui\n{source.replace('opt = ', words + chr(10) + 'opt = ')}\n{end}\n")
    ended = run_script(str(file), name="found")
    assert (ended.run is None) == own
    assert [folder.name for folder in RunFolder.all()] == ["own" if own else "found"]


def test_a_training_of_something_else_before_is_waited_for(run_script, tmp_path: Path):
    source = (SCRIPTS / "plain.py").read_text()
    before = """
head = nn.Linear(12, 3)
first = torch.optim.SGD(head.parameters(), lr=0.1)
for _ in range(6):
    first.zero_grad()
    F.cross_entropy(head(data), torch.zeros(512, dtype=torch.long)).backward()
    first.step()
"""
    file = tmp_path / "plain.py"
    file.write_text(source.replace("\nencoder = ", before + "\nencoder = "))
    ended = run_script(str(file))
    assert ended.said.count("is not watched") == 1
    assert "--target gives others" in ended.said
    assert type(ended.run._training.module).__name__ == "Sequential"
    assert ended.run._training.steps.done == 40


def test_a_script_that_ends_too_early_says_so(tmp_path: Path):
    watched = ran(tmp_path, (SCRIPTS / "plain.py").read_text().replace("range(40)", "range(2)"), start=command())
    assert "took 2 steps, too few for a run of it to begin" in watched.stderr
    assert watched.returncode == 0


def test_a_scaled_loss_is_logged_as_it_was_before(run_script, tmp_path: Path):
    source = (SCRIPTS / "plain.py").read_text()
    file = tmp_path / "plain.py"
    file.write_text(
        source.replace("opt = ", "scaler = torch.amp.GradScaler('cpu', init_scale=1024.0)\nopt = ")
        .replace("loss.backward()", "scaler.scale(loss).backward()")
        .replace("opt.step()", "scaler.step(opt)\n    scaler.update()")
    )
    ended = run_script(str(file))
    printed = [float(line.rpartition(" ")[2]) for line in ended.printed.splitlines() if line.startswith("step")]
    assert [ended.losses[step] for step in (0, 10, 20, 30)] == pytest.approx(printed, abs=1e-6)
    assert ended.run._training.measured.loss == "mse"


def test_a_compiled_model_is_found_without_its_loss_being_looked_into(run_script, tmp_path: Path):
    source = (SCRIPTS / "plain.py").read_text()
    file = tmp_path / "plain.py"
    file.write_text(source.replace("opt = ", "net = torch.compile(net, backend='eager')\nopt = "))
    alone = run_script(str(file), watched=False)
    ended = run_script(str(file))
    assert ended.printed == alone.printed
    assert type(ended.run._training.module).__name__ == "Sequential"
