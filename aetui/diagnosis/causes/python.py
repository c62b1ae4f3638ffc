"""Remedies for whoever called from Python: arguments of `aetui.diagnose`, and lines of their own code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from aetui.diagnosis.dossier import Dossier
from aetui.diagnosis.losses import NAMES
from aetui.report import Remedy

_RESET = "model.apply(lambda m: m.reset_parameters() if hasattr(m, 'reset_parameters') else None)"


def spoken(d: Dossier, remedies: Iterable[Remedy]) -> tuple[Remedy, ...]:
    """The remedies with what they are in Python, where there is no spec to set."""
    if d.subject.spec is not None:
        return tuple(remedies)
    return tuple(replace(remedy, python=remedy.python or in_python(d, remedy.set)) for remedy in remedies)


def in_python(d: Dossier, wanted: Mapping[str, Any]) -> str:
    """Settings of a spec as arguments of `aetui.diagnose`, or as a line of code; '' where neither does it."""
    found = [_RESET] if "init.kind" in wanted else []
    if wanted.get("optim.kind"):
        found.append(f'optimizer="{wanted["optim.kind"]}"')
    for path, name in (("optim.lr", "lr"), ("train.steps", "steps")):
        if path in wanted:
            found.append(f"{name}={wanted[path]!r}")
    if wanted.get("train.dtype") == "float32":
        found.append("model = model.float()")
    if "data.scaling" in wanted:
        found.append(f'scaling="{wanted["data.scaling"]}"')
    if "data.non_finite" in wanted:
        found.append("data = data[np.isfinite(data).reshape(len(data), -1).all(1)]")
    if "clip.threshold" in wanted:
        found.append(f"clip={wanted['clip.threshold']!r}")
    elif wanted.get("clip.kind") == "none":
        found.append("clip=None")
    if loss := _loss(d, wanted):
        found.append(f'loss="{loss}"')
    options = _options(wanted)
    if options:
        found.append(f"optimizer_options={{{', '.join(options)}}}")
    return ", ".join(found)


def _options(wanted: Mapping[str, Any]) -> list[str]:
    found = []
    if "optim.beta1" in wanted or "optim.beta2" in wanted:
        found.append(f'"betas": ({wanted.get("optim.beta1", 0.9)}, {wanted.get("optim.beta2", 0.999)})')
    found += [
        f'"{name}": {wanted[f"optim.{name}"]!r}'
        for name in ("eps", "momentum", "weight_decay")
        if f"optim.{name}" in wanted
    ]
    return found


def _loss(d: Dossier, wanted: Mapping[str, Any]) -> str:
    loss = d.subject.loss
    kind = wanted.get("loss.kind", loss.kind if loss.named else "").replace("-", "_")
    if not kind or not ("loss.kind" in wanted or "loss.reduction" in wanted):
        return ""
    summed = wanted.get("loss.reduction", "sum" if loss.summed else "mean") == "sum"
    name = f"{kind}_sum" if summed else kind
    return name if name in NAMES else kind
