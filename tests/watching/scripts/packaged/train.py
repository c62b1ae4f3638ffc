import sys

import torch

from .loop import fit
from .model import Autoencoder


def run() -> None:
    torch.manual_seed(3)
    rows = torch.randn(240, 4) @ torch.randn(4, 9)
    model = Autoencoder(9, 4)
    fit(model, lambda: ({"x": part} for part in rows.split(30)), epochs=int(sys.argv[1]), lr=1e-3)
    print("weights", sum(p.double().abs().sum() for p in model.parameters()).item().hex())


if __name__ == "__main__":
    run()
