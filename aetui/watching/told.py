"""What the command line says to the runner of a script."""

from dataclasses import dataclass


@dataclass
class Told:
    """What the command line says."""

    script: str = ""
    module: str = ""
    name: str | None = None
    folder: str = ""
    output: str = ""
    control: int | None = None
    typed: int | None = None
    model_is: str = ""
    probe_rows: int = 512
    reconstruct: str = ""
    target: str = ""
    loss: str = ""
