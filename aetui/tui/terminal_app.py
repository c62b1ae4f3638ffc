"""What every app of ours is on its terminal: its driver and line, its themes, and how it ends with the terminal."""

import asyncio
import logging
import signal

from textual.driver import Driver
from textual.geometry import Region

from aetui.tui import characters
from aetui.tui.line import Line
from aetui.tui.ordered import OrderedInput
from aetui.tui.terminal import hung_up
from aetui.tui.themes import choose, load_themes, variable_defaults
from aetui.tui.user_settings import Settings

log = logging.getLogger(__name__)


class TerminalApp(OrderedInput):
    """An app that draws as fast as its line takes it, in the user's theme."""

    TITLE = "aetui"

    def __init__(self, *, theme: str | None = None, settings: Settings | None = None) -> None:
        """theme: in place of that of the user's settings."""
        super().__init__()
        self.settings = settings or Settings()
        self.terminal = characters.of_environment(self.settings.characters)
        self.line = Line()
        self.animation_level = "none"
        self._wanted_theme = theme or self.settings.theme
        self._themes: list[str] = []

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return variable_defaults()

    def get_driver_class(self) -> type[Driver]:
        from aetui.tui.driver import LineDriver

        return LineDriver

    def pictures(self, key: bool) -> list[tuple[Region, bool]]:
        """What is sent last where the line is thin, as `driver.Drawn` has it."""
        return []

    def begin_on_terminal(self) -> list[str]:
        """Take the user's theme and leave when the system asks; what of the themes can't be used, a sentence each."""
        themes, problems = load_themes()
        for theme in themes.values():
            self.register_theme(theme)
        self._themes = sorted(themes)
        name, problem = choose(self._wanted_theme, themes)
        self.theme = name
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            try:
                loop.add_signal_handler(number, self.exit)
            except (ValueError, RuntimeError, NotImplementedError):
                log.info("no handler for signal %s here", number)
        return problems + ([problem] if problem else [])

    @property
    def terminal_gone(self) -> bool:
        return not self.is_headless and hung_up()

    def turn_theme(self) -> None:
        """The next theme by name."""
        later = [name for name in self._themes if name > self.theme]
        self.theme = (later or self._themes or [self.theme])[0]

    def _handle_exception(self, error: Exception) -> None:
        # Textual's own account is as wide as the terminal, which may be a few columns.
        log.error("the screen failed", exc_info=error)
        super()._handle_exception(error)
