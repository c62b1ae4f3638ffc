from pathlib import Path

import pytest
from rich.color import ColorType
from textual.app import App, ComposeResult
from textual.color import Color
from textual.containers import VerticalScroll
from textual.theme import Theme
from textual.widgets import Footer, Input, Static

from aetui.tui.dialogs import AskSteps, ShowText, quit_while_training
from aetui.tui.form import SpecForm
from aetui.tui.help import HelpScreen
from aetui.tui.picture import ROLES
from aetui.tui.themes import choose, load_themes, theme_folders, variable_defaults

SHIPPED = ("dark", "light", "high-contrast", "color-blind-safe", "ansi")
TRUECOLOR = tuple(name for name in SHIPPED if name != "ansi")


def shipped() -> dict[str, Theme]:
    themes, problems = load_themes(theme_folders()[:1])
    assert problems == []
    return themes


def contrast(one: str, other: str) -> float:
    """Contrast ratio of WCAG 2.2, section 1.4.3."""

    def luminance(color: Color) -> float:
        parts = [value / 255 for value in color.rgb]
        linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(Color.parse(one)), luminance(Color.parse(other))))
    return (high + 0.05) / (low + 0.05)


def test_the_shipped_themes_are_found_with_every_role() -> None:
    themes = shipped()
    assert set(SHIPPED) <= set(themes)
    for theme in themes.values():
        assert {f"series-{role}" for role in ROLES} | {"border", "border-blurred"} <= set(theme.variables)


@pytest.mark.parametrize("name", TRUECOLOR)
def test_text_is_readable_on_its_background(name: str) -> None:
    theme = shipped()[name]
    for background in filter(None, (theme.background, theme.surface, theme.panel)):
        assert contrast(theme.foreground or "", background) >= 4.5
        for role in ROLES:
            least = 3 if role == "muted" else 4.5
            assert contrast(theme.variables[f"series-{role}"], background) >= least, (role, background)
    for border in ("border", "border-blurred"):
        assert contrast(theme.variables[border], theme.background or "") >= 3, border
    cursor = theme.variables["block-cursor-foreground"], theme.variables["block-cursor-background"]
    assert contrast(*cursor) >= 4.5


@pytest.mark.parametrize("name", SHIPPED)
def test_data_and_output_train_and_validation_differ(name: str) -> None:
    variables = shipped()[name].variables
    for one, other in (("data", "output"), ("train", "validation"), ("good", "warning"), ("floor", "train")):
        assert variables[f"series-{one}"] != variables[f"series-{other}"]


def test_fallbacks_are_those_of_the_shipped_dark_and_light_themes() -> None:
    themes = shipped()
    for dark, name in ((True, "dark"), (False, "light")):
        assert variable_defaults(dark).items() <= themes[name].variables.items()


class ThemeApp(App[None]):
    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.register_theme(theme)
        self.theme = theme.name

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return variable_defaults()

    def compose(self) -> ComposeResult:
        yield SpecForm(id="form")
        with VerticalScroll():
            yield Static("text\n" * 50)
        yield Input("text")
        yield Footer()

    def colors(self) -> set[tuple[ColorType, int | None]]:
        """Every color that goes to the terminal."""
        found = set()
        for strip in self.screen._compositor.render_strips():
            for segment in strip:
                for color in (segment.style.color, segment.style.bgcolor) if segment.style else ():
                    if color is not None:
                        found.add((color.type, color.number))
        return found


@pytest.mark.parametrize("name", TRUECOLOR)
async def test_the_screen_draws_in_every_theme(name: str) -> None:
    app = ThemeApp(shipped()[name])
    async with app.run_test(size=(100, 30)):
        background = Color.parse(shipped()[name].background or "")
        assert app.screen.styles.background == background
        assert (ColorType.TRUECOLOR, None) in app.colors()


async def test_the_ansi_theme_uses_nothing_but_the_terminals_16_colors() -> None:
    app = ThemeApp(shipped()["ansi"])
    async with app.run_test(size=(100, 30)) as pilot:
        form = app.query_one(SpecForm)
        form.focus()
        form.set_value("optim.lr", "0.5")

        def check() -> None:
            colors = app.colors()
            assert {kind for kind, _ in colors} == {ColorType.DEFAULT, ColorType.STANDARD}
            assert all(number is None or number < 16 for _, number in colors)

        for keys in (("down", "enter"), ("escape", "down", "3", "x"), ("escape", "tab")):
            await pilot.press(*keys)
            check()
        for screen in (quit_while_training(3), AskSteps(), ShowText("a", "text"), HelpScreen()):
            app.push_screen(screen)
            await pilot.pause()
            check()
            screen.dismiss()


def test_a_users_theme_replaces_and_adds_and_a_broken_one_is_reported_once(tmp_path: Path) -> None:
    good = 'name = "mine"\n[colors]\nprimary = "#ff0000"\n[series]\ndata = "ansi_blue"\n'
    (tmp_path / "mine.toml").write_text(good)
    (tmp_path / "dark.toml").write_text('name = "dark"\ndark = false\n[colors]\nprimary = "#010203"\n')
    broken = {
        "toml.toml": ("name = ", "is not valid TOML"),
        "color.toml": (good.replace("#ff0000", "reddish"), "colors.primary 'reddish' is not a color; write #rrggbb"),
        "role.toml": (good.replace("data =", "dta ="), "unknown key series.dta; did you mean data?"),
        "key.toml": (good.replace("primary", "primry"), "colors: unknown key primry; did you mean primary?"),
        "noname.toml": ('[colors]\nprimary = "#ff0000"\n', "name is missing"),
        "type.toml": (f"dark = 3\n{good}", "dark: expected bool, got int"),
        "noansi.toml": (f"ansi = true\n{good}", "takes names such as ansi_blue"),
    }
    for file, (text, _) in broken.items():
        (tmp_path / file).write_text(text)
    themes, problems = load_themes([*theme_folders()[:1], tmp_path])
    assert themes["mine"].variables["series-data"] == "ansi_blue"
    assert themes["mine"].variables["series-text"] == variable_defaults()["series-text"]
    assert themes["dark"].primary == "#010203"
    assert themes["dark"].variables["series-text"] == variable_defaults(dark=False)["series-text"]
    assert len(problems) == len(broken)
    for file, (_, said) in broken.items():
        (own,) = [problem for problem in problems if str(tmp_path / file) in problem]
        assert said in own


def test_the_users_folder_is_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AETUI_CONFIG", str(tmp_path))
    assert theme_folders()[-1] == tmp_path / "themes"
    assert theme_folders()[0].is_dir()


def test_an_unknown_theme_names_the_nearest_and_falls_back() -> None:
    name, problem = choose("lihgt", shipped())
    assert name == "dark"
    assert "did you mean light?" in problem
    assert choose("light", shipped()) == ("light", "")
