"""Commands and webhooks: what they get, what is said where they fail, and that nothing waits for them."""

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from aetui import protocol as p
from aetui.alerts import sending
from aetui.alerts.settings import AlertSettings, alert_settings, load_alerts
from aetui.alerts.terminal import notification, sequences
from aetui.alerts.told import Alert, Listener
from aetui.cli.main import main
from aetui.paths import settings_path

ALERT = Alert(kind="finish", text="otter at step 7: finished", run="otter", step=7, state="finished", verdict="healthy")


class Server:
    """Keeps what is posted to it; answers once `wait` is set."""

    def __init__(self) -> None:
        self.posted: list[dict[str, Any]] = []
        self.status, self.wait = 200, threading.Event()
        self.wait.set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.wait.wait(30)
                outer.posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(outer.status)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}/secret"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.wait.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    pytest.importorskip("httpx")
    found = Server()
    yield found
    found.close()


@pytest.fixture
def settings() -> Callable[[str], None]:
    """Writes the user's settings file."""

    def write(text: str) -> None:
        settings_path().parent.mkdir(parents=True, exist_ok=True)
        settings_path().write_text(text)

    return write


@pytest.fixture
def witness(tmp_path: Path) -> tuple[str, Path]:
    """A command, as TOML, that writes what its environment says of an alert, and the file that it writes."""
    script, out = tmp_path / "witness.py", tmp_path / "told.json"
    script.write_text(
        "import json, os\n"
        "facts = {k: v for k, v in os.environ.items() if k.startswith('AETUI_')}\n"
        f"with open({str(out) + '.new'!r}, 'w') as file:\n"
        "    json.dump(facts, file)\n"
        f"os.replace({str(out) + '.new'!r}, {str(out)!r})\n"
    )
    return json.dumps([sys.executable, str(script)]), out


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_webhook_gets_the_facts_and_its_answer_is_told(server: Server):
    ((name, well, said),) = sending.ways(ALERT, AlertSettings(webhook=server.address))
    assert (name, well) == ("webhook", True) and said.startswith("127.0.0.1 answered 200")
    (posted,) = server.posted
    assert posted["text"] == ALERT.text and posted["step"] == 7 and posted["verdict"] == "healthy" and posted["host"]
    server.status = 403
    ((_, well, said),) = sending.ways(ALERT, AlertSettings(webhook=server.address))
    assert not well and said == "alerts.webhook: 127.0.0.1 answered 403 Forbidden"


def test_a_webhook_that_does_not_answer_is_given_up(server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sending, "WEBHOOK_SECONDS", 0.2)
    server.wait.clear()
    ((_, well, said),) = sending.ways(ALERT, AlertSettings(webhook=server.address))
    assert not well and said == "alerts.webhook: 127.0.0.1 could not be reached: no answer in time"


def test_an_address_that_nobody_answers_is_told_without_its_path():
    pytest.importorskip("httpx")
    server = Server()
    server.close()
    ((_, well, said),) = sending.ways(ALERT, AlertSettings(webhook=server.address))
    assert not well and said == "alerts.webhook: 127.0.0.1 could not be reached: ConnectError"


def test_without_httpx_the_sentence_says_what_brings_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "httpx", None)
    assert sending.ways(ALERT, AlertSettings(webhook="http://x.example")) == [("webhook", False, sending.EXTRA)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["/bin/false"], "alerts.command: /bin/false ended with status 1"),
        (["/no/such"], "alerts.command: /no/such can't be started: No such file or directory"),
        (["/bin/sh", "-c", "echo no room >&2; exit 3"], "alerts.command: /bin/sh ended with status 3: no room"),
    ],
)
def test_a_command_that_fails_is_told_in_one_sentence(words: list[str], said: str):
    assert sending.ways(ALERT, AlertSettings(command=words)) == [("command", False, said)]


def test_a_command_that_takes_too_long_is_ended_with_what_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sending, "COMMAND_SECONDS", 0.5)
    pid = tmp_path / "pid"
    words = ["/bin/sh", "-c", f"sleep 60 & echo $! > {pid}; wait"]
    ((_, well, said),) = sending.ways(ALERT, AlertSettings(command=words))
    assert not well and "/bin/sh was ended after" in said
    until(lambda: _over(pid.read_text().strip()))


def _over(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_nothing_waits_for_a_command_and_its_failure_is_told_later(settings, tmp_path: Path):
    gate = tmp_path / "gate"
    heard: list[str] = []
    os.mkfifo(gate)
    settings(f"""[alerts]\ncommand = ["/bin/sh", "-c", "read line < '{gate}'; exit 4"]\n""")
    sending.send_away(ALERT, heard.append)
    sending.settle()
    assert heard == []
    gate.write_text("go\n")
    until(lambda: bool(heard))
    assert heard == ["an alert was not told: alerts.command: /bin/sh ended with status 4"]


def test_what_is_not_asked_for_starts_no_process(settings, witness: tuple[str, Path]):
    command, out = witness
    settings(f"[alerts]\non = ['verdict']\ncommand = {command}\n")
    assert sending._started(ALERT) is None
    settings("[alerts]\nbell = true\n")
    assert sending._started(ALERT) is None and not out.exists()


def test_a_run_tells_that_it_has_finished_though_its_process_ends_at_once(
    settings, witness: tuple[str, Path], server: Server
):
    command, out = witness
    settings(f"[alerts]\ncommand = {command}\nwebhook = '{server.address}'\n")
    assert main(["train", "--set", "data.kind=gaussian", "--steps", "5", "--name", "otter", "--quiet"]) == 0
    until(out.exists)
    until(lambda: bool(server.posted))
    told = json.loads(out.read_text())
    assert (told["AETUI_ALERT"], told["AETUI_RUN"], told["AETUI_RUN_STEP"]) == ("finish", "otter", "5")
    assert told["AETUI_ALERT_TEXT"].startswith("otter at step 5: finished 5 steps")
    assert told["AETUI_ALERT_TEXT"] == server.posted[0]["text"] and len(server.posted) == 1


def test_the_test_takes_every_way_and_says_what_came_of_it(
    settings, witness: tuple[str, Path], server: Server, capsys: pytest.CaptureFixture[str]
):
    command, out = witness
    settings(f"[alerts]\ncommand = {command}\nwebhook = '{server.address}'\n")
    assert main(["alerts", "test"]) == 0
    printed = capsys.readouterr().out
    assert "webhook: 127.0.0.1 answered 200 after" in printed and "command: ended with status 0 after" in printed
    assert out.exists()
    settings("[alerts]\nbell = true\ncommand = '/bin/false'\n")
    assert main(["alerts", "test"]) == 1
    printed = capsys.readouterr().out
    assert "bell: standard error is no terminal" in printed and "/bin/false ended with status 1" in printed
    settings("")
    assert main(["alerts", "test"]) == 1 and "no way is set" in capsys.readouterr().out


def test_settings_that_are_wrong_are_left_out_one_by_one():
    wrong = {"bell": "yes", "on": ["lunch"], "webhook": "ftp://x/secret", "comand": "x", "command": "'", "desktop": 9}
    found, problems = alert_settings(wrong)
    assert found == AlertSettings()
    assert len(problems) == 6 and not any("secret" in problem for problem in problems)
    assert "alerts.bell 'yes' is not allowed; it takes true or false; it is left out" in problems
    assert any(problem.startswith("unknown setting alerts.comand; did you mean command") for problem in problems)
    assert alert_settings([1])[1] == ["alerts [1] is not allowed; it takes a table, [alerts]"]


def test_a_settings_file_that_can_t_be_read_means_no_alerts(settings):
    settings("[alerts\n")
    found, (problem,) = load_alerts()
    assert not found.sent and "so there are no alerts" in problem


def test_a_notification_goes_through_tmux_and_has_no_controls():
    assert notification("aetui", "a\x1bb\n", "osc9", {}) == "\x1b]9;a b \a"
    assert notification("a;b", "c;d", "osc777", {}) == "\x1b]777;notify;a,b;c;d\a"
    assert notification("a", "b", "auto", {"TMUX": "x"}) == "\x1bPtmux;\x1b\x1b]9;b\a\x1b\\"
    assert notification("a", "b", "auto", {"STY": "x", "VTE_VERSION": "7"}) == "\x1bP\x1b]777;notify;a;b\a\x1b\\"
    assert sequences(ALERT, AlertSettings(bell=True)) == "\a"
    assert sequences(ALERT, AlertSettings(bell=True, on=("verdict",))) == ""


def test_a_fault_in_telling_never_reaches_the_run(monkeypatch: pytest.MonkeyPatch):
    from aetui.engine.worker import Engine

    heard: list[p.Reply] = []

    def broken(self: Listener, reply: p.Reply) -> None:
        heard.append(reply)
        raise RuntimeError("broken")

    monkeypatch.setattr(Listener, "hear", broken)
    Engine("otter", store=False).note("a sentence")
    assert [getattr(one, "text", "") for one in heard] == ["a sentence"]
