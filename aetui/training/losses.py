"""The loss in force: reconstruction term, feature weights, penalties."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aetui.models.base import Reconstruction
from aetui.spec import sections
from aetui.spec.fields import fields_of
from aetui.spec.sections import Loss, Model
from aetui.training.kinds import complete, takes

Pointwise = Callable[[Tensor, Tensor], Tensor]
Constant = Literal["mean", "median"] | Callable[..., Tensor]


class Objective:
    """A loss section as a function of a reconstruction and its targets, [batch, features].

    The reconstruction term is averaged over the batch always, and averaged (`mean`) or summed
    (`sum`) over the features. Penalties are added as they are, whatever the reduction:

    - `l1_code` times the mean absolute code, over batch and code.
    - `variance_weight` times the mean over features of max(0, 1 - std(prediction_j) / std(target_j)),
      the prediction's standard deviation over the batch (n - 1 in the denominator), the target's over
      the training data; compare the variance term of VICReg (Bardes et al. 2022). It is about 1 where
      all outputs are the same. A batch of one row has no variance, and the term is 0.
    - `kl_weight` times the KL, summed over the code and averaged over the batch. Against squared
      errors with reduction `sum`, a weight of w is a beta of w/2 in the beta-VAE of a Gaussian decoder
      with unit variance; with reduction `mean`, a beta of w/2 times the number of features.

    Features that are constant in the targets have no variance to divide by: they keep weight 1 under
    `inverse-variance`, and are left out of the variance term.

    Args:
        target_variance: variance of each feature of the training targets, [features], on the device
            of the batches, 0 for constant ones (`aetui.models.moments.feature_variance`). None where
            neither the weighting nor the variance term is in use.

    Raises:
        ValueError: the settings need `target_variance` and it is None.
    """

    def __init__(self, section: Loss, target_variance: Tensor | None = None) -> None:
        self.section = section
        self.weights: Tensor | None = None
        """Factor on each feature's loss, [features], or None for all 1."""
        kind, options = LOSSES[type(section)], options_of(section)
        self._elementwise, self._mean = kind.of_entries(options), kind.averaged(options)
        self._summed = section.reduction == "sum"
        self.logits, self.entropic = kind.logits, kind.entropic
        self.constant: Constant = partial(kind.constant, **options) if callable(kind.constant) else kind.constant
        """See `LossKind.constant`."""
        self.penalties: dict[str, tuple[float, Callable[[Reconstruction], Tensor]]] = {}
        """Weight of each penalty in force besides a KL, by name, and the 0-dim term that it weighs."""
        if section.l1_code:
            self.penalties["l1_code"] = section.l1_code, _code_size
        if section.variance_weight:
            self.penalties["variance"] = section.variance_weight, self._lost_variance
        if section.weighting == "inverse-variance" or section.variance_weight > 0:
            if target_variance is None:
                setting = "loss.weighting" if section.weighting == "inverse-variance" else "loss.variance_weight"
                raise ValueError(f"{setting} needs the variance of the targets, and none was given")
            varies = target_variance > 0
            inverse = torch.where(varies, 1 / target_variance, 1.0)
            if section.weighting == "inverse-variance":
                self.weights = inverse
            self._inverse = inverse
            self._share = varies.to(inverse.dtype) / varies.sum().clamp(min=1)
        self.reconstruction: Pointwise = self._choose()
        """(output, target) -> 0-dim reconstruction term."""

    def __call__(
        self, reconstruction: Reconstruction, target: Tensor, kl_weight: float | Tensor = 0.0
    ) -> tuple[Tensor, Tensor | None]:
        """The reconstruction term and the loss with penalties, both 0-dim; None where there are no penalties.

        kl_weight: a weight in a 0-dim tensor is not 0.
        """
        term = self.reconstruction(reconstruction.output, target)
        on_device = isinstance(kl_weight, Tensor)
        has_kl = reconstruction.kl is not None and (on_device or kl_weight != 0)
        if not (self.penalties or has_kl):
            return term, None
        total = term
        for weight, penalty in self.penalties.values():
            total = total + weight * penalty(reconstruction)
        if has_kl:
            assert reconstruction.kl is not None
            weighed = kl_weight * reconstruction.kl
            # The weight is no number of 16 bits, and two 0-dim tensors multiply in the wider format.
            total = total + (weighed.to(reconstruction.kl.dtype) if on_device else weighed)
        return term, total

    def elementwise(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of each entry, unweighted, in the shape of `output`."""
        return self._elementwise(output, target)

    def reduce(self, losses: Tensor) -> Tensor:
        """Weight and reduce over the features, the last dimension."""
        if self.weights is not None:
            losses = losses * self.weights.to(losses)
        return losses.sum(-1) if self._summed else losses.mean(-1)

    def prediction(self, output: Tensor) -> Tensor:
        """What to compare with the targets: the sigmoid of logits, any other output as it is."""
        return torch.sigmoid(output) if self.logits else output

    def variance_term(self, prediction: Tensor) -> Tensor:
        """How much less than the targets the predictions vary over the batch, 0-dim, from 0 to 1."""
        return variance_term(prediction, self._inverse, self._share)

    def _lost_variance(self, reconstruction: Reconstruction) -> Tensor:
        return self.variance_term(self.prediction(reconstruction.output))

    def _choose(self) -> Pointwise:
        if self.weights is not None:
            return self._weighted
        return self._sum if self._summed else self._mean

    def _weighted(self, output: Tensor, target: Tensor) -> Tensor:
        return self.reduce(self._elementwise(output, target).mean(0))

    def _sum(self, output: Tensor, target: Tensor) -> Tensor:
        return self._mean(output, target) * output.shape[-1]


def _code_size(reconstruction: Reconstruction) -> Tensor:
    return reconstruction.code.abs().mean()


def _mean_of(elementwise: Pointwise, output: Tensor, target: Tensor) -> Tensor:
    return elementwise(output, target).mean()


def variance_term(prediction: Tensor, inverse_variance: Tensor, share: Tensor) -> Tensor:
    """How much less than the data the predictions vary over the batch, from 0 to 1."""
    if len(prediction) < 2:
        return prediction.new_zeros(())
    ratio = prediction.var(0) * inverse_variance
    # The root has no slope at 0.
    return (F.relu(1 - (ratio + 1e-8).sqrt()) * share).sum()


def binary_cross_entropy(probability: Tensor, target: Tensor) -> Tensor:
    """PyTorch's binary cross-entropy of each entry, logarithms cut at -100; NaN for no probability and for a NaN.

    The formula is linear in the target and goes on beyond 0..1, as PyTorch's does on logits: the
    validation part may exceed the range that minmax fits on the training part. PyTorch raises for
    either on a CPU and aborts the process's CUDA context on a GPU.
    """
    valid = (probability >= 0) & (probability <= 1)
    probability, within = torch.where(valid, probability, 0.5), target.nan_to_num().clamp(0, 1)
    slope = torch.logit(probability, eps=torch.finfo(probability.dtype).eps)
    loss = F.binary_cross_entropy(probability, within, reduction="none") - (target - within) * slope
    return torch.where(valid, loss, torch.nan)


def log_cosh(output: Tensor, target: Tensor) -> Tensor:
    """log(cosh(output - target)) of each entry.

    Written as |e| + log(1 + (exp(-2|e|) - 1) / 2), which neither overflows for large errors nor
    cancels to 0 for small ones as log(cosh) does.
    """
    error = (output - target).abs()
    return error + torch.log1p(0.5 * torch.expm1(-2 * error))


def _clamped(error: Tensor, delta: float) -> Tensor:
    return error.clamp(-delta, delta)


@dataclass(frozen=True)
class LossKind:
    """All that engine, floors, diagnosis and exported scripts know of a loss."""

    name: str
    """As `aetui.diagnose` takes it."""
    function: Callable[..., Tensor]
    """(output, target, and the settings of its own by name): PyTorch's, with its reductions, or one whose source
    needs nothing but torch and `F` and that returns the loss of each entry."""
    constant: Constant = "mean"
    """The constant prediction with the least loss: each feature's mean or median, or where the slopes of this function
    of the errors, which never falls, balance."""
    entropic: bool = False
    """Whether it compares probabilities with targets in 0..1."""
    logits: bool = False
    """Whether outputs are the logits of what is compared with targets."""
    known_as: tuple[Any, ...] = ()
    """PyTorch's own modules and functions that are the same."""

    @property
    def native(self) -> bool:
        """Whether the function is PyTorch's."""
        return getattr(F, getattr(self.function, "__name__", ""), None) is self.function

    def of_entries(self, options: dict[str, Any]) -> Pointwise:
        """The loss of each entry."""
        given = {**options, "reduction": "none"} if self.native else options
        return partial(self.function, **given) if given else self.function

    def averaged(self, options: dict[str, Any]) -> Pointwise:
        """The mean over all entries."""
        if not self.native:
            return partial(_mean_of, self.of_entries(options))
        return partial(self.function, **options) if options else self.function


LOSSES: dict[type, LossKind] = complete(
    {
        sections.Mse: LossKind("mse", F.mse_loss, known_as=(nn.MSELoss, F.mse_loss)),
        sections.Mae: LossKind("mae", F.l1_loss, "median", known_as=(nn.L1Loss, F.l1_loss)),
        sections.Bce: LossKind(
            "bce", binary_cross_entropy, entropic=True, known_as=(nn.BCELoss, F.binary_cross_entropy)
        ),
        sections.BceLogits: LossKind(
            "bce_logits",
            F.binary_cross_entropy_with_logits,
            entropic=True,
            logits=True,
            known_as=(nn.BCEWithLogitsLoss, F.binary_cross_entropy_with_logits),
        ),
        sections.Huber: LossKind("huber", F.huber_loss, _clamped, known_as=(nn.HuberLoss, F.huber_loss)),
        sections.LogCosh: LossKind("log_cosh", log_cosh, torch.tanh),
    },
    Loss,
)
"""What each kind of a spec's losses is."""


def settings_of(section: type) -> list[str]:
    """The settings that a kind of loss has of its own."""
    return [name for name in fields_of(section) if name not in sections.LossSection.__struct_fields__]


def options_of(section: Loss) -> dict[str, Any]:
    """The same with their values."""
    return {name: getattr(section, name) for name in settings_of(type(section))}


for _section, _kind in LOSSES.items():
    takes(_kind.function, dict.fromkeys(settings_of(_section)))


def domain_warning(loss_section: Loss, model_section: Model, data_min: float, data_max: float) -> str | None:
    """One sentence where outputs or targets lie outside of what a cross-entropy is made for, else None.

    Args:
        data_min: smallest target, after scaling.
        data_max: largest target, after scaling.
    """
    if not isinstance(loss_section, sections.Bce | sections.BceLogits):
        return None
    kind = "bce" if isinstance(loss_section, sections.Bce) else "bce-logits"
    if not isinstance(model_section, sections.BuiltSection):
        activation = "sigmoid" if kind == "bce" else "linear"
    else:
        activation = model_section.output_activation
    wrongs: list[str] = []
    ways: list[str] = []
    if not (data_min >= 0 and data_max <= 1):
        wrongs.append(f"takes targets from 0 to 1 and the scaled data run from {data_min:.3g} to {data_max:.3g}")
        ways.append("data.scaling to minmax")
    if kind == "bce" and activation != "sigmoid":
        wrongs.append(f"takes outputs from 0 to 1 and model.output_activation {activation} does not keep them there")
        ways.append("model.output_activation to sigmoid")
    if kind == "bce-logits" and activation != "linear":
        wrongs.append(f"applies a sigmoid itself and model.output_activation {activation} comes before it")
        ways.append("model.output_activation to linear")
    if not wrongs:
        return None
    return f"loss.kind {kind} {', and '.join(wrongs)}; set {' and '.join(ways)}, or loss.kind to mse"
