"""A run as a script of its own: plain PyTorch that trains to the same weights, bit for bit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aetui.data import DataError
from aetui.models.build import architecture
from aetui.models.custom import OwnAutoencoder
from aetui.models.errors import ModelError
from aetui.models.userfile import locate
from aetui.runs.export.errors import ExportError
from aetui.runs.export.standalone import loss, modules, own, steps
from aetui.runs.export.standalone.plan import Plan, Tweak
from aetui.spec import RunSpec, SpecError
from aetui.spec.change import from_mapping
from aetui.spec.fields import kind_of
from aetui.training.lengths import goal_of
from aetui.training.machine import seeds
from aetui.training.trainer import Trainer

__all__ = ["ExportError", "Tweak", "write_script"]

_HEAD = '''\
"""{title}
{count:,} steps of {model}, as trained with aetui {version}.

    python {name}.py                                     train; prints steps, loss and a hash of the weights
    python {name}.py --steps 500 --save model.pt         another number of steps; keeps the weights

{name}.npz, beside this file, has the training rows as they were scaled and the initial weights.{beside}
The loss is that of all training rows in eval mode. The weights come out as they did, bit for bit, with PyTorch
{torch}, {threads} and the same kind of processor.
"""
'''

_TAIL = '''\
def weights_sha256(state):
    """Hash of names, types, shapes and bytes of the weights."""
    digest = hashlib.sha256()
    for name, tensor in state.items():
        digest.update(f"{name}\\0{str(tensor.dtype).removeprefix('torch.')}\\0{tuple(tensor.shape)}\\0".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def save(state, path):
    plain = {name: tensor.detach().cpu().clone() for name, tensor in state.items()}
    if path.endswith(".safetensors"):
        from safetensors.torch import save_file

        save_file(plain, path)
    else:
        torch.save(plain, path)
'''

_EVALUATE = '''\
@torch.no_grad()
def evaluate(model, step):
    """Loss over all training rows, in eval mode."""
    model.eval()
    total = 0.0
    for rows in DATA.split(8192):
{still}        total += objective(model, rows, step).item() * len(rows)
    return total / len(DATA)
'''

_MAIN = """\
def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--save", metavar="FILE", help="keep the weights, as .safetensors or for torch.load")
    options = parser.parse_args()

    model = Autoencoder()
{initial}    model.to(device=DEVICE, dtype=DTYPE).train()
{train}
    if options.save:
        save(model.state_dict(), options.save)
    sha256 = weights_sha256(model.state_dict())
{expected}    loss = loss if math.isfinite(loss) else None
    print(json.dumps({{"steps": options.steps, "loss": loss, "weights_sha256": sha256}}))


if __name__ == "__main__":
    main()
"""

_INITIAL = """\
    # The weights as init.kind {kind} drew them.
    weights = {name.removeprefix("weights/"): FILE[name] for name in FILE.files if name.startswith("weights/")}
    model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
"""

_LAZY = """\
    with torch.no_grad():  # layers of unknown size take it from the first rows that they see
        model.eval()(torch.from_numpy(FILE["data"][:13]).nan_to_num(0.0, 0.0, 0.0))
"""

_EXPECTED = """\
    if options.steps == STEPS and sha256 != EXPECTED:
        print("the weights are not those of the run", file=sys.stderr)
"""


def write_script(
    folder: Path,
    *,
    name: str,
    spec: RunSpec,
    tweaks: Sequence[Tweak],
    steps: int,
    trainer: Trainer | None = None,
    threads: int,
    expected: str | None,
) -> list[Path]:
    """Write NAME.py and NAME.npz, and for a user's own model NAME_model.py; returns their paths.

    NAME.py needs Python, PyTorch and NumPy, and no aetui. It trains as a Trainer does that is given
    `tweaks`, and prints JSON with `steps`, `loss` (as evaluated over the training rows) and
    `weights_sha256`. The same arguments give the same files.

    Args:
        spec: as the run began.
        tweaks: settings as text, put in force after that many steps, in order; those after `steps` are left out.
        steps: how many the script trains unless told otherwise.
        trainer: one of this spec, for its data and device; none is changed. Without, the data are loaded anew.
        threads: threads within an operation that the run was trained with.
        expected: weights_sha256 after `steps`, for the script to compare.

    Raises:
        ExportError: the run can't be written as a script, or the files can't be written; one sentence.
    """
    try:
        with _threads_kept(threads):
            device = None if trainer is None else trainer.device
            start = Trainer(_on(spec, device), dataset=None if trainer is None else trainer.dataset)
            rows, least = len(start.train_data), start.batches.least

            def goal(spec: RunSpec) -> int | None:
                return goal_of(spec.train, rows, least)

            plan = Plan(start.spec, [one for one in tweaks if one[0] <= steps], goal)
            folder.mkdir(parents=True, exist_ok=True)
            paths = [folder / f"{name}.py", folder / f"{name}.npz"]
            initial = {f"weights/{key}": _array(value) for key, value in start.model.state_dict().items()}
            if isinstance(start.model, OwnAutoencoder):
                paths.append(own.copied_file(locate(getattr(spec.model, "path", ""))[0], folder, name))
            text = _text(start, plan, name, steps, threads, expected, paths)
            np.savez(paths[1], allow_pickle=False, data=start.dataset.train, **initial)
            paths[0].write_text(text, encoding="utf-8")
    except (SpecError, DataError, ModelError) as error:
        raise ExportError(f"the run can't be set up again: {str(error).splitlines()[0]}") from error
    except OSError as error:
        raise ExportError(f"{folder}: can't be written: {error.strerror or error}") from error
    return paths


@contextmanager
def _threads_kept(threads: int) -> Iterator[None]:
    """A trainer sets the number of threads of the whole process."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _on(spec: RunSpec, device: torch.device | None) -> RunSpec:
    if device is None:
        return spec
    return from_mapping({"train": {"device": str(device)}}, spec)


def _array(tensor: Tensor) -> np.ndarray:
    """Initial weights are float32 numbers in every format of the run."""
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.is_floating_point() else tensor).numpy().copy()


def _text(
    start: Trainer, plan: Plan, name: str, count: int, threads: int, expected: str | None, paths: list[Path]
) -> str:
    spec = plan.spec
    init_seed, order_seed, noise_seed = seeds(spec.train.seed)
    mine, lazy = isinstance(start.model, OwnAutoencoder), False
    draws = mine or modules.draws(start.model, plan)
    if isinstance(start.model, OwnAutoencoder):
        lazy = own.is_lazy(spec, start.dataset.features, start.dataset.image_shape, init_seed)
        blocks, kl = own.own_network(
            start.model, plan, start.train_data, start.dataset.image_shape, init_seed, paths[-1]
        )
    else:
        blocks, kl = modules.network(start.model, plan), start.model.variational
    penalized = loss.loss(plan, kl=kl)
    around = steps.Surroundings(start.on_host, len(start.train_data), start.batches.least)
    trained = steps.steps(plan, around)
    blocks = [*blocks, *penalized, *trained]
    still = "        torch.manual_seed(1)\n" if mine else ""
    blocks += [_EVALUATE.format(still=still), _TAIL, _main(plan, mine=mine, lazy=lazy, expected=expected, count=count)]
    code = "\n\n".join(blocks)
    constants = [
        f"STEPS = {count}",
        f'DEVICE = torch.device("{start.device}")',
        f"DTYPE = {start.dtype}",
        *([f"ORDER_SEED = {order_seed}  # of the order of the rows"] if "ORDER_SEED" in code else []),
        *([f'EXPECTED = "{expected}"  # hash of the weights after STEPS'] if expected else []),
        "",
        *_settings(plan),
        "",
        f"torch.set_num_threads({threads})  # another number adds up in another order",
        f'FILE = np.load(Path(__file__).with_name("{name}.npz"))',
        'DATA = torch.from_numpy(FILE["data"]).to(device=DEVICE, dtype=DTYPE)',
    ]
    if draws:
        what = "what the model draws" if mine else "noise, dropout and codes"
        constants.append(f"random = torch.Generator(DEVICE).manual_seed({noise_seed})  # of {what}")
    module_level = "\n".join(constants) + "\n" + loss.measured(plan)
    return (
        _head(start, name, count, threads, paths) + "\n" + _imports(code + module_level) + module_level + "\n\n" + code
    )


def _head(start: Trainer, name: str, count: int, threads: int, paths: list[Path]) -> str:
    if isinstance(start.model, OwnAutoencoder):
        model = start.model.architecture
    else:
        shape = architecture(start.spec, start.dataset.features, start.dataset.image_shape)
        model = f"{kind_of(start.spec.model)} {shape}"
    about = start.spec.about.title
    beside = f"\n{paths[2].name} is the file of the model." if len(paths) > 2 else ""
    title = re.sub(r"\s+", " ", f"{about or start.dataset.name}.").replace("\\", "/").replace('"', "'")
    return _HEAD.format(
        title=title,
        count=count,
        model=model,
        version=version("aetui"),
        name=name,
        beside=beside,
        torch=torch.__version__,
        threads="1 thread" if threads == 1 else f"{threads} threads",
    )


def _imports(code: str) -> str:
    plain = [
        ("argparse", True),
        ("collections", "collections." in code),
        ("contextlib", "contextlib." in code),
        ("functools", "functools." in code),
        ("hashlib", True),
        ("importlib.util", "importlib.util" in code),
        ("json", True),
        ("math", True),
        ("random as builtin_random", "builtin_random" in code),
        ("sys", True),
    ]
    lines = [f"import {name}" for name, wanted in plain if wanted]
    lines += ["from collections import OrderedDict"] * ("OrderedDict" in code)
    abstract = [name for name in ("Callable", "Sequence") if re.search(rf"\b{name}\b", code)]
    lines += [f"from collections.abc import {', '.join(abstract)}"] * bool(abstract)
    lines += ["from dataclasses import dataclass"] * ("@dataclass\n" in code)
    lines += ["from pathlib import Path"]
    lines += ["from types import SimpleNamespace"] * ("SimpleNamespace" in code)
    lines += ["", "import numpy as np", "import torch"]
    lines += ["import torch.nn.functional as F"] * bool(re.search(r"\bF\.", code))
    return "\n".join([*lines, "from torch import Tensor, nn"]) + "\n\n"


def _settings(plan: Plan) -> list[str]:
    lines = ["setting = {", *(f'    "{path}": {_literal(value)},' for path, value in plan.first().items()), "}"]
    if not plan.tweaked:
        return lines
    lines += ["", "# After so many steps, these settings are in force.", "TWEAKS = ["]
    for step, changes in plan.tweaks():
        entries = ", ".join(f'"{path}": {_literal(value)}' for path, value in changes.items())
        line = f"    ({step}, {{{entries}}}),"
        if len(line) > 120:
            parts = "".join(f'            "{path}": {_literal(value)},\n' for path, value in changes.items())
            line = f"    (\n        {step},\n        {{\n{parts}        }},\n    ),"
        lines.append(line)
    return [*lines, "]"]


def _literal(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _main(plan: Plan, *, mine: bool, lazy: bool, expected: str | None, count: int) -> str:
    train = ["train(model, options.steps)"]
    if any(step == count for step, _ in plan.tweaks()):
        train += ["for step, changes in TWEAKS:", "    if step == options.steps:", "        setting.update(changes)"]
    train.append("loss = evaluate(model, options.steps)")
    if mine:
        # The stream that a user's forward draws from, as the adapter sets it up.
        train.insert(0, "torch.manual_seed(int(torch.randint(2**62, (), generator=random, device=DEVICE)))")
        body = "\n".join(f"        {line}" for line in train)
        body = f"    with contextlib.redirect_stdout(sys.stderr):\n{body}\n"
    else:
        body = "\n".join(f"    {line}" for line in train) + "\n"
    return _MAIN.format(
        initial=(_LAZY if lazy else "") + _INITIAL.replace("{kind}", kind_of(plan.spec.init)),
        train=body.rstrip("\n"),
        expected=_EXPECTED if expected else "",
    )
