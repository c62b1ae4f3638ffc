"""`aetui` and `python -m aetui`."""

import os
import sys


def main() -> None:
    _open_closed()
    from aetui.cli.main import main as run_main
    from aetui.openmp import bound_spin

    # Read when torch is loaded, here or in an engine's process, which inherits it.
    bound_spin()
    sys.exit(run_main(sys.argv[1:]))


def _open_closed() -> None:
    """Give a program that was started with closed standard streams ones that lead nowhere.

    Else the first file that it opens, which may be the record of a run, would stand in for them.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free is this one, as those below are open.
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115


if __name__ == "__main__":
    main()
