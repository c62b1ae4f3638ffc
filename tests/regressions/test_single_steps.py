"""Every press of the step key is a step, however fast the key repeats."""

import threading

from aetui import protocol as p
from aetui.engine.worker import Engine
from aetui.spec import RunSpec, changed, dumps

SPEC = changed(RunSpec(), {"data.rows": "0:50", "model.hidden": (4,), "train.threads": 1, "train.steps": 0})


def steps_after(*commands: p.Commands) -> int:
    engine = Engine("test")
    states: list[p.StateChanged] = []
    rested = threading.Event()

    def sink(reply: p.Reply) -> None:
        if isinstance(reply, p.StateChanged):
            states.append(reply)
            if reply.state == "paused" and reply.step:
                rested.set()

    engine.join(sink)
    for command in (p.New(id=1, spec=dumps(SPEC)), *commands):
        engine.submit(command)
    worker = threading.Thread(target=engine.work)
    worker.start()
    try:
        assert rested.wait(60)
    finally:
        engine.submit(p.Stop(id=99))
        worker.join()
    return states[-1].step


def test_steps_asked_for_at_once_are_all_taken():
    assert steps_after(*(p.Run(id=2 + n, steps=1) for n in range(7))) == 7


def test_a_single_step_while_many_are_under_way_ends_them():
    assert steps_after(p.Run(id=2, steps=1_000_000), p.Run(id=3, steps=1)) == 1
