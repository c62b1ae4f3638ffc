"""Fixtures of the screen's tests: a realistic run, and a pane drawn by a real Textual app."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import numpy as np
import pytest
from msgspec import structs
from textual.app import App, ComposeResult
from textual.geometry import Region
from textual.pilot import Pilot
from textual.renderables.blank import Blank

from aetui import protocol as p
from aetui.report import Evidence, Explained, Finding, Remedy, Report
from aetui.spec import RunSpec, SpecError, changed, differences, dumps, loads
from aetui.tui import status_parts
from aetui.tui.app import Workbench
from aetui.tui.journal_entries import Mark
from aetui.tui.model import RunModel
from aetui.tui.pane import Pane
from aetui.tui.picture import ROLES

_HUES = (
    "#d8dee9", "#7b8699", "#5fb3b3", "#f99157", "#6699cc", "#c594c5", "#a7adba", "#fac863", "#ff5555", "#99c794",
    "#ec5f67", "#6699cd", "#f99158", "#99c795", "#c594c6", "#ab7968", "#fac864",
)  # fmt: skip
COLORS = dict(zip(ROLES, _HUES, strict=True))


class Bench(App[None]):
    """An app with one pane on it, in the theme variables of the real one."""

    CSS = "Pane { width: 1fr; height: 1fr; }"

    def __init__(self, pane: Pane) -> None:
        super().__init__()
        self.pane = pane

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return {f"series-{role}": color for role, color in COLORS.items()}

    def compose(self) -> ComposeResult:
        yield self.pane


def run_info(**changes: object) -> p.RunInfo:
    values: dict[str, object] = {
        "run": 1,
        "name": "brisk-otter",
        "spec": dumps(RunSpec()),
        "source": "digits 1797 x 64",
        "architecture": "64-128-[10]-128-64",
        "parameters": 19_402,
        "features": 64,
        "train_rows": 1617,
        "validation_rows": 180,
        "image_shape": (1, 8, 8),
        "labels": tuple("0123456789"),
        "goal": 2000,
        "floors": p.Floors(mean=0.953, linear=0.251, entropy=None, linear_explained=0.737),
        "title": "Digits",
    }
    return p.RunInfo(**(values | changes))  # pyright: ignore[reportArgumentType]


def history(steps: int, seed: int = 0) -> np.ndarray:
    """A noisy training loss that falls from the mean floor to about 0.15, shape (steps,)."""
    rng = np.random.default_rng(seed)
    n = np.arange(steps)
    curve = 0.15 + 0.85 * np.exp(-n / 120) + 0.1 * np.exp(-n / 900)
    return (curve * np.exp(rng.normal(0, 0.06, steps))).astype(np.float32)


def variance(features: int = 64, constant: Iterable[int] = (0, 32, 39), seed: int = 0, **changes: object) -> p.Variance:
    rng = np.random.default_rng(seed)
    data = np.ones(features, np.float32)
    output = rng.beta(4, 1.5, features).astype(np.float32)
    output[rng.choice(features, max(1, features // 20), replace=False)] = 0.03
    constant = [j for j in constant if j < features]
    data[constant], output[constant] = 0, 1e-4
    ratio = output[data > 0] / data[data > 0]
    values: dict[str, object] = {
        "version": 1,
        "step": 1200,
        "output": p.Array.of(output),
        "data": p.Array.of(data),
        "features": features,
        "low": int((ratio < 0.1).sum()),
        "constant": len(constant),
        "quantiles": tuple(float(q) for q in np.quantile(ratio, (0, 0.1, 0.5, 0.9, 1))) if ratio.size else (),
    }
    return p.Variance(**(values | changes))  # pyright: ignore[reportArgumentType]


def code(rows: int = 300, width: int = 10, seed: int = 0) -> p.Code:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, rows)
    angle = 2 * math.pi * labels / 10
    points = np.stack((np.cos(angle), np.sin(angle)), 1) * 3 + rng.normal(0, 0.5, (rows, 2))
    return p.Code(
        version=1,
        step=1200,
        points=p.Array.of(points),
        shares=(0.41, 0.22),
        labels=tuple(int(label) for label in labels),
        width=width,
        effective_rank=6.8,
        active=width - 1,
        variances=p.Array.of(np.r_[np.linspace(2, 0.4, width - 1), 1e-4]),
    )


def pairs(count: int = 12, shape: tuple[int, ...] = (64,), seed: int = 0) -> p.Pairs:
    rng = np.random.default_rng(seed)
    size = math.prod(shape)
    inputs = rng.normal(0, 1, (count, size))
    outputs = 0.8 * inputs + rng.normal(0, 0.2, (count, size))
    return p.Pairs(
        version=1,
        step=1200,
        first=0,
        count=64,
        low=-2.5,
        high=2.5,
        pairs=tuple(
            p.Pair(f"row {i}", p.Array.of(x), p.Array.of(y), float(np.mean((x - y) ** 2)))
            for i, (x, y) in enumerate(zip(inputs, outputs, strict=True))
        ),
    )


def layers() -> p.Layers:
    names = ("encoder.0", "encoder.1", "decoder.0", "decoder.1")
    shapes = ((128, 64), (10, 128), (128, 10), (64, 128))
    return p.Layers(
        version=1,
        step=1200,
        layers=tuple(
            p.Layer(
                name=name,
                shape=shape,
                weight_norm=6.5 + i,
                grad_norm=0.021 * 10**-i,
                update_ratio=8.4e-4 / (i + 1),
                dead=3 * (i == 0) if i != 1 else 0,
                units=shape[0],
            )
            for i, (name, shape) in enumerate(zip(names, shapes, strict=True))
        ),
    )


def collapsed() -> Report:
    """Nearly constant outputs: one root, what follows from it, and a weaker suspect."""
    return Report(
        verdict="collapsed",
        headline="outputs vary 0.4 % as much as the data",
        explained_variance=Explained(whole=0.0114, median_feature=0.0032, linear=0.737),
        variance_ratio={
            "min": 0.0001, "p10": 0.0012, "median": 0.0041, "p90": 0.0093, "max": 0.021,
            "below_0.1": 61, "features": 61,
        },
        floors={"mean": 0.953, "linear": 0.251, "entropy": None},
        loss=0.941,
        steps=1200,
        settled="The outputs have not moved away from the mean for 600 steps.",
        findings=(
            Finding(
                cause="lr-too-high",
                confidence=0.93,
                title="learning rate too high",
                text="Each update moves the weights by a large part of their size. The hidden units are pushed out of "
                "the range where they react to the input, and the outputs fall back to the mean of the data.",
                source="Goodfellow, Bengio and Courville, Deep Learning (2016), section 11.4.1",
                evidence=(
                    Evidence(measure="update / weights", value=0.31, normal="1e-4 to 1e-2", where="encoder.0",
                             text="The last update of encoder.0 is 0.31 times as large as its weights."),
                    Evidence(measure="loss rose at first steps", value=41.2, normal="below 1.5", where="steps 1 to 20",
                             text="The loss rose to 41.2 times its first value within 20 steps."),
                    Evidence(measure="explained variance with lr / 10", value=0.812, normal="0.0114 now",
                             text="A copy with a tenth of the learning rate reaches an explained variance of 0.812."),
                ),
                remedies=(
                    Remedy(id="lr/10", text="Lower the learning rate: torch.optim.Adam(parameters, lr=1e-4).",
                           set={"optim.lr": 1e-4}),
                    Remedy(id="clip", text="Clip the joint norm of the gradient: clip_grad_norm_(parameters, 0.5).",
                           set={"clip.kind": "global", "clip.threshold": 0.5}),
                ),
            ),
            Finding(
                cause="dead-units",
                confidence=0.41,
                title="dead units",
                text="Hidden units that output the same for every sample pass nothing on and get no gradient.",
                source="Lu et al., Dying ReLU and Initialization (2020), section 3",
                follows="lr-too-high",
                evidence=(
                    Evidence(measure="dead units", value=117, normal="below 10 %", where="encoder.0, 128 units",
                             text="117 of 128 units of encoder.0 do not vary over the samples."),
                ),
                remedies=(
                    Remedy(id="width", text="Start again with the units alive: a new run with the same model.",
                           set={"model.hidden": [256]}),
                ),
            ),
            Finding(
                cause="output-range",
                confidence=0.08,
                title="targets outside what the output layer can produce",
                text="The output layer can't reach some of the targets.",
                source="PyTorch documentation, torch.nn.Sigmoid",
                evidence=(
                    Evidence(measure="targets out of range", value=None, text="Some targets are not finite."),
                ),
                remedies=(Remedy(id="layer", text="Leave the activation after the last layer out."),),
            ),
        ),
    )  # fmt: skip


def healthy() -> Report:
    return Report(
        verdict="healthy",
        headline="explained variance 0.874, PCA with the same code width reaches 0.737",
        explained_variance=Explained(whole=0.874, median_feature=0.861, linear=0.737),
        variance_ratio={
            "min": 0.12, "p10": 0.61, "median": 0.87, "p90": 0.97, "max": 1.08, "below_0.1": 0, "features": 61,
        },
        floors={"mean": 0.953, "linear": 0.251, "entropy": None},
        loss=0.12,
        steps=1200,
        settled="The explained variance has been above that of PCA for 400 steps.",
        notes=("3 of 64 features are constant in the data.",),
    )  # fmt: skip


def diagnosis(report: Report | None = None, version: int = 1, **changes: object) -> p.Diagnosis:
    """A diagnosis at step 1,200: `collapsed()` unless another report is given."""
    values: dict[str, object] = {"version": version, "step": 1200, "report": report or collapsed()}
    return p.Diagnosis(**(values | changes))  # pyright: ignore[reportArgumentType]


@pytest.fixture(scope="session")
def reports() -> dict[str, Report]:
    """`collapsed` with three findings and `healthy` with none."""
    return {"collapsed": collapsed(), "healthy": healthy()}


def make_model(steps: int = 1200, loss: np.ndarray | None = None, **info: object) -> RunModel:
    """A paused run of `steps` steps on the digits with every gauge measured; `info` changes its RunInfo."""
    model = RunModel()
    model.absorb(p.Ready(seq=1, info=run_info(**info)))
    loss = history(steps) if loss is None else loss
    steps = len(loss)
    if steps:
        grad = p.Array.of(0.5 + 2 * np.abs(loss))
        record = p.History(start=0, loss=p.Array.of(loss), total=None, grad_norm=grad, end=steps)
        every = max(1, steps // 40)
        measured = [step for step in range(every, steps + 1, every) if np.isfinite(loss[step - 1])]
        points = tuple(p.Point(s, 1.08 * float(loss[s - 1]) + 0.01, 1 - float(loss[s - 1]) / 0.953) for s in measured)
        status = p.Status(
            state="paused",
            step=steps,
            epoch=steps / 51,
            steps_per_second=1120.0,
            lr=3e-4,
            base_lr=3e-4,
            loss=float(loss[-1]),
            grad_norm=0.83,
            threshold=1.0,
            clipped_share=0.12,
            validation_loss=points[-1].validation if points else None,
            explained_variance=points[-1].explained if points else None,
            explained_step=points[-1].step if points else 0,
            memory=412_000_000,
        )
        gauges = {"variance": variance(), "code": code(), "pairs": pairs(), "layers": layers()}
        model.absorb(p.View(run=1, status=status, history=record, points=points, **gauges))
        model.entries.marks.append(Mark(steps // 3, "lr 1e-3 -> 3e-4", "tweak"))
    return model


@pytest.fixture
def run_model() -> Callable[..., RunModel]:
    """Factory of a realistic run: `run_model(steps=1200, loss=None, **run_info_changes)`.

    Gauges may be replaced afterwards: `model.variance = variance(...)` with the makers that are
    attributes of the factory (`run_model.variance`, `.code`, `.pairs`, `.layers`, `.history`, `.diagnosis`).
    """
    for maker in (variance, code, pairs, layers, history, diagnosis):
        setattr(make_model, maker.__name__, maker)
    return make_model


async def _render(
    pane: Pane, model: RunModel, size: tuple[int, int], keys: Iterable[str], svg: str | None
) -> list[str]:
    app = Bench(pane)
    async with app.run_test(size=size) as pilot:
        pane.focus()
        await pilot.pause()
        pane.show(model)
        for key in keys:
            await pilot.press(key)
            pane.show(model)
        await pilot.pause()
        lines = [strip.text for strip in pane.render_lines(Region(0, 0, *pane.outer_size))]
        if svg:
            with open(svg, "w", encoding="utf-8") as file:
                file.write(app.export_screenshot())
    return lines


@pytest.fixture
def render_pane() -> Callable[..., list[str]]:
    """`render_pane(pane, model, size=(80, 24), keys=(), svg=None)`: the pane's lines, its border included.

    `keys` are pressed one after the other, with a frame drawn after each; `svg` names a file for
    a screenshot. For tests that are plain functions.
    """

    def render(
        pane: Pane,
        model: RunModel,
        size: tuple[int, int] = (80, 24),
        keys: Iterable[str] = (),
        svg: str | None = None,
    ) -> list[str]:
        return asyncio.run(_render(pane, model, size, keys, svg))

    return render


class FakeLink:
    """Answers like an engine from a recorded run: fixed numbers, name and times; `sent` keeps every request.

    A run trains by `train` alone. While `holding`, replies are kept until `release`. `tweaks` are those on the path;
    undo takes the last away and starts branch after branch, rewind goes to one of `places`.
    """

    NOW = 1_760_000_000.0

    def __init__(self, page: int = 65_536, **info: object) -> None:
        """page: steps in one view at most. info: changes of the RunInfo."""
        self.sent: list[p.Request] = []
        self.deliver: Callable[[p.Reply], None] = lambda reply: None
        self.lose: Callable[[str], None] = lambda text: None
        self.holding = self.closed = self.detached = False
        self.fails = ""
        """Why the next run can't be loaded."""
        self.page, self.run, self.step, self.state = page, 0, 0, "loading"
        self.diagnosis: p.Diagnosis | None = None
        """What there is to look at; None until there is a verdict."""
        self.loss = history(4000)
        self.spec = RunSpec()
        self._info, self._kept, self._seq = info, [], 0
        self.branch = 1
        self.path: tuple[p.Stretch, ...] = (p.Stretch(1),)
        self.branches: tuple[p.Branch, ...] = ()
        self.tweaks: list[tuple[int, int, RunSpec]] = []
        """Step, number and former settings of each tweak on the path."""
        self.undone: list[tuple[int, RunSpec, tuple[p.Stretch, ...]]] = []
        self.places: tuple[p.Place, ...] = ()
        self.events: list[p.Events] = []
        """Everything that happened."""
        self.screens = 1
        self.unsaved = ""
        self.trial: p.TryState | None = None
        """The experiment as it is, None before there is one."""

    # --- what a screen holds ---

    def connect(self, deliver: Callable[[p.Reply], None], lost: Callable[[str], None]) -> None:
        self.deliver, self.lose = deliver, lost
        self.say(p.Hello(version=p.VERSION, pid=1))

    def send(self, request: p.Request) -> None:
        self.sent.append(request)
        assert len(self.sent) < 1000, "requests without end"
        if isinstance(request, p.Look):
            if self.run:
                self.say(self.view(request))
        elif isinstance(request, p.ListPlaces):
            self.say(p.Places(self.places))
        else:
            self._obey(request)

    def detach(self) -> None:
        self.detached = True

    def close(self) -> None:
        self.closed = True

    # --- what tests ask and do ---

    def commands(self) -> list[p.Commands]:
        """The commands since the last call, each with the id 0."""
        found = [structs.replace(one, id=0) for one in self.sent if isinstance(one, p.Command)]
        self.sent.clear()
        return found

    def looks(self) -> list[p.Look]:
        return [one for one in self.sent if isinstance(one, p.Look)]

    def say(self, reply: p.Reply) -> None:
        if isinstance(reply, p.Event):
            self._seq += 1
            reply = structs.replace(reply, seq=self._seq, branch=self.branch, step=self.step, time=self.NOW + self._seq)
            self.events.append(reply)
        if self.holding:
            self._kept.append(reply)
        else:
            self.deliver(reply)

    def release(self) -> None:
        """Deliver what was held, and hold no more."""
        self.holding = False
        kept, self._kept = self._kept, []
        for reply in kept:
            self.deliver(reply)

    def train(self, steps: int, state: str = "") -> None:
        """Get on by `steps` steps, and then into another state."""
        self.step += steps
        if state:
            self.enter(state)

    def enter(self, state: str, reason: str = "") -> None:
        self.state = state
        self.say(p.StateChanged(state=state, reason=reason))

    @property
    def info(self) -> p.RunInfo:
        own = {"run": self.run, "spec": dumps(self.spec), "path": self.path, "branches": self.branches}
        return run_info(**own | self._info)

    def view(self, look: p.Look) -> p.View:
        since = look.since if look.run == self.run else 0
        loss = self.loss[since : min(self.step, since + self.page)]
        past = self.loss[: self.step]
        points = [p.Point(s, 1.08 * float(past[s - 1]), 1 - float(past[s - 1])) for s in range(50, self.step + 1, 50)]
        status = p.Status(
            state=self.state, lr=self.spec.optim.lr, base_lr=self.spec.optim.lr, memory=412_000_000,
            screens=self.screens, unsaved=self.unsaved, diagnosed=self.step if self.diagnosis else None,
        )  # fmt: skip
        if self.step:
            status = structs.replace(
                status, step=self.step, epoch=self.step / 51, loss=float(past[-1]), grad_norm=0.83,
                steps_per_second=1120.0, clipped_share=0.12, threshold=getattr(self.spec.clip, "threshold", None),
                validation_loss=1.1 * float(past[-1]), explained_variance=1 - float(past[-1]), explained_step=self.step,
            )  # fmt: skip
        makers = {"variance": variance, "code": code, "pairs": pairs, "layers": layers}
        version = 1 + self.step
        gauges = {
            name: structs.replace(makers[name](), version=version, step=self.step)
            for name, have in look.have.items()
            if name in makers and have != version
        }
        found = self.diagnosis
        if found is not None and look.have.get("diagnosis", found.version) != found.version:
            gauges["diagnosis"] = found
        if "pairs" in gauges:
            gauges["pairs"] = structs.replace(gauges["pairs"], first=look.sample)
        page = p.History(since, p.Array.of(loss), None, p.Array.of(0.5 + 2 * np.abs(loss)), self.step)
        known = look.points if look.run == self.run else 0
        trial = self.trial if self.trial is not None and self.trial.version != look.trial else None
        return p.View(
            run=self.run, status=status, history=page if len(loss) else None, points=tuple(points[known:]),
            trial=trial, **gauges
        )  # fmt: skip

    def _obey(self, command: p.Commands) -> None:
        match command:
            case p.New():
                self._load(command)
            case p.Open():
                self._open(command)
            case _ if self.run == 0:
                self.say(p.Refused(command=command.id, text="there is no run yet"))
            case p.Run():
                self.say(p.Accepted(command=command.id, text="running"))
                if command.steps is None:
                    self.enter("running")
                else:
                    self.train(command.steps, "paused")
            case p.Pause():
                self.say(p.Accepted(command=command.id, text="paused"))
                self.enter("paused")
            case p.Set():
                self._set(command.id, command.changes)
            case p.Examine():
                self.say(p.Accepted(command=command.id, text="checking the suspects"))
                self.enter("paused")
            case p.Nudge():
                self._set(command.id, {"optim.lr": f"{self.spec.optim.lr * 10 ** (command.by / 4):.6g}"})
            case p.TryForks() | p.CancelTry():
                self.say(p.Accepted(command=command.id, text="trying"))
                self.enter("paused")
            case p.Adopt():
                self.say(p.Accepted(command=command.id, text=f"adopted {command.fork}"))
                self.enter("running")
            case p.Undo():
                self._undo(command.id)
            case p.Redo() if self.undone:
                step, spec, path = self.undone.pop()
                self.tweaks.append((self.step, self._seq, self.spec))
                self.spec = spec
                self.move(command.id, step, f"redone: back at step {step:,}", path)
            case p.Redo():
                self.say(p.Refused(command=command.id, text="there is nothing to redo"))
            case p.Rewind():
                (place,) = (one for one in self.places if one.checkpoint == command.checkpoint)
                self.move(command.id, place.step, f"back at step {place.step:,}")

    def _undo(self, command: int) -> None:
        if not self.tweaks:
            self.say(p.Refused(command=command, text="there is no tweak to take back"))
            return
        step, seq, spec = self.tweaks.pop()
        self.undone.append((self.step, self.spec, self._closed()))
        self.spec = spec
        self.move(command, step, f"undone: back at step {step:,}", self._closed(seq - 1))

    def _closed(self, last: int | None = None) -> tuple[p.Stretch, ...]:
        """The path up to an event, by default the latest."""
        last = self._seq if last is None else last
        first = {event.branch: event.seq for event in reversed(self.events)}
        stretches = (stretch for stretch in self.path if first.get(stretch.branch, last + 1) <= last)
        return tuple(
            p.Stretch(stretch.branch, last=last if stretch.last is None else min(stretch.last, last))
            for stretch in stretches
        )

    def move(
        self, command: int, step: int, text: str, path: tuple[p.Stretch, ...] | None = None, **ways: int | None
    ) -> None:
        """Stand elsewhere, by default further up the path; what comes next is another branch."""
        start, end = min(step, self.step), self.step
        steps = np.arange(start + 1, end + 1)
        left = p.Branch(
            id=self.branch, start=start, end=end, steps=p.Array.of(steps), loss=p.Array.of(self.loss[start:end])
        )
        self.branches += (left,) * (end > start)
        path = self._closed() if path is None else path
        self.branch, self.run, self.step = self.branch + 1, self.run + 1, step
        self.path = (*path, p.Stretch(self.branch))
        self.say(p.Moved(command=command, text=text, info=self.info, **ways))

    def _open(self, command: p.Open) -> None:
        self.say(p.Loading(stage="reading the record"))
        past, self.state, self.run = tuple(self.events), "paused", self.run + 1
        self.say(p.Ready(info=self.info))
        self.say(p.Past(past))
        self.say(p.Accepted(command=command.id, text="opened"))
        self.enter("running" if command.start else "paused")

    def join(self) -> None:
        """What an engine says to a screen that comes later."""
        self.deliver(p.Ready(seq=self._seq, step=self.step, time=self.NOW, info=self.info))
        self.deliver(p.Past(tuple(self.events)))

    def _load(self, command: p.New) -> None:
        self.say(p.Loading(stage="computing the floors"))
        if self.fails:
            reply = p.Refused(command=command.id, text=self.fails) if self.run else p.Failed(text=self.fails)
            self.say(reply)
            return
        self.spec, self.step, self.run, self.state = loads(command.spec), 0, self.run + 1, "paused"
        self.say(p.Ready(info=self.info))
        self.say(p.Accepted(command=command.id, text="loaded"))
        self.enter("running" if command.start else "paused")

    def _set(self, command: int, changes: dict[str, str]) -> None:
        try:
            spec = changed(self.spec, changes, text=True)
        except SpecError as error:
            self.say(p.Refused(command=command, text=str(error)))
            return
        found = differences(self.spec, spec)
        if found:
            self.tweaks.append((self.step, self._seq + 1, self.spec))
            self.undone.clear()
        self.spec = spec
        changes_ = tuple(p.Change(one.path, one.old, one.new) for one in found)
        text = ", ".join(map(str, found)) or "nothing to change: the settings are in force already"
        self.say(
            p.Accepted(command=command, text=text, changes=changes_, info=self.info, effect="done" if found else "none")
        )


@pytest.fixture(scope="session")
def fake_link() -> type[FakeLink]:
    return FakeLink


@pytest.fixture
def workbench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[Workbench, FakeLink]]]:
    """`app, link = workbench(link=FakeLink(), spec=RunSpec(), **Workbench's arguments)`, in UTC, figures never old."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setattr(status_parts, "OLD", math.inf)

    def make(link: FakeLink | None = None, spec: RunSpec | None = None, **others: object) -> tuple[Workbench, FakeLink]:
        link = link or FakeLink()
        return Workbench(link, spec or RunSpec(), **others), link  # pyright: ignore[reportArgumentType]

    yield make
    monkeypatch.undo()
    time.tzset()


@asynccontextmanager
async def _opened(app: Workbench, size: tuple[int, int] = (120, 40)) -> AsyncIterator[Pilot[None]]:
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        yield pilot


@pytest.fixture
def plain_backdrop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is shown behind a dialog: dimming it takes half of the time of tests that look at what keys do."""
    monkeypatch.setattr("textual.screen.BackgroundScreen", lambda screen, color: Blank(color))


@pytest.fixture
def opened() -> Callable[..., AbstractAsyncContextManager[Pilot[None]]]:
    """`async with opened(app, size=(120, 40)) as pilot`: the app running, its first run loaded if its link loads it."""
    return _opened
