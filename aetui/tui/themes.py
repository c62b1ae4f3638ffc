"""Themes from TOML files: those shipped and those in the user's settings folder."""

import tomllib
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct, ValidationError, convert, field
from textual.color import Color, ColorParseError
from textual.theme import Theme

from aetui.paths import config_folder
from aetui.spec.errors import nearest
from aetui.tui.picture import ROLES

DEFAULT = "dark"

_FALLBACK = {
    True: {
        "series-text": "#d6dce4", "series-muted": "#8694a5", "series-data": "#6cb6ff", "series-output": "#f0a85c",
        "series-train": "#6cb6ff", "series-validation": "#f0a85c", "series-floor": "#a58be0",
        "series-warning": "#f2c14e", "series-error": "#f2777a", "series-good": "#7cc98a", "series-mark": "#e58fb1",
        "series-curve-1": "#6cb6ff", "series-curve-2": "#f0a85c", "series-curve-3": "#7cc98a",
        "series-curve-4": "#e58fb1", "series-curve-5": "#b39cf0", "series-curve-6": "#e6dc6e",
        "border-blurred": "#566476", "border": "#6cb6ff",
    },
    False: {
        "series-text": "#1c232b", "series-muted": "#5f6b78", "series-data": "#1763a6", "series-output": "#a84300",
        "series-train": "#1763a6", "series-validation": "#a84300", "series-floor": "#6f3fb0",
        "series-warning": "#8a5a00", "series-error": "#b3261e", "series-good": "#23703a", "series-mark": "#a3286a",
        "series-curve-1": "#1763a6", "series-curve-2": "#a84300", "series-curve-3": "#23703a",
        "series-curve-4": "#a3286a", "series-curve-5": "#6f3fb0", "series-curve-6": "#6b5a00",
        "border-blurred": "#87929e", "border": "#1763a6",
    },
}  # fmt: skip


_NOT_DERIVED = ("ansi-background", "ansi-foreground", "surface-active", "foreground-disabled")
"""Variables that Textual's widgets use and that it does not derive for ansi themes."""


class Colors(Struct, frozen=True, forbid_unknown_fields=True):
    """Base colors; Textual derives those left out."""

    primary: str
    secondary: str | None = None
    accent: str | None = None
    foreground: str | None = None
    background: str | None = None
    surface: str | None = None
    panel: str | None = None
    warning: str | None = None
    error: str | None = None
    success: str | None = None


class ThemeFile(Struct, frozen=True, forbid_unknown_fields=True):
    """What a theme file holds: `series` by role, `variables` by Textual's names."""

    name: str
    colors: Colors
    dark: bool = True
    ansi: bool = False
    series: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)


class ThemeError(ValueError):
    """A theme file that can't be used, in one sentence."""


def variable_defaults(dark: bool = True) -> dict[str, str]:
    """Values of the variables that themes of other makers do not have, for `App.get_theme_variable_defaults`."""
    return dict(_FALLBACK[dark])


def theme_folders() -> list[Path]:
    """Where themes are looked for, later ones taking precedence: shipped, then the user's."""
    package = Path(__file__).resolve().parent.parent
    shipped = (package / "themes", package.parent / "themes")
    return [*[folder for folder in shipped if folder.is_dir()][:1], config_folder() / "themes"]


def load_themes(folders: Iterable[Path] | None = None) -> tuple[dict[str, Theme], list[str]]:
    """Every usable theme by name, and one sentence for each file that was skipped."""
    themes: dict[str, Theme] = {}
    problems: list[str] = []
    for folder in theme_folders() if folders is None else folders:
        for path in sorted(folder.glob("*.toml")):
            try:
                theme = read_theme(path)
            except ThemeError as error:
                problems.append(f"theme skipped: {error}")
            else:
                themes[theme.name] = theme
    return themes, problems


def read_theme(path: Path) -> Theme:
    """The theme in a file.

    Raises:
        ThemeError: it can't be read, or something in it is unknown or no color.
    """
    try:
        parsed = convert(tomllib.loads(path.read_text(encoding="utf-8")), ThemeFile)
    except OSError as error:
        raise ThemeError(f"{path} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ThemeError(f"{path} is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise ThemeError(f"{path} is not valid TOML: {error}") from None
    except ValidationError as error:
        raise ThemeError(f"{path}: {_explained(str(error))}") from None
    _check(path, parsed)
    return _theme(parsed)


def choose(name: str, themes: dict[str, Theme]) -> tuple[str, str]:
    """`name` if there is such a theme, else the default's with a sentence that says so."""
    if name in themes:
        return name, ""
    fallback = DEFAULT if DEFAULT in themes else next(iter(themes), "textual-dark")
    return fallback, f"there is no theme {name!r}; {nearest(name, themes)} Using {fallback}."


def _explained(text: str) -> str:
    """msgspec's message with the nearest known key where one is unknown."""
    message, _, place = text.replace("`", "").replace("$.", "").partition(" - at ")
    where = f"{place}: " if place else ""
    if message.startswith("Object contains unknown field "):
        key = message.removeprefix("Object contains unknown field ")
        known = Colors.__struct_fields__ if place == "colors" else ThemeFile.__struct_fields__
        return f"{where}unknown key {key}; {nearest(key, known)}"
    if message.startswith("Object missing required field "):
        return f"{where}{message.removeprefix('Object missing required field ')} is missing"
    return f"{where}{message[:1].lower()}{message[1:]}"


def _check(path: Path, theme: ThemeFile) -> None:
    if not theme.name.strip():
        raise ThemeError(f"{path}: name is empty; give the theme a name")
    for role in theme.series:
        if role not in ROLES:
            raise ThemeError(f"{path}: unknown key series.{role}; {nearest(role, ROLES)}")
    colors = {f"colors.{key}": getattr(theme.colors, key) for key in Colors.__struct_fields__}
    colors |= {f"series.{role}": text for role, text in theme.series.items()}
    colors |= {f"variables.{key}": text for key, text in theme.variables.items() if not key.endswith("-style")}
    for key, text in colors.items():
        if text is not None:
            _check_color(f"{path}: {key}", text, theme.ansi)


def _check_color(key: str, text: str, ansi: bool) -> None:
    try:
        color = Color.parse(text)
    except ColorParseError:
        raise ThemeError(f"{key} {text!r} is not a color; write #rrggbb or a name such as ansi_blue") from None
    if ansi and color.ansi is None:
        raise ThemeError(
            f"{key} {text!r} is not one of the terminal's own; an ansi theme takes names such as ansi_blue"
        )


def _theme(parsed: ThemeFile) -> Theme:
    own = {f"series-{role}": text for role, text in parsed.series.items()} | parsed.variables
    names = [*_FALLBACK[parsed.dark], *_NOT_DERIVED]
    base = dict.fromkeys(names, "ansi_default") if parsed.ansi else _FALLBACK[parsed.dark]
    colors = {key: getattr(parsed.colors, key) for key in Colors.__struct_fields__}
    return Theme(name=parsed.name, dark=parsed.dark, ansi=parsed.ansi, variables={**base, **own}, **colors)
