"""The last line of a screen: its own keys, as many as fit."""

from collections.abc import Iterable, Sequence

from rich.style import Style
from textual.binding import Binding, BindingType

from aetui.tui.actions import shown
from aetui.tui.workbench import ClickLine


class ScreenKeys(ClickLine):
    """The keys of a screen's bindings that are to be shown; a click on one acts."""

    def __init__(self, bindings: Sequence[BindingType]) -> None:
        super().__init__()
        self._named = [binding for binding in Binding.make_bindings(bindings) if binding.show]

    def texts(self) -> Iterable[tuple[str, Style, str]]:
        room = self.content_size.width
        said: set[str] = set()
        for binding in self._named:
            if binding.action in said:
                continue
            said.add(binding.action)
            key = binding.key_display or shown(binding.key)
            room -= len(key) + 1 + len(binding.description)
            if room < 0:
                return
            yield key, Style(bold=True), f"screen.{binding.action}"
            yield f" {binding.description}  ", Style(), f"screen.{binding.action}"
            room -= 2
