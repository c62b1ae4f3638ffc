"""The course of an experiment: which forks there are, when they leave off, and what is made of them."""

import numpy as np
import pytest
from msgspec.structs import replace

from aetui.report import DEAD_CODE, Finding, Remedy, Report
from aetui.spec import SpecError
from aetui.training.checkpoint import capture
from aetui.training.trainer import Trainer
from aetui.whatif import judging
from aetui.whatif.course import Trial
from aetui.whatif.experiment import CONTROLS
from aetui.whatif.forks import Saved
from aetui.whatif.source import LONGEST, SHORTEST, Source, budget, moved_by, of_spec
from tests.whatif.conftest import Inline, tiny


def report(*remedies: Remedy, verdict: str = "collapsed", symptom: str = "") -> Report:
    finding = Finding(cause="lr-too-low", confidence=0.9, title="", text="", source="", remedies=remedies)
    return Report(verdict=verdict, headline="", symptom=symptom, findings=(finding,))


def remedy(name: str = "lr", **values: object) -> Remedy:
    return Remedy(id=name, text=name, set={path.replace("__", "."): value for path, value in values.items()})


def source(spec=None, found: Report | None = None, **more) -> Source:
    return of_spec("test", spec or tiny(optim__lr=1e-6, **more), found)


def under_way(steps: int, **settings) -> Source:
    """A run that has been trained for so many steps."""
    spec = tiny(**settings)
    trainer = Trainer(spec)
    losses = trainer.run(steps).loss
    return Source("test", spec, trainer, 1, step=steps, saved=Saved.of(capture(trainer)), losses=losses)


def test_controls_remedies_edits_and_a_random_draw_in_this_order(tried):
    found = report(remedy("lr", optim__lr=0.01), remedy("code"), remedy("lr", optim__lr=0.01))
    x = tried(source(found=found), edits=[{"optim.lr": "0.003"}], draws=1, steps=120)
    assert [fork.name for fork in x.forks] == ["untouched", "reordered", "lr", "edit-1", "random"]
    assert [fork.change.origin for fork in x.forks[:2]] == list(CONTROLS)
    assert [one.remedy for one in x.described] == ["code"]
    assert x.fork("lr").verdict == "fixes it" and judging.winner(x).name == "lr"
    assert all(len(fork.curve) == 24 or fork.status in ("stopped", "diverged") for fork in x.forks)
    assert {fork.full.step for fork in x.forks if fork.full} == {120}


def test_there_are_no_more_forks_than_asked_for_but_all_of_the_user_s(tried):
    remedies = [remedy(f"lr-{number}", optim__lr=0.001 * number) for number in range(2, 9)]
    x = tried(source(found=report(*remedies)), steps=20, forks=6)
    assert len(x.forks) <= 6 and "not tried for want of room" in x.note and "0.008" in x.note
    edits = [{"optim.lr": str(0.001 * number)} for number in range(2, 9)]
    assert len([fork for fork in tried(source(), steps=20, forks=4, edits=edits).forks if not fork.control]) == 7


def test_the_two_best_are_combined_where_none_fixes_it_alone(tried):
    found = report(remedy("rate", optim__lr=3e-4), remedy("scale", data__scaling="standardize"))
    x = tried(source(spec=tiny(optim__lr=1e-5, train__batch_size=32), found=found), steps=40)
    both = x.forks[-1]
    assert both.change.origin == "combination" and both.name == "scale+rate", "the better one first"
    assert both.change.values == {"optim.lr": "0.0003", "data.scaling": "standardize"}
    found = report(remedy("lr", optim__lr=0.01), remedy("scale", data__scaling="standardize"))
    fixed = tried(source(found=found), steps=200)
    assert fixed.fork("lr").verdict == "fixes it"
    assert all(fork.change.origin != "combination" for fork in fixed.forks)


def test_live_changes_leave_from_the_run_and_structural_ones_from_step_0(tried):
    run = under_way(100, optim__lr=1e-5)
    x = tried(run, edits=[{"optim.lr": "0.01"}, {"model.code": "4"}], steps=40)
    assert [(fork.name, fork.start, fork.end) for fork in x.forks] == [
        ("untouched", 100, 140),
        ("reordered", 100, 140),
        ("reordered-anew", 0, 140),
        ("edit-1", 100, 140),
        ("edit-2", 0, 140),
        ("both", 0, 140),
    ]
    assert [fork.restarts for fork in x.forks] == [False, False, False, False, True, True]
    run.trainer.run(40)
    assert x.fork("untouched").weights == run.trainer.weights_sha256()
    other = Trainer(tiny(optim__lr=1e-5, model__code=4))
    other.run(140)
    assert x.fork("edit-2").weights == other.weights_sha256()


def test_a_longer_training_is_judged_at_its_own_end(tried):
    x = tried(source(spec=tiny(optim__lr=2e-3, train__steps=40), found=report(remedy("longer", train__steps=400))))
    fork = x.fork("longer")
    assert (fork.end, fork.step, fork.full.step) == (400, 400, 400) and x.full == 40
    assert fork.verdict in ("helps", "fixes it") and "after 400 steps, the controls after 40" in fork.why
    found = report(remedy("longer", train__steps=400))
    assert tried(source(spec=tiny(optim__lr=2e-3, train__steps=40), found=found), steps=20).fork("longer").end == 80


def test_hopeless_forks_stop_early_and_say_why(tried):
    x = tried(tiny(optim__lr=0.01), edits=[{"optim.lr": "1e-7"}], steps=120)
    fork = x.fork("edit-1")
    assert fork.status == "stopped" and fork.verdict == "worse" and fork.step < 120
    assert fork.why.startswith("stopped at step") and "at twice its pace" in fork.why


def test_a_symptom_is_taken_from_the_report(tried):
    found = report(remedy("lr", optim__lr=0.01), verdict="partial", symptom=DEAD_CODE)
    x = tried(source(found=found), steps=20)
    assert (x.symptom, x.target) == (DEAD_CODE, 0.9)
    assert tried(source(found=report(verdict="partial", symptom="eval mode")), steps=20).symptom == ""


def test_a_useless_remedy_is_never_a_fix(tried):
    """Of a run that trains, and of one that does not, on twenty seeds each."""
    useless = report(remedy("eps", optim__eps=1.1e-8), remedy("decay", optim__weight_decay=1e-9))
    for seed in range(20):
        for rate in (1e-6, 3e-3):
            x = tried(source(spec=tiny(train__seed=seed, optim__lr=rate, model__noise=0.1), found=useless), steps=60)
            assert {x.fork(name).verdict for name in ("eps", "decay")} <= {"no effect", "not told from noise"}


def test_controls_are_told_from_noise_on_no_seed(tried):
    """A third order of the rows, in place of a change, is neither better nor worse than the two controls."""
    told = 0
    for seed in range(20):
        for rate in (1e-6, 3e-3):
            spec = tiny(train__seed=seed, optim__lr=rate, model__noise=0.1)
            trial = Trial(of_spec("test", spec), edits=[{"optim.eps": "1.1e-8"}], draws=0, steps=60, pool=Third)
            *_, x = trial.run()
            told += x.fork("edit-1").verdict not in ("no effect", "not told from noise")
    assert told == 0


class Third(Inline):
    """Trains what changes something without that change, in a third order."""

    def add(self, jobs) -> None:
        super().add(replace(one, reorder=2) if one.name.startswith("edit") else one for one in jobs)


def test_what_holds_on_other_seeds_is_counted(tried):
    trial = Trial(source(), edits=[{"optim.lr": "0.01"}], draws=0, steps=200, pool=Inline)
    *_, x = trial.run()
    *_, x = trial.hold(3)
    assert x.held == "edit-1" and [one.seed for one in x.seeds] == [1, 2, 3]
    assert all(one.holds and one.winner.explained > one.untouched.explained for one in x.seeds)
    nothing = Trial(source(), edits=[{"optim.eps": "1.1e-8"}], draws=0, steps=20, pool=Inline)
    *_, x = nothing.run()
    assert list(nothing.hold(3)) == []


def test_a_live_winner_is_held_with_its_change_at_the_same_step(tried):
    trial = Trial(under_way(50, optim__lr=1e-6), edits=[{"optim.lr": "0.01"}], draws=0, steps=80, pool=Inline)
    *_, x = trial.run()
    *_, x = trial.hold(1)
    other = Trainer(tiny(optim__lr=1e-6, train__seed=1))
    other.run(50)
    other.set({"optim.lr": 0.01})
    other.run(80)
    assert x.seeds[0].winner.explained == pytest.approx(other.evaluate().explained_variance, abs=0.02)


def test_cancelling_keeps_what_is_known():
    trial = Trial(source(), edits=[{"optim.lr": "0.01"}], draws=0, steps=60, pool=Inline)
    for x in trial.run():
        if x.fork("untouched").status == "done":
            trial.cancel()
    assert x.fork("untouched").full is not None
    assert {fork.status for fork in x.forks[1:]} == {"cancelled"} and "cancelled" in x.note


def test_an_edit_that_changes_nothing_is_refused():
    with pytest.raises(SpecError, match="changes nothing"):
        Trial(source(), edits=[{"optim.lr": "1e-6"}])
    with pytest.raises(SpecError, match="unknown setting"):
        Trial(source(), edits=[{"optim.rate": "1"}])


@pytest.mark.parametrize(
    ("losses", "steps"),
    [
        (np.concatenate([np.linspace(1, 0.1, 200), np.full(800, 0.1)]), 200),
        (np.concatenate([np.full(900, 1.0), np.linspace(1, 0.1, 100)]), 1000),
        (np.full(1000, 1.0), 1000),
        (np.concatenate([np.full(20, np.nan), np.linspace(1, 0.1, 20)]), 40),
    ],
)
def test_where_a_loss_made_its_way(losses, steps):
    assert moved_by(losses) == pytest.approx(steps, rel=0.15)


def test_budgets():
    run = under_way(300)
    assert SHORTEST <= budget(run) <= LONGEST
    assert budget(run, 7) == 7
    assert budget(source(spec=tiny(train__steps=500))) == 500
    assert budget(source()) == LONGEST
    seen = Report(verdict="collapsed", headline="", steps=800)
    assert budget(source(found=seen)) == 1600
    assert budget(source(spec=tiny(train__steps=9000), found=seen)) == LONGEST


def test_a_full_batch_without_noise_has_one_control_twice_and_says_so(tried):
    x = tried(tiny(train__batch_size=0), edits=[{"optim.lr": "0.01"}], steps=20)
    assert x.fork("untouched").weights == x.fork("reordered").weights and "nothing is drawn at random" in x.note


def test_a_run_that_was_changed_before_its_first_step_is_forked_with_that_change(tried):
    spec = tiny()
    trainer = Trainer(spec)
    trainer.set({"optim.lr": 0.02})
    run = Source("test", trainer.spec, trainer, 1, saved=Saved.of(capture(trainer)), tweaked=True)
    x = tried(run, edits=[{"model.code": "4"}, {"optim.lr": "0.01"}], steps=20)
    trainer.run(20)
    assert x.fork("untouched").weights == trainer.weights_sha256()
    assert {fork.status for fork in x.forks} <= {"done", "stopped"}
