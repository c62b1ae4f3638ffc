"""A line of text that is edited in the order of the keys."""

from textual import events
from textual.binding import Binding
from textual.widgets import Input

_EDITING = {
    key.strip(): binding.action
    for binding in Input.BINDINGS
    if isinstance(binding, Binding)
    for key in binding.key.split(",")
}
"""What the keys that are no characters do, by key."""


class LineInput(Input):
    """An input that takes a burst of keys, as a slow link delivers them, in the order typed.

    Textual's own inserts characters at once and sends the other keys around by the app, so that
    a backspace would act after the characters that follow it.
    """

    async def on_key(self, event: events.Key) -> None:
        action = _EDITING.get(event.key)
        if action is not None:
            event.stop()
            event.prevent_default()
            await self.run_action(action)
