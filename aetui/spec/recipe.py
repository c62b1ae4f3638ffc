"""How a run is trained: loss, optimizer, schedule and clipping; all of it live."""

from typing import Annotated, Literal

from msgspec import Meta

from aetui.spec.base import LIVE, Section

# --- loss ---------------------------------------------------------------------------------------


class LossSection(Section, frozen=True):
    reduction: Annotated[
        Literal["mean", "sum"], Meta(description="over features; the batch is always averaged", extra=LIVE)
    ] = "mean"
    weighting: Annotated[
        Literal["none", "inverse-variance"],
        Meta(description="inverse-variance divides each feature's loss by the data's variance", extra=LIVE),
    ] = "none"
    l1_code: Annotated[
        float, Meta(ge=0, le=1e6, description="weight of the mean absolute code (sparsity)", extra=LIVE)
    ] = 0.0
    variance_weight: Annotated[
        float,
        Meta(
            ge=0, le=1e6, extra=LIVE,
            description="weight of the term that is positive while outputs vary less than the targets over the batch",
        ),
    ] = 0.0  # fmt: skip


class Mse(LossSection, tag="mse", frozen=True):
    """Squared error."""


class Mae(LossSection, tag="mae", frozen=True):
    """Absolute error."""


class Bce(LossSection, tag="bce", frozen=True):
    """Binary cross-entropy on probabilities: outputs and targets in 0..1."""


class BceLogits(LossSection, tag="bce-logits", frozen=True):
    """Binary cross-entropy on logits: linear outputs, targets in 0..1."""


class Huber(LossSection, tag="huber", frozen=True):
    """Squared error up to delta, absolute beyond."""

    delta: Annotated[
        float, Meta(gt=0, le=1e6, description="error at which squared turns into absolute", extra=LIVE)
    ] = 1.0


class LogCosh(LossSection, tag="log-cosh", frozen=True):
    """log(cosh(error)): squared when small, absolute when large."""


Loss = Mse | Mae | Bce | BceLogits | Huber | LogCosh

# --- optim --------------------------------------------------------------------------------------

Rate = Annotated[float, Meta(ge=0, le=1e6, description="learning rate: step size of the optimizer", extra=LIVE)]
Decay = Annotated[float, Meta(ge=0, le=1e3, description="weight decay (L2; decoupled in adamw)", extra=LIVE)]
Beta1 = Annotated[float, Meta(ge=0, lt=1, description="decay of the mean of the gradients", extra=LIVE)]
Beta2 = Annotated[float, Meta(ge=0, lt=1, description="decay of the mean of the squared gradients", extra=LIVE)]
Epsilon = Annotated[float, Meta(gt=0, le=1, description="added to the denominator for stability", extra=LIVE)]
Momentum = Annotated[float, Meta(ge=0, lt=1, description="momentum", extra=LIVE)]


class OptimSection(Section, frozen=True):
    lr: Rate = 1e-3
    weight_decay: Decay = 0.0


class AdamSection(OptimSection, frozen=True):
    beta1: Beta1 = 0.9
    beta2: Beta2 = 0.999
    eps: Epsilon = 1e-8


class Adam(AdamSection, tag="adam", frozen=True):
    """Adam (Kingma & Ba 2015)."""

    amsgrad: Annotated[bool, Meta(description="keep the largest second moment (Reddi et al. 2018)")] = False


class AdamW(AdamSection, tag="adamw", frozen=True):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""

    weight_decay: Decay = 0.01
    amsgrad: Annotated[bool, Meta(description="keep the largest second moment (Reddi et al. 2018)")] = False


class NAdam(AdamSection, tag="nadam", frozen=True):
    """Adam with Nesterov momentum (Dozat 2016)."""

    lr: Rate = 2e-3
    momentum_decay: Annotated[float, Meta(ge=0, lt=1, description="decay of the momentum schedule", extra=LIVE)] = 4e-3


class RAdam(AdamSection, tag="radam", frozen=True):
    """Rectified Adam (Liu et al. 2020)."""


class Adamax(AdamSection, tag="adamax", frozen=True):
    """Adam on the infinity norm (Kingma & Ba 2015, section 7)."""

    lr: Rate = 2e-3


class Sgd(OptimSection, tag="sgd", frozen=True):
    """Stochastic gradient descent."""

    lr: Rate = 1e-2
    momentum: Momentum = 0.0
    nesterov: Annotated[bool, Meta(description="Nesterov momentum; needs momentum above 0", extra=LIVE)] = False


class RmsProp(OptimSection, tag="rmsprop", frozen=True):
    """RMSprop (Tieleman & Hinton 2012)."""

    alpha: Annotated[float, Meta(ge=0, lt=1, description="decay of the mean of the squared gradients", extra=LIVE)] = (
        0.99
    )
    eps: Epsilon = 1e-8
    momentum: Annotated[float, Meta(ge=0, lt=1, description="momentum")] = 0.0
    centered: Annotated[bool, Meta(description="normalize by the variance instead of the second moment")] = False


class Adagrad(OptimSection, tag="adagrad", frozen=True):
    """Adagrad (Duchi et al. 2011)."""

    lr: Rate = 1e-2
    lr_decay: Annotated[float, Meta(ge=0, le=1, description="the rate is divided by 1 + steps x this", extra=LIVE)] = (
        0.0
    )
    accumulator: Annotated[float, Meta(ge=0, le=1e6, description="initial sum of squared gradients")] = 0.0
    eps: Epsilon = 1e-10


class Adadelta(OptimSection, tag="adadelta", frozen=True):
    """Adadelta (Zeiler 2012)."""

    lr: Rate = 1.0
    rho: Annotated[float, Meta(ge=0, lt=1, description="decay of both running means", extra=LIVE)] = 0.9
    eps: Epsilon = 1e-6


Optim = Adam | AdamW | NAdam | RAdam | Adamax | Sgd | RmsProp | Adagrad | Adadelta

# --- schedule -----------------------------------------------------------------------------------

Horizon = Annotated[int, Meta(ge=0, description="length of the schedule in steps; 0 is the run's own", extra=LIVE)]
Floor = Annotated[float, Meta(ge=0, le=1, description="share of optim.lr that is left at the end", extra=LIVE)]
Warmup = Annotated[int, Meta(ge=0, description="steps of linear warm-up", extra=LIVE)]


class Constant(Section, tag="constant", frozen=True):
    """The rate in force is optim.lr."""


class StepDecay(Section, tag="step", frozen=True):
    """The rate is multiplied by a factor every so many steps."""

    every: Annotated[int, Meta(ge=1, description="steps between two drops", extra=LIVE)] = 1000
    factor: Annotated[float, Meta(gt=0, le=1, description="what each drop multiplies the rate by", extra=LIVE)] = 0.5


class Exponential(Section, tag="exponential", frozen=True):
    """The rate shrinks by the same factor at each step."""

    decay: Annotated[float, Meta(gt=0, le=1, description="factor per step", extra=LIVE)] = 0.999


class Cosine(Section, tag="cosine", frozen=True):
    """Half a cosine from optim.lr down to a share of it (Loshchilov & Hutter 2017)."""

    steps: Horizon = 0
    floor: Floor = 0.0


class WarmupLinear(Section, tag="warmup", frozen=True):
    """Linear warm-up from near 0 to optim.lr, constant afterwards."""

    warmup: Warmup = 100


class OneCycle(Section, tag="one-cycle", frozen=True):
    """Up to optim.lr and down again along cosines (Smith & Topin 2018); optim.lr is the peak."""

    steps: Horizon = 0
    rise: Annotated[float, Meta(gt=0, lt=1, description="share of the steps on the way up", extra=LIVE)] = 0.3
    start: Annotated[float, Meta(gt=0, le=1, description="share of optim.lr at the start", extra=LIVE)] = 0.04
    floor: Floor = 1e-4


class Plateau(Section, tag="plateau", frozen=True):
    """The rate drops when the training loss, averaged over a window, stops improving."""

    window: Annotated[int, Meta(ge=1, description="steps averaged into one reading of the loss", extra=LIVE)] = 100
    patience: Annotated[int, Meta(ge=1, description="readings without improvement before a drop", extra=LIVE)] = 5
    factor: Annotated[float, Meta(gt=0, lt=1, description="what each drop multiplies the rate by", extra=LIVE)] = 0.5
    threshold: Annotated[float, Meta(ge=0, lt=1, description="relative improvement that counts", extra=LIVE)] = 1e-3
    floor: Floor = 1e-3


Schedule = Constant | StepDecay | Exponential | Cosine | WarmupLinear | OneCycle | Plateau

# --- clip ---------------------------------------------------------------------------------------

Threshold = Annotated[float, Meta(gt=0, le=1e12, description="what the gradient is clipped to", extra=LIVE)]


class NoClip(Section, tag="none", frozen=True):
    """Gradients are used as they are."""


class PerTensor(Section, tag="per-tensor", frozen=True):
    """Each tensor's gradient by its own norm (Keras clipnorm)."""

    threshold: Threshold = 1.0


class GlobalNorm(Section, tag="global", frozen=True):
    """All gradients by their joint norm (Keras global_clipnorm, PyTorch clip_grad_norm_)."""

    threshold: Threshold = 1.0


class ValueClip(Section, tag="value", frozen=True):
    """Each entry of the gradient by its size (Keras clipvalue)."""

    threshold: Threshold = 1.0


Clip = NoClip | PerTensor | GlobalNorm | ValueClip
