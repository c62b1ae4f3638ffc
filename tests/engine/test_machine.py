"""What slows a run: processes that are really there, and what a driver tells."""

import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from aetui.engine import machine
from aetui.engine.machine import Cores, Gpu, Machine, crowd

BURN = "import time; end = time.monotonic() + 60\nwhile time.monotonic() < end: pass"


@pytest.fixture
def one_core(monkeypatch):
    """This process on one core, and a machine that is said to be under load."""
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("no affinity here")
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    monkeypatch.setattr(os, "getloadavg", lambda: (9.0, 9.0, 9.0))
    yield min(before)
    os.sched_setaffinity(0, before)


def seen(cores: Cores, seconds: float) -> str:
    cores.look(1)
    time.sleep(seconds)
    return cores.look(1)


def test_a_process_that_burns_the_core_is_counted_and_an_own_child_is_not(one_core):
    child = subprocess.Popen([sys.executable, "-c", BURN])
    # A process of another parent: the one between ends at once.
    start = (
        f"subprocess.Popen([sys.executable, '-c', {BURN!r}], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).pid"
    )
    code = f"import subprocess, sys; print({start})"
    other = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    try:
        cores = Cores()
        cores.look(1)
        own = cores._seen
        assert other in own and child.pid not in own and os.getpid() not in own
        end = time.monotonic() + 20
        said = ""
        while not said and time.monotonic() < end:
            said = seen(cores, 1.0)
        # Others may be busy on this machine too.
        assert said.endswith("on 1 core") and int(said.split()[0]) >= 1
    finally:
        os.kill(other, 9)
        child.kill()
        child.wait()


def test_where_the_load_leaves_room_no_process_is_looked_at(monkeypatch):
    monkeypatch.setattr(os, "getloadavg", lambda: (0.5, 9.0, 9.0))
    monkeypatch.setattr(machine, "available", lambda: 2)
    monkeypatch.setattr(Cores, "_times", lambda self: pytest.fail("looked at"))
    assert Cores().look(2) == ""


@pytest.mark.parametrize(
    ("spent", "threads", "cores", "said"),
    [
        ((1.0, 1.0, 1.0), 2, 2, "3 other processes on 2 cores"),
        ((1.0,), 2, 2, "1 other process on 2 cores"),
        ((1.0,), 1, 2, ""),
        ((0.1, 0.1), 2, 2, ""),
        ((0.15,) * 9, 2, 2, "9 other processes on 2 cores"),
        ((1.0,), 1, 1, "1 other process on 1 core"),
    ],
)
def test_a_run_is_slowed_where_all_want_more_cores_than_there_are(monkeypatch, spent, threads, cores, said):
    clock = [100.0]
    monkeypatch.setattr(machine.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(machine, "available", lambda: cores)
    monkeypatch.setattr(os, "getloadavg", lambda: (12.0, 0.0, 0.0))
    later = {n: 10 * share for n, share in enumerate(spent)} | {77: 500.0}
    times = iter([dict.fromkeys(range(len(spent)), 0.0), later])
    monkeypatch.setattr(Cores, "_times", lambda self: next(times))
    found = Cores()
    assert found.look(threads) == ""
    clock[0] += 10.0
    assert found.look(threads) == said


def test_looking_takes_a_hundredth_of_the_time_at_most(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(machine.time, "monotonic", lambda: clock[0])
    looks = []

    def slow(self: Cores, threads: int) -> str:
        looks.append(clock[0])
        clock[0] += 0.2
        return crowd(3, 2)

    monkeypatch.setattr(Cores, "look", slow)
    found = Machine()
    for _ in range(200):
        clock[0] += 0.5
        found.look(2, lambda: "")
    assert found.slowed == "3 other processes on 2 cores" and 4 <= len(looks) <= 6


def test_a_machine_without_a_driver_or_with_a_card_it_does_not_know_says_nothing():
    found = Machine()
    found._cores = None
    found.look(1, lambda: "0000-no-such-card")
    assert found.slowed == "" and found._gpu is None


def test_what_a_driver_tells_becomes_words(monkeypatch):
    nvml = SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda uuid: uuid,
        nvmlDeviceGetComputeRunningProcesses=lambda card: [SimpleNamespace(pid=1), SimpleNamespace(pid=os.getpid())],
        nvmlDeviceGetUtilizationRates=lambda card: SimpleNamespace(gpu=99),
        nvmlClocksThrottleReasonHwThermalSlowdown=0x40,
        nvmlClocksThrottleReasonSwThermalSlowdown=0x20,
        nvmlDeviceGetCurrentClocksThrottleReasons=lambda card: 0x24,
        NVML_TEMPERATURE_GPU=0,
        nvmlDeviceGetTemperature=lambda card, sensor: 87,
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert Gpu("1234").look() == "1 other process on the GPU, the GPU is throttled at 87 °C"
    nvml.nvmlDeviceGetCurrentClocksThrottleReasons = lambda card: 0x04
    nvml.nvmlDeviceGetUtilizationRates = lambda card: SimpleNamespace(gpu=30)
    assert Gpu("1234").look() == ""
