"""The wheel holds everything that the program reads at run time, and works from there."""

import importlib.util
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """A wheel built from this tree; skipped only where the build backend can't be had."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", str(ROOT), "--no-deps", "--wheel-dir", str(folder)]
    command += ["--quiet", "--retries", "1", "--timeout", "20"]
    if importlib.util.find_spec("hatchling"):
        command.append("--no-build-isolation")
    environment = {name: value for name, value in os.environ.items() if name != "PIP_CONSTRAINT"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode and "No matching distribution found for hatchling" in done.stderr:
        pytest.skip("hatchling is neither installed nor to be had from the package index")
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("aetui-*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_holds_every_file_of_the_package(wheel: zipfile.ZipFile):
    held = set(wheel.namelist())
    wanted = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "aetui").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    wanted |= {f"aetui/themes/{path.name}" for path in (ROOT / "themes").glob("*.toml")}
    assert wanted - held == set()
    assert {"aetui/py.typed", "aetui/data/digits.npz", "aetui/presets/digits.toml", "aetui/themes/dark.toml"} <= held


def test_the_wheel_holds_nothing_else(wheel: zipfile.ZipFile):
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    (info,) = tops - {"aetui"}
    assert info.endswith(".dist-info")


def test_license_and_command_are_declared(wheel: zipfile.ZipFile):
    info = next(name for name in wheel.namelist() if name.endswith("/METADATA")).rpartition("/")[0]
    metadata = wheel.read(f"{info}/METADATA").decode()
    assert f"{info}/licenses/LICENSE" in wheel.namelist()
    assert "License-Expression: MIT" in metadata and "Requires-Python: >=3.11" in metadata
    assert "aetui = aetui.__main__:main" in wheel.read(f"{info}/entry_points.txt").decode()


def test_presets_themes_and_digits_are_found_in_the_wheel(wheel: zipfile.ZipFile, tmp_path: Path):
    wheel.extractall(tmp_path / "site")
    code = (
        "import aetui, aetui.data, aetui.presets\n"
        "from aetui.tui.themes import load_themes, theme_folders\n"
        "print(aetui.__file__)\n"
        "print(*aetui.presets.names())\n"
        "print(*sorted(load_themes(theme_folders()[:1])[0]))\n"
        "print(aetui.data.load(aetui.RunSpec().data).source)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment, check=True
    )
    place, presets, themes, source = done.stdout.splitlines()
    assert Path(place).is_relative_to(tmp_path)
    assert presets.split() == [*_presets()]
    assert set(themes.split()) == {path.stem for path in (ROOT / "themes").glob("*.toml")}
    assert source == "digits 1797 x 64"


def _presets() -> tuple[str, ...]:
    from aetui import presets

    return presets.names()
