"""Every hyperparameter of a run, stated once: type, default, bounds, help, and whether it is live.

A section is a struct, or one struct per `kind` where the kind decides which settings exist.
The annotation's description is the help text of the form and the comment in the TOML file.
`LIVE` settings change between two steps; the others start a new run.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

LIVE = {"live": True}


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """Base of every section variant; the struct's tag is its `kind`."""


# --- data ---------------------------------------------------------------------------------------

Scaling = Annotated[
    Literal["none", "standardize", "minmax", "max", "center"],
    Meta(description="per feature, fitted on the training part; max divides everything by the largest value"),
]


class DataSection(Section, frozen=True):
    scaling: Scaling = "none"
    validation: Annotated[float, Meta(ge=0, le=0.9, description="share of the rows held out for validation")] = 0.1
    split_seed: Annotated[int, Meta(ge=0, le=2**32 - 1, description="seed that draws the validation rows")] = 0
    image_shape: Annotated[
        tuple[Annotated[int, Meta(ge=1, le=65536)], ...],
        Meta(
            max_length=3, description="height, width or channels, height, width of a row; empty takes the source's own"
        ),
    ] = ()


class SubsetSection(DataSection, frozen=True):
    rows: Annotated[str, Meta(description="rows to use, as start:stop:step or a list like 0,3,7; empty uses all")] = ""
    columns: Annotated[
        str, Meta(description="columns to use, as start:stop:step or a list of names or numbers; empty uses all")
    ] = ""


class Digits(SubsetSection, tag="digits", frozen=True):
    """The 8x8 handwritten digits of the UCI repository, 1797 x 64, values 0 to 16."""

    scaling: Scaling = "standardize"


class Gaussian(DataSection, tag="gaussian", frozen=True):
    """Independent standard normal numbers: nothing to compress, by construction."""

    rows: Annotated[int, Meta(ge=2, le=10_000_000, description="number of rows to draw")] = 1000
    features: Annotated[int, Meta(ge=1, le=1_000_000, description="number of features to draw")] = 100
    seed: Annotated[int, Meta(ge=0, le=2**32 - 1, description="seed of the numbers drawn")] = 0


class File(SubsetSection, tag="file", kw_only=True, frozen=True):
    """A .npy, .npz, .csv, .tsv, .parquet or .pt file, or a folder of images."""

    path: Annotated[str, Meta(min_length=1, description="file, or folder of images, to read")]
    scaling: Scaling = "standardize"
    key: Annotated[str, Meta(description="array to take from an .npz or .pt file; empty takes the only one")] = ""
    label: Annotated[
        str, Meta(description="column (csv, parquet) or array (npz, pt) that colors the code; it is not trained on")
    ] = ""


Data = Digits | Gaussian | File

# --- model --------------------------------------------------------------------------------------

Activation = Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid", "linear"]
Width = Annotated[int, Meta(ge=1, le=1_000_000)]


class ModelSection(Section, frozen=True):
    code: Annotated[int, Meta(ge=1, le=1_000_000, description="width of the code, the bottleneck")] = 10
    noise: Annotated[
        float,
        Meta(ge=0, le=1e6, description="standard deviation of the noise added to the inputs (denoising)", extra=LIVE),
    ] = 0.0
    output_activation: Annotated[Activation, Meta(description="activation of the output layer")] = "linear"


class Linear(ModelSection, tag="linear", frozen=True):
    """One linear layer in, one out: its optimum spans the principal components."""

    tied: Annotated[bool, Meta(description="the decoder reuses the encoder's weights, transposed")] = False


class DeepSection(ModelSection, frozen=True):
    activation: Annotated[Activation, Meta(description="activation of the hidden layers")] = "relu"
    batch_norm: Annotated[bool, Meta(description="batch normalization after each hidden layer")] = False
    dropout: Annotated[
        float, Meta(ge=0, lt=1, description="share of hidden units dropped at each step", extra=LIVE)
    ] = 0.0


class Mlp(DeepSection, tag="mlp", frozen=True):
    """Dense layers, mirrored around the code."""

    hidden: Annotated[
        tuple[Width, ...],
        Meta(max_length=32, description="widths of the encoder's hidden layers; the decoder mirrors them"),
    ] = (128,)
    code_activation: Annotated[Activation, Meta(description="activation of the code")] = "linear"
    tied: Annotated[bool, Meta(description="the decoder reuses the encoder's weights, transposed")] = False


class Conv(DeepSection, tag="conv", frozen=True):
    """Strided 3x3 convolutions down to the code, transposed ones back up; image-shaped data."""

    hidden: Annotated[
        tuple[Width, ...],
        Meta(min_length=1, max_length=8, description="channels of the encoder's layers, each halving the image"),
    ] = (16, 32)
    code_activation: Annotated[Activation, Meta(description="activation of the code")] = "linear"


class Vae(DeepSection, tag="vae", frozen=True):
    """Variational autoencoder: dense layers, Gaussian code, KL term to the standard normal."""

    hidden: Annotated[
        tuple[Width, ...],
        Meta(max_length=32, description="widths of the encoder's hidden layers; the decoder mirrors them"),
    ] = (128,)
    kl_weight: Annotated[
        float, Meta(ge=0, le=1e6, description="weight of the KL term, summed over the code", extra=LIVE)
    ] = 1.0
    kl_warmup: Annotated[
        int, Meta(ge=0, description="steps over which the KL weight grows from 0; 0 is at once", extra=LIVE)
    ] = 0


Model = Mlp | Conv | Vae | Linear

# --- init ---------------------------------------------------------------------------------------


class InitSection(Section, frozen=True):
    gain: Annotated[float, Meta(gt=0, le=1e6, description="factor on the initial weights, biases untouched")] = 1.0


class PytorchInit(InitSection, tag="pytorch", frozen=True):
    """PyTorch's default: weights and biases uniform within 1/sqrt(fan in)."""


class KerasInit(InitSection, tag="keras", frozen=True):
    """Keras's default: Glorot uniform weights, zero biases."""


class HeNormal(InitSection, tag="he-normal", frozen=True):
    """Normal with variance 2/fan in, zero biases (He et al. 2015)."""


class HeUniform(InitSection, tag="he-uniform", frozen=True):
    """Uniform with variance 2/fan in, zero biases (He et al. 2015)."""


class XavierNormal(InitSection, tag="xavier-normal", frozen=True):
    """Normal with variance 2/(fan in + fan out), zero biases (Glorot & Bengio 2010)."""


class XavierUniform(InitSection, tag="xavier-uniform", frozen=True):
    """Uniform with variance 2/(fan in + fan out), zero biases (Glorot & Bengio 2010)."""


class NormalInit(InitSection, tag="normal", frozen=True):
    """Normal weights of a given spread, zero biases."""

    std: Annotated[float, Meta(ge=0, le=1e6, description="standard deviation of the weights")] = 0.05


class UniformInit(InitSection, tag="uniform", frozen=True):
    """Uniform weights in -bound..bound, zero biases."""

    bound: Annotated[float, Meta(ge=0, le=1e6, description="largest absolute weight")] = 0.05


class Orthogonal(InitSection, tag="orthogonal", frozen=True):
    """Orthogonal weight matrices, zero biases (Saxe et al. 2014)."""


class ConstantInit(InitSection, tag="constant", frozen=True):
    """Every weight the same value, zero biases: units stay identical."""

    value: Annotated[float, Meta(ge=-1e6, le=1e6, description="value of every weight")] = 0.0


Init = (
    PytorchInit | KerasInit | HeNormal | HeUniform | XavierNormal | XavierUniform
    | NormalInit | UniformInit | Orthogonal | ConstantInit
)  # fmt: skip

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

Horizon = Annotated[int, Meta(ge=1, description="length of the schedule in steps", extra=LIVE)]
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

    steps: Horizon = 1000
    floor: Floor = 0.0


class WarmupLinear(Section, tag="warmup", frozen=True):
    """Linear warm-up from near 0 to optim.lr, constant afterwards."""

    warmup: Warmup = 100


class OneCycle(Section, tag="one-cycle", frozen=True):
    """Up to optim.lr and down again along cosines (Smith & Topin 2018); optim.lr is the peak."""

    steps: Horizon = 1000
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

# --- train and about ----------------------------------------------------------------------------


class Train(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    batch_size: Annotated[
        int, Meta(ge=0, description="rows per step; 0 uses all of them at every step", extra=LIVE)
    ] = 64
    steps: Annotated[int, Meta(ge=0, description="steps to train; 0 leaves it to epochs", extra=LIVE)] = 0
    epochs: Annotated[
        int, Meta(ge=0, description="epochs to train when steps is 0; both 0 trains until paused", extra=LIVE)
    ] = 0
    seed: Annotated[
        int, Meta(ge=0, le=2**32 - 1, description="seed of the weights, the batches, noise and dropout")
    ] = 0
    device: Annotated[
        str, Meta(pattern=r"^(auto|cpu|mps|cuda(:[0-9]+)?)$", description="auto, cpu, cuda, cuda:1 or mps")
    ] = "auto"
    dtype: Annotated[
        Literal["float32", "float64", "bfloat16", "float16"], Meta(description="number format of weights and data")
    ] = "float32"
    threads: Annotated[
        int,
        Meta(
            ge=0,
            le=1024,
            description="threads within an operation; 0 takes one for small steps, else PyTorch's own choice",
        ),
    ] = 0


class About(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    title: Annotated[str, Meta(description="what the run shows, in one line")] = ""
    text: Annotated[str, Meta(description="what it shows, in a few sentences")] = ""
    knobs: Annotated[tuple[str, ...], Meta(description="settings worth changing, as section.key=value")] = ()


class RunSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One run: data, model, initialization, loss, optimizer, schedule, clipping, training."""

    data: Data = Digits()
    model: Model = Mlp()
    init: Init = PytorchInit()
    loss: Loss = Mse()
    optim: Optim = Adam()
    schedule: Schedule = Constant()
    clip: Clip = NoClip()
    train: Train = Train()
    about: About = About()


LIVE_KINDS = frozenset({"loss", "optim", "schedule", "clip"})
"""Sections whose `kind` may change between two steps; a new optimizer starts with fresh state."""
