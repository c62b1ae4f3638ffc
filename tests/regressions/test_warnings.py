"""What makes training impossible is said before what is merely worth knowing."""

from aetui import RunSpec, Trainer
from aetui.spec import changed
from aetui.training.remarks import warnings


def test_the_domain_of_the_loss_comes_before_constant_columns():
    trainer = Trainer(changed(RunSpec(), {"loss.kind": "bce", "data.scaling": "standardize"}))
    first, second = warnings(trainer)
    assert first.startswith("loss.kind bce")
    assert "constant" in second
