import re
import time

import pytest
from msgspec.structs import replace
from textual.app import App

from aetui import protocol as p
from aetui.spec import sections as s
from aetui.tui import status_parts as parts_module
from aetui.tui.model import RunModel
from aetui.tui.picture import ROLES
from aetui.tui.status import HeaderLine, Notice, StatusBar, header_texts
from aetui.tui.status_parts import age, flow, state_word, status_parts


@pytest.fixture
def running(run_model):
    def make(clip=None, schedule=None, **status):
        model = run_model(steps=1200)
        model.spec = replace(model.spec, clip=clip or s.NoClip(), schedule=schedule or s.Constant())
        model.status = replace(model.status, **({"state": "running"} | status))
        model.received = time.monotonic()
        return model

    return make


def placed(model, width, lines, seen=None, now=None):
    now = model.received if now is None else now
    rows = flow(status_parts(model, now), width, lines, {} if seen is None else seen)
    return ["".join(text for text, _ in row) for row in rows]


@pytest.mark.parametrize("width", [76, 78, 118, 198])
@pytest.mark.parametrize("clip", [s.NoClip(), s.GlobalNorm(), s.PerTensor(), s.ValueClip()])
@pytest.mark.parametrize("schedule", [s.Constant(), s.Cosine()])
def test_the_essentials_fit_on_two_lines_from_80_columns_on(running, width, clip, schedule):
    rows = placed(running(clip, schedule, base_lr=1e-3), width, 2)
    text = "\n".join(rows)
    for part in ("RUNNING", "1,120 steps/s", "step 1,200", "lr 3.00e-4", "grad 0.830", "loss 0.164", "expl. "):
        assert part in text
    assert "mean 0.953" in text
    assert " 0.251" in text
    assert re.search(r"expl. (var. )?0.827 +\(PCA", text)
    assert ("12 %" in text) is not isinstance(clip, s.NoClip)
    assert all(len(row.rstrip()) <= width for row in rows)


def test_wide_lines_say_everything(running):
    text = "\n".join(placed(running(s.GlobalNorm(), s.Cosine(), base_lr=1e-3), 118, 2))
    assert "lr 3.00e-4 (0.00100 x 0.300)" in text
    assert "grad 0.830 (global 1.00, clipped 12 %)" in text
    assert "loss 0.164 (mean 0.953, PCA-10 0.251)" in text
    assert "expl. var. 0.827 (PCA-10 0.737)" in text
    assert "epoch 23.5" in text
    assert "cpu 412 MB" in text


def test_only_a_global_threshold_stands_beside_the_norm(running):
    assert "grad 0.830/1.00" in "".join(placed(running(s.GlobalNorm()), 78, 2))
    assert "0.830/" not in "".join(placed(running(s.PerTensor()), 78, 2))


@pytest.mark.parametrize("width", [78, 118])
def test_columns_do_not_move_as_digits_change(running, width):
    seen = {}
    starts = []
    for figures in (
        {"step": 9, "steps_per_second": 3.0, "loss": 0.5, "grad_norm": 2.0, "epoch": 0.1},
        {"step": 123_456, "steps_per_second": 12_345.0, "loss": 0.012, "grad_norm": 0.025, "epoch": 99.9},
        {"step": 999, "steps_per_second": 0.25, "loss": 1.0, "grad_norm": 12.0, "epoch": 5.0},
    ):
        rows = placed(running(**figures), width, 2, seen)
        starts.append([[row.find(name) for name in ("step ", "lr ", "grad ", "loss ", "expl.")] for row in rows])
    assert starts[0] == starts[1] == starts[2]


def test_old_figures_say_their_age_while_running(running):
    model = running()
    assert age(model, model.received + 2) is None
    assert "figures 5 s old" in placed(model, 78, 2, now=model.received + 5)[0]
    model.status = replace(model.status, state="paused")
    assert age(model, model.received + 60) is None


@pytest.mark.parametrize(
    ("state", "word"),
    [
        ("loading", "LOADING"),
        ("paused", "PAUSED"),
        ("running", "RUNNING"),
        ("finished", "FINISHED"),
        ("non-finite", "STOPPED: NON-FINITE"),
        ("failed", "FAILED"),
    ],
)
def test_the_state_is_a_word(running, state, word):
    model = running(state=state)
    assert state_word(model) == word
    assert placed(model, 78, 2)[0].startswith(word)


def test_non_finite_figures_are_shown_as_such(running):
    text = "\n".join(placed(running(loss=float("nan"), grad_norm=float("inf"), state="non-finite"), 78, 2))
    assert "loss NaN" in text
    assert "grad inf" in text


def test_what_is_not_known_yet_is_a_dash_and_the_rate_is_the_setting(run_model):
    text = "\n".join(placed(run_model(steps=0), 78, 2))
    assert "loss - (" in text
    assert "expl. - (" in text
    assert "lr 0.00100" in text


def test_the_bar_shows_what_is_loading_or_why_it_failed(render_pane):
    model = RunModel(stage="loading torch")
    assert "LOADING  loading torch" in render_pane(StatusBar(), model, (80, 2))[0]
    model = RunModel(error="data.path 'x.npy' is not a [file]")
    assert "FAILED  data.path 'x.npy' is not a [file]" in render_pane(StatusBar(), model, (80, 2))[0]


async def test_a_changed_line_reaches_the_screen(running):
    class Host(App[None]):
        def get_theme_variable_defaults(self):
            return {f"series-{role}": "#ffffff" for role in ROLES}

        def compose(self):
            yield StatusBar()

    async with Host().run_test(size=(80, 4)) as pilot:
        bar = pilot.app.query_one(StatusBar)
        for step in (1234, 5678):
            model = running(step=step)
            bar.show(model)
            await pilot.pause()
            assert f"{step:,}" in pilot.app.export_screenshot()


def test_the_bar_draws_the_figures(render_pane, running):
    lines = render_pane(StatusBar(), running(s.GlobalNorm()), (80, 2))
    assert lines[0].startswith(" RUNNING")
    assert all(len(line) == 80 for line in lines)


@pytest.mark.parametrize(
    ("width", "shown", "left_out"),
    [
        (120, ["digits 1797 x 64", "mlp 64-128-[10]-128-64", "adam", "cpu", "float32", "run brisk-otter"], []),
        (80, ["digits", "mlp 64-128-[10]-128-64", "adam", "cpu", "run brisk-otter"], ["float32"]),
        (44, ["digits", "mlp 64-128-[10]-128-64"], ["1797", "float32"]),
        (30, ["aetui"], ["brisk-otter"]),
    ],
)
def test_the_header_keeps_the_most_telling(run_model, width, shown, left_out):
    text = "  ".join(header_texts(run_model(steps=0), width))
    assert all(part in text for part in shown)
    assert not any(part in text for part in left_out)
    assert len(text) <= width + 2


@pytest.mark.parametrize("width", [30, 44, 80, 120])
def test_the_header_says_at_any_width_that_a_run_is_not_saved_and_that_others_watch(run_model, width):
    model = run_model(steps=0)
    model.status = replace(model.status, unsaved="the disk is full", screens=2)
    left, right = header_texts(model, width)
    assert right.startswith("NOT SAVED  2 screens")
    assert len(left) + len(right) + 2 <= width


def test_the_header_is_drawn_to_both_edges(render_pane, run_model):
    (line,) = render_pane(HeaderLine(), run_model(steps=0), (120, 1))
    assert line.startswith(" aetui  digits 1797 x 64")
    assert line.endswith("run brisk-otter ")


def test_the_notice_says_how_to_start_at_step_0(render_pane, run_model):
    assert "F5 starts training" in render_pane(Notice(), run_model(steps=0), (80, 1))[0]
    assert render_pane(Notice(), run_model(steps=50), (80, 1))[0].strip() == ""


def test_the_notice_replaces_texts_and_names_their_severity(render_pane, run_model):
    notice = Notice()
    notice.show_text("lr 1e-3 -> 1e-4, takes effect at step 12")
    notice.show_text("[b]loss[/b]\nis large", "warning")
    line = render_pane(notice, run_model(steps=0), (80, 1))[0]
    assert line.strip() == "warning: [b]loss[/b] is large"


def test_the_notice_takes_up_the_reason_of_a_stop(render_pane, run_model):
    model = run_model(steps=50)
    model.absorb(p.StateChanged(seq=2, step=50, state="non-finite", reason="the loss became NaN at step 50"))
    notice = Notice()
    notice.text = "an older message"
    assert "error: the loss became NaN at step 50" in render_pane(notice, model, (80, 1))[0]


def test_a_long_notice_is_cut_with_an_ellipsis(render_pane, run_model):
    notice = Notice()
    notice.show_text("x" * 200)
    line = render_pane(notice, run_model(steps=0), (40, 1))[0]
    assert line.rstrip().endswith("…")
    assert len(line) == 40


def test_a_notice_that_is_cut_names_the_key_to_the_whole_of_it(render_pane, run_model):
    model = run_model(steps=50)
    text = "step 51 failed: Net failed on a batch of [64, 64]: mine.py, line 12: RuntimeError: " + "x" * 100
    model.absorb(p.Failed(seq=9, step=50, text=text))
    notice = Notice(journal="j")
    notice.show_text(f"{text} (log: log.txt)", "error")
    line = render_pane(notice, model, (100, 1))[0]
    assert line.rstrip().endswith("… j Journal has it whole") and len(line) == 100
    notice = Notice(journal="j")
    notice.show_text("what no journal has " * 20)
    assert "Journal" not in render_pane(notice, run_model(steps=50), (100, 1))[0]


@pytest.mark.parametrize("size", [(80, 2), (120, 2), (200, 1)])
def test_a_step_that_takes_long_is_said_to_and_where_it_is(render_pane, run_model, size):
    model = run_model(steps=50)
    stalled = p.Stall(14, "forward of Net", "mine.py, line 12")
    model.status = replace(model.status, state="running", steps_per_second=None, stalled=stalled)
    text = "\n".join(render_pane(StatusBar(), model, size))
    assert "RUNNING no step for 14 s" in text
    assert "in forward of Net" in text
    model.status = replace(model.status, state="paused")
    assert "PAUSED busy for 14 s" in "\n".join(render_pane(StatusBar(), model, size))


def test_a_figure_of_another_step_says_so(running):
    here, there = running(), running(explained_step=1150, explained_variance=-2.267)
    assert "as of" not in "".join(placed(here, 118, 2))
    assert "expl. var. -2.267 as of 1,150 (PCA" in "".join(placed(there, 118, 2))
    assert "expl. -2.267 as of 1,150 (PCA 0.74)" in "".join(placed(there, 76, 2))
    assert "expl. -2.267 as of 0" in "".join(
        placed(running(step=9_876_543, explained_step=0, explained_variance=-2.267), 76, 2)
    )


@pytest.mark.parametrize("width", [76, 78, 118])
def test_a_figure_that_is_now_and_then_of_the_very_step_leaves_its_neighbors_where_they_are(running, width):
    seen, starts = {}, []
    for step, measured in ((900, 0), (1200, 1200), (14_000, 13_000), (26_859, 26_859)):
        rows = placed(running(step=step, explained_step=measured, explained_variance=-2.217), width, 2, seen)
        (row,) = [row for row in rows if "expl." in row]
        assert "-2.217 as of" in row or measured == step
        starts.append([row.find(name) for name in ("loss", "expl.", "epoch")])
    assert len({tuple(start) for start in starts}) == 1


def test_a_state_moves_no_step_without_its_figures(running):
    model = running()
    model.absorb(p.StateChanged(seq=2, step=1300, state="paused"))
    assert (model.status.state, model.status.step, model.status.loss) == ("paused", 1200, model.loss.last())
    model.absorb(p.Ended(seq=3, step=1300, text="stored at step 1,300"))
    assert (model.status.step, model.status.loss, model.status.grad_norm, model.status.epoch) == (
        1300,
        None,
        None,
        None,
    )
    shown = "".join(placed(model, 118, 2))
    for part in ("step 1,300", "loss -", "grad -", "epoch -", f"{model.status.explained_variance:.3f} as of 1,200"):
        assert part in shown


@pytest.mark.parametrize(
    ("width", "said"), [(118, "busy machine: train.threads=1 may be faster"), (96, "busy: try 1 thread"), (78, "busy")]
)
def test_a_run_that_shares_its_cores_says_what_would_serve_it(running, width, said):
    assert said in "".join(placed(running(crowded=True), width, 2))
    assert "busy" not in "".join(placed(running(), width, 2))
    assert "busy" not in "".join(placed(running(crowded=True, state="paused"), width, 2))


@pytest.mark.parametrize(
    ("width", "said"), [(118, "step 1,200 of 2,000, 20 min left, ends 14:32"), (78, "step 1,200, 20 min left")]
)
def test_the_time_left_stands_beside_the_step_and_moves_nothing(running, monkeypatch, width, said):
    monkeypatch.setattr(parts_module.time, "time", lambda: time.mktime((2026, 3, 4, 14, 12, 0, 0, 0, -1)))
    model, seen = running(seconds_left=1200.0), {}
    shown = "\n".join(placed(model, width, 2, seen))
    assert said in shown
    for state, left in (("running", None), ("paused", 1200.0)):
        model.status = replace(model.status, seconds_left=left, state=state)
        unknown = "\n".join(placed(model, width, 2, seen))
        assert "left" not in unknown and "step 1,200 of 2,000  " in unknown
        assert [unknown.find(name) for name in ("lr", "grad", "loss")] == [
            shown.find(name) for name in ("lr", "grad", "loss")
        ]


@pytest.mark.parametrize(
    ("width", "crowded", "said"),
    [
        (198, True, "slowed: 3 other processes on 2 cores; train.threads=1 may be faster"),
        (118, False, "slowed: 3 other processes on 2 cores"),
        (78, True, "slowed"),
    ],
)
def test_what_slows_a_run_is_said_in_words(running, width, crowded, said):
    slowed = {"slowed": "3 other processes on 2 cores", "crowded": crowded}
    assert said in "".join(placed(running(**slowed), width, 2))
    assert "slowed" not in "".join(placed(running(**slowed, state="paused"), width, 2))


def test_a_loop_of_somebody_else_s_is_told_of_a_setting_that_it_has(running):
    own = running(crowded=True)
    own.info = replace(own.info, spec="")
    shown = "".join(placed(own, 198, 2))
    assert "torch.set_num_threads(1) may be faster" in shown and "train.threads" not in shown
