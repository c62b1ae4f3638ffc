"""The engine's process: one worker thread that trains, one connection to a screen."""

import argparse
import logging
import os
import signal
import socket
import threading

from aetui import protocol as p
from aetui.engine.channel import Connection
from aetui.engine.logs import log_to


def main() -> None:
    """Serve the screen at the other end of an inherited socket until it leaves."""
    parser = argparse.ArgumentParser(prog="python -m aetui.engine")
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--log", default="")
    options = parser.parse_args()
    log_to(options.log)
    connection = Connection(socket.socket(fileno=options.fd), p.Request, "engine")
    connection.send(p.Hello(version=p.VERSION, pid=os.getpid()))
    connection.send(p.Loading(stage="loading PyTorch"))
    connection.start_writing()

    from aetui.engine.worker import Engine

    engine = Engine(options.name, options.log)
    stop = p.Stop(id=0)
    # The screen decides when to end; a keyboard signal or hang-up meant for it must not.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: engine.submit(stop))

    def deliver(request: p.Request) -> None:
        if not isinstance(request, p.Look):
            engine.submit(request)
        elif (view := engine.view(request)) is not None:
            connection.send(view)

    def ended(reason: str) -> None:
        if reason:
            logging.getLogger(__name__).error("%s", reason)
        engine.submit(stop)

    engine.join(connection.send)
    connection.start_reading(deliver, ended)
    worker = threading.Thread(target=engine.work, name="worker")
    worker.start()
    worker.join()
    connection.close()
    connection.wait_written()


if __name__ == "__main__":
    main()
