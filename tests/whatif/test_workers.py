"""Worker processes: the same result whoever dies, and nothing left of them."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec.structs import replace

from aetui.spec import changed
from aetui.training.checkpoint import capture
from aetui.training.trainer import Trainer
from aetui.whatif.forks import At, Ended, Job, News, Saved, grid, train
from aetui.whatif.source import devices_of
from aetui.whatif.workers import TRIES, Pool
from tests.whatif.conftest import tiny

STEPS = 400


def job(name: str = "x", **more: Any) -> Job:
    points = grid(0, STEPS, STEPS // 2, 0)
    return Job(name=name, spec=tiny(), half=STEPS // 2, full=STEPS, **{"end": STEPS, "grid": points, **more})


def endless(name: str) -> Job:
    """One that tells of its first steps and then has years to go, in short stretches."""
    return job(name, end=10**12, grid=tuple(range(1, 20_000)))


def ended(news: list[News]) -> dict[str, Ended]:
    return {one.name: one for one in news if isinstance(one, Ended)}


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{process}/stat").read_text().split()[2] if Path("/proc").exists() else True


def until(condition: Any) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_processes_give_what_one_process_gives_from_a_checkpoint_too():
    run = Trainer(tiny())
    run.run(50)
    saved = Saved.of(capture(run))
    jobs = [
        job("start"),
        job("on", continues=True, change_at=50, changes={"optim.lr": "0.01"}),
        job("other", reorder=1),
    ]
    alone = {one.name: list(train(one, saved))[-1] for one in jobs}
    with Pool(saved, cores=2) as pool:
        pool.add(jobs)
        found = ended(list(pool.news()))
        assert 1 <= len(pool.processes()) <= 2
    assert {name: one.weights for name, one in found.items()} == {
        name: one.weights for name, one in alone.items() if isinstance(one, Ended)
    }


def test_a_killed_worker_costs_a_retry_and_changes_nothing():
    reference = list(train(job()))[-1]
    with Pool(None, cores=1) as pool:
        pool.add([job("x"), job("y")])
        killed = False
        news = []
        for one in pool.news():
            news.append(one)
            if isinstance(one, At) and not killed:
                killed = True
                os.kill(pool.processes()[0], signal.SIGKILL)
    found = ended(news)
    assert isinstance(reference, Ended)
    assert {name: (one.status, one.weights) for name, one in found.items()} == dict.fromkeys(
        ("x", "y"), ("done", reference.weights)
    )


def test_a_fork_that_kills_every_process_is_a_failure_that_says_so_and_the_others_go_on():
    with Pool(None, cores=1) as pool:
        pool.add([job("bad"), job("good")])
        found: dict[str, Ended] = {}
        for one in pool.news():
            if isinstance(one, At) and one.name == "bad":
                os.kill(pool.processes()[0], signal.SIGKILL)
            found |= ended([one])
    assert found["bad"].status == "failed"
    assert (
        found["bad"].why
        == f"its process ended {TRIES} times, the last time killed, as the system does where memory runs out"
    )
    assert found["good"].status == "done"


def test_closing_ends_all_processes_at_once():
    pool = Pool(None, cores=2)
    pool.add([endless(name) for name in "abc"])
    next(pool.news())
    processes = pool.processes()
    pool.close()
    assert not any(alive(process) for process in processes)
    assert list(pool.news()) == []


def test_one_that_is_told_to_leave_makes_room_for_the_next():
    with Pool(None, cores=1) as pool:
        pool.add([endless("long"), job("short")])
        found: dict[str, Ended] = {}
        for one in pool.news():
            if isinstance(one, At) and one.name == "long":
                pool.leave("long")
            found |= ended([one])
    assert (found["long"].status, found["short"].status) == ("stopped", "done")


STARTS = """
import sys
sys.path.insert(0, sys.argv[1])
from tests.whatif.test_workers import endless
from aetui.whatif.workers import Pool
pool = Pool(None, cores=2)
pool.add([endless(name) for name in "ab"])
next(pool.news())
print(*pool.processes(), flush=True)
for _ in pool.news():
    pass
"""


@pytest.mark.parametrize("way", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_whoever_started_them_and_leave_no_file(way, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert tempfile.gettempdir()
    root = str(Path(__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, "-c", STARTS, root], stdout=subprocess.PIPE, text=True, cwd=tmp_path
    ) as parent:
        assert parent.stdout is not None
        workers = [int(word) for word in parent.stdout.readline().split()]
        assert len(workers) == 2 and all(map(alive, workers))
        parent.send_signal(way)
    until(lambda: not any(map(alive, workers)))
    # PyTorch itself keeps an empty folder for its compiler there.
    assert [path for path in tmp_path.iterdir() if not path.name.startswith("torchinductor_")] == []


def test_a_run_with_two_threads_is_forked_with_two_since_one_rounds_otherwise():
    spec = changed(tiny(), {"data.rows": 4000, "data.features": 40, "train.batch_size": 0, "train.threads": 2})
    run = Trainer(spec)
    run.run(20)
    whole = {"end": 20, "half": 10, "full": 20, "grid": (), "threads": 2}
    with Pool(None, threads=2, cores=2) as pool:
        assert pool.size == 1
        pool.add([replace(job(), spec=spec, **whole)])
        found = ended(list(pool.news()))
    assert found["x"].weights == run.weights_sha256()


@pytest.mark.parametrize(
    ("device", "visible", "devices"),
    [
        ("cpu", None, ()),
        ("mps", None, (None,)),
        ("cuda:1", None, (None,)),
        ("cuda", "2,5", ("2", "5")),
        ("cuda", None, ("0", "1", "2")),
    ],
)
def test_forks_are_spread_over_the_gpus_that_there_are(device, visible, devices, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert devices_of(torch.device(device)) == devices


def test_each_process_sees_its_own_gpu_and_one_that_follows_a_dead_one_gets_its_place(monkeypatch):
    seen: list[str | None] = []
    start = subprocess.Popen

    def popen(*arguments: Any, **options: Any) -> Any:
        seen.append(options["env"].get("CUDA_VISIBLE_DEVICES"))
        return start(*arguments, **options)

    monkeypatch.setattr(subprocess, "Popen", popen)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with Pool(None, devices=("2", "5"), cores=1) as pool:
        assert pool.size == 2
        pool.add([endless("a"), endless("b")])
        killed = False
        for _ in pool.news():
            if not killed:
                killed = True
                os.kill(pool.processes()[0], signal.SIGKILL)
            if len(seen) == 3:
                break
    assert sorted(seen[:2]) == ["2", "5"] and seen[2] == seen[0]  # pyright: ignore[reportArgumentType]
