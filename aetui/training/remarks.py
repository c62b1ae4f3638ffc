"""What there is to say of a trainer, in words."""

from __future__ import annotations

import torch

from aetui import data as data_
from aetui.models.custom import OwnAutoencoder
from aetui.models.moments import finite_range
from aetui.spec import sections as s
from aetui.spec.bottleneck import no_bottleneck, what_holds_back
from aetui.training.losses import domain_warning
from aetui.training.trainer import Trainer


def warnings(trainer: Trainer) -> tuple[str, ...]:
    """What the loss's domain and the data give reason to say, one sentence each, the gravest first."""
    spec, data = trainer.spec, trainer.train_data
    remark = domain_warning(spec.loss, spec.model, *finite_range(data))
    eps = getattr(spec.optim, "eps", 1.0)
    vanishes = torch.tensor(eps, dtype=trainer.dtype).item() == 0
    held_back = what_holds_back(spec.model)
    found = [
        remark,
        "" if held_back else no_bottleneck(trainer.code_width, trainer.dataset.features),
        f"optim.eps {eps:g} is 0 in {spec.train.dtype}, and updates divide by it; take 1e-4" if vanishes else None,
    ]
    return (*filter(None, found), *_own_model_warnings(trainer), *trainer.dataset.warnings)


def _own_model_warnings(trainer: Trainer) -> tuple[str, ...]:
    """What a user should know of how their own model is taken."""
    section, model = trainer.spec.model, trainer.model
    if not (isinstance(section, s.OwnModel) and isinstance(model, OwnAutoencoder)):
        return ()
    if model.variational and section.kl_weight == 0:
        return (f"{model.name} returns mean and log-variance, and their KL has weight 0; model.kl_weight sets it",)
    if not model.variational and section.kl_weight:
        return (f"model.kl_weight {section.kl_weight:g} has no effect: {model.name} returns no mean and log-variance",)
    return ()


def finale(trainer: Trainer) -> str:
    """For random data: one fresh input and its output, as the classic examples end."""
    fresh = data_.fresh_sample(trainer.spec.data, trainer.dataset, seed=trainer.spec.train.seed)
    if fresh is None:
        return ""
    output = trainer.predict(torch.from_numpy(fresh[None]).to(trainer.device, trainer.dtype))[0]
    values = output.float().cpu().numpy()[0]
    start = ", ".join(f"{value:.2f}" for value in fresh[:4])
    end = ", ".join(f"{value:.2f}" for value in values[:4])
    return (
        f"fresh random input: standard deviation {fresh.std():.2f} in, {values.std():.2f} out "
        f"({start}, ... came out as {end}, ...); Pairs shows it whole"
    )
