"""What of a spec's model is taken as what, in words: for reports on runs, whose loss is the spec's own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from aetui.diagnosis.paths import item_text, items_of
from aetui.models.base import Autoencoder, Reconstruction, evaluating
from aetui.models.custom import OwnAutoencoder
from aetui.models.errors import ForwardError
from aetui.report import Taken
from aetui.spec import RunSpec
from aetui.spec import sections as s
from aetui.training.losses import LOSSES


def taken_of(spec: RunSpec, model: nn.Module, rows: Tensor) -> tuple[Taken, ...]:
    """Reconstruction, target, code, mean and log-variance, with shape and where from.

    Args:
        rows: a batch, [batch, features]; it is neither kept nor changed.
    """
    try:
        with evaluating(model):
            if isinstance(model, OwnAutoencoder):
                found = _own(model, rows)
            elif isinstance(model, Autoencoder):
                found = _built(model, rows)
            else:
                return ()
    except (ForwardError, RuntimeError, ValueError):
        return ()  # what is wrong with the model is said elsewhere
    return tuple(_told(spec, found, rows))


def _own(model: OwnAutoencoder, rows: Tensor) -> dict[str, tuple[Tensor, str]]:
    caught: list[Any] = []
    hook = model.inner.register_forward_hook(lambda _module, _given, raw: caught.append(raw))
    try:
        returned = model.run(rows)
        code = model(rows).code
    finally:
        hook.remove()
    places = {id(one): path for path, one in reversed(list(items_of(caught[0])))}
    kind = "tuple" if isinstance(caught[0], tuple) else "list" if isinstance(caught[0], list) else ""

    def where(tensor: Tensor) -> str:
        path = places.get(id(tensor))
        inside = f"forward's {kind}" if kind and path else "what forward returns"
        return item_text(path, inside) if path is not None else "what forward returns"

    found = {"reconstruction": (returned.output, where(returned.output))}
    tap = model.tapped
    if returned.code is not None:
        found["code"] = returned.code, where(returned.code)
    elif tap is not None:
        found["code"] = code, f"what {tap.name} {'takes' if tap.side == 'in' else 'returns'}, the narrowest place"
    if returned.mean is not None and returned.log_variance is not None:
        found["mean"] = returned.mean, where(returned.mean)
        found["log-variance"] = returned.log_variance, where(returned.log_variance)
    return found


def _built(model: Autoencoder, rows: Tensor) -> dict[str, tuple[Tensor, str]]:
    made: Reconstruction = model(rows)
    found = {"reconstruction": (made.output, "what decoder returns")}
    if model.variational:
        found["mean"] = made.code, "what mean returns, the code"
        found["log-variance"] = made.code, "what log_variance returns"
    else:
        found["code"] = made.code, "what encoder returns"
    return found


def _told(spec: RunSpec, found: dict[str, tuple[Tensor, str]], rows: Tensor) -> list[Taken]:
    kind = LOSSES[type(spec.loss)].name
    weight = spec.model.kl_weight if isinstance(spec.model, s.Vae | s.OwnModel) else 0.0
    told: list[Taken] = []
    for role, (tensor, source) in found.items():
        if role == "reconstruction":
            source += f", compared with the target in {kind}"
        elif role in ("mean", "log-variance"):
            source += (
                f"; their KL has weight {weight:g}" if weight else "; their KL is not in the loss, model.kl_weight 0"
            )
        told.append(Taken(role=role, shape=_shape(tensor), source=source))
        if role == "reconstruction":
            noisy = ", which the model gets with noise" if spec.model.noise else ""
            told.append(Taken(role="target", shape=_shape(rows), source=f"the data{noisy}"))
    return told


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return tuple(torch.Size(tensor.shape))
