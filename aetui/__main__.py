"""`aetui` and `python -m aetui`."""

import os
import sys


def main() -> None:
    _open_streams()
    from aetui.cli.main import main as run_main

    sys.exit(run_main(sys.argv[1:]))


def _open_streams() -> None:
    """Give closed standard streams to the null device, or a file of a run would get their number."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, which is this one
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115
            setattr(sys, f"__{name}__", getattr(sys, name))


if __name__ == "__main__":
    main()
