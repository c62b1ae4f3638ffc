#!/usr/bin/env python3
"""How the program does on a thin line: key to effect, bytes to opening, and what queues up.

    python scripts/line_bench.py [--json FILE] [--docs FILE] [--only 256,0.2,120x40] [--presses N]

The program runs on a pseudo-terminal. A relay stands between it and the user's end, a terminal that pyte plays
and that answers the program's questions. Model of the line: what the program writes goes into a send buffer of 128 KiB
(about what pipe, SSH channel and socket hold behind sshd before they push back; while it is full the relay reads no
more), leaves it at the given rate, and arrives half a round trip later; keys and answers take the same way back.
"""

import argparse
import fcntl
import json
import os
import pty
import random
import re
import select
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

import pyte

PAGE = Path(__file__).parents[1] / "docs" / "measurements.md"
BUFFER = 128 * 1024
CASES = ((256, 0.2, (120, 40)), (256, 0.4, (200, 50)), (64, 0.2, (120, 40)), (64, 0.2, (200, 50)))
"""kbit/s, round trip in seconds, columns and rows."""
_PRIVATE = re.compile(rb"\x1b\[[<>=?][0-9;]*\$?[A-Za-z]")
_UNFINISHED = re.compile(rb"\x1b(\[[0-?]*[ -/]*)?\Z")


class Screen(pyte.Screen):
    """The user's terminal; it answers through `reply`."""

    reply: Any = None

    def write_process_input(self, data: str) -> None:
        self.reply(data.encode())


class Relay:
    """The program, the line, and the user's end."""

    def __init__(self, arguments: list[str], rate: float, round_trip: float, size: tuple[int, int], home: str) -> None:
        self.rate, self.delay = rate, round_trip / 2
        self.screen = Screen(*size)
        self.screen.reply = self.send
        self._stream = pyte.ByteStream(self.screen)
        self._rest = b""
        self.bytes, self.most_queued = 0, 0
        self._buffer: bytearray = bytearray()
        self._down: deque[tuple[float, bytes]] = deque()
        self._up: deque[tuple[float, bytes]] = deque()
        self.lock = threading.Lock()
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
        environment |= {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LC_ALL": "C.UTF-8"}
        environment |= {"AETUI_HOME": home, "AETUI_CONFIG": f"{home}/config"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "aetui", *arguments],
            stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        threading.Thread(target=self._relay, daemon=True).start()

    def send(self, data: bytes) -> None:
        """Something from the user's end: a key, or the terminal's answer."""
        self._up.append((time.monotonic() + self.delay, data))

    def _relay(self) -> None:
        free = time.monotonic()
        while True:
            now = time.monotonic()
            room = BUFFER - len(self._buffer)
            if select.select([self.master] if room > 0 else [], [], [], 0.002)[0]:
                try:
                    self._buffer += (data := os.read(self.master, min(room, 65536)))
                except OSError:
                    return
                self.bytes += len(data)
            self.most_queued = max(self.most_queued, len(self._buffer))
            free = max(free, now - 0.005)
            while self._buffer and free <= now:
                packet = bytes(self._buffer[:256])
                del self._buffer[:256]
                free += len(packet) * 8 / (self.rate * 1000)
                self._down.append((free + self.delay, packet))
            while self._up and self._up[0][0] <= now:
                os.write(self.master, self._up.popleft()[1])
            while self._down and self._down[0][0] <= now:
                self._feed(self._down.popleft()[1])

    def _feed(self, data: bytes) -> None:
        data = self._rest + data
        cut = _UNFINISHED.search(data)
        self._rest = data[cut.start() :] if cut else b""
        with self.lock:
            self._stream.feed(_PRIVATE.sub(b"", data[: cut.start()] if cut else data))

    @property
    def text(self) -> str:
        """The lower rows of the user's screen, where the status is."""
        with self.lock:
            return "\n".join(self.screen.display[-6:])

    def wait(self, pattern: str, timeout: float) -> float:
        """Seconds until the pattern is on the user's screen, `timeout` where it never is."""
        start = time.monotonic()
        while (spent := time.monotonic() - start) < timeout and not re.search(pattern, self.text):
            time.sleep(0.004)
        return spent

    def close(self) -> None:
        self.send(b"\x11")
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()


def measure(rate: float, round_trip: float, size: tuple[int, int], presses: int) -> dict[str, Any]:
    """One line: bytes to opening, then keys while the digits are trained."""
    chance = random.Random(0)
    endless = ["--set", "train.steps=0", "--set", "train.epochs=0"]
    with tempfile.TemporaryDirectory() as home:
        relay = Relay(["run", "digits", *endless], rate, round_trip, size, home)
        try:
            opening = relay.wait("PAUSED", 90)
            opened = relay.bytes
            time.sleep(2)
            relay.send(b"\x1b[15~")
            relay.wait("RUNNING", 30)
            time.sleep(8)
            began, before, relay.most_queued = time.monotonic(), relay.bytes, 0
            waits = []
            for turn in range(presses):
                time.sleep(0.7 + chance.random())
                shown = re.search(r"\blr ([\d.e+-]+) +grad", relay.text)
                relay.send(b"\x1b[18~" if turn % 2 else b"\x1b[19~")
                lr = re.escape(shown[1]) if shown else "x"
                waits.append(relay.wait(rf"\blr (?!{lr} )[\d.e+-]+ +grad", 20))
            spent = time.monotonic() - began
            return {
                "kbit_per_s": rate, "round_trip_s": round_trip, "size": f"{size[0]}x{size[1]}",
                "opening_bytes": opened, "opening_s": round(opening, 2),
                "p50_s": round(statistics.median(waits), 3),
                "p95_s": round(statistics.quantiles(waits, n=20, method="inclusive")[-1], 3),
                "most_queued_bytes": relay.most_queued, "bytes_per_s": round((relay.bytes - before) / spent),
            }  # fmt: skip
        finally:
            relay.close()
            for file in Path("/proc").glob("[0-9]*/environ"):
                try:
                    if f"AETUI_HOME={home}\0".encode() in file.read_bytes():
                        os.kill(int(file.parent.name), signal.SIGKILL)
                except OSError:
                    continue


def table(found: list[dict[str, Any]]) -> str:
    """The figures as rows of a page."""
    rows = ["| line | size | opening | key p50 | key p95 | queued at most |", "| --- | --- | --- | --- | --- | --- |"]
    for case in found:
        line = f"{case['kbit_per_s']:.0f} kbit/s, {case['round_trip_s'] * 1000:.0f} ms"
        times = f"{case['p50_s']:.2f} s | {case['p95_s']:.2f} s"
        kilobytes = f"{case['opening_bytes'] / 1e3:.1f} kB | {times} | {case['most_queued_bytes'] / 1e3:.1f} kB"
        rows.append(f"| {line} | {case['size'].replace('x', ' x ')} | {kilobytes} |")
    return "\n".join(rows) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the figures there")
    parser.add_argument("--docs", type=Path, metavar="FILE", help="fill docs/measurements.md from such a file, and end")
    parser.add_argument("--only", metavar="KBIT,SECONDS,CxR", help="one line instead of all")
    parser.add_argument("--presses", type=int, default=20)
    options = parser.parse_args()
    if options.docs:
        text = PAGE.read_text(encoding="utf-8")
        found = table(json.loads(options.docs.read_text(encoding="utf-8")))
        text = re.sub(r"(<!-- begin lines -->\n).*?(<!-- end -->)", rf"\g<1>{found}\g<2>", text, flags=re.DOTALL)
        PAGE.write_text(text, encoding="utf-8")
        return
    cases = list(CASES)
    if options.only:
        rate, delay, size = options.only.split(",")
        columns, rows = map(int, size.split("x"))
        cases = [(float(rate), float(delay), (columns, rows))]
    found = []
    for rate, delay, size in cases:
        found.append(measure(rate, delay, size, options.presses))
        print(json.dumps(found[-1]), flush=True)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
