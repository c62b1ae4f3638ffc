"""The real program on a real pseudo-terminal, as the bench drives it."""

import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

from aetui.runs.folder import RunFolder

_TOKEN = re.compile(r"\x1b\[(\d+);(\d+)H|(\x1b\[6n)|\x1b\[[0-?]*[ -/]*[@-~]|\x1b[@-Z\\-_]|([^\x00-\x1f]+)|[\x00-\x1a]")
_UNFINISHED = re.compile(r"\x1b(\[[0-?]*[ -/]*)?\Z")


class Terminal:
    """`aetui` on a pseudo-terminal of 120 x 40, with a clock on everything it draws."""

    def __init__(self, arguments: list[str], home: Path, columns: int = 120, rows: int = 40) -> None:
        self.started = time.perf_counter()
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        environment = os.environ | {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
        environment |= {"AETUI_HOME": str(home), "AETUI_CONFIG": str(home / "config")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "aetui", *arguments],
            stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        self._master = master
        self._home = home
        self.bytes = 0
        self._rows = [[" "] * columns for _ in range(rows)]
        self._at = (0, 0)
        self._rest = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    @property
    def pid(self) -> int:
        return self._process.pid

    def read(self, seconds: float) -> bytes:
        """What is drawn within `seconds`, taken off the terminal as fast as it comes."""
        end = time.perf_counter() + seconds
        found = bytearray()
        while (left := end - time.perf_counter()) > 0:
            if select.select([self._master], [], [], left)[0]:
                found += self._take()
        return bytes(found)

    def wait_for(self, text: str, timeout: float = 60.0) -> float:
        """Seconds until something is drawn and `text` is on the screen.

        Raises:
            TimeoutError: it never was.
        """
        start = time.perf_counter()
        while time.perf_counter() - start < timeout:
            if select.select([self._master], [], [], 0.5)[0]:
                self._take()
                if any(text in "".join(row) for row in self._rows):
                    return time.perf_counter() - start
        raise TimeoutError(f"{text!r} was not drawn within {timeout:.0f} s")

    def _take(self) -> bytes:
        try:
            data = os.read(self._master, 65536)
        except OSError:
            data = b""
        self.bytes += len(data)
        self._draw(self._decoder.decode(data))
        return data

    def _draw(self, text: str) -> None:
        """Put what is drawn on the screen, and answer questions for the cursor's position as terminals do."""
        text = self._rest + text
        cut = _UNFINISHED.search(text)
        self._rest = cut[0] if cut else ""
        for found in _TOKEN.finditer(text[: cut.start()] if cut else text):
            row, column = self._at
            if found[1]:
                self._at = int(found[1]) - 1, int(found[2]) - 1
            elif found[3]:
                os.write(self._master, f"\x1b[{row + 1};{column + 1}R".encode())
            elif found[4] and row < len(self._rows):
                self._rows[row][column : column + len(found[4])] = found[4]
                self._at = row, column + len(found[4])

    def press(self, key: bytes) -> None:
        os.write(self._master, key)

    def log_events(self) -> list[tuple[float, int, str]]:
        """What the engine's log says it did: seconds since the epoch, step, text."""
        found = []
        for file in sorted((self._home / "runs").glob("*/log.txt")):
            for line in file.read_text().splitlines():
                if match := re.search(r"event time=([0-9.]+) step=([0-9]+) (.*)", line):
                    found.append((float(match[1]), int(match[2]), match[3]))
        return found

    def cpu_seconds(self) -> float | None:
        """CPU time of the screen's process so far; None where the system does not tell."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_mb(self) -> float | None:
        """Resident memory of the screen's process in MB (10**6 bytes)."""
        try:
            pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        except OSError:
            return None
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def close_screen(self) -> None:
        """End the program, and let go of the terminal."""
        self._process.send_signal(signal.SIGTERM)
        end = time.perf_counter() + 10
        while self._process.poll() is None and time.perf_counter() < end:
            self.read(0.05)
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        os.close(self._master)

    def close(self) -> None:
        """End the program and its engine, and let go of the terminal."""
        self.close_screen()
        # The engine would go on without its screen.
        for path in (self._home / "runs").glob("*"):
            if (engine := RunFolder(path).holder()) is not None:
                os.kill(engine, signal.SIGKILL)
