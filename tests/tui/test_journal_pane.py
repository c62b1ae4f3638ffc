import time
from typing import ClassVar

import pytest
from textual.binding import Binding

from aetui.tui.journal_entries import Entry
from aetui.tui.model import RunModel
from aetui.tui.panes.journal_pane import JournalPane


def journal(*texts, kind="tweak"):
    model = RunModel()
    model.entries.shown = [Entry(1000 * i, 1.7e9 + i, kind, text) for i, text in enumerate(texts)]
    model.versions["journal"] = len(texts)
    return model


@pytest.mark.parametrize("size", [(38, 8), (56, 14), (120, 40)])
def test_an_entry_has_time_step_kind_and_text(render_pane, size):
    text = "\n".join(render_pane(JournalPane(), journal("start", "optim.lr 0.001 -> 0.0001"), size))
    clock = time.strftime("%H:%M:%S", time.localtime(1.7e9 + 1))
    for part in (clock, "step 1,000", "tweak", "optim.lr 0.001 -> 0.0001"):
        assert part in text


def test_kinds_are_words(render_pane):
    model = RunModel()
    kinds = ("state", "tweak", "note", "warning", "error")
    model.entries.shown = [Entry(1, 0.0, kind, "x") for kind in kinds]
    text = "\n".join(render_pane(JournalPane(), model, (80, 12)))
    assert all(f" {kind} " in text for kind in kinds)


def test_markup_and_control_characters_are_shown_as_plain_text(render_pane):
    text = "\n".join(render_pane(JournalPane(), journal("[bold red]no[/] \x1b[31m tab\there\nline"), (80, 12)))
    assert "[bold red]no[/] [31m tab here line" in text
    assert "\x1b" not in text


@pytest.mark.parametrize("width", [38, 80])
def test_long_texts_wrap_without_losing_a_word(render_pane, width):
    words = [f"word{i}" for i in range(60)]
    text = "\n".join(render_pane(JournalPane(), journal(" ".join(words)), (width, 40)))
    assert [word for word in text.split() if word.startswith("word")] == words


def test_the_newest_is_at_the_bottom_until_scrolled_back(render_pane):
    model = journal(*(f"entry {i}" for i in range(50)))
    assert "entry 49" in render_pane(JournalPane(), model, (80, 12))[-2]
    lines = render_pane(JournalPane(), model, (80, 12), keys=["up", "up"])
    assert "newer lines below" in lines[-2]
    assert "entry 49" not in "\n".join(lines)
    assert "entry 0" in render_pane(JournalPane(), model, (80, 12), keys=["home"])[1]
    assert "entry 49" in render_pane(JournalPane(), model, (80, 12), keys=["home", "end"])[-2]
    assert "entry 49" in render_pane(JournalPane(), model, (80, 12), keys=["pageup", "pagedown"])[-2]


def test_new_entries_do_not_move_what_is_being_read(render_pane):
    class Growing(JournalPane):
        """Gets five more entries whenever `x` is pressed."""

        BINDINGS: ClassVar = [Binding("x", "grow")]

        def action_grow(self):
            self.model.entries.shown += [Entry(60_000, 1.7e9, "note", "later") for _ in range(5)]
            self.model.versions["journal"] += 5

    entries = [f"entry {i}" for i in range(50)]
    before = render_pane(Growing(), journal(*entries), (80, 12), keys=["pageup"])
    after = render_pane(Growing(), journal(*entries), (80, 12), keys=["pageup", "x"])
    assert "entry 32" in before[1]
    assert after[1:-2] == before[1:-2]
    assert "9 newer lines" in before[-2]
    assert "14 newer lines" in after[-2]
    followed = render_pane(Growing(), journal(*entries), (80, 12), keys=["x"])
    assert "later" in followed[-2]


def test_a_new_width_keeps_the_entry_that_is_being_read(render_pane):
    class Shrinking(JournalPane):
        """Draws in 40 columns once `x` was pressed."""

        BINDINGS: ClassVar = [Binding("x", "shrink")]

        def action_shrink(self):
            self.styles.width = 40

    model = journal(*(f"entry {i}" for i in range(50)))
    lines = render_pane(Shrinking(), model, (80, 12), keys=["pageup", "x"])
    assert "step 32,000" in lines[1]
    assert "entry 32" in lines[2]


def test_an_empty_journal_says_what_will_be_there(render_pane):
    assert "every tweak" in "\n".join(render_pane(JournalPane(), RunModel(), (100, 12)))
