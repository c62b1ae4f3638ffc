"""A verdict that turns bad while nobody watches."""

import json
import sys
from pathlib import Path

from aetui.paths import settings_path
from aetui.report import FINE
from tests.cli.conftest import until


def test_a_verdict_is_told_though_no_screen_asks_for_it(ours, tmp_path: Path):
    script, out = tmp_path / "witness.py", tmp_path / "told"
    script.write_text(
        "import os\n"
        f"with open({str(out)!r}, 'a') as file:\n"
        "    file.write(os.environ['AETUI_ALERT'] + ' ' + os.environ['AETUI_RUN_VERDICT'] + '\\n')\n"
    )
    settings_path().parent.mkdir(parents=True, exist_ok=True)
    command = json.dumps([sys.executable, str(script)])
    settings_path().write_text(f"[alerts]\non = ['verdict']\ncommand = {command}\n")
    ours("bad", start=True, optim__lr="3")
    until(out.exists)
    kind, verdict = out.read_text().split()
    assert kind == "verdict" and verdict not in FINE
