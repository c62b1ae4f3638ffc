"""The app: one workbench and the run that it shows, composed of their parts, and the actions that reach them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from textual.binding import BindingType
from textual.geometry import Region

from aetui import protocol as p
from aetui.alerts.terminal import sequences
from aetui.alerts.told import Alert
from aetui.spec import RunSpec
from aetui.tui import dialogs
from aetui.tui.actions import ActionProvider, bindings, keymap_for
from aetui.tui.copying import Copying
from aetui.tui.driver import LineDriver
from aetui.tui.form import SpecForm
from aetui.tui.frames import Frames
from aetui.tui.help import HelpScreen
from aetui.tui.leaving import Leaving
from aetui.tui.model import RunModel
from aetui.tui.pane import Pane
from aetui.tui.panes.loss_pane import LossPane
from aetui.tui.panes.pairs_pane import PairsPane
from aetui.tui.panes.why_pane import WhyPane
from aetui.tui.read_only import steers
from aetui.tui.session import Session
from aetui.tui.shell import Shell
from aetui.tui.suspending import obstacle, suspend
from aetui.tui.terminal_app import TerminalApp
from aetui.tui.user_settings import Settings
from aetui.tui.watched import WatchedRun
from aetui.tui.workbench import WorkbenchScreen


class Workbench(TerminalApp):
    """The terminal workbench on one engine."""

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
        problems: Sequence[str] = (),
        placement: str = "process",
        log_file: str = "",
        open_folder: str = "",
        attached: bool = False,
        read_only: bool = False,
        new_engine: Callable[[], p.Link] | None = None,
    ) -> None:
        """`problems` are sentences about the user's own files, shown once.

        open_folder: the stored run to continue, instead of a new one of `spec`. attached: the engine has a run
        already, which is watched. read_only: this screen steers nothing. new_engine: starts another engine where the
        present one is gone.
        """
        super().__init__(theme=theme, settings=settings)
        self.user_keys = self.settings.keymap
        self.bench = WorkbenchScreen(self.user_keys, marker=self.settings.marker)
        session = Session(link, spec, read_only=read_only)
        self._frames = Frames(session, self.bench, self.line, refresh=self.settings.refresh, placement=placement)
        self.shell = Shell(self, self.bench, self._frames, self.user_keys, self._alert)
        self.watched = WatchedRun(session, self.shell, log_file=log_file, new_engine=new_engine)
        self._copying = Copying(self.shell, self.copy_to_clipboard if self.terminal.queries else None)
        self._leaving = Leaving(session, self.shell, placement=placement, attached=attached)
        self._begin = lambda: self.watched.begin(spec, start=start, folder=open_folder, attached=attached)
        self._placement = placement
        self._problems = list(problems)

    @property
    def session(self) -> Session:
        return self.watched.session

    @property
    def model(self) -> RunModel:
        return self.watched.model

    @property
    def leaving(self) -> str:
        """What is to become of the engine: `stop` or `detach`."""
        return self._leaving.how

    def pictures(self, key: bool) -> list[tuple[Region, bool]]:
        """What is sent last where the line is thin: the panes' pictures, but not what a key may have changed."""
        late = [
            (pane.region, True)
            for pane in self.bench.visible_panes
            if isinstance(pane, Pane) and not (key and pane.has_focus)
        ]
        top = self.screen_stack[-1:]
        return late + [(child.region, False) for screen in top if screen is not self.bench for child in screen.children]

    def _alert(self, alert: Alert) -> None:
        """Have the terminal ring or show what happened, as the user's settings say."""
        driver, drawn = self._driver, sequences(alert, self.settings.alerts)
        if drawn and isinstance(driver, LineDriver):
            driver.pass_on(drawn)

    def get_default_screen(self) -> WorkbenchScreen:
        return self.bench

    # --- life -----------------------------------------------------------------------------------

    def on_mount(self) -> None:
        self._problems += self.begin_on_terminal()
        self.set_keymap(keymap_for(self.user_keys))
        self.bench.notice.hint = self.watched.replies.hint()
        self._frames.redraw()
        self._begin()
        self.set_timer(self._frames.period, self._frame)
        self.watched.replies.tell(self._problems)

    def _frame(self) -> None:
        """Draw the next frame and plan the one after it; leave where the terminal is gone."""
        if self.terminal_gone:
            self.exit()
        else:
            self.set_timer(self._frames.next(), self._frame)

    # --- actions: the run -----------------------------------------------------------------------

    @steers
    def action_run_pause(self) -> None:
        self.watched.run_or_pause()

    @steers
    def action_step(self) -> None:
        self.session.run_steps(1)

    @steers
    def action_run_steps(self) -> None:
        def chosen(steps: int | None) -> None:
            if steps is not None:
                self.session.run_steps(steps)

        self.shell.ask(dialogs.AskSteps(), chosen)

    @steers
    def action_examine(self) -> None:
        self.session.examine()

    @steers
    def action_what_if(self) -> None:
        self.watched.trying.open()

    @steers
    def action_undo(self) -> None:
        if self.pressed == "ctrl+z":
            self.watched.moving.explain_undo()
        self.session.undo()

    @steers
    def action_redo(self) -> None:
        self.session.redo()

    @steers
    def action_rewind(self) -> None:
        self.watched.moving.rewind()

    @steers
    def action_lr_down(self) -> None:
        self.session.nudge("optim.lr", -1)

    @steers
    def action_lr_up(self) -> None:
        self.session.nudge("optim.lr", 1)

    @steers
    def action_clipping(self) -> None:
        self.watched.tweaking.choose_clipping()

    @steers
    def action_apply_form(self) -> None:
        self.watched.tweaking.apply_form()

    def on_spec_form_apply_requested(self, message: SpecForm.ApplyRequested) -> None:
        self.action_apply_form()

    @steers
    def on_why_pane_taken(self, message: WhyPane.Taken) -> None:
        self.watched.tweaking.take(message.remedy)

    def action_reset_form(self) -> None:
        self.bench.form.reset()

    def action_find_setting(self) -> None:
        self.watched.tweaking.find()

    def action_export(self) -> None:
        self.watched.exporting.offer()

    def action_detach(self) -> None:
        self._leaving.detach()

    def action_suspend(self) -> None:
        if why := obstacle(self._placement) if isinstance(self._driver, LineDriver) else "this screen has no terminal":
            self.shell.say(f"can't suspend: {why}; {self.shell.key('detach')} detaches", "warning")
        else:
            suspend()

    async def action_quit(self) -> None:
        self._leaving.quit()

    # --- actions: view --------------------------------------------------------------------------

    def action_show_pane(self, name: str) -> None:
        self.bench.choose(name)

    def on_workbench_screen_arranged(self) -> None:
        self._frames.redraw(panes=True)
        self._frames.look()

    def action_maximize(self) -> None:
        if self.bench.narrow and not self.bench.alone:
            self.shell.say("the pane has the whole screen already; a larger terminal shows several at once")
        else:
            self.bench.toggle_maximize()

    def action_leave(self) -> None:
        if self.bench.alone:
            self.bench.toggle_maximize()
        else:
            self.bench.set_focus(None)

    def action_next_pane(self) -> None:
        self.bench.choose_beside(1)

    def action_previous_pane(self) -> None:
        self.bench.choose_beside(-1)

    async def action_chart_log(self) -> None:
        await self.bench.panes["loss"].run_action("toggle_log")

    async def action_chart_window(self) -> None:
        await self.bench.panes["loss"].run_action("cycle_window")

    async def action_chart_smoothing(self) -> None:
        await self.bench.panes["loss"].run_action("cycle_smoothing")

    async def action_chart_curve(self) -> None:
        await self.bench.panes["loss"].run_action("cycle_curve")

    async def action_chart_axis(self) -> None:
        await self.bench.panes["loss"].run_action("cycle_axis")

    async def action_chart_marker(self) -> None:
        await self.bench.panes["loss"].run_action("cycle_marker")

    def on_loss_pane_said(self, message: LossPane.Said) -> None:
        self.shell.say(message.text)

    def action_sample_next(self) -> None:
        self.bench.pairs.action_turn(1)

    def action_sample_previous(self) -> None:
        self.bench.pairs.action_turn(-1)

    def on_pairs_pane_turned(self, message: PairsPane.Turned) -> None:
        self._frames.look()

    def action_next_theme(self) -> None:
        self.turn_theme()
        self.shell.say(f"theme {self.theme}")
        self._frames.redraw(panes=True)

    # --- actions: program -----------------------------------------------------------------------

    def action_copy(self) -> None:
        self._copying.copy(self.model)

    def action_about(self) -> None:
        if self.model.info is None:
            self.shell.say("there is no run yet")
        else:
            self.push_screen(dialogs.about(self.model.info))

    def action_save_screen(self) -> None:
        name = f"aetui-{self.model.info.name if self.model.info else 'screen'}-{self.model.status.step}.svg"
        try:
            Path(name).write_text(self.export_screenshot(title="aetui"), encoding="utf-8")
        except OSError as error:
            self.shell.say(f"{name} can't be written: {error.strerror}", "error")
        else:
            self.shell.say(f"saved {name}")

    def action_help(self) -> None:
        if isinstance(self.screen, HelpScreen):
            self.screen.dismiss()
        else:
            self.push_screen(HelpScreen(self.user_keys, self.bench.pane_bindings))

    def action_help_quit(self) -> None:
        """What ctrl+c does, which many press to leave."""
        self.shell.say(f"{self.shell.key('quit')} quits")
