"""Cross-entropy on data whose validation part exceeds the range of the training part."""

import math

import pytest
import torch
import torch.nn.functional as F

from aetui import RunSpec, Trainer
from aetui.spec import changed
from aetui.training.losses import binary_cross_entropy


def test_validation_rows_beyond_the_range_fitted_on_the_training_part_have_a_loss():
    spec = changed(
        RunSpec(),
        {"data.scaling": "minmax", "loss.kind": "bce", "model.output_activation": "sigmoid", "train.threads": 1},
    )
    trainer = Trainer(spec)
    assert trainer.validation_data is not None and float(trainer.validation_data.max()) > 1
    trainer.run(20)
    found = trainer.evaluate().validation_loss
    assert found is not None and math.isfinite(found)


@pytest.mark.parametrize("target", [-0.3, 0.0, 0.4, 1.0, 1.7])
def test_the_formula_goes_on_beyond_the_range_as_on_logits(target: float):
    logits = torch.linspace(-6, 6, 13, dtype=torch.float64)
    targets = torch.full_like(logits, target)
    expected = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    torch.testing.assert_close(binary_cross_entropy(torch.sigmoid(logits), targets), expected)


def test_gradients_at_certain_probabilities_are_finite():
    probability = torch.tensor([0.0, 1.0, 0.5], requires_grad=True)
    binary_cross_entropy(probability, torch.tensor([1.3, -0.2, 0.5])).sum().backward()
    assert probability.grad is not None and torch.isfinite(probability.grad).all()
