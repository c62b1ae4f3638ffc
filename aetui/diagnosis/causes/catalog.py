"""Every cause in words: its title, what it does, and where that is described."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cause:
    """How a cause is explained."""

    title: str
    text: str
    source: str


CATALOG: dict[str, Cause] = {
    "bad-values": Cause(
        "NaN or infinite values in the data",
        "One value that is not finite makes the loss of its batch NaN, and from there every weight. "
        "Training can't recover from it by itself.",
        "PyTorch documentation, Numerical accuracy: extremal values",
    ),
    "shape-broadcast": Cause(
        "output and target have different shapes",
        "The loss broadcasts the two against each other and compares every output with every target. The least of that "
        "is reached by the same output for all inputs.",
        "PyTorch documentation, Broadcasting semantics; torch.nn.MSELoss",
    ),
    "loss-domain": Cause(
        "the loss is not made for these outputs or targets",
        "Outside of its domain a loss no longer has its least value where output and target agree, so training "
        "moves the outputs away from the data, or stands still.",
        "PyTorch documentation, torch.nn.BCELoss and BCEWithLogitsLoss; Goodfellow et al. 2016, Deep Learning, 6.2.2",
    ),
    "output-range": Cause(
        "the output layer can't produce the targets",
        "The last activation bounds the outputs, and many targets lie beyond. They end at the bound, where the "
        "gradient is zero, and look the same for every input.",
        "Goodfellow et al. 2016, Deep Learning, 6.2.2 (output units)",
    ),
    "input-scaling": Cause(
        "the data are not scaled",
        "With a large offset, a large or tiny spread, or features of very different units, the first layers see almost "
        "the same input every time and the error is ruled by the offset or by a few features.",
        "LeCun et al. 1998, Efficient BackProp, 4.3",
    ),
    "frozen-parameters": Cause(
        "parameters that do not train",
        "These weights get no gradient or no update, so what they compute stays random and the rest can only "
        "adapt to it.",
        "PyTorch documentation, Autograd mechanics: locally disabling gradient computation",
    ),
    "init-symmetry": Cause(
        "units start out identical",
        "Units with the same weights get the same gradient and stay copies of each other, so a whole layer "
        "passes on a single number, or nothing.",
        "Goodfellow et al. 2016, Deep Learning, 8.4",
    ),
    "init-scale": Cause(
        "initial weights of the wrong scale",
        "Too small, and the signal and its gradient vanish from layer to layer; too large, and units saturate or die "
        "at the first steps.",
        "Glorot & Bengio 2010; He et al. 2015, section 2.2",
    ),
    "posterior-collapse": Cause(
        "the KL term outweighs the reconstruction",
        "The encoder gains more by matching the prior than by describing the input, so the code carries nothing and "
        "the decoder answers with the mean. Often the KL is a sum and the reconstruction a mean over features.",
        "Lucas et al. 2019, Don't Blame the ELBO, section 4; Burda et al. 2016, 5.2 (active units)",
    ),
    "penalty-too-strong": Cause(
        "a penalty outweighs the reconstruction",
        "What is added to the loss costs more than the reconstruction can gain, so weights or code shrink to "
        "zero and the output to a constant.",
        "Goodfellow et al. 2016, Deep Learning, 7.1; Krogh & Hertz 1991",
    ),
    "noise-too-strong": Cause(
        "too much noise or dropout",
        "So much of the input or the code is destroyed at each step that the mean is the best guess left.",
        "Vincent et al. 2010, section 4; Srivastava et al. 2014, 7.3",
    ),
    "lr-too-high": Cause(
        "learning rate too high",
        "Updates overshoot: the loss jumps or grows, and units are thrown to where they never respond again.",
        "Goodfellow et al. 2016, Deep Learning, 8.3.1; Smith 2017 (learning rate range test)",
    ),
    "lr-too-low": Cause(
        "learning rate too low",
        "Every update is so small against the weights that the outputs stay near the mean for the whole training.",
        "Smith 2017 (learning rate range test); Goodfellow et al. 2016, Deep Learning, 11.4.1",
    ),
    "optimizer": Cause(
        "the optimizer does not get off the plateau",
        "Around predict-the-mean the gradient is small and uneven. Plain gradient descent, or an optimizer with "
        "another library's settings, needs very long to leave it.",
        "Sutskever et al. 2013; Kingma & Ba 2015",
    ),
    "clipping-too-tight": Cause(
        "gradient clipping too tight",
        "Nearly every gradient is cut to the threshold, so the steps have the same small length however far there is "
        "to go.",
        "Pascanu et al. 2013, section 3.2",
    ),
    "exploding-gradients": Cause(
        "exploding gradients",
        "Single gradients are many times larger than the usual ones and throw the weights far off.",
        "Pascanu et al. 2013, section 2",
    ),
    "dead-units": Cause(
        "units that never respond",
        "A ReLU whose input is negative for every row gives zero, has no gradient and never comes back. When a layer "
        "or the code is made of them, nothing of the input gets through.",
        "Lu et al. 2020, Dying ReLU and Initialization; Maas et al. 2013",
    ),
    "saturated-units": Cause(
        "saturated units",
        "Sigmoid and tanh are flat away from zero: units that sit there pass on a constant and let no gradient "
        "through.",
        "Glorot & Bengio 2010, section 3",
    ),
    "train-eval-mismatch": Cause(
        "the model behaves differently in eval mode",
        "What was learned in train mode does not hold in eval mode: batch normalization then uses running statistics, "
        "which lag behind or come from too few rows, or forward takes another path there.",
        "Ioffe & Szegedy 2015, 3.1; PyTorch documentation, torch.nn.BatchNorm1d (momentum)",
    ),
    "code-too-small": Cause(
        "the code is too small for these data",
        "The model explains what its width allows; a wider code would explain much more.",
        "Baldi & Hornik 1989",
    ),
    "code-too-large": Cause(
        "the code is large enough to copy or memorize",
        "With a code as wide as the data the identity is a perfect solution, and with few rows the model learns them "
        "by heart; neither says anything about new data.",
        "Radhakrishnan et al. 2018; Vincent et al. 2010, section 3",
    ),
    "under-trained": Cause(
        "too few steps",
        "The training is on its way and was stopped early: with more steps of the same kind it gets there.",
        "Goodfellow et al. 2016, Deep Learning, 7.8",
    ),
    "batch-mixing": Cause(
        "rows of a batch reach each other",
        "What is reconstructed for a row depends on the other rows that happen to be in its batch, and less or not at "
        "all on the row itself: dimensions were taken for each other. Training finds little more than the mean.",
        "PyTorch documentation, torch.nn.LSTM and torch.nn.MultiheadAttention (batch_first), torch.Tensor.view",
    ),
    "precision": Cause(
        "the number format is too coarse",
        "Numbers of 16 bits end early: float16 knows none above 65,504 and none below 6e-8, bfloat16 has three digits. "
        "What is larger becomes infinite, what is smaller 0, so that an update is divided by 0 or lost.",
        "Micikevicius et al. 2018, Mixed Precision Training, section 3; PyTorch documentation, torch.amp",
    ),
    "lr-schedule": Cause(
        "the schedule does not fit the length of the run",
        "The scheduler brings the learning rate to nothing long before the end, never up to its value, or lets it grow "
        "without end. Often it takes a step after each batch where its numbers are meant in epochs.",
        "PyTorch documentation, torch.optim: how to adjust the learning rate; Loshchilov & Hutter 2017",
    ),
    "codebook-collapse": Cause(
        "few entries of the codebook are in use",
        "Entries that no input is nearest to get no gradient and stay where they are, so a few of them, or one, have "
        "to describe everything, and the code carries hardly a bit.",
        "van den Oord et al. 2017, 3.2; Lancucki et al. 2020; Razavi et al. 2019, 3.1 (perplexity)",
    ),
}
