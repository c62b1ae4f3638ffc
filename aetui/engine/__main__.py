"""The engine's process: one worker thread that trains, and a host for the screens that come and go."""

import argparse
import logging
import os
import signal
import socket
import threading
from pathlib import Path

from aetui import protocol as p
from aetui.engine.crash import log_exits
from aetui.engine.host import Host, greet
from aetui.engine.logs import log_to
from aetui.openmp import bound_spin

log = logging.getLogger("aetui.engine")


def main() -> None:
    """Train for the screen at the other end of an inherited socket and all that attach, until told to stop.

    SIGTERM and SIGHUP are a `Stop`: the run is saved. Before PyTorch is loaded there is none, and they end the process.
    """
    parser = argparse.ArgumentParser(prog="python -m aetui.engine")
    parser.add_argument("--fd", type=int, help="connected socket of the first screen")
    parser.add_argument("--name", required=True)
    parser.add_argument("--log", default="")
    parser.add_argument("--into", help="empty folder for the first new run")
    parser.add_argument("--folder", default="", help="stored run to go on with")
    parser.add_argument("--start", action="store_true", help="train at once")
    options = parser.parse_args()
    # A key is meant for the screen.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    log_to(options.log)
    log_exits()
    # A full disk must not make each line of the log an error of its own.
    logging.raiseExceptions = False
    first = None if options.fd is None else greet(socket.socket(fileno=options.fd))
    if first is not None:
        first.send(p.Loading(stage="loading PyTorch"))

    # An engine may be started by a program that has not bounded it.
    bound_spin()
    from aetui.engine.worker import Engine

    engine = Engine(options.name, options.log, folder=Path(options.into) if options.into else None)
    host = Host(engine)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: engine.submit(p.Stop(id=0)))
    if options.folder:
        host.submit(p.Open(id=0, folder=os.path.abspath(options.folder), start=options.start))
    if first is not None:
        host.add(first)
    orderly = threading.Event()

    def work() -> None:
        try:
            engine.work()
            orderly.set()
        except Exception:
            log.exception("the worker thread ended")

    worker = threading.Thread(target=work, name="worker")
    worker.start()
    worker.join()
    host.close()
    if not orderly.is_set():
        raise SystemExit(1)


if __name__ == "__main__":
    main()
