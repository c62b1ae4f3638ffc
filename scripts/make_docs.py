"""Make the pictures and the generated pages of the documentation from the real program.

    python scripts/make_docs.py                 everything: pages, examples of output, pictures
    python scripts/make_docs.py --pages         only what follows from the code: takes a second
    python scripts/make_docs.py --bench FILE    keep FILE, the output of `aetui bench --json`, and fill the tables

Generated parts of README.md and docs/measurements.md lie between `<!-- begin NAME -->` and
`<!-- end -->`; docs/settings.md and docs/keys.md are generated whole.
"""

import argparse
import ast
import asyncio
import contextlib
import html
import importlib.util
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from aetui import presets
from aetui.bench import forks
from aetui.bench.measuring import ratio_name
from aetui.bench.spread import Figure
from aetui.diagnosis.causes.catalog import CATALOG
from aetui.report import CAUSES
from aetui.spec import RunSpec, changed
from aetui.spec.fields import SECTIONS, variants
from aetui.spec.sections import LIVE_KINDS
from aetui.spec.toml import reference
from aetui.tui.actions import ACTIONS, PANES, docs_table
from aetui.tui.help import FORM_KEYS, GLOSSARY, binding_rows
from aetui.tui.themes import load_themes, theme_folders

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
README = ROOT / "README.md"
BENCH = DOCS / "bench.json"
SCORE = DOCS / "score.json"
SELFTEST = DOCS / "selftest"

_BLOCK = re.compile(r"(<!-- begin ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_WORD = re.compile("[\u2800-\u28ff]{1,4}|[^\xa0\u2800-\u28ff]+(?:\xa0[^\xa0\u2800-\u28ff]+)*")
"""What keeps together in a picture: text with single spaces, a few braille cells."""
_CELL = 12.2
"""Width of a character in Textual's screenshots."""
_GENERATED = "<!-- Written by scripts/make_docs.py. -->\n"

Rows = Iterable[Sequence[str]]
Waits = Callable[[Any], bool]


def table(head: Sequence[str], rows: Rows) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def _keys(cell: str) -> str:
    """`^s` as the settings file writes it."""
    return cell.replace("`^", "`ctrl+")


def code(text: str, language: str = "") -> str:
    return f"```{language}\n{text.rstrip()}\n```\n"


# --- pages that follow from the code -------------------------------------------------------------


def settings_page() -> str:
    """docs/settings.md: every setting of a spec."""
    parts = [
        _GENERATED,
        "# Settings of a run\n\n"
        "Every hyperparameter, once. A name is the same everywhere: in a TOML file as `key` under `[section]`, "
        "after `--set` as `section.key=value`, in the form, in error messages and in the journal. "
        "`aetui spec` prints a whole file with every setting and its help.\n\n"
        "*Live* settings change between two steps of a run; the others start a new one. The `kind` of "
        f"{', '.join(f'`{name}`' for name in SECTIONS if name in LIVE_KINDS)} is live too.\n",
    ]
    rows = reference()
    for section in SECTIONS:
        parts.append(f"\n## {section}\n\n")
        kinds = {kind: (struct.__doc__ or "").strip() for kind, struct in variants(section).items() if kind}
        if kinds:
            parts.append(table((f"`{section}.kind`", ""), ((f"`{kind}`", text) for kind, text in kinds.items())) + "\n")
        own = [row for row in rows if row[0].startswith(f"{section}.")]
        head = ("setting", *(("of kind",) if kinds else ()), "default", "live", "")
        parts.append(table(head, (_setting(row, len(kinds)) for row in own)))
    return "".join(parts)


def _setting(row: tuple[str, str, str, str, bool], kinds: int) -> tuple[str, ...]:
    path, of, default, note, live = row
    note = note.removesuffix("; live")
    shown = "empty" if not default else default if default == "required" else f"`{default}`"
    every = "all" if len(of.split(", ")) == kinds else of
    return (f"`{path}`", *((every,) if kinds else ()), shown, "live" if live else "", note)


def keys_page() -> str:
    """docs/keys.md: every action and every key of the panes."""
    from aetui.tui.compare.screen import CompareScreen, SidesScreen
    from aetui.tui.whatif.screen import WhatIfScreen
    from aetui.tui.workbench import WorkbenchScreen

    parts = [
        _GENERATED,
        "# Keys\n\n"
        "F keys and ctrl keys work everywhere, while a field is edited too; plain keys where no field is edited. "
        "An action gets other keys in the settings file, under `[keys]`, by its name. "
        "`F1` shows this list in the program, `ctrl+p` finds an action by its name.\n",
    ]
    groups: dict[str, list[tuple[str, str, str]]] = {}
    for action, row in zip(ACTIONS, docs_table(), strict=True):
        groups.setdefault(action.group, []).append((_keys(row[0]), *row[1:]))
    for group, rows in groups.items():
        parts.append(f"\n## {group}\n\n" + table(("keys", "name", ""), rows))
    parts.append("\n## In the settings form\n\n" + table(("keys", ""), ((f"`{k}`", text) for k, text in FORM_KEYS)))
    panes = WorkbenchScreen({}).panes
    for name, title in PANES:
        found = binding_rows(getattr(type(panes[name]), "BINDINGS", ()), {})
        if name != "settings" and found:
            parts.append(f"\n## In the {title} pane\n\n" + table(("keys", ""), ((f"`{k}`", t) for k, t in found)))
    screens = (
        ("`aetui compare`", [*SidesScreen.BINDINGS, *CompareScreen.BINDINGS]),
        ("What-if, beside those of table and chart in `aetui compare`", WhatIfScreen.BINDINGS),
    )
    for name, own in screens:
        found = binding_rows(own, {})
        parts.append(f"\n## In {name}\n\n" + table(("keys", ""), ((f"`{k}`", t) for k, t in found)))
    parts.append("\n## Terms\n\n" + table(("term", ""), GLOSSARY))
    return "".join(parts)


def presets_block() -> str:
    return code("\n".join(["$ aetui presets", *aetui("presets").splitlines()]), "console")


def keys_block() -> str:
    """The keys that a new user needs."""
    wanted = [
        (row, action) for row, action in zip(docs_table(), ACTIONS, strict=True)
        if action.footer or action.id in ("examine", "run-steps", "maximize", "next-theme", "about")
    ]  # fmt: skip
    rows = [(_keys(row[0]), row[2]) for row, _ in wanted]
    names = ", ".join(title for _, title in PANES)
    rows.insert(
        next(i for i, (_, one) in enumerate(wanted) if one.id == "maximize"),
        (f"`1` to `{len(PANES)}`", f"Go to a pane: {names}."),
    )
    return table(("keys", ""), rows)


def themes_block() -> str:
    names = sorted(load_themes(theme_folders()[:1])[0])
    return ", ".join(f"`{name}`" for name in names) + "\n"


# --- measured costs ------------------------------------------------------------------------------


def causes_block() -> str:
    """Every cause of the diagnosis: what it does to a training, and where that is described."""
    rows = [(f"`{name}`", CATALOG[name].title, CATALOG[name].text, CATALOG[name].source) for name in CAUSES]
    return table(("cause", "in words", "what it does", "source"), rows)


def thresholds_block() -> str:
    """The documented constants of the diagnosis."""
    rows: list[tuple[str, ...]] = []
    for path in sorted((ROOT / "aetui" / "diagnosis").rglob("*.py")):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        for statement, following in itertools.pairwise(body):
            if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Name | ast.Tuple):
                continue
            text = following.value if isinstance(following, ast.Expr) else None
            if not isinstance(text, ast.Constant) or not isinstance(text.value, str):
                continue
            names = ast.unparse(statement.targets[0]).strip("()")
            module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
            shown = _shown([getattr(module, name) for name in names.split(", ")])
            if shown:
                rows.append((f"`{path.stem}.{names}`", shown, " ".join(text.value.split())))
    return table(("name", "value", "meaning"), rows)


def _shown(values: Sequence[object]) -> str:
    """Numbers, a range, or pairs of a bound and a suspicion with the suspicion beyond them; '' for anything else."""
    first, *rest = values
    if all(isinstance(value, int | float) for value in values):
        return ", ".join(f"{value:g}" for value in values)
    if not isinstance(first, tuple):
        return ""
    if all(isinstance(part, int | float) for part in first):
        return "" if rest else " to ".join(f"{part:g}" for part in first)
    if not all(isinstance(pair, tuple) and all(isinstance(part, int | float) for part in pair) for pair in first):
        return ""
    return ", ".join(f"{bound:g}: {doubt:g}" for bound, doubt in first) + "".join(f", else {doubt:g}" for doubt in rest)


def score_block() -> str:
    """What `python -m evaluation.score` last measured."""
    runs = json.loads(SCORE.read_text(encoding="utf-8"))
    blocks = [(run["about"], code("$ {command}\n{text}".format(**run), "console")) for run in runs]
    return "\n".join(f"{about}\n\n{block}" for about, block in blocks)


def selftest_block() -> str:
    """What `aetui selftest` printed on each machine that it ran on."""
    files = sorted(SELFTEST.glob("*.txt"))
    blocks = [code(f"$ aetui selftest\n{file.read_text(encoding='utf-8')}", "console") for file in files]
    return "\n".join(blocks) or "It has not run yet.\n"


def bench_block() -> str:
    """The tables of docs/bench.json, or how to get them."""
    if not BENCH.exists():
        return (
            "Not filled in yet. `aetui bench` prints the figures of your machine in a few minutes;\n"
            "`aetui bench --json > bench.json && python scripts/make_docs.py --bench bench.json` puts them here.\n"
        )
    report = json.loads(BENCH.read_text(encoding="utf-8"))
    machine = report["machine"]
    versions = ", ".join(f"{name} {machine[name]}" for name in ("torch", "textual", "plotext") if name in machine)
    cases = tuple(report["cases"])
    measured = [("cases", ""), ("busy", ", busy")]
    speeds = [
        (f"{kind}{where}", *(Figure(**report[part][case][kind]).text() for case in cases))
        for part, where in measured
        for kind in report[part][cases[0]]
    ]
    names = tuple(next(iter(report["ratios"].values())))
    ratios = [(ratio_name(name), *(Figure(**report["ratios"][case][name]).text(2) for case in cases)) for name in names]
    share = report["first_frame_s"] / report["import_torch_s"]
    rest = [
        ("first frame after the start", f"{report['first_frame_s']:.2f} s, {share:.2f} of `import torch`"),
        *(
            (f"key to its effect, {kind}", f"p50 {found['p50']:.0f} ms, p95 {found['p95']:.0f} ms")
            for kind, found in report["key_ms"].items()
        ),
        ("sent to the terminal", f"{report['terminal_bytes_per_s'] / 1e3:.1f} kB/s"),
    ]
    if "forks" in report:
        rest.append(("forks", forks.text(report["forks"])))
    if report.get("screen_cpu_share") is not None:
        rest.append(
            ("the screen's process", f"{report['screen_cpu_share']:.1%} of a core, {report['screen_rss_mb']:.0f} MB")
        )
    return (
        f"On {machine['cores']} cores, Python {machine['python']}, {versions}.\n\n"
        + table(("steps/s", *cases), speeds)
        + "\n"
        + table(("ratio", *cases), ratios)
        + "\n"
        + table(("", ""), rest)
    )


# --- examples of output --------------------------------------------------------------------------


def aetui(*arguments: str, home: str = "") -> str:
    """What a command prints, with its runs in a folder `home` or in one of their own."""
    with tempfile.TemporaryDirectory() as spare:
        home = home or spare
        environment = os.environ | {"AETUI_HOME": home, "AETUI_CONFIG": f"{home}/config"}
        # Waiting threads that spin would make an example slow on a busy machine.
        environment["OMP_WAIT_POLICY"] = "passive"
        command = [sys.executable, "-m", "aetui", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT)
        # A diagnosis that finds something ends with status 1.
        if done.returncode > 1 or not done.stdout:
            raise RuntimeError(f"{' '.join(arguments)}: {done.stderr}")
        return done.stdout


def train_block() -> str:
    command = ("train", "digits", "--steps", "500", "--name", "first")
    return code(f"$ aetui {' '.join(command)}\n{aetui(*command)}", "console")


def runs_block() -> str:
    """A run that is trained in two parts, beside one that was not interrupted."""
    shown: list[str] = []
    with tempfile.TemporaryDirectory() as home:
        for command, after in (
            ("train digits --steps 2000 --name whole", " | grep weights"),
            ("train digits --steps 700 --name parts", " | grep weights"),
            ("resume parts --headless --steps 2000", " | grep weights"),
            ("runs", ""),
        ):
            text = aetui(*command.split(), home=home)
            if after:
                text = "".join(line for line in text.splitlines(keepends=True) if line.startswith("weights"))
            shown.append(f"$ aetui {command}{after}\n{text}")
    return code("".join(shown), "console")


def diagnose_block() -> str:
    return code(f"$ aetui diagnose clinic/raw-into-sigmoid\n{aetui('diagnose', 'clinic/raw-into-sigmoid')}", "console")


def try_block() -> str:
    command = ("try", "clinic/low-rate", "--set", "optim.kind=sgd,optim.lr=0.1", "--seeds", "3")
    return code(f"$ aetui {' '.join(command)}\n{aetui(*command)}", "console")


def verify_block() -> str:
    """The remedies of a report, and what became of each on a fork."""
    command = "diagnose clinic/raw-into-sigmoid --verify"
    shown = [line for line in aetui(*command.split()).splitlines() if re.search("Remedy:|--set|tried on a fork", line)]
    return code(f"$ aetui {command} | grep -e Remedy: -e --set -e 'tried on a fork'\n" + "\n".join(shown), "console")


def json_block() -> str:
    found = json.loads(aetui("train", "lr-and-clipping", "--json", "--name", "low"))
    del found["spec"]
    return code(
        "$ aetui train lr-and-clipping --json --name low | jq 'del(.spec)'\n" + json.dumps(found, indent=2), "console"
    )


PAGES: dict[Path, Callable[[], str]] = {DOCS / "settings.md": settings_page, DOCS / "keys.md": keys_page}
BLOCKS: dict[str, Callable[[], str]] = {
    "presets": presets_block, "keys": keys_block, "themes": themes_block, "bench": bench_block,
    "causes": causes_block, "thresholds": thresholds_block, "score": score_block,
    "selftest": selftest_block,
}  # fmt: skip
EXAMPLES: dict[str, Callable[[], str]] = {
    "train": train_block, "json": json_block, "diagnose": diagnose_block, "runs": runs_block,
    "try": try_block, "verify": verify_block,
}  # fmt: skip


def filled(text: str, makers: dict[str, Callable[[], str]]) -> str:
    """`text` with the blocks that `makers` knows made anew."""

    def block(found: re.Match[str]) -> str:
        begin, name, end = found.groups()
        return f"{begin}{makers[name]()}{end}" if name in makers else found[0]

    return _BLOCK.sub(block, text)


def pages(makers: dict[str, Callable[[], str]] = BLOCKS) -> dict[Path, str]:
    """Every generated page by its path, with the blocks that `makers` knows."""
    found = {path: make() for path, make in PAGES.items()}
    for path in (README, *(DOCS / f"{name}.md" for name in ("measurements", "diagnosis", "whatif", "gpu"))):
        found[path] = filled(path.read_text(encoding="utf-8"), makers)
    return found


# --- pictures ------------------------------------------------------------------------------------


async def picture(
    name: str, spec: RunSpec, size: tuple[int, int], keys: Sequence[str | int | Waits], theme: str = "dark"
) -> None:
    """docs/images/NAME.svg: the program after `keys`; a number waits for that step and for its figures, a function
    of the app until it is true."""
    from aetui.engine.links import ProcessLink
    from aetui.tui.app import Workbench

    with tempfile.TemporaryDirectory() as home:
        os.environ["AETUI_HOME"] = home
        log = Path(home) / "log"
        link = ProcessLink("brisk-otter-41", str(log))
        app = Workbench(link, spec, theme=theme, log_file=str(log))
        try:
            await _draw(name, app, size, keys)
        finally:
            link.close()


async def own_loop(name: str, script: Path, size: tuple[int, int], keys: Sequence[str | int | Waits]) -> None:
    """The same of a screen that is attached to a script whose run has the picture's name."""
    from aetui.engine.links import AttachLink
    from aetui.engine.sockets import SocketError
    from aetui.runs.folder import RunFolder
    from aetui.tui.app import Workbench

    with tempfile.TemporaryDirectory() as home:
        os.environ["AETUI_HOME"] = home
        # What it prints is its own; the screen is what is shown here.
        process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        link = None
        try:
            while link is None:
                with contextlib.suppress(SocketError, OSError):
                    link = AttachLink(RunFolder(Path(home) / "runs" / name).path)
                if process.poll() is not None:
                    raise RuntimeError(f"{script.name} has ended")
                await asyncio.sleep(0.05)
            await _draw(name, Workbench(link, RunSpec(), theme="dark", attached=True), size, keys)
        finally:
            if link is not None:
                link.detach()
            process.kill()
            process.wait()


async def compared(name: str, runs: dict[str, RunSpec], size: tuple[int, int], keys: Sequence[str]) -> None:
    """The same of `aetui compare` on runs that are trained to their ends."""
    from aetui.cli.train import train_headless
    from aetui.runs.comparing import StoredRow
    from aetui.runs.folder import RunFolder
    from aetui.tui.compare.app import CompareApp

    with tempfile.TemporaryDirectory() as home:
        os.environ["AETUI_HOME"] = home
        with contextlib.redirect_stdout(None):
            for run, spec in runs.items():
                train_headless(spec, steps=None, as_json=False, quiet=True, name=run)
        stored = [StoredRow(RunFolder.find(run)) for run in runs]
        app = CompareApp(lambda: [one.read() for one in stored])
        async with app.run_test(size=size) as pilot:
            for key in keys:
                await pilot.press(key)
            await pilot.pause()
            svg = app.export_screenshot(title=f"aetui compare, {size[0]} x {size[1]}")
    _write_picture(name, svg)


async def _draw(name: str, app: Any, size: tuple[int, int], keys: Sequence[str | int | Waits]) -> None:
    async with app.run_test(size=size) as pilot:
        await _until(lambda: app.model.info is not None)
        for key in keys:
            if isinstance(key, int):
                await _until(lambda step=key: _shows(app, step))
            elif callable(key):
                await _until(lambda done=key: done(app))
            else:
                await pilot.press(key)
                await pilot.pause()
        svg = app.export_screenshot(title=f"aetui, {size[0]} x {size[1]}")
    _write_picture(name, svg)


def _write_picture(name: str, svg: str) -> None:
    (DOCS / "images" / f"{name}.svg").write_text(portable(svg), encoding="utf-8")
    print(f"docs/images/{name}.svg", file=sys.stderr)


def portable(svg: str) -> str:
    """A screenshot that every viewer draws alike.

    Each word stands at its own place, since viewers differ in how they treat spaces and text lengths;
    the font is as wide as the grid, and no web font is asked for.
    """

    def words(found: re.Match[str]) -> str:
        head, x, y, tail, text = found.groups()
        text = html.unescape(text)
        return "".join(
            f'{head} x="{float(x) + word.start() * _CELL:g}"{y} textLength="{len(word[0]) * _CELL:g}"{tail}'
            f"{html.escape(word[0], quote=False)}</text>"
            for word in _WORD.finditer(text)
        )

    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    svg = svg.replace("font-size: 20px", f"font-size: {_CELL / 0.6:.2f}px")
    svg = re.sub(r'(<text class="[^"]*") x="([0-9.]+)"( y="[^"]*") textLength="[^"]*"([^>]*>)(.*?)</text>', words, svg)
    return re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE)


def _under_way(app: Any) -> bool:
    return app.model.status.step >= 300


def _judged(app: Any) -> bool:
    """Whether a verdict stands, and every visible pane shows the step of the pause."""
    diagnosis = app.model.diagnosis
    return diagnosis is not None and bool(diagnosis.report.findings) and _shows(app, app.model.status.step)


def _tried(app: Any) -> bool:
    """Whether an experiment on forks is through."""
    return app.model.trial is not None and app.model.trial.state == "done"


def _probed(app: Any) -> bool:
    """Whether the suspects were checked."""
    diagnosis = app.model.diagnosis
    return diagnosis is not None and diagnosis.probed


def _shows(app: Any, step: int) -> bool:
    """Whether the run is at `step` or later, and every visible pane shows it so."""
    model = app.model
    at_rest = model.status.state != "running"
    least = step if at_rest else step * 0.8
    gauges = [getattr(model, name) for name in app.bench.gauges]
    measured = all(gauge is not None and gauge.step >= least for gauge in gauges)
    return model.status.step >= step and measured and len(model.loss) >= model.status.step * 0.9


async def _until(condition: Callable[[], bool], seconds: float = 120) -> None:
    for _ in range(int(seconds / 0.1)):
        await asyncio.sleep(0.1)
        if condition():
            # The panes are drawn at their own pace, after what they draw has come.
            await asyncio.sleep(1.5)
            return
    raise TimeoutError("the program did not get there")


async def pictures() -> None:
    digits = changed(presets.load("digits"), {"train.steps": 15_000})
    noise = presets.load("lr-and-clipping")
    tweaked = ["n", *"1200", "enter", 1200, "f7", "f7", "f5", 2500]
    await picture("workbench", digits, (120, 40), tweaked)
    fast = changed(presets.load("digits"), {"optim.lr": 5e-4})
    up = ["n", *"1000", "enter", 1000, "f8", "f8", "f8", "f8", "f8", "f8", "n", *"1000", "enter", 2000]
    await picture("branches", fast, (120, 40), [*up, "ctrl+z", 1000, "f7", "n", *"1500", "enter", 2500])
    await picture("narrow", digits, (80, 24), ["1", *tweaked], theme="light")
    await picture("collapse", noise, (120, 40), ["f5", 100])
    await picture("collapse-narrow", noise, (80, 24), ["f5", 100, "2", 100], theme="high-contrast")
    rate = presets.load("clinic/high-rate")
    await own_loop("own-loop", ROOT / "examples" / "own_loop.py", (120, 40), [_under_way, "f5", _judged, "y", "z"])
    if importlib.util.find_spec("lightning"):
        script = ROOT / "examples" / "with_lightning.py"
        await own_loop("with-lightning", script, (120, 40), [_under_way, "f5", _judged])
    await picture("why", rate, (120, 40), ["f5", rate.train.steps, "f4", _probed, "y", "z"])
    await what_if_pictures()


async def what_if_pictures() -> None:
    rate, digits = presets.load("clinic/high-rate"), changed(presets.load("digits"), {"train.steps": 1000})
    await picture("what-if", rate, (120, 40), ["f5", rate.train.steps, "y", _judged, "f2", "enter", _tried])
    rates = {f"digits-{lr:g}": changed(digits, {"optim.lr": lr}) for lr in (1e-4, 1e-3, 1e-2)}
    keys = ["v", "down", "down", *["right"] * 40]
    await compared("compare", rates | {"digits-code-5": changed(digits, {"model.code": 5})}, (120, 40), keys)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pages", action="store_true", help="only what follows from the code")
    parser.add_argument("--bench", type=Path, metavar="FILE", help="output of aetui bench --json to keep")
    options = parser.parse_args()
    if options.bench:
        report = json.loads(options.bench.read_text(encoding="utf-8"))
        BENCH.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    only_text = options.pages or options.bench
    for path, text in pages(BLOCKS if only_text else BLOCKS | EXAMPLES).items():
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(ROOT), file=sys.stderr)
    if not only_text:
        os.environ["AETUI_CONFIG"] = tempfile.mkdtemp(prefix="aetui-docs-")
        (DOCS / "images").mkdir(exist_ok=True)
        asyncio.run(pictures())


if __name__ == "__main__":
    main()
