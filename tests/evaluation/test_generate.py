import numpy as np
import pytest
import torch

from aetui.report import CAUSES
from evaluation import generate as generated
from evaluation.generate import SPLITS, CaseId, candidate, fails, generate, identities, plant
from evaluation.generate_healthy import Healthy
from evaluation.trial import Outcome, run


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def weights(kwargs):
    return [p.detach().numpy() for p in kwargs["model"].parameters()]


def outcome(whole, *, features=0.9, train_mode=0.9, held_out=float("nan"), noise=0.1):
    return Outcome(whole, features, train_mode, held_out, noise)


@pytest.mark.parametrize("kind", [*CAUSES, "healthy"])
def test_the_same_id_gives_the_same_candidate(kind):
    identity = CaseId("test", kind, 4)
    first, second = candidate(identity, 2), candidate(identity, 2)
    assert first.plan == second.plan
    assert np.array_equal(first.broken["data"], second.broken["data"], equal_nan=True)
    for one, two in zip(weights(first.broken), weights(second.broken), strict=True):
        assert np.array_equal(one, two)


def test_candidates_differ_by_number_seed_and_attempt():
    plans = {
        plant(CaseId("test", "lr-too-low", number, seed), attempt).broken.model.seed
        for number in (0, 1)
        for seed in (0, 1)
        for attempt in (0, 1)
    }
    assert len(plans) == 8


def test_splits_share_no_seed():
    seeds = {split: set() for split in SPLITS}
    for split in SPLITS:
        for kind in (*CAUSES, "healthy"):
            for number in range(5):
                planted = plant(CaseId(split, kind, number), 0)
                plan = planted.plan if isinstance(planted, Healthy) else planted.broken
                seeds[split] |= {plan.seed, plan.data.seed, plan.model.seed}
    assert not seeds["calibration"] & seeds["test"]


def test_a_candidate_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    case = candidate(CaseId("test", "noise-too-strong", 0), 0)
    run(case.broken, 3)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_trial_leaves_the_model_as_it_was():
    case = candidate(CaseId("test", "lr-too-high", 0), 0)
    before = [w.copy() for w in weights(case.broken)]
    run(case.broken, 5)
    assert all(np.array_equal(a, b) for a, b in zip(before, weights(case.broken), strict=True))


def test_causes_take_turns():
    ids = list(identities("test", len(CAUSES) + 1, 2))
    assert [i.kind for i in ids] == [*CAUSES, CAUSES[0], "healthy", "healthy"]
    assert [str(i) for i in ids[-3:]] == ["test:bad-values:1:0", "test:healthy:0:0", "test:healthy:1:0"]


def test_ids_survive_as_text():
    identity = CaseId("calibration", "dead-units", 3, 7)
    assert CaseId.parse(str(identity)) == identity
    with pytest.raises(ValueError, match="test:lr-too-high:0:0"):
        CaseId.parse("test:warp-core:0:0")


# Causes that take a second or less; the others are drawn and checked in the same way.
@pytest.mark.parametrize(
    ("kind", "number"),
    [("shape-broadcast", 6), ("loss-domain", 1), ("lr-too-high", 0), ("frozen-parameters", 5),
     ("penalty-too-strong", 0)],
)  # fmt: skip
def test_an_accepted_case_fails_and_its_repair_works(kind, number):
    case = generate(CaseId("test", kind, number))
    assert case.cause == kind
    assert case.figures["repaired"] > 0.3
    # Written so that NaN passes: a run that ends in it has failed.
    assert not case.figures["broken"] >= 0.6 * case.figures["repaired"]


def test_a_known_attempt_gives_the_same_case_unchecked(monkeypatch):
    identity = CaseId("test", "lr-too-high", 0)
    accepted = generate(identity)
    monkeypatch.setattr(generated, "check", lambda case: pytest.fail("checked again"))
    again = generate(identity, accepted.attempt)
    assert again.variant == accepted.variant and again.plan == accepted.plan


def test_no_acceptable_candidate_is_said(monkeypatch):
    monkeypatch.setattr(generated, "check", lambda case: None)
    monkeypatch.setattr(generated, "ATTEMPTS", 2)
    with pytest.raises(LookupError, match="test:lr-too-low:0:0"):
        generate(CaseId("test", "lr-too-low", 0))


def test_every_cause_has_a_planter_whose_fault_is_one_change_away():
    for kind in CAUSES:
        fault = plant(CaseId("test", kind, 1), 0)
        assert fault.broken != fault.repaired
        assert fault.broken.seed == fault.repaired.seed and fault.variant


@pytest.mark.parametrize(("longer", "accepted"), [(0.3, True), (0.85, False)])
def test_what_more_steps_repair_is_no_clear_case(monkeypatch, longer, accepted):
    case = candidate(CaseId("test", "noise-too-strong", 4), 0)
    fault = plant(case.id, 0)
    monkeypatch.setattr(generated.trial, "principal", lambda kwargs, width: 0.9)

    def run_of(kwargs, steps):
        if steps > fault.repaired.steps:
            return outcome(longer)
        return outcome(0.2) if kwargs is case.broken else outcome(0.9)

    monkeypatch.setattr(generated.trial, "run", run_of)
    assert (generated.check(case) is not None) is accepted


def test_criteria():
    good, bad, lost = outcome(0.9), outcome(0.2, features=0.2), outcome(0.85, features=0.3)
    assert fails(bad, good, "explained") and not fails(outcome(0.7), good, "explained")
    assert fails(outcome(float("nan")), good, "explained")
    assert fails(lost, good, "features") and not fails(lost, good, "explained")
    assert fails(bad, good, "train-eval")
    assert not fails(outcome(0.2, train_mode=0.3), good, "train-eval")
    assert fails(outcome(0.99, noise=0.95), outcome(0.9, noise=0.2), "copy")
    assert not fails(outcome(0.99, noise=0.95), outcome(0.9, noise=0.9), "copy")
    assert fails(outcome(0.99, held_out=0.2), outcome(0.8, held_out=0.6), "memorize")
    assert not fails(outcome(0.99, held_out=0.9), outcome(0.8, held_out=0.95), "memorize")
