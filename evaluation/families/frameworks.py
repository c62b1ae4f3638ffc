"""Models as frameworks want them: a module with training_step and configure_optimizers, one that returns its losses."""

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from evaluation.families.family import Bug, family
from evaluation.families.plain import labeled
from evaluation.reported.case import LOST, SLOW, ReportedCase, Settings, run
from evaluation.reported.data import digits, images, sensors, standardized

CASES: list[ReportedCase] = []


class LitAutoEncoder(nn.Module):
    """Has what a trainer calls, without the framework."""

    def __init__(self, hparams: dict[str, float], bug: str):
        super().__init__()
        self.hparams, self.bug = hparams, bug
        self.encoder = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 10))
        self.decoder = nn.Sequential(nn.Linear(10, 48), nn.ReLU(), nn.Linear(48, 64))
        self.logged: dict[str, float] = {}

    def log(self, name: str, value: Tensor) -> None:
        self.logged[name] = float(value.detach())

    def forward(self, x: Tensor) -> Tensor:
        return self.encoder(x)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x, _ = batch
        x = x.view(x.size(0), -1)
        z = self.encoder(x)
        if self.bug == "rounded":
            z = z.round()
        x_hat = self.decoder(z)
        loss = functional.mse_loss(x_hat, x)
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self) -> dict[str, Any]:
        moved = self.decoder.parameters() if self.bug == "half" else self.parameters()
        optimizer = torch.optim.Adam(moved, lr=self.hparams["lr"])
        gamma = 0.1 if self.bug == "schedule" else 0.98
        every = 1 if self.bug == "schedule" else 20
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=every, gamma=gamma)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


@family(
    CASES,
    story="A module for a trainer: training_step, configure_optimizers with a schedule by step, log.",
    bugs=(
        Bug("schedule", "lr-schedule", "StepLR with step_size=1 and gamma=0.1, called after each step.",
            also=("lr-too-low",), verdicts=SLOW),
        Bug("rounded", "frozen-parameters", "The code is rounded; the encoder gets no gradient.",
            verdicts=(*LOST, "under-trained", "healthy")),
        Bug("half", "frozen-parameters", "configure_optimizers was given the decoder only.",
            verdicts=(*LOST, "under-trained", "healthy")),
        Bug("rate", "lr-too-high", "hparams.lr=1.", also=("dead-units",), verdicts=(*LOST, "diverged")),
    ),
)  # fmt: skip
def lit_module(seed: int, bug: str) -> Settings:
    model = LitAutoEncoder({"lr": 1.0 if bug == "rate" else 3e-3}, bug)
    made = model.configure_optimizers()
    return run(
        model=model, data=labeled(images(), 64), step=model.training_step, optimizer=made["optimizer"],
        scheduler=made["lr_scheduler"]["scheduler"], scheduler_each="step", steps=1500,
    )  # fmt: skip


class ModelOutput(OrderedDict[str, Any]):
    """A mapping whose items are attributes too."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class EncoderMLP(nn.Module):
    def __init__(self, width: int, code: int):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, 64), nn.ReLU())
        self.embedding, self.log_var = nn.Linear(64, code), nn.Linear(64, code)

    def forward(self, x: Tensor) -> ModelOutput:
        out = self.layers(x.reshape(len(x), -1))
        return ModelOutput(embedding=self.embedding(out), log_covariance=self.log_var(out))


class DecoderMLP(nn.Module):
    def __init__(self, width: int, code: int, last: nn.Module):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(code, 64), nn.ReLU(), nn.Linear(64, width), last)

    def forward(self, z: Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=self.layers(z))


class LibraryVAE(nn.Module):
    def __init__(self, width: int, code: int, beta: float, last: nn.Module):
        super().__init__()
        self.encoder, self.decoder, self.beta = EncoderMLP(width, code), DecoderMLP(width, code, last), beta

    def forward(self, inputs: dict[str, Tensor], **kwargs: Any) -> ModelOutput:
        x = inputs["data"]
        encoded = self.encoder(x)
        mu, log_var = encoded.embedding, encoded.log_covariance
        std = torch.exp(0.5 * log_var)
        z = mu + std * torch.randn_like(std)
        recon_x = self.decoder(z)["reconstruction"]
        recon_loss = functional.mse_loss(recon_x.reshape(len(x), -1), x.reshape(len(x), -1), reduction="none").sum(-1)
        kld = -0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp(), dim=-1)
        return ModelOutput(
            recon_loss=recon_loss.mean(0), reg_loss=kld.mean(0), loss=(recon_loss + self.beta * kld).mean(0),
            recon_x=recon_x, z=z,
        )  # fmt: skip


@family(
    CASES,
    story="A VAE of a library: takes a mapping, encoder and decoder return mappings, the output brings its loss.",
    bugs=(
        Bug("beta", "posterior-collapse", "beta=100.", also=("penalty-too-strong",)),
        Bug("sigmoid", "output-range", "Standardized data, and a decoder that ends in a sigmoid."),
        Bug("frozen", "frozen-parameters", "The encoder was frozen for fine-tuning and never thawed.",
            verdicts=(*LOST, "under-trained", "healthy")),
        Bug("units", "input-scaling", "The table goes in as it is, pressures beside speeds in thousands.",
            also=("lr-too-high", "lr-too-low", "exploding-gradients"), verdicts=(*SLOW, "diverged")),
    ),
)  # fmt: skip
def library_vae(seed: int, bug: str) -> Settings:
    rows = sensors(seed) if bug == "units" else standardized(sensors(seed))
    last: nn.Module = nn.Sigmoid() if bug == "sigmoid" else nn.Identity()
    model = LibraryVAE(rows.shape[1], 3, 100.0 if bug == "beta" else 0.05, last)
    if bug == "frozen":
        model.encoder.requires_grad_(False)

    def step(model: nn.Module, inputs: dict[str, Tensor]) -> ModelOutput:
        return model(inputs)

    return run(
        model=model, data={"data": rows}, step=step, batch_size=64, steps=1500,
        optimizer=torch.optim.Adam([one for one in model.parameters() if one.requires_grad], lr=2e-3),
    )  # fmt: skip


class Regressor:
    """Owns model and optimizer, as detectors of outliers with a `fit` do."""

    def __init__(self, features: int, bug: str):
        self.model = nn.Sequential(
            nn.Linear(features, 32), nn.Dropout(0.8 if bug == "dropout" else 0.0), nn.ReLU(), nn.Linear(32, 10),
            nn.Dropout(0.8 if bug == "dropout" else 0.0), nn.ReLU(), nn.Linear(10, 32), nn.ReLU(),
            nn.Linear(32, features),
        )  # fmt: skip
        if bug == "dead":
            nn.init.constant_(self.model[3].bias, -20.0)  # pyright: ignore[reportArgumentType]
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=2e-3, weight_decay=1e-6)
        self.criterion = nn.MSELoss()

    def training_forward(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        x, _ = batch
        return self.criterion(x, model(x))


@family(
    CASES,
    story="A detector of outliers that owns its network and its optimizer, with dropout and the target as the first "
    "argument of a symmetric loss.",
    bugs=(
        Bug("dropout", "noise-too-strong", "dropout_rate=0.8 on a code of ten.", verdicts=(*LOST, "under-trained")),
        Bug("dead", "dead-units", "The bias of the code starts at -20, and a ReLU follows."),
        Bug("nan", "bad-values", "One reading is missing and was left as NaN.", verdicts=(*LOST, "diverged")),
        Bug("constant", "frozen-parameters", "The first two layers have requires_grad off.",
            verdicts=(*LOST, "under-trained", "healthy")),
    ),
)  # fmt: skip
def detector(seed: int, bug: str) -> Settings:
    rows = standardized(digits())
    owner = Regressor(64, bug)
    if bug == "nan":
        rows = rows.clone()
        rows[17, 5] = float("nan")
    if bug == "constant":
        owner.model[0].requires_grad_(False)
        owner.model[3].requires_grad_(False)
    return run(
        model=owner.model, data=labeled(rows, 32), step=owner.training_forward, optimizer=owner.optimizer, steps=1500
    )
