"""The app: one session, one workbench, and the actions that join them."""

import asyncio
import logging
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from textual.binding import BindingType
from textual.driver import Driver
from textual.geometry import Region

from aetui import protocol as p
from aetui.spec import RunSpec
from aetui.tui import characters, dialogs, exporting, mend, remedies
from aetui.tui.actions import PANES, ActionProvider, bindings, key_text, keymap_for
from aetui.tui.asked import Asked
from aetui.tui.clip_dialog import ChooseClipping
from aetui.tui.find import FindSetting
from aetui.tui.form import SpecForm
from aetui.tui.help import HelpScreen
from aetui.tui.line import Line
from aetui.tui.pane import Pane
from aetui.tui.panes.pairs import PairsPane
from aetui.tui.panes.why import WhyPane
from aetui.tui.replies import Replies
from aetui.tui.session import FramePacer, Session
from aetui.tui.settings import Settings
from aetui.tui.terminal import hung_up
from aetui.tui.themes import choose, load_themes, variable_defaults
from aetui.tui.workbench import WorkbenchScreen

log = logging.getLogger(__name__)

FRAME_SHARE = {"process": 0.1, "thread": 0.04}
"""Share of a core that drawing may take; in a thread it takes it from the training."""
_PANE_PERIOD = 0.9
"""Seconds between two pictures of the panes while training."""
_IDLE_PERIOD = 1.0
"""Seconds between looks while nothing trains."""
_MOMENT = 0.1
"""Seconds within which an answer is at once; what is asked for is shown where it takes longer, so nothing flickers."""


class Workbench(Replies):
    """The terminal workbench on one engine."""

    TITLE = "aetui"
    BINDINGS: ClassVar[list[BindingType]] = list(bindings())
    COMMANDS: ClassVar = {ActionProvider}
    ENABLE_COMMAND_PALETTE = True

    def __init__(
        self,
        link: p.Link,
        spec: RunSpec,
        *,
        start: bool = False,
        theme: str | None = None,
        settings: Settings | None = None,
        problems: list[str] | None = None,
        placement: str = "process",
        log_file: str = "",
        open_folder: str = "",
        attached: bool = False,
        revive: Callable[[], p.Link] | None = None,
    ) -> None:
        """`problems` are sentences about the user's own files, shown once.

        open_folder: the stored run to continue, instead of a new one of `spec`. attached: the engine has a run
        already, which is watched. revive: see `Travel`.
        """
        super().__init__()
        self.settings = settings or Settings()
        self.terminal = characters.of_environment(self.settings.characters)
        self.line = Line()
        self.user_keys = self.settings.keymap
        self.session = Session(link, spec)
        self._spec, self._start, self._log_file = spec, start, log_file
        self.placement, self.attached, self.revive, self._folder = placement, attached, revive, open_folder
        self._problems = list(problems or [])
        self._pacer = FramePacer(1 / self.settings.refresh, FRAME_SHARE[placement])
        self._next_panes = 0.0
        self._asked = Asked()
        """What was on its way when the screen last said so."""
        self._wanted_theme = theme or self.settings.theme
        self._themes: list[str] = []
        self.animation_level = "none"
        self.bench = WorkbenchScreen(self.user_keys)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return variable_defaults()

    def get_driver_class(self) -> type[Driver]:
        from aetui.tui.driver import LineDriver

        return LineDriver

    def pictures(self, key: bool) -> list[tuple[Region, bool]]:
        """What is sent last where the line is thin: the panes' pictures, but not what a key may have changed."""
        late = [
            (pane.region, True)
            for pane in self.bench.visible_panes
            if isinstance(pane, Pane) and not (key and pane.has_focus)
        ]
        top = self.screen_stack[-1:]
        return late + [(child.region, False) for screen in top if screen is not self.bench for child in screen.children]

    def get_default_screen(self) -> WorkbenchScreen:
        return self.bench

    # --- life -----------------------------------------------------------------------------------

    def on_mount(self) -> None:
        self._use_themes()
        self.set_keymap(keymap_for(self.user_keys))
        self.bench.notice.hint = self._hint()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            try:
                loop.add_signal_handler(number, self.exit)
            except (ValueError, RuntimeError, NotImplementedError):
                log.info("no handler for signal %s here", number)
        self.session.on_sent = self._await_answer
        self._redraw()
        self._connect()
        if self._folder:
            self.session.open(self._folder, start=self._start)
        elif self.attached:
            self.model.stage = "joining the run"
        else:
            self.session.new_run(self._spec, start=self._start)
        self.set_timer(self._pacer.period, self._frame)
        for problem in self._problems:
            self._remark(problem)

    def _use_themes(self) -> None:
        themes, problems = load_themes()
        for theme in themes.values():
            self.register_theme(theme)
        self._themes = sorted(themes)
        name, problem = choose(self._wanted_theme, themes)
        self.theme = name
        self._problems += problems + ([problem] if problem else [])

    def _remark(self, text: str) -> None:
        """A sentence about the user's own files: into the journal, and the notice."""
        self.session.absorb(p.Noted(text=text, warning=True, time=time.time()))
        self.bench.notice.show_text(text, "warning")

    def _frame(self) -> None:
        """Ask for the next view and plan the one after it; leave where the terminal is gone."""
        if not self.is_headless and hung_up():
            self.exit()
            return
        self._look()
        delay = self._pacer.next_delay()
        if not self.session.training and not self.session.waiting:
            delay = max(delay, _IDLE_PERIOD)
        self._redraw()
        self.set_timer(delay, self._frame)

    def _await_answer(self) -> None:
        """Show what a key has asked for, where that is not done within a moment."""
        self.set_timer(_MOMENT, self._show_asked)

    def _show_asked(self) -> None:
        found = self.session.show_asked()
        if found.text and self._asked != found:
            self._say(found.text)
        self._asked = found
        self._redraw()

    def _look(self) -> None:
        self.session.look(self.bench.gauges, self.bench.pairs.sample)

    def _redraw(self, panes: bool = False) -> None:
        """Draw what has changed: the bars at once, the panes at their own pace while training.

        So the effect of a key never waits behind a chart. On a thin line a picture waits until the last has arrived,
        and pictures take half of the line's time.
        """
        now = time.monotonic()
        at_rest = not self.session.training and not self.model.behind
        if panes or at_rest or (now >= self._next_panes and self.line.idle):
            self._next_panes = now + max(_PANE_PERIOD, self._pacer.period, 2 * self.line.took)
            panes = True
        self.bench.show(self.model, panes)

    def _handle_exception(self, error: Exception) -> None:
        # Textual's own account is as wide as the terminal, which may be a few columns.
        log.error("the screen failed", exc_info=error)
        super()._handle_exception(error)

    # --- actions: training ----------------------------------------------------------------------

    def action_run_pause(self) -> None:
        if self.revivable:
            self.start_reviving()
        else:
            waits = self.session.toggle()
            if waits:
                self._say(waits)

    def action_step(self) -> None:
        self.session.run_steps(1)

    def action_run_steps(self) -> None:
        def chosen(steps: int | None) -> None:
            if steps is not None:
                self.session.run_steps(steps)

        self.push_screen(dialogs.AskSteps(), chosen)

    def action_examine(self) -> None:
        self.session.examine()

    def action_lr_down(self) -> None:
        self.session.nudge("optim.lr", -1)

    def action_lr_up(self) -> None:
        self.session.nudge("optim.lr", 1)

    def action_clipping(self) -> None:
        if self.session.lost:
            self._say(self.way_on(self.session.lost), "error")
            return

        def chosen(changes: dict[str, str] | None) -> None:
            if changes is not None:
                self.session.set(changes)

        self.push_screen(ChooseClipping(self.model), chosen)

    # --- actions: the form ----------------------------------------------------------------------

    def action_apply_form(self) -> None:
        form = self.bench.form
        if not form.commit():
            return
        if self.model.error and self.model.info is None:
            self.session.new_run(form.draft)
            return
        live, structural = form.live_and_structural()
        if structural:
            applicable = [item for item in form.pending() if item.path in live]

            def chosen(answer: str | None) -> None:
                if answer == "new":
                    self.session.new_run(form.draft)
                elif answer == "live":
                    self.session.set(live)

            self.push_screen(dialogs.offer_new_run(structural, applicable), chosen)
        elif live:
            self.session.set(live)
        else:
            self._say("no setting is edited")

    def on_spec_form_apply_requested(self, message: SpecForm.ApplyRequested) -> None:
        self.action_apply_form()

    def on_why_pane_taken(self, message: WhyPane.Taken) -> None:
        def put() -> None:
            self._say(*remedies.put(self.bench.form, message.remedy, key_text("apply-form", self.user_keys)))

        spec, shown = self.model.spec, self.model.diagnosis
        late = mend.late_settings(spec, shown.report, message.remedy) if shown else {}
        if shown and late:
            self.offer_to_go_back(mend.MendDialog(spec, shown.report, message.remedy), late, put)
        else:
            put()

    def action_reset_form(self) -> None:
        self.bench.form.reset()

    def action_find_setting(self) -> None:
        form = self.bench.form
        if not form.commit():
            return

        def chosen(path: str | None) -> None:
            if path is not None:
                self.bench.choose("settings")
                form.select(path)
                self.call_after_refresh(form.edit)

        self.push_screen(FindSetting(form.draft), chosen)

    # --- actions: view --------------------------------------------------------------------------

    def action_show_pane(self, name: str) -> None:
        self.bench.choose(name)

    def on_workbench_screen_arranged(self) -> None:
        self._redraw(panes=True)
        self._look()

    def action_maximize(self) -> None:
        if self.bench.narrow and not self.bench.alone:
            self._say("the pane has the whole screen already; a larger terminal shows several at once")
        else:
            self.bench.toggle_maximize()

    def action_focus_next(self) -> None:
        self.screen.focus_next()

    def action_focus_previous(self) -> None:
        self.screen.focus_previous()

    def action_leave(self) -> None:
        if self.bench.alone:
            self.bench.toggle_maximize()
        else:
            self.bench.set_focus(None)

    def action_chart_log(self) -> None:
        self._chart("toggle_log")

    def action_chart_window(self) -> None:
        self._chart("cycle_window")

    def action_chart_smoothing(self) -> None:
        self._chart("cycle_smoothing")

    def _chart(self, name: str) -> None:
        getattr(self.bench.panes["loss"], f"action_{name}")()

    def action_sample_next(self) -> None:
        self.bench.pairs.action_turn(1)

    def action_sample_previous(self) -> None:
        self.bench.pairs.action_turn(-1)

    def on_pairs_pane_turned(self, message: PairsPane.Turned) -> None:
        self._look()

    def action_next_theme(self) -> None:
        later = [name for name in self._themes if name > self.theme]
        self.theme = (later or self._themes or [self.theme])[0]
        self._say(f"theme {self.theme}")
        self._redraw(panes=True)

    # --- actions: program -----------------------------------------------------------------------

    def action_about(self) -> None:
        info = self.model.info
        if info is None:
            self._say("there is no run yet")
            return
        knobs = "".join(f"\n  {knob}" for knob in info.knobs)
        text = (info.text or "This run has no description.") + (f"\n\nSettings to try:{knobs}" if knobs else "")
        self.push_screen(dialogs.ShowText(info.title or info.source, text))

    def action_save_screen(self) -> None:
        name = f"aetui-{self.model.info.name if self.model.info else 'screen'}-{self.model.status.step}.svg"
        try:
            Path(name).write_text(self.export_screenshot(title="aetui"), encoding="utf-8")
        except OSError as error:
            self._say(f"{name} can't be written: {error.strerror}", "error")
        else:
            self._say(f"saved {name}")

    def action_export(self) -> None:
        info = self.model.info
        if info is None or not info.folder:
            self._say("there is nothing to export: the run is not stored" if info else "there is no run yet", "warning")
            return

        def chosen(kind: str | None) -> None:
            if kind in exporting.KINDS:
                self._say(f"exporting {info.name} as {kind}")
                self.run_worker(self._export(info.folder, kind), exit_on_error=False)

        self.push_screen(exporting.choose_export(info.name), chosen)

    async def _export(self, folder: str, kind: str) -> None:
        text, done = await exporting.export(folder, kind)
        self.session.absorb(p.Noted(text=text, warning=not done, step=self.model.status.step, time=time.time()))
        self._say(text, "note" if done else "error")

    def action_help(self) -> None:
        if isinstance(self.screen, HelpScreen):
            self.screen.dismiss()
            return
        panes: list[tuple[str, Any]] = [
            (title, type(pane).BINDINGS)
            for name, title in PANES
            if isinstance(pane := self.bench.panes[name], Pane) and type(pane).BINDINGS
        ]
        self.push_screen(HelpScreen(self.user_keys, panes))

    def action_help_quit(self) -> None:
        """What ctrl+c does, which many press to leave."""
        self._say(f"{key_text('quit', self.user_keys)} quits")
