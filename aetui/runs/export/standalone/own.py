"""A user's own module in the script: its file, how to make it, and what its forward returns."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from aetui.models import userfile
from aetui.models.custom import OwnAutoencoder
from aetui.models.find_code import rows_first, tensors_in
from aetui.models.returned import Returned, take_apart
from aetui.runs.export.errors import ExportError
from aetui.runs.export.standalone.modules import KL, random_inputs
from aetui.runs.export.standalone.plan import Plan, indented
from aetui.spec import RunSpec, to_mapping

_MAKE = '''\
def make_module():
    """The module with the weights that it gives itself."""
    torch.manual_seed({seed})
    builtin_random.seed({seed})
    np.random.seed({seed})
    path = Path(__file__).with_name("{file}")
    described = importlib.util.spec_from_file_location("{module}", path)
    module = importlib.util.module_from_spec(described)
    sys.modules["{module}"] = module
    described.loader.exec_module(module)
    return module.{name}{call}.to(dtype=torch.float32)
'''

_CODE_OF_ROWS = ".flatten(1)"
_CODE_OF_COLUMNS = ".transpose(0, 1).flatten(1)"


def copied_file(file: Path, folder: Path, name: str) -> Path:
    """A copy of the user's file beside the script.

    Raises:
        ExportError: it needs aetui, or files beside it.
    """
    text = file.read_bytes()
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            names = ["." * node.level + (node.module or "")]
        for one in names:
            first = one.partition(".")[0]
            if first == "aetui":
                raise ExportError(f"{file.name}, line {node.lineno}: it imports aetui, so no script can do without it")
            if not first or (file.parent / f"{first}.py").is_file() or (file.parent / first / "__init__.py").is_file():
                raise ExportError(
                    f"{file.name}, line {node.lineno}: it imports {one} from beside it, and a script takes one file; "
                    "put both into one"
                )
    target = folder / f"{name}_model.py"
    target.write_bytes(text)
    return target


@dataclasses.dataclass(frozen=True)
class Forward:
    """What a batch showed: where in its returned value the parts are, as expressions of `raw`."""

    output: str
    code: str | None
    mean: str | None
    log_variance: str | None

    @property
    def kl(self) -> bool:
        return self.mean is not None


def own_network(
    model: OwnAutoencoder, plan: Plan, rows: Tensor, image_shape: tuple[int, ...], seed: int, file: Path
) -> tuple[list[str], bool]:
    """Function and class definitions, and whether `Autoencoder` returns a KL.

    Args:
        model: one that may be spoiled; it is called on some of `rows`.
        rows: [rows, features], as the run trains on them.
        image_shape: of a row, () for vectors.
        seed: of the weights that the module gives itself.
        file: the copy of the user's file.

    Raises:
        ExportError: what it returns is not the same for every batch.
    """
    found, tapped = _tried(model, plan, rows)
    made = userfile_object(model)
    call, needs_spec = _call(made, model.features, image_shape)
    blocks: list[str] = []
    if needs_spec:
        held = {name: part for name, part in to_mapping(plan.spec).items() if name != "about"}
        blocks.append(
            "# The settings of the run, which the model is made from.\n"
            f"SPEC = {_literal(held)}\n\n\n"
            "def namespace(values):\n"
            "    return SimpleNamespace(**{key: namespace(v) if isinstance(v, dict) else v for key, v in "
            "values.items()})\n"
        )
    blocks.append(
        _MAKE.format(file=file.name, module=re.sub(r"\W", "_", file.stem), name=model.name, call=call, seed=seed)
    )
    needs_code = plan.ever("loss.l1_code")
    init = ["self.inner = make_module()"]
    tap = model._tap if needs_code and tapped else None
    if tap is not None:
        side = "pre_hook" if tap.side == "in" else "hook"
        init += [f'self.inner.get_submodule("{tap.name}").register_forward_{side}(self.catch)']
    body = random_inputs(plan)
    body += "self.calls = 0\n" if tap is not None else ""
    given = f"x.view(-1, {', '.join(map(str, model.row_shape))})" if len(model.row_shape) > 1 else "x"
    given = given.replace("x", "x.clone()", 1) if model.copies_input else given
    body += f"raw = self.inner({given})\n"
    body += f"output = {found.output}.reshape(x.shape)\n"
    code = "output"
    if needs_code:
        code = f"self.code{_CODE_OF_ROWS}" if tap is not None else (found.code or "output.reshape(len(x), -1)")
        if tap is not None and tapped.endswith(_CODE_OF_COLUMNS):
            code = f"self.code{_CODE_OF_COLUMNS}"
    if found.kl:
        body += f"mean, log_variance = {found.mean}, {found.log_variance}\n"
        body += f"kl = {KL}.flatten(1).sum(1).mean()\n"
    body += f"return output, {code}{', kl' * found.kl}"
    blocks.append(
        "class Autoencoder(nn.Module):\n"
        f'    """{model.name} of {file.name} on flat rows."""\n\n'
        f"    def __init__(self):\n        super().__init__()\n{indented(chr(10).join(init), 8)}\n\n"
        f"    def forward(self, x):\n{indented(body, 8)}\n" + (_catch(tap, tapped) if tap is not None else "")
    )
    return blocks, found.kl


def _literal(value: Any) -> str:
    """A value of a spec as code."""
    if isinstance(value, dict):
        return "{\n" + "".join(indented(f'"{key}": {_literal(one)},\n') for key, one in value.items()) + "}"
    if isinstance(value, tuple | list):
        return f"({', '.join(map(_literal, value))}{',' * (len(value) == 1)})"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def is_lazy(spec: RunSpec, features: int, image_shape: tuple[int, ...], seed: int) -> bool:
    """Whether the module, as it is made, does not know the shapes of its weights yet."""
    model = userfile.make(getattr(spec.model, "path", ""), spec, features, image_shape, seed)
    held = [*model.parameters(), *model.buffers()]
    return any(isinstance(one, UninitializedParameter | UninitializedBuffer) for one in held)


def userfile_object(model: OwnAutoencoder) -> Any:
    """What the user's file, imported last, has under the name that the spec gives."""
    return getattr(sys.modules[userfile._MODULE], model.name)


def _call(made: Any, features: int, image_shape: tuple[int, ...]) -> tuple[str, bool]:
    """The arguments that aetui calls the maker with, as code, and whether the spec is among them."""
    if isinstance(made, nn.Module):
        return "", False
    try:
        parameters = list(inspect.signature(made).parameters.values())
    except (TypeError, ValueError):
        return "()", False
    known = {"spec": "namespace(SPEC)", "image_shape": repr(image_shape)}
    known |= dict.fromkeys(userfile.WIDTHS, str(features))
    named: list[str] = []
    alone = False
    for one in parameters:
        if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD):
            continue
        if one.name in known and one.kind is not one.POSITIONAL_ONLY:
            named.append(f"{one.name}={known[one.name]}")
        elif one.default is one.empty:
            alone = True
    if alone:
        return "(namespace(SPEC))", True
    return f"({', '.join(named)})", any(one.startswith("spec=") for one in named)


def _tried(model: OwnAutoencoder, plan: Plan, rows: Tensor) -> tuple[Forward, str]:
    """What forward returns on batches of several sizes, in train and eval mode; and how the tapped code is taken."""
    sizes = {min(size or len(rows), len(rows)) for size in (13, *plan.values("train.batch_size"))}
    forwards: set[Forward] = set()
    taps: set[str] = set()
    raws: list[Any] = []
    caught: list[Any] = []
    model.inner.register_forward_hook(lambda _module, _taken, returned: raws.append(returned))
    if model._tap is not None:
        model._tap.attach(model.inner, caught.append)
    for size in sorted(sizes):
        for mode in (True, False):
            raws.clear()
            caught.clear()
            with torch.no_grad():
                model.train(mode).run(rows[:size])
            returned = take_apart(raws[-1], size, model.features)
            assert returned is not None
            forwards.add(_places(raws[-1], returned, size))
            if model._tap is not None:
                taps.add(_taken(caught[model._tap.call], model._tap.place, size))
    if len(forwards) > 1 or len(taps) > 1:
        raise ExportError(
            f"{model.file.name}: {model.name} does not return the same for every batch, so no script can tell what is "
            "its reconstruction"
        )
    return forwards.pop(), next(iter(taps), "")


def _places(raw: Any, returned: Returned, rows: int) -> Forward:
    def place(tensor: Tensor | None) -> str | None:
        return None if tensor is None else _path(raw, tensor, "raw")

    code = None
    if returned.code is not None and rows_first(returned.code, rows) is not None:
        code = f"{place(returned.code)}{_CODE_OF_ROWS if len(returned.code) == rows else _CODE_OF_COLUMNS}"
    output = place(returned.output)
    assert output is not None
    return Forward(output, code, place(returned.mean), place(returned.log_variance))


def _taken(value: Any, place: int, rows: int) -> str:
    found = tensors_in(value)
    if place >= len(found) or rows_first(found[place], rows) is None:
        return ""
    by_rows = found[place].ndim >= 2 and len(found[place]) == rows
    return f"{_path(value, found[place], 'value')}{_CODE_OF_ROWS if by_rows else _CODE_OF_COLUMNS}"


def _path(value: Any, tensor: Tensor, shown: str) -> str | None:
    """The expression that takes `tensor` out of what is called `shown`."""
    if value is tensor:
        return shown
    inside: list[tuple[str, Any]] = []
    if isinstance(value, Mapping):
        inside = [(f"{shown}[{key!r}]", one) for key, one in value.items()]
    elif isinstance(value, list | tuple):
        inside = [(f"{shown}[{index}]", one) for index, one in enumerate(value)]
    elif dataclasses.is_dataclass(value):
        inside = [(f"{shown}.{field.name}", getattr(value, field.name)) for field in dataclasses.fields(value)]
    elif hasattr(value, "__dict__") and not isinstance(value, Tensor):
        inside = [(f"{shown}.{key}", one) for key, one in vars(value).items()]
    return next((found for text, one in inside if (found := _path(one, tensor, text)) is not None), None)


def _catch(tap: Any, tapped: str) -> str:
    takes = "self, module, value" if tap.side == "in" else "self, module, taken, value"
    value = tapped.removesuffix(_CODE_OF_COLUMNS).removesuffix(_CODE_OF_ROWS)
    return (
        f"\n    def catch({takes}):\n"
        f'        """Keep the code, which passes at call {tap.call + 1} of this module."""\n'
        f"        if self.calls == {tap.call}:\n            self.code = {value}\n        self.calls += 1\n"
    )
