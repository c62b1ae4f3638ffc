"""`aetui` and `python -m aetui`."""

import sys


def main() -> None:
    from aetui.cli.main import main as run_main

    sys.exit(run_main(sys.argv[1:]))


if __name__ == "__main__":
    main()
