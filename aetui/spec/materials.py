"""What a run is made of: data, model and initialization."""

from typing import Annotated, Literal

from msgspec import Meta

from aetui.spec.base import LIVE, Section

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
    non_finite: Annotated[
        Literal["refuse", "keep", "mean"],
        Meta(description="NaN and infinite entries: refuse the data, keep them, or put the column's mean in"),
    ] = "refuse"


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


class BuiltSection(ModelSection, frozen=True):
    output_activation: Annotated[Activation, Meta(description="activation of the output layer")] = "linear"


class Linear(BuiltSection, tag="linear", frozen=True):
    """One linear layer in, one out: its optimum spans the principal components."""

    tied: Annotated[bool, Meta(description="the decoder reuses the encoder's weights, transposed")] = False


class DeepSection(BuiltSection, frozen=True):
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


class OwnModel(ModelSection, tag="file", kw_only=True, frozen=True):
    """Your own torch.nn.Module, from a Python file; its initial weights are its own unless init says otherwise."""

    path: Annotated[
        str,
        Meta(
            min_length=1,
            description="file.py:name of a module class, or of a function that makes one; the file's code is run",
        ),
    ]
    args: Annotated[
        str,
        Meta(
            description="what it is called with, as key=value with commas between; number of features and image shape "
            "are given by name"
        ),
    ] = ""
    code: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000_000,
            description="width of the code, for the linear floor and the code pane; 0 finds the model's bottleneck",
        ),
    ] = 0
    kl_weight: Annotated[
        float,
        Meta(
            ge=0,
            le=1e6,
            description="weight of the KL term, summed over the code, where forward returns mean and log-variance too",
            extra=LIVE,
        ),
    ] = 0.0


Model = Mlp | Conv | Vae | Linear | OwnModel

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
