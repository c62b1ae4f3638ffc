"""A verdict and its findings speak of the same thing, and nothing is said that the figures deny."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from aetui import presets
from aetui.diagnosis import diagnose, diagnose_spec
from aetui.diagnosis.api import subject_of
from aetui.diagnosis.dossier import Dossier, Suspect
from aetui.diagnosis.facts import gather
from aetui.diagnosis.observe import Fit, Snapshot, fit
from aetui.diagnosis.verdict import judge
from aetui.diagnosis.weighing import LIKELY, weigh
from aetui.report import FINE, Evidence, Finding, Report, render
from aetui.spec import changed
from evaluation.consistent import contradictions

pytestmark = pytest.mark.usefixtures("one_thread_and_seed")


# --- dead code units ----------------------------------------------------------------------------


def rectified(seed: int, *, relu: bool = True) -> nn.Sequential:
    torch.manual_seed(seed)
    code = [nn.ReLU()] if relu else []
    encoder = (nn.Linear(40, 32), nn.ReLU(), nn.Linear(32, 3), *code)
    return nn.Sequential(*encoder, nn.Linear(3, 32), nn.ReLU(), nn.Linear(32, 40))


@pytest.fixture
def bent() -> torch.Tensor:
    torch.manual_seed(3)
    strong = torch.tanh(torch.randn(1500, 2) @ torch.randn(2, 40))
    return strong + torch.tanh(torch.randn(1500, 6) @ torch.randn(6, 40)) * 0.4


@pytest.mark.parametrize("seed", [1, 2])
def test_dead_code_units_in_the_verdict_are_the_first_finding(bent, seed: int):
    report = diagnose(rectified(seed), bent, lr=1e-2, steps=400, batch_size=128)
    assert "1 of 3 code units are dead" in report.headline
    assert report.cause == "dead-units"
    assert "1 of 3 code units" in report.findings[0].evidence[0].text
    again = diagnose(rectified(seed), bent, lr=1e-2, steps=400, batch_size=128, probes=False)
    assert again.cause == "dead-units"


def test_the_gallery_s_rectified_code_is_named_before_and_after_the_probes():
    spec = changed(presets.load("clinic/relu-code"), {"train.device": "cpu"})
    for probes in (False, True):
        report = diagnose_spec(spec, probes=probes)
        assert report.verdict == "partial" and "code units are dead" in report.headline
        assert report.cause == "dead-units", f"\n{report}"


def test_spare_code_units_are_a_remark_and_no_fault(low_rank):
    torch.manual_seed(0)
    code = nn.Linear(24, 16)
    with torch.no_grad():
        code.bias[:6] = -50.0  # never positive, and not needed for data of rank 4
    model = nn.Sequential(code, nn.ReLU(), nn.Linear(16, 24))
    report = diagnose(model, low_rank(noise=0.02), lr=3e-3, steps=1500)
    assert report.verdict == "healthy", f"\n{report}"
    assert any("6 of 16 code units are dead" in note for note in report.notes), report.notes


# --- bounded and constant outputs ---------------------------------------------------------------


def bumps(*, bounded: bool) -> tuple[nn.Sequential, torch.Tensor]:
    torch.manual_seed(2)
    z = torch.rand(2000, 2) * 2 - 1
    x = torch.exp(-8 * ((z[:, None] - (torch.rand(60, 2) * 2 - 1)) ** 2).sum(2))
    torch.manual_seed(0)
    end = [nn.Tanh()] if bounded else []
    body = (nn.Linear(60, 64), nn.ReLU(), nn.Linear(64, 2), nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 60))
    return nn.Sequential(*body, *end), (x - x.mean(0)) / x.std(0)


def test_a_bounded_output_is_not_at_its_limit_where_a_linear_one_reaches_clearly_more():
    model, x = bumps(bounded=True)
    report = diagnose(model, x, lr=2e-3, steps=1500)
    assert report.verdict == "partial" and report.cause == "output-range", f"\n{report}"
    free, x = bumps(bounded=False)
    better = diagnose(free, x, lr=2e-3, steps=1500)
    assert better.verdict in FINE and "output-range" not in [one.cause for one in better.findings]


class Mute(nn.Module):
    """A linear autoencoder of which some outputs are always 0."""

    def __init__(self, mute: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(24, 4), nn.Linear(4, 24))
        self.register_buffer("kept", (torch.arange(24) >= mute).float())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x) * self.kept


@pytest.mark.parametrize(("mute", "fine"), [(0, True), (4, False)])
def test_outputs_that_stay_constant_while_their_targets_vary_are_not_healthy(low_rank, mute: int, fine: bool):
    report = diagnose(Mute(mute), low_rank(), lr=1e-2, steps=600, probes=False)
    assert (report.verdict in FINE) == fine, f"\n{report}"
    if not fine:
        assert f"{mute} of 24 output features are the same for every row" in report.headline


# --- words against figures ----------------------------------------------------------------------


def dossier(made: Fit, losses: list[float], steps: int, *, before: Fit | None = None) -> Dossier:
    torch.manual_seed(0)
    x = torch.randn(300, 2) @ torch.randn(2, 12)
    subject = subject_of(nn.Sequential(nn.Linear(12, 2), nn.Linear(2, 12)), x, steps=steps)
    shots = [Snapshot(0, before or made, ()), Snapshot(steps // 2, before or made, ()), Snapshot(steps, made, ())]
    return Dossier(subject, gather(subject), shots, losses, [1.0] * steps, [False] * steps, goal=steps)


def a_fit(explained: float, spread: float) -> Fit:
    torch.manual_seed(1)
    target = torch.randn(200, 12)
    base = fit(target, target)
    return replace(base, explained=explained, features=max(0.0, explained), median=explained,
                   ratio={**base.ratio, "median": spread})  # fmt: skip


@pytest.mark.parametrize("spread", [0.0, 0.01, 0.1, 0.29, 0.31, 0.5, 1.04, 3.0])
@pytest.mark.parametrize("explained", [-0.4, 0.0, 0.05, 0.12])
def test_collapsed_means_that_the_outputs_hardly_vary(explained: float, spread: float):
    verdict = judge(dossier(a_fit(explained, spread), [1.0] * 400, 400))
    assert verdict.name == ("collapsed" if spread < 0.3 else "worse-than-linear"), verdict


def test_a_training_that_stands_still_is_not_called_unfinished():
    from aetui.diagnosis.examine import revised

    more = Finding(cause="under-trained", confidence=0.8, title="", text="", source="")
    flat = dossier(a_fit(0.1, 0.1), [1.0] * 400, 400)
    assert revised(flat, judge(flat), (more,)).name == "collapsed"
    rising = dossier(a_fit(0.1, 0.1), [1.0] * 400, 400, before=a_fit(0.05, 0.05))
    assert revised(rising, judge(rising), (more,)).name == "under-trained"


def test_where_no_cause_is_likely_none_is_named_and_what_was_ruled_out_is_said():
    d = dossier(a_fit(0.1, 0.1), [1.0] * 400, 400)
    assert weigh(d, [Suspect("optimizer", LIKELY - 0.01), Suspect("lr-too-low", 0.11)], {}, 0.1) == ()
    assert [one.cause for one in weigh(d, [Suspect("optimizer", LIKELY), Suspect("lr-too-low", 0.11)], {}, 0.1)]
    shown = str(Report(verdict="collapsed", headline="so it is", ruled_out=("learning rate: 0.1 against 0.1",)))
    assert "No cause is likely" in shown and "0.1 against 0.1" in shown and "Next:" in shown


def test_a_weight_of_the_kl_that_takes_nothing_is_no_evidence_for_one_that_is_too_strong():
    class Deaf(nn.Module):
        """A VAE whose decoder does not hear its code; the KL weighs next to nothing."""

        def __init__(self) -> None:
            super().__init__()
            self.mean, self.spread, self.out = nn.Linear(12, 2), nn.Linear(12, 2), nn.Linear(2, 12)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            mean, logvar = self.mean(x), self.spread(x)
            z = mean + torch.randn_like(mean) * (0.5 * logvar).exp()
            return self.out(0 * z), mean, logvar

    def loss(output: tuple[torch.Tensor, ...], target: torch.Tensor) -> torch.Tensor:
        made, mean, logvar = output
        kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).sum(1).mean()
        return (made - target).square().sum(1).mean() + 0.003 * kl

    torch.manual_seed(0)
    x = torch.randn(400, 2) @ torch.randn(2, 12)
    report = diagnose(Deaf(), x, loss=loss, lr=1e-2, steps=600)
    assert report.wrong
    assert report.cause != "posterior-collapse", f"\n{report}"
    assert not contradictions(report)


# --- yardsticks that fit the objective ----------------------------------------------------------


class Vae(nn.Module):
    """A linear VAE that draws its code in eval mode too, as most written by hand do."""

    def __init__(self, features: int, code: int) -> None:
        super().__init__()
        self.mean, self.spread = nn.Linear(features, code), nn.Linear(features, code)
        self.decoder = nn.Linear(code, features)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        mean, logvar = self.mean(x), self.spread(x)
        return self.decoder(mean + torch.randn_like(mean) * (0.5 * logvar).exp()), mean, logvar


def weighed(weight: float):
    def loss(output: tuple[torch.Tensor, ...], target: torch.Tensor) -> torch.Tensor:
        made, mean, logvar = output
        kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).sum(1).mean()
        return 0.5 * (made - target).square().sum(1).mean() + weight * kl

    return loss


@pytest.mark.parametrize("weight", [0.5, 1.0, 2.0])
def test_a_vae_that_does_what_its_objective_asks_is_fine(low_rank, weight: float):
    torch.manual_seed(0)
    report = diagnose(Vae(24, 4), low_rank(), loss=weighed(weight), lr=1e-2, steps=1200)
    assert report.verdict in FINE, f"\n{report}"
    assert report.explained_variance.kl == pytest.approx(report.explained_variance.whole, abs=0.04)


def test_a_vae_whose_objective_asks_for_a_collapse_is_not(low_rank):
    torch.manual_seed(0)
    report = diagnose(Vae(24, 4), low_rank(), loss=weighed(30.0), lr=1e-2, steps=1200)
    assert report.wrong and report.cause == "posterior-collapse"


def test_a_denoiser_is_measured_by_what_its_noisy_inputs_tell(low_rank):
    clean = low_rank(rank=8, noise=0.05, rows=1200)
    torch.manual_seed(0)
    noisy = clean + 2.0 * torch.randn(clean.shape)
    model = nn.Sequential(nn.Linear(24, 8), nn.Linear(8, 24))
    report = diagnose(model, noisy, targets=clean, lr=3e-3, steps=1500)
    assert report.verdict in FINE and "a linear map of the inputs" in report.headline, f"\n{report}"


# --- remedies in the caller's terms -------------------------------------------------------------


class Squeezed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(24, 4), nn.Linear(4, 24)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.decoder(self.encoder(x)))


class Cut(Squeezed):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        code = self.encoder(x).detach()
        return self.decoder(code)


def test_a_report_on_python_code_speaks_python_and_names_the_line(low_rank):
    report = diagnose(Squeezed(), low_rank(), steps=300, probes=False)
    linear, rescale = report.findings[0].remedies
    assert "test_one_story.py:" in linear.line and linear.line.endswith(
        "return torch.sigmoid(self.decoder(self.encoder(x)))"
    )
    assert rescale.python == 'scaling="minmax"'
    assert linear.line.split(": ")[1] in " ".join(str(report).split()) and "--set" not in str(report)
    slow = diagnose(nn.Sequential(nn.Linear(24, 4), nn.Linear(4, 24)), low_rank(), lr=1e-7, steps=300, probes=False)
    assert slow.findings[0].remedies[0].python == "lr=0.001" and "lr=0.001" in str(slow)


def test_the_line_that_cuts_the_gradient_is_named(low_rank):
    report = diagnose(Cut(), low_rank(), steps=200, probes=False)
    found = next(one for one in report.findings if one.cause == "frozen-parameters")
    assert found.remedies[0].line.endswith("code = self.encoder(x).detach()")


def test_a_report_on_a_spec_speaks_of_settings():
    spec = changed(presets.load("digits"), {"optim.lr": 1e-7, "train.steps": 200, "train.device": "cpu"})
    shown = render(diagnose_spec(spec, probes=False), 100)
    assert "--set optim.lr=0.001" in shown


# --- the check itself ---------------------------------------------------------------------------


def test_the_check_of_a_report_sees_what_does_not_go_together():
    def one(cause: str, confidence: float = 0.6, *evidence: Evidence) -> Finding:
        return Finding(cause=cause, confidence=confidence, title="", text="", source="", evidence=evidence)

    fall = Evidence(measure="fall of the loss over the last quarter", value=0.0, text="it fell by 0.0 %")
    kept = Evidence(measure="weight of the KL (beta)", value=0.003, text="a linear VAE would keep 100% of it")
    wrong = [
        Report(verdict="collapsed", headline="outputs vary 104 % as much as the data", findings=(one("optimizer"),)),
        Report(verdict="under-trained", headline="", findings=(one("under-trained", 0.6, fall),)),
        Report(verdict="partial", headline="5 of 10 code units are dead", findings=(one("under-trained"),)),
        Report(verdict="collapsed", headline="", findings=(one("optimizer", 0.11),)),
        Report(verdict="collapsed", headline=""),
        Report(verdict="collapsed", headline="", findings=(one("posterior-collapse", 0.8, kept),)),
    ]
    assert all(len(contradictions(report)) == 1 for report in wrong)
    assert not contradictions(Report(verdict="healthy", headline="explained variance 0.99"))
