from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.widgets import Button, Static

from aetui.spec import RunSpec, SpecError, changed, differences
from aetui.spec.fields import FORM_SECTIONS, fields_of, variants
from aetui.spec.sections import LIVE_KINDS
from aetui.tui.form import SpecForm
from aetui.tui.form_fields import about, carried_over, fitted, rows_of, split, texts_of
from aetui.tui.form_rows import FormRows
from aetui.tui.themes import variable_defaults


class FormApp(App[None]):
    CSS = "SpecForm { width: 1fr; } Button { width: 10; }"
    BINDINGS: ClassVar = [
        Binding("s,space,minus,q", "note('plain')"),
        Binding("1", "note('one')"),
        Binding("f5", "note('f5')"),
    ]

    def __init__(self, spec: RunSpec | None = None) -> None:
        super().__init__()
        self.spec = spec
        self.noted: list[str] = []
        self.asked = 0

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return variable_defaults()

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield SpecForm(self.spec)
            yield Button("other")

    def on_mount(self) -> None:
        self.form.focus()

    @property
    def form(self) -> SpecForm:
        return self.query_one(SpecForm)

    @property
    def help(self) -> str:
        return " ".join(str(self.query_one("#form-help", Static).content).split())

    def action_note(self, text: str) -> None:
        self.noted.append(text)

    def on_spec_form_apply_requested(self, event: SpecForm.ApplyRequested) -> None:
        self.asked += 1

    def screen_text(self) -> str:
        rows = self.query_one(FormRows)
        return "\n".join(rows.render_line(y).text for y in range(rows.size.height))


# --- what the rows say ----------------------------------------------------------------------


def every_kind() -> list[RunSpec]:
    specs = []
    for section in FORM_SECTIONS:
        for kind in filter(None, variants(section)):
            extra = {f"{section}.path": {"data": "x.npy", "model": "x.py:Net"}[section]} if kind == "file" else {}
            specs.append(changed(RunSpec(), {f"{section}.kind": kind, **extra}))
    return specs


@pytest.mark.parametrize(
    "spec", every_kind(), ids=lambda spec: "-".join(t.value for t in rows_of(spec) if t.name == "kind")
)
def test_every_setting_has_one_row_that_says_whether_it_is_live(spec: RunSpec) -> None:
    rows = [row for row in rows_of(spec) if not row.heading]
    paths = [row.path for row in rows]
    wanted = {field.path for section in FORM_SECTIONS for field in fields_of(type(getattr(spec, section))).values()}
    assert len(paths) == len(set(paths))
    assert wanted <= set(paths)
    said = ""
    for row in rows_of(spec):
        said = row.marker if row.heading else said
        live = row.section in LIVE_KINDS if row.name == "kind" else row.live
        assert (row.marker or said) == ("live" if live else "new run"), row.path


def test_help_tells_what_is_allowed_the_default_and_the_value_in_force() -> None:
    spec = changed(RunSpec(), {"optim.lr": 0.5})
    row = next(row for row in rows_of(spec) if row.path == "optim.lr")
    text = about(row, texts_of(RunSpec()))
    for part in ("optim.lr", "live", "in force: 0.001", "learning rate", "a number from 0", "default 0.001"):
        assert part in text


def test_text_that_does_not_fit_ends_in_an_ellipsis() -> None:
    lines = fitted("word " * 40, 20, 3)
    assert len(lines) == 3
    assert lines[-1].endswith("…")
    assert max(map(len, lines)) <= 20


# --- edits as data --------------------------------------------------------------------------

LIVE_EDITS = st.dictionaries(
    st.sampled_from(["optim.lr", "model.noise", "model.dropout", "loss.l1_code", "train.batch_size", "train.steps"]),
    st.sampled_from(["0", "0.25", "0.5"]).map(str),
)
KINDS = st.fixed_dictionaries(
    {},
    optional={
        "optim.kind": st.sampled_from(list(variants("optim"))),
        "clip.kind": st.sampled_from(list(variants("clip"))),
        "schedule.kind": st.sampled_from(list(variants("schedule"))),
        "loss.kind": st.sampled_from(list(variants("loss"))),
        "init.kind": st.sampled_from(list(variants("init"))),
        "model.kind": st.sampled_from(["mlp", "vae", "conv"]),
    },
)


def made(kinds: dict[str, str], values: dict[str, str]) -> RunSpec:
    values = {path: "3" if path.startswith("train.") else value for path, value in values.items()}
    return changed(RunSpec(), {**kinds, **values}, text=True)


@settings(max_examples=60, deadline=None)
@given(KINDS, LIVE_EDITS)
def test_live_changes_leave_just_the_structural_ones(kinds: dict[str, str], values: dict[str, str]) -> None:
    applied, draft = RunSpec(), made(kinds, values)
    live, structural = split(applied, draft)
    assert not set(live) & {one.path for one in structural}
    left = {one.path for one in differences(changed(applied, live, text=True), draft)}
    assert left == {one.path for one in structural}


@settings(max_examples=60, deadline=None)
@given(KINDS, LIVE_EDITS)
def test_edits_survive_another_setting_being_applied(kinds: dict[str, str], values: dict[str, str]) -> None:
    draft = made(kinds, values)
    now = changed(RunSpec(), {"train.epochs": 7})
    carried = carried_over(RunSpec(), draft, now)
    assert carried.train.epochs == 7
    assert {one.path for one in differences(now, carried)} == {one.path for one in differences(RunSpec(), draft)}


def test_a_threshold_set_with_its_kind_is_sent_after_it() -> None:
    draft = changed(RunSpec(), {"clip.kind": "global", "clip.threshold": 5.0, "optim.lr": 0.1})
    live, structural = split(RunSpec(), draft)
    assert next(iter(live)) == "clip.kind"
    assert live == {"clip.kind": "global", "clip.threshold": "5", "optim.lr": "0.1"}
    assert structural == []


def test_live_settings_of_another_model_need_the_new_run_too() -> None:
    draft = changed(RunSpec(), {"model.kind": "vae", "model.kl_weight": 0.5, "optim.lr": 0.1})
    live, structural = split(RunSpec(), draft)
    assert live == {"optim.lr": "0.1"}
    assert {one.path for one in structural} == {"model.kind", "model.kl_weight"}


def test_edits_that_no_longer_fit_are_dropped_alone() -> None:
    applied = changed(RunSpec(), {"optim.kind": "sgd", "optim.momentum": 0.9})
    draft = changed(applied, {"optim.nesterov": True, "train.seed": 3})
    now = changed(applied, {"optim.momentum": 0.0})
    carried = carried_over(applied, draft, now)
    assert carried.train.seed == 3
    assert carried.optim == now.optim


# --- keys -----------------------------------------------------------------------------------


async def test_typing_replaces_and_enter_accepts_and_moves_on() -> None:
    app = FormApp()
    async with app.run_test(size=(60, 24)) as pilot:
        app.form.select("optim.lr")
        await pilot.press("3", "e", "minus", "4", "enter")
        assert app.form.draft.optim.lr == 3e-4
        assert app.form.applied.optim.lr == 1e-3
        assert app.form.selected == "optim.weight_decay"
        assert not app.form.editing
        assert [str(one) for one in app.form.pending()] == ["optim.lr 0.001 -> 0.0003"]
        assert app.noted == []
        line = next(line for line in app.screen_text().splitlines() if " lr" in line or "*lr" in line)
        assert "*" in line
        assert "0.0003" in line


async def test_keys_that_arrive_in_one_burst_are_typed_in_order() -> None:
    app = FormApp()
    async with app.run_test(size=(60, 24)) as pilot:
        app.form.select("optim.lr")
        for key, character in [("3", "3"), ("e", "e"), ("minus", "-"), ("4", "4"), ("enter", "\r")]:
            app.post_message(events.Key(key, character))
        await pilot.pause()
        await pilot.pause()
        assert app.form.draft.optim.lr == 3e-4
        assert not app.form.editing
        assert app.noted == []


async def test_enter_edits_the_present_value_and_escape_restores_it() -> None:
    app = FormApp()
    async with app.run_test(size=(60, 24)) as pilot:
        app.form.select("optim.lr")
        await pilot.press("enter", "end", "5")
        assert app.form.editing
        await pilot.press("escape")
        assert not app.form.editing
        assert app.form.draft == RunSpec()
        assert app.form.selected == "optim.lr"
        await pilot.press("enter", "end", "5", "enter")
        assert app.form.draft.optim.lr == 0.0015


async def test_invalid_text_says_why_while_it_is_typed_and_is_never_taken() -> None:
    app = FormApp()
    async with app.run_test(size=(60, 24)) as pilot:
        app.form.select("model.dropout")
        await pilot.press("2")
        await pilot.pause()
        assert "'2' is not allowed; it takes a number of at least 0 and below 1" in app.help
        await pilot.press("enter")
        assert app.form.editing
        assert app.form.draft == RunSpec()
        await pilot.press("backspace", "full_stop", "2")
        await pilot.pause()
        assert "not allowed" not in app.help
        await pilot.press("enter")
        assert app.form.draft.model.dropout == 0.2  # pyright: ignore[reportAttributeAccessIssue]


async def test_settings_that_contradict_each_other_are_refused() -> None:
    app = FormApp(changed(RunSpec(), {"optim.kind": "sgd"}))
    async with app.run_test(size=(60, 24)) as pilot:
        app.form.select("optim.nesterov")
        await pilot.press("right")
        assert app.form.pending() == []
        assert "momentum above 0" in app.help


async def test_left_and_right_cycle_choices_at_once() -> None:
    app = FormApp()
    async with app.run_test(size=(60, 24)) as pilot:
        app.form.select("data.scaling")
        await pilot.press("right")
        assert app.form.draft.data.scaling == "minmax"
        await pilot.press("left", "left")
        assert app.form.draft.data.scaling == "none"
        app.form.select("model.batch_norm")
        await pilot.press("right")
        assert app.form.draft.model.batch_norm is True  # pyright: ignore[reportAttributeAccessIssue]


async def test_another_kind_rebuilds_the_section_and_carries_values_over() -> None:
    app = FormApp(changed(RunSpec(), {"optim.lr": 0.5}))
    async with app.run_test(size=(60, 40)) as pilot:
        app.form.select("optim.kind")
        await pilot.press("enter", "s")
        await pilot.pause()
        assert "Stochastic gradient descent" in app.help
        await pilot.press("enter")
        assert app.form.draft.optim == changed(RunSpec(), {"optim.kind": "sgd", "optim.lr": 0.5}).optim
        assert "momentum" in app.screen_text()
        assert "beta1" not in app.screen_text()
        assert app.form.selected == "optim.lr"


async def test_a_kind_that_lacks_a_value_asks_for_it_first() -> None:
    app = FormApp()
    async with app.run_test(size=(60, 24)) as pilot:
        app.form.select("data.kind")
        await pilot.press("left")
        await pilot.pause()
        assert app.form.editing
        assert app.form.selected == "data.path"
        assert app.form.draft == RunSpec()
        await pilot.press("escape")
        await pilot.pause()
        assert app.form.draft == RunSpec()
        assert "path" not in app.screen_text()
        app.form.select("data.kind")
        await pilot.press("left", "a", "full_stop", "n", "p", "y", "enter")
        assert app.form.draft.data.path == "a.npy"  # pyright: ignore[reportAttributeAccessIssue]


async def test_plain_keys_reach_the_app_until_a_field_is_edited() -> None:
    app = FormApp()
    async with app.run_test(size=(60, 24)) as pilot:
        app.form.select("train.device")
        await pilot.press("s", "space", "minus", "q", "f5")
        assert app.noted == ["plain"] * 4 + ["f5"]
        await pilot.press("enter", "s", "q", "f5")
        assert app.noted == ["plain"] * 4 + ["f5", "f5"]
        assert app.form.editing


async def test_digits_edit_values_and_pass_over_choices() -> None:
    app = FormApp()
    async with app.run_test(size=(60, 24)) as pilot:
        app.form.select("data.scaling")
        await pilot.press("1")
        assert app.noted == ["one"]
        app.form.select("train.seed")
        await pilot.press("1", "enter")
        assert app.noted == ["one"]
        assert app.form.draft.train.seed == 1


async def test_moving_goes_over_headings_and_stops_at_the_ends() -> None:
    app = FormApp()
    async with app.run_test(size=(60, 24)) as pilot:
        await pilot.press("home")
        assert app.form.selected == "optim.kind"
        await pilot.press("up", "down", "j", "k")
        assert app.form.selected == "optim.lr"
        await pilot.press("home")
        seen = set()
        for _ in range(80):
            seen.add(app.form.selected)
            app.query_one(FormRows).move(1)
        assert seen == {row.path for row in rows_of(RunSpec()) if not row.heading}
        assert app.form.selected == "data.columns"
        await pilot.press("pageup")
        assert app.form.selected != "data.columns"
        await pilot.press("end")
        assert app.form.selected == "data.columns"
        assert "columns" in app.screen_text()


async def test_leaving_a_field_takes_what_is_valid_and_says_what_was_not() -> None:
    app = FormApp()
    async with app.run_test(size=(60, 24)) as pilot:
        app.form.select("train.seed")
        await pilot.press("7", "tab")
        await pilot.pause()
        assert app.form.draft.train.seed == 7
        assert isinstance(app.focused, Button)
        app.form.focus()
        await pilot.pause()
        await pilot.press("8", "x", "tab")
        await pilot.pause()
        assert app.form.draft.train.seed == 7
        assert not app.form.editing
        assert "not taken" in app.help


async def test_backspace_gives_back_the_value_in_force_and_reset_all_of_them() -> None:
    app = FormApp()
    async with app.run_test(size=(60, 24)) as pilot:
        app.form.set_value("optim.lr", "0.5")
        app.form.set_value("train.seed", "4")
        app.form.select("optim.lr")
        await pilot.press("backspace")
        assert [one.path for one in app.form.pending()] == ["train.seed"]
        app.form.reset()
        assert app.form.pending() == []


async def test_tabbing_out_while_a_list_is_open_changes_nothing() -> None:
    app = FormApp()
    async with app.run_test(size=(60, 24)) as pilot:
        app.form.select("loss.kind")
        await pilot.press("enter", "down", "tab")
        await pilot.pause()
        assert not app.form.editing
        assert app.form.draft == RunSpec()


# --- what others do with it -----------------------------------------------------------------


async def test_new_settings_in_force_leave_edits_and_the_open_editor_alone() -> None:
    app = FormApp()
    async with app.run_test(size=(60, 24)) as pilot:
        app.form.set_value("train.seed", "4")
        app.form.select("optim.weight_decay")
        await pilot.press("0", "full_stop")
        app.form.set_applied(changed(RunSpec(), {"optim.lr": 0.25}))
        await pilot.press("5", "enter")
        assert app.form.draft == changed(RunSpec(), {"optim.lr": 0.25, "train.seed": 4, "optim.weight_decay": 0.5})
        assert {one.path for one in app.form.pending()} == {"train.seed", "optim.weight_decay"}


async def test_an_editor_whose_row_disappears_closes() -> None:
    spec = changed(RunSpec(), {"clip.kind": "global"})
    app = FormApp(spec)
    async with app.run_test(size=(60, 24)) as pilot:
        app.form.select("clip.threshold")
        await pilot.press("4")
        app.form.set_applied(changed(spec, {"clip.kind": "none"}))
        await pilot.pause()
        assert not app.form.editing
        assert app.form.selected == "clip.kind"
        await pilot.press("right")
        assert app.form.draft.clip == changed(RunSpec(), {"clip.kind": "per-tensor"}).clip


async def test_set_value_refuses_what_the_spec_refuses() -> None:
    app = FormApp()
    async with app.run_test(size=(60, 24)):
        with pytest.raises(SpecError, match=r"optim\.lr"):
            app.form.set_value("optim.lr", "fast")
        assert app.form.draft == RunSpec()


async def test_commit_takes_the_open_field_or_says_that_it_can_not() -> None:
    app = FormApp()
    async with app.run_test(size=(60, 24)) as pilot:
        app.form.select("train.seed")
        await pilot.press("9")
        assert app.form.commit()
        assert app.form.draft.train.seed == 9
        app.form.select("train.seed")
        await pilot.press("9", "x")
        assert not app.form.commit()
        assert app.form.editing


async def test_another_run_starts_with_its_own_settings() -> None:
    app = FormApp()
    async with app.run_test(size=(60, 24)):
        app.form.set_value("train.seed", "4")
        other = changed(RunSpec(), {"model.kind": "vae"})
        app.form.load(other)
        assert app.form.pending() == []
        assert app.form.draft == other


async def test_a_code_as_wide_as_the_data_is_said_to_be_while_it_is_typed(run_model) -> None:
    app = FormApp()
    async with app.run_test(size=(100, 30)) as pilot:
        app.form.follow(run_model(features=5))
        app.form.select("model.code")
        await pilot.press("4")
        assert "no bottleneck" not in app.help
        await pilot.press("0")
        assert "the code is 40 wide for 5 features: no bottleneck" in app.help
        await pilot.press("backspace")
        assert "no bottleneck" not in app.help
        await pilot.press("5", "enter")
        app.form.select("model.code")
        await pilot.pause()
        assert "45 wide for 5 features" in app.help
        app.form.set_value("model.noise", "0.3")
        app.form.select("model.code")
        await pilot.pause()
        assert "no fault with model.noise 0.3" in app.help
        app.form.set_value("data.kind", "gaussian")
        app.form.select("model.code")
        await pilot.pause()
        assert "no bottleneck" not in app.help


async def test_the_mouse_selects_then_edits_then_scrolls() -> None:
    app = FormApp()
    async with app.run_test(size=(60, 24)) as pilot:
        rows = app.query_one(FormRows)
        await pilot.click(rows, offset=(4, 3))
        assert app.form.selected == "optim.weight_decay"
        assert not app.form.editing
        await pilot.click(rows, offset=(4, 3))
        assert app.form.editing
        await pilot.press("0", "full_stop", "5", "enter")
        assert app.form.draft.optim.weight_decay == 0.5
        app.form.select("data.scaling")
        await pilot.press("enter")
        await pilot.pause()
        await pilot.click("ChoiceList", offset=(3, 1))
        await pilot.pause()
        assert app.form.draft.data.scaling == "none"
        before = rows.scroll_offset.y
        rows.post_message(events.MouseScrollUp(rows, 4, 4, 0, 1, 0, False, False, False))
        await pilot.pause(0.1)
        assert rows.scroll_offset.y < before


async def test_clicking_another_row_takes_the_open_field() -> None:
    app = FormApp()
    async with app.run_test(size=(60, 24)) as pilot:
        rows = app.query_one(FormRows)
        app.form.select("optim.weight_decay")
        await pilot.press("0", "full_stop", "5")
        await pilot.click(rows, offset=(4, 4))
        await pilot.pause()
        assert app.form.draft.optim.weight_decay == 0.5
        assert app.form.selected == "optim.beta1"


@pytest.mark.parametrize("size", [(20, 6), (34, 10), (44, 30), (90, 24), (200, 50)])
async def test_every_line_fits_whatever_the_size(size: tuple[int, int]) -> None:
    app = FormApp(changed(RunSpec(), {"data.kind": "file", "data.path": "数据/" + "long" * 30}))
    async with app.run_test(size=size) as pilot:
        rows = app.query_one(FormRows)
        for y in range(rows.size.height):
            assert rows.render_line(y).cell_length == rows.scrollable_content_region.width
        app.form.select("loss.weighting")
        await pilot.press("enter")
        await pilot.pause()
        await pilot.press("down", "enter")
        assert app.form.draft.loss.weighting == "inverse-variance"
