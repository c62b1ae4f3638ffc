"""Where settings, the user's themes and runs live; environment variables override the defaults."""

import os
from pathlib import Path

import platformdirs


def config_folder() -> Path:
    """Folder of settings.toml and the user's themes; `AETUI_CONFIG` overrides it."""
    return Path(os.environ.get("AETUI_CONFIG") or platformdirs.user_config_dir("aetui"))


def settings_path() -> Path:
    """Where the settings file is."""
    return config_folder() / "settings.toml"


def home_folder() -> Path:
    """Folder of all that is kept of runs; `AETUI_HOME` overrides it."""
    return Path(os.environ.get("AETUI_HOME") or platformdirs.user_data_dir("aetui")).expanduser().absolute()


def runs_folder() -> Path:
    """Folder that holds a folder for each run."""
    return home_folder() / "runs"


def private_folder(path: Path) -> Path:
    """`path`, made if need be, readable by the user alone."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path
