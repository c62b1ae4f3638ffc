"""Every hyperparameter of a run, stated once: type, default, bounds, help, and whether it is live.

A section is a struct, or one struct per `kind` where the kind decides which settings exist.
The annotation's description is the help text of the form and the comment in the TOML file.
`LIVE` settings change between two steps; the others start a new run.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from aetui.spec.base import LIVE
from aetui.spec.materials import (
    BuiltSection,
    ConstantInit,
    Conv,
    Data,
    DataSection,
    DeepSection,
    Digits,
    File,
    Gaussian,
    HeNormal,
    HeUniform,
    Init,
    InitSection,
    KerasInit,
    Linear,
    Mlp,
    Model,
    ModelSection,
    NormalInit,
    Orthogonal,
    OwnModel,
    PytorchInit,
    SubsetSection,
    UniformInit,
    Vae,
    XavierNormal,
    XavierUniform,
)
from aetui.spec.recipe import (
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamSection,
    AdamW,
    Bce,
    BceLogits,
    Clip,
    Constant,
    Cosine,
    Exponential,
    GlobalNorm,
    Huber,
    LogCosh,
    Loss,
    LossSection,
    Mae,
    Mse,
    NAdam,
    NoClip,
    OneCycle,
    Optim,
    OptimSection,
    PerTensor,
    Plateau,
    RAdam,
    RmsProp,
    Schedule,
    Sgd,
    StepDecay,
    ValueClip,
    WarmupLinear,
)

__all__ = [
    "LIVE_KINDS",
    "About",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamSection",
    "AdamW",
    "Adamax",
    "Bce",
    "BceLogits",
    "BuiltSection",
    "Clip",
    "Constant",
    "ConstantInit",
    "Conv",
    "Cosine",
    "Data",
    "DataSection",
    "DeepSection",
    "Digits",
    "Exponential",
    "File",
    "Gaussian",
    "GlobalNorm",
    "HeNormal",
    "HeUniform",
    "Huber",
    "Init",
    "InitSection",
    "KerasInit",
    "Linear",
    "LogCosh",
    "Loss",
    "LossSection",
    "Mae",
    "Mlp",
    "Model",
    "ModelSection",
    "Mse",
    "NAdam",
    "NoClip",
    "NormalInit",
    "OneCycle",
    "Optim",
    "OptimSection",
    "Orthogonal",
    "OwnModel",
    "PerTensor",
    "Plateau",
    "PytorchInit",
    "RAdam",
    "RmsProp",
    "RunSpec",
    "Schedule",
    "Sgd",
    "StepDecay",
    "SubsetSection",
    "Train",
    "UniformInit",
    "Vae",
    "ValueClip",
    "WarmupLinear",
    "XavierNormal",
    "XavierUniform",
]


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
    cause: Annotated[str, Meta(description="what is wrong with the run, where something is known to be")] = ""
    source: Annotated[str, Meta(description="where the matter is described")] = ""


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
