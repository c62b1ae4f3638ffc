"""The loss of a run with its penalties."""

from __future__ import annotations

from aetui.models.moments import CONSTANT
from aetui.runs.export.standalone.plan import Plan, choice, indented
from aetui.runs.export.standalone.verbatim import source_of
from aetui.spec.fields import variants
from aetui.training.losses import LOSSES, LossKind, settings_of, variance_term

_VARIANCE = f"""\
# Of each feature over the training rows, 0 where it is constant up to the precision of float32.
VARIANCE, MEAN = torch.var_mean(DATA.double(), dim=0, correction=0)
VARIANCE = VARIANCE.masked_fill(VARIANCE <= {CONSTANT} * (VARIANCE + MEAN.square()), 0.0).float()
VARIES = VARIANCE > 0
INVERSE_VARIANCE = torch.where(VARIES, 1 / VARIANCE, 1.0)
"""

_SHARE = "SHARE = VARIES.to(INVERSE_VARIANCE.dtype) / VARIES.sum().clamp(min=1)\n"


def measured(plan: Plan) -> str:
    """Module-level numbers that the loss takes from the data."""
    weighted = "inverse-variance" in plan.values("loss.weighting")
    if not weighted and not plan.ever("loss.variance_weight"):
        return ""
    return _VARIANCE + (_SHARE if plan.ever("loss.variance_weight") else "")


def loss(plan: Plan, *, kl: bool) -> list[str]:
    """Function definitions; `objective(model, batch, step)` is the loss of a batch with its penalties.

    Args:
        kl: whether the model returns a KL besides output and code.
    """
    kinds = plan.values("loss.kind")
    blocks = source_of(*(_entry(kind).function for kind in kinds if not _entry(kind).native))
    if len(kinds) > 1:
        body = choice(plan, "loss.kind", {kind: _entries(plan, kind) for kind in kinds})
        blocks.append(f"def entry_losses(output, target, reduction):\n{indented(body)}\n")
    blocks.append(f"def reconstruction_loss(output, target):\n{indented(_reconstruction(plan, kinds))}\n")
    penalties = _penalties(plan, kinds, kl)
    if "variance_term" in penalties:
        blocks += source_of(variance_term)
    code = "code" if "code." in penalties else "_"
    unpacked = f"output, {code}, kl" if kl and "* kl" in penalties else f"output, {code}{', _' * kl}"
    if penalties:
        text = f"{unpacked} = model(batch)\nloss = reconstruction_loss(output, batch)\n{penalties}return loss"
    else:
        text = "output = model(batch)[0]\nreturn reconstruction_loss(output, batch)"
    blocks.append(f"def objective(model, batch, step):\n{indented(text)}\n")
    return blocks


def _entry(kind: str) -> LossKind:
    return LOSSES[variants("loss")[kind]]


def _call(plan: Plan, kind: str, reduction: str) -> str:
    """The loss of a kind over a batch; `reduction` is an expression."""
    entry = _entry(kind)
    options = "".join(f", {name}={plan.get(f'loss.{name}')}" for name in settings_of(variants("loss")[kind]))
    if entry.native:
        reduced = "" if reduction == '"mean"' else f", reduction={reduction}"
        return f"F.{entry.function.__name__}(output, target{options}{reduced})"
    return f"{entry.function.__name__}(output, target{options})" + (".mean()" if reduction == '"mean"' else "")


def _entries(plan: Plan, kind: str) -> str:
    if _entry(kind).native:
        return f"return {_call(plan, kind, 'reduction')}"
    losses = _call(plan, kind, '"none"')
    return f'losses = {losses}\nreturn losses.mean() if reduction == "mean" else losses'


def _reconstruction(plan: Plan, kinds: list[str]) -> str:
    def over_batch(reduction: str) -> str:
        return _call(plan, kinds[0], reduction) if len(kinds) == 1 else f"entry_losses(output, target, {reduction})"

    plain, weighted = over_batch('"mean"'), over_batch('"none"')
    reductions = plan.values("loss.reduction")
    if len(reductions) > 1:
        summed = f'{plan.get("loss.reduction")} == "sum"'
        plain = f"loss = {plain}\nreturn loss * output.shape[-1] if {summed} else loss"
        end = f"return losses.sum(-1) if {summed} else losses.mean(-1)"
    elif reductions == ["sum"]:
        plain, end = f"return {plain} * output.shape[-1]", "return losses.sum(-1)"
    else:
        plain, end = f"return {plain}", "return losses.mean(-1)"
    weighted = f"losses = {weighted}.mean(0)\nlosses = losses * INVERSE_VARIANCE.to(losses)\n{end}"
    branches = {"inverse-variance": weighted, "none": plain}
    kept = {value: code for value, code in branches.items() if value in plan.values("loss.weighting")}
    return choice(plan, "loss.weighting", kept)


def _prediction(plan: Plan, kinds: list[str]) -> str:
    """What is compared with the data."""
    logits = [kind for kind in kinds if _entry(kind).logits]
    if not logits:
        return "output"
    if logits == kinds:
        return "torch.sigmoid(output)"
    return f"torch.sigmoid(output) if {plan.get('loss.kind')} in {logits!r} else output"


def _penalties(plan: Plan, kinds: list[str], kl: bool) -> str:
    text = ""
    if plan.ever("loss.l1_code"):
        text += _added(plan, "loss.l1_code", "code.abs().mean()")
    if plan.ever("loss.variance_weight"):
        term = f"variance_term({_prediction(plan, kinds)}, INVERSE_VARIANCE, SHARE)"
        text += _added(plan, "loss.variance_weight", term)
    if not kl or not plan.ever("model.kl_weight"):
        return text
    if not plan.ever("model.kl_warmup"):
        return text + _added(plan, "model.kl_weight", "kl")
    growth = f"weight = weight * min(1.0, (step + 1) / {plan.get('model.kl_warmup')})\n"
    text += f"weight = {plan.get('model.kl_weight')}\n"
    text += growth if plan.never_zero("model.kl_warmup") else f"if {plan.get('model.kl_warmup')}:\n    {growth}"
    line = "loss = loss + weight * kl\n"
    return text + (line if plan.never_zero("model.kl_weight") else f"if weight:\n    {line}")


def _added(plan: Plan, path: str, term: str) -> str:
    line = f"loss = loss + {plan.get(path)} * {term}\n"
    return line if plan.never_zero(path) else f"if {plan.get(path)}:\n    {line}"
