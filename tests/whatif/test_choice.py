"""Which changes are tried: what a remedy says and nothing else, the user's own, and a fair draw of random search."""

import numpy as np
import pytest

from aetui import presets
from aetui.report import Finding, Remedy, Report
from aetui.spec import RunSpec, SpecError, changed, differences
from aetui.spec.change import value_text
from aetui.spec.fields import SECTIONS, fields_of, kind_of
from aetui.training.checkpoint import capture
from aetui.training.trainer import Trainer
from aetui.whatif.choice import SPACE, change_of, controls, edits_of, named, random_change, remedies_of
from aetui.whatif.experiment import Change
from aetui.whatif.forks import Job, Saved, train
from tests.diagnosis.test_remedies import SPECS
from tests.diagnosis.test_remedies import remedies_of as remedies_seen
from tests.whatif.conftest import tiny

AT = 3
"""Step at which live remedies are put in force."""


@pytest.fixture(autouse=True)
def one_thread():
    import torch

    torch.set_num_threads(1)


def flat(spec: RunSpec) -> dict[str, object]:
    """Every setting by path, kinds too."""
    found: dict[str, object] = {}
    for section in SECTIONS:
        part = getattr(spec, section)
        found[f"{section}.kind"] = kind_of(part)
        found |= {field.path: getattr(part, name) for name, field in fields_of(type(part)).items()}
    return found


@pytest.mark.parametrize("name", SPECS)
def test_each_remedy_s_fork_changes_exactly_what_the_remedy_says(name):
    spec = Trainer(changed(RunSpec(), SPECS[name]), strict=False).spec
    for cause, remedy in remedies_seen(name):
        if not remedy.set:
            continue
        change = change_of(spec, remedy.set, "remedy", remedy=remedy, cause=cause)
        assert change is not None and change.values.keys() == remedy.set.keys()
        new = changed(spec, change.values, text=True)
        assert new == changed(spec, remedy.set), "as text it means the same"
        before, after = flat(spec), flat(new)
        moved = {path for path in {**before, **after} if before.get(path) != after.get(path)}
        kinds = {path.partition(".")[0] for path in remedy.set if path.endswith(".kind")}
        assert {path for path in moved if path.partition(".")[0] not in kinds} <= remedy.set.keys()
        assert {one.path for one in change.settings} <= moved
        fresh, old = Trainer(new, strict=False), Trainer(spec, strict=False)
        if change.live:
            assert fresh.weights_sha256() == old.weights_sha256(), "a live remedy leaves the initial weights alone"
            assert put_in_force(old, change) == new


def put_in_force(trainer: Trainer, change: Change) -> RunSpec:
    """The spec after a live change in the middle of a training, whose weights it leaves as they are."""
    for _ in range(AT):
        trainer.advance()
    before = trainer.weights_sha256()
    trainer.set(change.values, text=True)
    assert trainer.weights_sha256() == before
    return trainer.spec


def test_a_remedy_that_no_setting_makes_is_described_with_its_line():
    code = Remedy(id="attach", text="Take the detach away.", line="vae.py:14: z.detach()")
    refused = Remedy(id="odd", text="Set what there is not.", set={"model.kl_weight": 0.1})
    finding = Finding(cause="frozen-parameters", confidence=1, title="", text="", source="", remedies=(code, refused))
    changes, described = remedies_of(tiny(), Report(verdict="collapsed", headline="", findings=(finding,)))
    assert changes == []
    assert [(one.remedy, one.code) for one in described] == [("attach", "vae.py:14: z.detach()"), ("odd", "")]
    assert remedies_of(tiny(), None) == ([], [])


def test_edits_are_taken_as_written():
    (one,) = edits_of(tiny(), [{"optim.kind": "sgd", "optim.lr": "0.1"}])
    assert one.origin == "user" and one.live and one.values == {"optim.kind": "sgd", "optim.lr": "0.1"}
    (wide,) = edits_of(tiny(), [{"model.hidden": "8, 4"}])
    assert not wide.live and changed(tiny(), wide.values, text=True).model.hidden == (8, 4)  # pyright: ignore
    with pytest.raises(SpecError, match=r"optim\.lr: 'fast' is not allowed"):
        edits_of(tiny(), [{"optim.lr": "fast"}])


@pytest.mark.parametrize("name", [*presets.names(), "clinic/recurrent", "clinic/quiet-vae"])
def test_random_search_draws_what_the_run_takes(name):
    spec = presets.load(name)
    drawn = [random_change(spec, np.random.default_rng(seed)) for seed in range(40)]
    for change in drawn:
        assert change.values and changed(spec, change.values, text=True) != spec
        assert change.values.keys() <= SPACE.keys()
    assert len({tuple(change.values.items()) for change in drawn}) > 30
    again = [random_change(spec, np.random.default_rng(seed)) for seed in range(40)]
    assert again == drawn


def test_random_search_knows_every_setting_that_a_remedy_sets():
    sets = {path for name in SPECS for _, remedy in remedies_seen(name) for path in remedy.set}
    # How long to train, and how a schedule is shaped, are no search over a run's recipe.
    missing = sets - SPACE.keys() - {"train.steps"} - {path for path in sets if path.startswith("schedule.")}
    assert missing <= {"optim.beta1", "optim.beta2", "loss.variance_weight"}


def test_names_are_unique_and_say_where_a_change_comes_from():
    def of(origin: str, *remedies: str) -> Change:
        return Change(origin=origin, remedies=remedies)  # pyright: ignore[reportArgumentType]

    changes = [of("remedy", "lr"), of("remedy", "lr"), of("user"), of("user"), of("random"), of("random")]
    assert [name for name, _ in named(changes)] == ["lr", "lr-2", "edit-1", "edit-2", "random", "random-2"]
    assert [name for name, _ in named([of("combination", "a", "b"), of("combination")], ["both"])] == ["a+b", "both-2"]


def test_restarts_have_a_control_of_their_own():
    def which(**given) -> list[tuple[str, int]]:
        return [(name, start) for name, start, _ in controls(**given)]

    two = [("untouched", 50), ("reordered", 50)]
    assert which(step=50, anew=False, tweaked=True) == two
    assert which(step=50, anew=True, tweaked=False) == [*two, ("reordered-anew", 0)]
    assert which(step=50, anew=True, tweaked=True) == [*two, ("untouched-anew", 0), ("reordered-anew", 0)]
    assert which(step=0, anew=True, tweaked=False) == [("untouched", 0), ("reordered", 0)]


def test_values_read_back_as_they_are():
    spec = changed(tiny(), {"model.hidden": (8, 4), "data.image_shape": ()})
    for path, value in flat(spec).items():
        section, _, name = path.partition(".")
        if name != "kind" or value:
            text = value_text(spec, path)
            if text:
                assert not differences(spec, changed(spec, {path: text}, text=True)), path
            assert section in SECTIONS


def test_a_structural_fork_and_its_control_begin_alike_where_the_change_leaves_the_weights_alone():
    spec = tiny()
    run = Trainer(spec)
    scaled = Trainer(changed(spec, {"data.scaling": "standardize"}))
    assert run.weights_sha256() == scaled.weights_sha256()
    one = Job(name="x", spec=spec, end=4, half=2, full=4)
    assert list(train(one, Saved.of(capture(run))))[-1].name == "x"
