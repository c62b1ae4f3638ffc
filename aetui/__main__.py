"""`aetui` and `python -m aetui`."""

import sys


def main() -> None:
    from aetui.cli.main import main as run_main
    from aetui.openmp import bound_spin

    # Read when torch is loaded, here or in an engine's process, which inherits it.
    bound_spin()
    sys.exit(run_main(sys.argv[1:]))


if __name__ == "__main__":
    main()
