"""The ways of an alert that need no terminal, a command and a webhook: taken by a process of their own.

So an alert costs a run the start of a process and nothing else: whatever takes long or fails, fails there, and what was
under way when a run ended is still told.
"""

from __future__ import annotations

import logging
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit

import msgspec

from aetui.alerts.settings import AlertSettings, load_alerts
from aetui.alerts.told import Alert

log = logging.getLogger(__name__)

COMMAND_SECONDS = 60.0
"""After which a command is ended."""
WEBHOOK_SECONDS = 10.0
"""For each of connecting, writing and reading."""
EXTRA = "alerts.webhook needs httpx; pip install 'aetui[alerts]' brings it"


# --- in the process of the run -------------------------------------------------------------------


_starting: set[threading.Event] = set()
"""Of alerts whose process is not started yet."""


def send_away(alert: Alert, failed: Callable[[str], None] | None = None) -> None:
    """Have another process tell it, as the user's settings say; returns at once, and raises nothing.

    failed: called, from a thread, with a sentence for what was not told.
    """
    started = threading.Event()
    _starting.add(started)
    try:
        threading.Thread(target=_send_away, args=(alert, failed, started), name="alert", daemon=True).start()
    except RuntimeError:  # no thread is to be had
        log.exception("an alert could not be sent")
        _starting.discard(started)


def settle(seconds: float = 2.0) -> None:
    """Wait until the processes of all alerts are started, before this one ends; that takes milliseconds."""
    end = time.monotonic() + seconds
    for started in tuple(_starting):
        started.wait(max(0.0, end - time.monotonic()))


def _send_away(alert: Alert, failed: Callable[[str], None] | None, started: threading.Event) -> None:
    problems: list[str] = []
    try:
        process = _started(alert)
        _set(started)
        if process is None:
            return
        said = process.stderr.read() if process.stderr is not None else b""
        problems = [line.removeprefix("aetui: ") for line in said.decode(errors="replace").splitlines() if line]
        if process.wait() and not problems:
            problems = [f"the process that tells it ended with status {process.returncode}"]
    except Exception as error:
        log.exception("an alert could not be sent")
        problems = [f"{type(error).__name__}: {error}"]
    finally:
        _set(started)
    for problem in problems:
        log.warning("alert: %s", problem)
    if problems and failed is not None:
        with suppress(Exception):
            failed(f"an alert was not told: {problems[-1]}")


def _set(started: threading.Event) -> None:
    started.set()
    _starting.discard(started)


def _started(alert: Alert) -> subprocess.Popen[bytes] | None:
    """The process that tells an alert, with the facts on its way to it; None where nobody is to be told."""
    settings, _ = load_alerts()
    if alert.kind not in settings.on or not settings.sent:
        return None
    process = subprocess.Popen(
        [sys.executable, "-m", "aetui.alerts.sending"],
        # A random.py in the working folder must not take the place of the real one.
        env=os.environ | {"PYTHONSAFEPATH": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdin is not None
    with process.stdin as pipe:
        pipe.write(msgspec.json.encode(alert))
    return process


# --- in that other process -----------------------------------------------------------------------


def ways(alert: Alert, settings: AlertSettings) -> list[tuple[str, bool, str]]:
    """Take each way that the settings name; its name, whether that went well, and what came of it."""
    found: list[tuple[str, bool, str]] = []
    for name, wanted, way in (
        ("webhook", bool(settings.webhook), lambda: post(alert, settings.webhook)),
        ("command", bool(settings.words), lambda: run(alert, settings.words)),
    ):
        if wanted:
            began = time.monotonic()
            try:
                said, well = way(), True
            except (OSError, ValueError, RuntimeError) as error:
                said, well = str(error), False
            found.append((name, well, f"{said} after {time.monotonic() - began:.1f} s" if well else said))
    return found


def run(alert: Alert, words: list[str]) -> str:
    """Run the user's command with the facts in its environment; what came of it.

    Raises:
        RuntimeError: it took too long or ended with another status than 0.
        OSError: it can't be started.
    """
    try:
        process = subprocess.Popen(
            words,
            env=os.environ | alert.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise OSError(f"alerts.command: {words[0]} can't be started: {error.strerror}") from None
    try:
        _, said = process.communicate(timeout=COMMAND_SECONDS)
    except subprocess.TimeoutExpired:
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise RuntimeError(f"alerts.command: {words[0]} was ended after {COMMAND_SECONDS:.0f} s") from None
    if process.returncode:
        last = (said.decode(errors="replace").strip().splitlines() or [""])[-1]
        raise RuntimeError(
            f"alerts.command: {words[0]} ended with status {process.returncode}{f': {last}' if last else ''}"
        )
    return "ended with status 0"


def post(alert: Alert, address: str) -> str:
    """Post the facts as JSON; the answer.

    Raises:
        RuntimeError: httpx is missing, the host can't be reached in time, or it refuses; the address, which may hold a
            secret, is not in the sentence.
    """
    try:
        import httpx
    except ImportError:
        raise RuntimeError(EXTRA) from None
    host = urlsplit(address).hostname
    try:
        answer = httpx.post(address, json=alert.message(platform.node()), timeout=WEBHOOK_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        why = "no answer in time" if isinstance(error, httpx.TimeoutException) else type(error).__name__
        raise RuntimeError(f"alerts.webhook: {host} could not be reached: {why}") from None
    if not answer.is_success:
        raise RuntimeError(f"alerts.webhook: {host} answered {answer.status_code} {answer.reason_phrase}")
    return f"{host} answered {answer.status_code}"


def main() -> int:
    """Tell the alert on standard input; what was not told is a line each on standard error, and status 1."""
    alert = msgspec.json.decode(sys.stdin.buffer.read(), type=Alert)
    settings, _ = load_alerts()
    problems = [said for _, well, said in ways(alert, settings) if not well]
    for problem in problems:
        print(f"aetui: {problem}", file=sys.stderr)
    return int(bool(problems))


if __name__ == "__main__":
    raise SystemExit(main())
