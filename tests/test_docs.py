"""The documentation says what the program does: generated pages, examples, files and links."""

import importlib.util
import json
import re
import sys
from html import unescape
from pathlib import Path
from types import ModuleType

import pytest

from aetui.bench.cases import CASES
from aetui.spec import RunSpec, changed
from aetui.spec.fields import variants
from aetui.spec.toml import reference
from aetui.tui.user_settings import load_settings

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
WRITTEN = [README, *sorted((ROOT / "docs").glob("*.md"))]


@pytest.fixture(scope="module")
def make_docs() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_docs", ROOT / "scripts" / "make_docs.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_docs"] = module
    spec.loader.exec_module(module)
    return module


def blocks(language: str) -> list[str]:
    """The fenced blocks of the README in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_generated_pages_are_up_to_date(make_docs: ModuleType):
    stale = [str(path) for path, text in make_docs.pages().items() if path.read_text(encoding="utf-8") != text]
    assert stale == [], "run python scripts/make_docs.py --pages"


def test_every_block_of_the_readme_has_a_maker(make_docs: ModuleType):
    pages = (README, *(ROOT / "docs" / f"{name}.md" for name in ("diagnosis", "gpu", "whatif")))
    texts = [page.read_text(encoding="utf-8") for page in pages]
    named = {name for text in texts for name in re.findall("<!-- begin ([a-z-]+) -->", text)}
    assert named == {*make_docs.BLOCKS, *make_docs.EXAMPLES}


def test_the_tables_of_a_bench_report_are_filled(make_docs: ModuleType, tmp_path: Path, monkeypatch):
    def figure(median: float, low: float, high: float) -> dict[str, float]:
        return {"median": median, "low": low, "high": high}

    report = {
        "machine": {"system": "Linux", "cores": 2, "python": "3.11.7", "torch": "2.13.0"},
        "cases": {case: {"plain": figure(2515, 2400, 2600), "engine": figure(5346, 5346, 5346)} for case in CASES},
        "busy": {case: {"engine": figure(400, 390, 410)} for case in CASES},
        "ratios": {case: {"busy_engine_over_plain": figure(3.123, 3, 3.3)} for case in CASES},
        "first_frame_s": 0.4, "import_torch_s": 1.25, "key_ms": {"process": {"p50": 21.0, "p95": 44.4}},
        "terminal_bytes_per_s": 12_345.0, "screen_cpu_share": 0.051, "screen_rss_mb": 73.0,
    }  # fmt: skip
    monkeypatch.setattr(make_docs, "BENCH", tmp_path / "bench.json")
    assert "aetui bench" in make_docs.bench_block()
    make_docs.BENCH.write_text(json.dumps(report))
    text = make_docs.bench_block()
    assert "| plain |" + " 2,515 (2,400-2,600) |" * 3 in text
    assert "| engine |" + " 5,346 |" * 3 in text
    assert "| engine, busy |" + " 400 (390-410) |" * 3 in text
    assert "| engine / plain, busy |" + " 3.12 (3.00-3.30) |" * 3 in text
    for shown in ("0.40 s, 0.32 of", "p50 21 ms, p95 44 ms", "12.3 kB/s", "5.1% of a core, 73 MB", "2 cores"):
        assert shown in text


def test_the_python_of_the_readme_runs(capsys: pytest.CaptureFixture[str]):
    diagnosis, code = blocks("python")
    exec(compile(diagnosis, str(README), "exec"), {})
    printed = capsys.readouterr().out
    assert printed.startswith("worse-than-linear output-range\n")
    names: dict[str, object] = {}
    exec(compile(code, str(README), "exec"), names)
    printed = capsys.readouterr().out
    assert "Step(step=301, loss=" in printed and "for PCA" in printed
    for name, shape in re.findall(r"^(\w+) = .*# (\(.*?\))", code, re.MULTILINE):
        assert str(getattr(names[name], "shape", None)) == shape


def test_the_json_of_the_readme_has_what_the_command_prints():
    from aetui import Trainer
    from aetui.cli.outcome import outcome

    trainer = Trainer(changed(RunSpec(), {"model.hidden": (8,)}))
    trainer.run(2)
    found = outcome(trainer, trainer.evaluate(), 1.0, "name")
    (shown,) = [block.partition("\n")[2] for block in blocks("console") if "--json" in block]
    example = json.loads(shown)
    assert [*example] == [name for name in found if name != "spec"]
    assert [*example["variance_ratio"]] == [*found["variance_ratio"]]


def test_the_settings_file_of_the_readme_is_accepted(tmp_path: Path):
    (text,) = blocks("toml")
    path = tmp_path / "settings.toml"
    path.write_text(text)
    settings, problems = load_settings(path)
    assert problems == []
    assert settings.theme == "light" and settings.keymap["next-theme"] == "f10"


def test_the_alerts_of_the_documentation_are_accepted(tmp_path: Path):
    page = (ROOT / "docs" / "daily.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"^```toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    path = tmp_path / "settings.toml"
    path.write_text(text)
    settings, problems = load_settings(path)
    assert problems == [] and settings.alerts.sent and settings.alerts.desktop == "auto"


def test_settings_named_in_the_documentation_exist():
    known = {row[0] for row in reference()} | {f"{path.partition('.')[0]}.kind" for path, *_ in reference()}
    for page in WRITTEN:
        for path, value in re.findall(r"--set ([a-z_]+\.[a-z_0-9]+)=(\S+)", page.read_text(encoding="utf-8")):
            assert path in known, f"{page.name}: {path}"
            if path.endswith(".kind"):
                assert value.partition(",")[0] in variants(path.partition(".")[0]), f"{page.name}: {path}={value}"


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.name)
def test_files_named_in_a_page_exist(page: Path):
    names = re.findall(r"`((?:[\w.-]+/)+(?:[\w.-]+)?|[\w-]+\.(?:toml|md|txt))`", page.read_text(encoding="utf-8"))
    settings = {"settings.toml", "mine.toml"}
    missing = [name for name in names if name not in settings and not (ROOT / name).exists()]
    assert missing == []


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.name)
def test_relative_links_resolve(page: Path):
    targets = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    missing = [t for t in targets if "://" not in t and not (page.parent / t.partition("#")[0]).exists()]
    assert missing == []


def test_the_architecture_page_names_every_package():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    packages = [path.parent.name for path in (ROOT / "aetui").glob("*/__init__.py")]
    assert [name for name in packages if f"`aetui/{name}/`" not in text] == []


def test_pictures_ask_nobody_for_anything():
    pictures = sorted((ROOT / "docs" / "images").glob("*.svg"))
    assert pictures
    for picture in pictures:
        text = picture.read_text(encoding="utf-8")
        addresses = set(re.findall(r"""["'(](https?://[^"')]+)""", text))
        assert addresses <= {"http://www.w3.org/2000/svg"}, picture.name


def test_portable_pictures_keep_every_word_at_its_place(make_docs: ModuleType):
    text = "\xa0\xa0loss\xa00.5\xa0\xa0\xa0<10&"
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace("\xa0", "&#160;")
    svg = f'<text class="r1" x="12.2" y="20" textLength="158.6" clip-path="url(#a)">{escaped}</text>'
    found = re.findall(r'<text class="r1" x="([0-9.]+)" y="20" [^>]*>(.*?)</text>', make_docs.portable(svg))
    assert [(round(float(x) / 12.2) - 1, unescape(word)) for x, word in found] == [(2, "loss\xa00.5"), (13, "<10&")]
