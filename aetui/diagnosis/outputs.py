"""What a model's forward returned, as a diagnosis needs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Size, Tensor

from aetui.diagnosis.parted import SPREADS
from aetui.diagnosis.paths import values_at
from aetui.models import returned

if TYPE_CHECKING:
    from aetui.diagnosis.taken import Look


class OutputError(ValueError):
    """A forward whose return value holds no reconstruction; one sentence."""


@dataclass(frozen=True)
class Output:
    """A forward's return value, taken apart.

    raw: as returned. reconstruction: [batch, ...]. mean and log_variance: of q(z|x), both
    [batch, ...], None where the model returned none. look: the step that it was seen in, where a step of
    the caller's own is diagnosed; the reconstruction is then as the loss compares it.
    """

    raw: Any
    reconstruction: Tensor
    mean: Tensor | None = None
    log_variance: Tensor | None = None
    look: Look | None = None

    @property
    def variational(self) -> bool:
        return self.mean is not None

    def kl(self) -> Tensor | None:
        """KL to the standard normal, summed over the code and averaged over the batch, 0-dim.

        Closed form for Gaussians: Kingma & Welling 2014, appendix B.
        """
        if self.mean is None or self.log_variance is None:
            return None
        mean, log_variance = self.mean, self.log_variance
        terms = mean.square() + log_variance.exp() - 1.0 - log_variance
        return 0.5 * terms.reshape(len(terms), -1).sum(1).mean()


@dataclass(frozen=True)
class Places:
    """Where in what a forward returned the parts lie that the loss uses: paths of `aetui.diagnosis.taken`.

    spread: how the code's spread is given, a key of `aetui.diagnosis.parted.SPREADS`.
    """

    reconstruction: tuple[Any, ...] | None = None
    mean: tuple[Any, ...] | None = None
    log_variance: tuple[Any, ...] | None = None
    spread: str = "log-variance"


def take_apart(raw: Any, target_shape: Size, places: Places | None = None) -> Output:
    """Find the reconstruction in what a forward returned: at its place, and else as `aetui.models.returned` does.

    Raises:
        OutputError: there is no tensor in it.
    """
    if isinstance(raw, Tensor):
        return Output(raw, raw)
    rows = target_shape[0] if target_shape else 1
    found = returned.take_apart(raw, rows, target_shape.numel() // max(1, rows))
    if found is None:
        raise OutputError(
            f"the model's forward returned {type(raw).__name__}, which holds no tensor; it has to return the "
            "reconstruction, or a tuple or mapping with it first"
        )
    if places is None:
        return Output(raw, found.output, found.mean, found.log_variance)
    made = values_at(raw, places.reconstruction)
    mean, spread = values_at(raw, places.mean), values_at(raw, places.log_variance)
    if mean is None or spread is None:
        return Output(raw, found.output if made is None else made)
    return Output(raw, found.output if made is None else made, mean, SPREADS[places.spread][1](spread))
