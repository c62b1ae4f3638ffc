"""The screen's picture of a run."""

from aetui import protocol as p
from aetui.tui.model import RunModel
from aetui.tui.panes.journal_pane import JournalPane


def tweak(step: int, old: str, new: str, path: str = "optim.lr") -> p.Accepted:
    return p.Accepted(command=1, step=step, text=f"{path} {old} -> {new}", changes=(p.Change(path, old, new),))


def test_a_setting_moved_again_at_the_same_step_stays_one_tweak():
    model = RunModel()
    for event in (tweak(5, "0.1", "0.2"), tweak(5, "0.2", "0.3"), tweak(5, "0.3", "0.4")):
        model.absorb(event)
    assert [entry.text for entry in model.journal] == ["optim.lr 0.1 -> 0.4"]
    assert [mark.text for mark in model.marks] == ["optim.lr 0.1 -> 0.4"]
    model.absorb(tweak(6, "0.4", "0.5"))
    model.absorb(tweak(6, "0", "1", path="model.noise"))
    model.absorb(tweak(6, "0.5", "0.6"))
    assert [entry.text for entry in model.journal][1:] == [
        "optim.lr 0.4 -> 0.5", "model.noise 0 -> 1", "optim.lr 0.5 -> 0.6",
    ]  # fmt: skip


def test_the_journal_pane_follows_a_merged_tweak(render_pane, run_model):
    model = run_model()
    model.absorb(tweak(5000, "0.1", "0.2"))
    pane = JournalPane()
    pane._wrap(model, 80)
    model.absorb(tweak(5000, "0.2", "0.7"))
    pane._wrap(model, 80)
    shown = ["".join(text for text, _ in line) for line in pane._wrapped]
    assert "0.1 -> 0.7" in shown[-1]
    assert sum("optim.lr 0.1" in line for line in shown) == 1
