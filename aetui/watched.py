"""`python -m aetui.watched SCRIPT`: a script of somebody's own, watched without a screen of its own.

For launchers that start Python modules: `torchrun --nproc-per-node 2 -m aetui.watched train.py ...`. It takes what
`aetui watch` takes.
"""

import sys

from aetui.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["watch", "--headless", *sys.argv[1:]]))
