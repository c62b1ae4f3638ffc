"""The journal and the marks as the run moves in its tree."""

from collections.abc import Sequence

from msgspec.structs import replace

from aetui import protocol as p
from aetui.tui.model import RunModel
from aetui.tui.panes.journal_pane import JournalPane

LR = ("0.1", "0.2", "0.3", "0.4")


def tweak(seq: int, step: int, value: int, branch: int = 1) -> p.Accepted:
    """optim.lr from one value of `LR` to the next."""
    old, new = LR[value - 1], LR[value]
    changes = (p.Change("optim.lr", old, new),)
    return p.Accepted(command=1, seq=seq, branch=branch, step=step, text=f"optim.lr {old} -> {new}", changes=changes)


def state(seq: int, step: int, name: str, branch: int = 1, reason: str = "") -> p.StateChanged:
    return p.StateChanged(seq=seq, branch=branch, step=step, state=name, reason=reason)


def moved(seq: int, step: int, info: p.RunInfo, branch: int = 2) -> p.Moved:
    return p.Moved(command=2, seq=seq, branch=branch, step=step, text=f"undone: back at step {step}", info=info)


def lines(model: RunModel) -> list[str]:
    return [f"{'left ' * entry.left}{entry.text}" for entry in model.journal]


def marks(model: RunModel) -> list[tuple[int, str]]:
    return [(mark.step, mark.text) for mark in model.marks]


def path(*stretches: tuple[int, int | None]) -> tuple[p.Stretch, ...]:
    return tuple(p.Stretch(branch, last=last) for branch, last in stretches)


def ready(run_model, **info: object) -> tuple[RunModel, p.RunInfo]:
    model = run_model(steps=0, **info)
    assert model.info is not None
    return model, model.info


def test_what_the_run_has_left_stays_in_the_journal_and_leaves_the_chart(run_model) -> None:
    model, info = ready(run_model, path=path((1, None)))
    for event in (tweak(2, 5, 1), state(3, 8, "running"), state(4, 90, "paused"), tweak(5, 90, 2)):
        model.absorb(event)
    assert marks(model) == [(5, "optim.lr 0.1 -> 0.2"), (90, "paused"), (90, "optim.lr 0.2 -> 0.3")]
    model.absorb(moved(6, 90, p.RunInfo(**_fields(info, run=2, path=path((1, 4))))))
    assert marks(model) == [(5, "optim.lr 0.1 -> 0.2"), (90, "paused")]
    assert lines(model)[-2:] == ["left optim.lr 0.2 -> 0.3", "undone: back at step 90"]
    model.absorb(tweak(7, 95, 3, branch=2))
    assert marks(model)[-1] == (95, "optim.lr 0.3 -> 0.4")
    model.absorb(moved(8, 90, p.RunInfo(**_fields(info, run=3, path=path((1, None)))), branch=3))
    assert marks(model) == [(5, "optim.lr 0.1 -> 0.2"), (90, "paused"), (90, "optim.lr 0.2 -> 0.3")]
    assert [text for text in lines(model) if text.startswith("left")] == ["left optim.lr 0.3 -> 0.4"]


def test_a_tweak_in_several_moves_is_parted_where_the_run_left_some_of_them(run_model) -> None:
    model, info = ready(run_model)
    for event in (tweak(2, 5, 1), tweak(3, 5, 2), tweak(4, 5, 3)):
        model.absorb(event)
    assert lines(model)[-1] == "optim.lr 0.1 -> 0.4"
    model.absorb(moved(5, 5, p.RunInfo(**_fields(info, path=path((1, 3))))))
    assert lines(model)[-3:] == ["optim.lr 0.1 -> 0.3", "left optim.lr 0.3 -> 0.4", "undone: back at step 5"]
    assert marks(model) == [(5, "optim.lr 0.1 -> 0.3")]


def held(seq: int, step: int, value: int) -> p.Accepted:
    return replace(tweak(seq, step, value), repeat=True)


def test_a_key_that_is_held_is_one_line_and_one_mark_whatever_is_said_meanwhile(run_model) -> None:
    model, info = ready(run_model)
    note = p.Noted(text="verdict learned", seq=4, branch=1, step=7)
    events = (tweak(2, 5, 1), held(3, 7, 2), note, held(5, 9, 3))
    for event in events:
        model.absorb(event)
    whole = "optim.lr 0.1 -> 0.4 in 3 moves up to step 9"
    assert lines(model)[-2:] == [whole, "verdict learned"]
    assert marks(model) == [(5, whole)]
    assert model.entries.rewrites
    later = RunModel()
    later.absorb(p.Ready(seq=9, branch=1, step=9, info=info))
    later.absorb(past(*events))
    assert lines(later)[:2] == lines(model)[-2:]
    assert marks(later) == marks(model)
    model.absorb(tweak(6, 12, 2))
    assert lines(model)[-1] == "optim.lr 0.2 -> 0.3"


def test_a_value_that_comes_back_to_itself_is_no_tweak_from_it_to_itself(run_model) -> None:
    model, _ = ready(run_model)
    back = p.Accepted(
        command=1, seq=3, branch=1, step=5, text="optim.lr 0.2 -> 0.1", changes=(p.Change("optim.lr", "0.2", "0.1"),)
    )
    for event in (tweak(2, 5, 1), back):
        model.absorb(event)
    assert (lines(model)[-1], marks(model)) == ("optim.lr moved and back to 0.1", [])
    model.absorb(replace(tweak(4, 8, 1), repeat=True))
    assert marks(model) == [(5, "optim.lr 0.1 -> 0.2 in 3 moves up to step 8")]


def test_without_a_path_nothing_is_left(run_model) -> None:
    model, info = ready(run_model)
    model.absorb(tweak(2, 5, 1))
    model.absorb(moved(3, 0, info))
    assert marks(model) == [(5, "optim.lr 0.1 -> 0.2")]


def past(*events: p.Events) -> p.Past:
    return p.Past(events)


def test_the_past_stands_before_what_came_since_and_gives_the_state(run_model) -> None:
    model = RunModel()
    model.absorb(p.Noted(text="settings.toml: unknown setting", warning=True))
    info = run_model(steps=0, path=path((1, 3), (2, None))).info
    model.absorb(p.Ready(seq=9, branch=2, step=60, info=info))
    events = (
        state(2, 0, "running"),
        tweak(3, 5, 1),
        tweak(4, 8, 2),
        moved(5, 5, info),
        state(6, 60, "non-finite", 2, "NaN"),
    )
    model.absorb(past(*events))
    assert lines(model) == [
        "settings.toml: unknown setting",
        "running",
        "optim.lr 0.1 -> 0.2",
        "left optim.lr 0.2 -> 0.3",
        "undone: back at step 5",
        "NaN",
        "loaded digits 1797 x 64, 64-128-[10]-128-64",
    ]
    assert marks(model) == [(5, "optim.lr 0.1 -> 0.2"), (60, "NaN")]
    assert (model.status.state, model.status.step, model.reason) == ("non-finite", 60, "NaN")
    assert model.error == ""


def test_going_back_ends_what_had_stopped_the_run(run_model) -> None:
    model, info = ready(run_model)
    model.absorb(state(2, 60, "non-finite", reason="NaN"))
    model.absorb(moved(3, 20, info))
    assert (model.status.state, model.status.step, model.reason) == ("paused", 20, "")
    other, _ = ready(run_model)
    other.absorb(past(state(2, 60, "non-finite", reason="NaN"), moved(3, 20, info)))
    assert (other.status.state, other.reason) == ("paused", "")


def test_an_engine_that_continues_the_run_tells_its_past_once(run_model) -> None:
    model, info = ready(run_model, folder="/runs/otter")
    told: Sequence[p.Events] = (state(2, 0, "running"), tweak(3, 5, 1))
    for event in (*told, state(4, 99, "paused")):
        model.absorb(event)
    model.absorb(p.StateChanged(step=99, state="failed", reason="the engine ended by signal SIGKILL"))
    loads = model.loads
    model.absorb(p.Ready(seq=4, step=80, info=info))
    model.absorb(past(*told))
    assert lines(model) == [
        "running", "optim.lr 0.1 -> 0.2", "the engine ended by signal SIGKILL",
        "loaded digits 1797 x 64, 64-128-[10]-128-64",
    ]  # fmt: skip
    assert marks(model)[0] == (5, "optim.lr 0.1 -> 0.2")
    assert model.loads == loads


def test_another_run_leaves_the_past_of_the_former_alone(run_model) -> None:
    model, info = ready(run_model, folder="/runs/otter", path=path((1, None)))
    model.absorb(tweak(2, 5, 1))
    model.absorb(p.Ready(seq=1, info=p.RunInfo(**_fields(info, folder="/runs/finch", path=path((1, 2))))))
    model.absorb(past(tweak(3, 7, 2)))
    assert [text for text in lines(model) if "lr" in text] == ["optim.lr 0.1 -> 0.2", "left optim.lr 0.2 -> 0.3"]
    assert marks(model) == []


def test_an_orderly_end_is_no_failure(run_model) -> None:
    model, _ = ready(run_model)
    model.absorb(p.Ended(step=40, text="stopped; aetui resume brisk-otter continues"))
    assert (model.status.state, model.error) == ("ended", "")
    assert lines(model)[-1] == "stopped; aetui resume brisk-otter continues"


def test_a_stop_behind_the_end_of_the_path_is_left(run_model) -> None:
    model, info = ready(run_model)
    for event in (state(2, 0, "running"), state(3, 50, "paused"), state(4, 50, "running"), state(5, 90, "paused")):
        model.absorb(event)
    model.absorb(moved(6, 60, p.RunInfo(**_fields(info, path=(p.Stretch(1, end=60),)))))
    assert marks(model) == [(50, "paused")]


def test_what_is_left_carries_a_word_in_the_journal(run_model, render_pane) -> None:
    model, info = ready(run_model)
    model.absorb(tweak(2, 5, 1))
    model.absorb(moved(3, 0, p.RunInfo(**_fields(info, path=path((1, 1))))))
    for size in ((100, 12), (40, 12)):
        text = "\n".join(render_pane(JournalPane(), model, size))
        assert "(left) optim.lr 0.1 -> 0.2" in text
        assert "(left) undone" not in text


def test_the_journal_pane_draws_again_what_has_been_left(run_model) -> None:
    model, info = ready(run_model)
    pane = JournalPane()
    for event in (tweak(2, 5, 1), tweak(3, 9, 2)):
        model.absorb(event)
    pane._wrap(model, 100)
    model.absorb(moved(4, 9, p.RunInfo(**_fields(info, path=path((1, 2))))))
    pane._wrap(model, 100)
    shown = ["".join(text for text, _ in line) for line in pane._wrapped]
    assert sum("(left)" in line for line in shown) == 1
    assert len(shown) == len(model.journal)


def _fields(info: p.RunInfo, **changes: object) -> dict:
    return {name: getattr(info, name) for name in p.RunInfo.__struct_fields__} | changes
