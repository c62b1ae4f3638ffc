"""What the parts of the workbench ask of the app around them."""

import threading
from collections.abc import Callable
from typing import Any

from aetui.tui.app import Workbench

Make = Callable[..., tuple[Workbench, Any]]
Open = Callable[..., Any]


async def test_a_job_that_fails_is_said_and_the_screen_goes_on(workbench: Make, opened: Open) -> None:
    app, _ = workbench()

    async def fails() -> None:
        raise OSError("no process left")

    async with opened(app) as pilot:
        app.shell.work(fails())
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert app.bench.notice.text == "OSError: no process left; the run's log has the traceback"
        assert app.bench.notice.severity == "error"
        assert app.is_running


async def test_calls_of_another_thread_come_in_their_order(workbench: Make, opened: Open) -> None:
    app, _ = workbench()
    threads: list[tuple[int, threading.Thread]] = []

    def tell() -> None:
        for number in range(100):
            app.shell.in_turn(lambda number=number: threads.append((number, threading.current_thread())))

    async with opened(app) as pilot:
        other = threading.Thread(target=tell)
        other.start()
        other.join()
        await pilot.pause()
        assert threads == [(number, threading.current_thread()) for number in range(100)]
