"""A line of text obeys keys in the order typed, however they arrive."""

import pytest
from textual import events
from textual.app import App, ComposeResult

from aetui.tui.line_input import LineInput

BACKSPACE = ("backspace", "\x7f")


class OneLine(App[None]):
    def compose(self) -> ComposeResult:
        yield LineInput("")


@pytest.mark.parametrize(
    ("burst", "value"),
    [
        ([("a", "a"), ("b", "b"), BACKSPACE, ("c", "c")], "ac"),
        ([("a", "a"), BACKSPACE, BACKSPACE, ("b", "b")], "b"),
        ([("a", "a"), ("b", "b"), ("left", None), ("c", "c"), ("home", None), ("d", "d")], "dacb"),
    ],
)
async def test_a_burst_of_keys_is_obeyed_in_order(burst, value):
    app = OneLine()
    async with app.run_test() as pilot:
        for key, character in burst:
            app.post_message(events.Key(key, character))
        await pilot.pause()
        assert app.query_one(LineInput).value == value
