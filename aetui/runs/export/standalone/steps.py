"""Optimizer, learning rate, clipping and batches of a run, and its loop."""

from __future__ import annotations

from dataclasses import dataclass

from aetui.runs.export.standalone.plan import Plan, choice, indented
from aetui.training.optimizers import CLASSES, FUSED

_OPTIONS = {
    "lr": "lr",
    "weight_decay": "weight_decay",
    "eps": "eps",
    "momentum": "momentum",
    "nesterov": "nesterov",
    "amsgrad": "amsgrad",
    "momentum_decay": "momentum_decay",
    "alpha": "alpha",
    "centered": "centered",
    "lr_decay": "lr_decay",
    "accumulator": "initial_accumulator_value",
    "rho": "rho",
}
"""PyTorch's names of the settings; those of the betas go together."""
_OFF_BY_DEFAULT = ("nesterov", "amsgrad", "centered", "momentum", "lr_decay", "accumulator")

_FLATTEN = '''\
def flatten(model):
    """The trainable parameters as one tensor, of which they become views, and their gradients likewise."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    flat = nn.Parameter(torch.empty(sum(p.numel() for p in parameters), dtype=DTYPE, device=DEVICE))
    flat.grad = torch.zeros_like(flat.data)
    start = 0
    for parameter in parameters:
        part = slice(start, start + parameter.numel())
        values = flat.data[part].view(parameter.shape)
        values.copy_(parameter.data)
        parameter.data, parameter.grad = values, flat.grad[part].view(parameter.shape)
        start = part.stop
    return flat
'''

_BATCHES = '''\
class Batches:
    """Batches of the rows, shuffled anew for each epoch{note}."""

    def __init__(self):
        self.random = torch.Generator().manual_seed(ORDER_SEED)
        self.position = len(DATA)
        self.ready = []

    def next(self):
        size = {size}
{whole}        if not self.ready:
            self.gather(size)
        batch = self.ready.pop()
        self.position += len(batch)
        return batch

    def gather(self, size):
        """Take the rows of many batches at once, up to 8 MB."""
        if len(DATA) - self.position < {least}:
            self.order = torch.randperm(len(DATA), generator=self.random).to(DEVICE)
            self.position = 0
        rows = size * max(1, 2**23 // (size * DATA.shape[1] * DATA.element_size()))
        block = DATA[self.order[self.position : self.position + rows]]
        self.ready = {parts}[::-1]
'''

_WHOLE = """\
        if not 0 < size < len(DATA):
            self.position = len(DATA)
            return DATA
"""

_COSINE = '''\
def cosine(start, end, share):
    """From start to end along half a cosine."""
    return end + (start - end) * (1 + math.cos(math.pi * min(max(share, 0.0), 1.0))) / 2
'''

_PLATEAU = '''\
class Plateau:
    """The rate drops when the loss, averaged over a window, has not improved for a number of readings."""

    def __init__(self):
        self.factor, self.best = 1.0, math.inf
        self.waited = self.count = 0
        self.total = 0.0

    def observe(self, loss):
        self.total += loss
        self.count += 1
        if self.count < {window}:
            return
        reading = self.total / self.count
        self.total, self.count = 0.0, 0
        if reading < self.best * (1 - {threshold}) or self.best == math.inf:
            self.best, self.waited = reading, 0
            return
        self.waited += 1
        if self.waited >= {patience}:
            self.factor, self.waited = max({floor}, self.factor * {factor}), 0
'''


@dataclass(frozen=True)
class Surroundings:
    """What the code of the steps depends on besides the settings."""

    host: bool
    """Whether the run is on a CPU, where every step waits for its loss."""
    rows: int
    least: int
    """Rows of the smallest batch."""


def steps(plan: Plan, around: Surroundings) -> list[str]:
    """Function and class definitions; `train(model, steps)` is the loop."""
    sizes = plan.values("train.batch_size")
    shuffled = any(0 < size < around.rows for size in sizes)
    blocks = [_FLATTEN]
    if shuffled:
        blocks.append(_batches(plan, around, sizes))
    blocks += _optimizer(plan)
    blocks += _schedule(plan)
    if plan.values("clip.kind") != ["none"]:
        blocks.append(_clip(plan, around.host))
    blocks.append(_train(plan, around, shuffled))
    return blocks


def _batches(plan: Plan, around: Surroundings, sizes: list[int]) -> str:
    mixed = not all(0 < size < around.rows for size in sizes)
    return _BATCHES.format(
        note="; a size of 0 takes all rows, in their own order" if mixed else "",
        size=plan.get("train.batch_size"),
        whole=_WHOLE if mixed else "",
        least=around.least,
        parts=f"[part for part in block.split(size) if len(part) >= {around.least}]"
        if around.least > 1
        else "list(block.split(size))",
    )


def _optimizer(plan: Plan) -> list[str]:
    kinds = plan.values("optim.kind")
    options = choice(plan, "optim.kind", {kind: f"return {_options(plan, kind)}" for kind in kinds})
    made = choice(plan, "optim.kind", {kind: f"return {_constructor(kind)}" for kind in kinds})
    return [
        f"def optimizer_options():\n{indented(options)}\n",
        f"def make_optimizer(flat):\n{indented(made)}\n",
    ]


def _struct_of(kind: str) -> type:
    return next(struct for struct in CLASSES if struct.__struct_config__.tag == kind)


def _constructor(kind: str) -> str:
    made = CLASSES[_struct_of(kind)]
    fused = ", fused=True" if made in FUSED else ""
    return f"torch.optim.{made.__name__}([flat], **optimizer_options(){fused})"


def _options(plan: Plan, kind: str) -> str:
    names = _struct_of(kind).__struct_fields__
    entries: list[str] = []
    for name, option in _OPTIONS.items():
        if name in names and (name not in _OFF_BY_DEFAULT or plan.ever(f"optim.{name}")):
            entries.append(f'"{option}": {plan.get(f"optim.{name}")}')
    if "beta1" in names:
        entries.insert(2, f'"betas": ({plan.get("optim.beta1")}, {plan.get("optim.beta2")})')
    return "{\n" + "".join(f"    {entry},\n" for entry in entries) + "}"


def _schedule(plan: Plan) -> list[str]:
    kinds = plan.values("schedule.kind")
    if kinds == ["constant"]:
        return []
    blocks: list[str] = []
    if {"cosine", "one-cycle"} & set(kinds):
        blocks.append(_COSINE)
    if "plateau" in kinds:
        names = ("window", "threshold", "patience", "floor", "factor")
        blocks.append(_PLATEAU.format(**{name: plan.get(f"schedule.{name}") for name in names}))
    body = choice(plan, "schedule.kind", {kind: _factor(plan, kind) for kind in kinds})
    if plan.ever("schedule.since") and set(kinds) - {"constant", "plateau"}:
        body = f"step -= {plan.get('schedule.since')}\n{body}"
    takes = "step, plateau" if "plateau" in kinds else "step"
    blocks.append(
        f'def rate_factor({takes}):\n    """What the schedule multiplies the rate by after `step` steps."""\n'
        f"{indented(body)}\n"
    )
    return blocks


def _factor(plan: Plan, kind: str) -> str:
    def get(name: str) -> str:
        return plan.get(f"schedule.{name}")

    endless = "" if plan.never_zero("schedule.steps") else f"if not {get('steps')}:\n    return 1.0\n"
    match kind:
        case "step":
            return f"return {get('factor')} ** (step // {get('every')})"
        case "exponential":
            return f"return {get('decay')} ** step"
        case "cosine":
            return f"{endless}return cosine(1.0, {get('floor')}, step / {get('steps')})"
        case "warmup":
            return f"return min(1.0, (step + 1) / ({get('warmup')} + 1))"
        case "one-cycle":
            return (
                f"{endless}peak = {get('rise')} * {get('steps')}\n"
                f"if step < peak:\n    return cosine({get('start')}, 1.0, step / peak)\n"
                f"return cosine(1.0, {get('floor')}, (step - peak) / max({get('steps')} - peak, 1e-12))"
            )
        case "plateau":
            return "return plateau.factor"
        case _:
            return "return 1.0"


def _clip(plan: Plan, host: bool) -> str:
    limit = plan.get("clip.threshold")
    codes = {
        "global": f"flat.grad.mul_(min(1.0, {limit} / (norm + 1e-6)))",
        "value": f"flat.grad.clamp_(-{limit}, {limit})",
        "per-tensor": (
            "for parameter in model.parameters():\n"
            "    if parameter.requires_grad:\n"
            "        size = torch.linalg.vector_norm(parameter.grad).item()\n"
            f"        if size > {limit}:\n"
            f"            parameter.grad.mul_({limit} / size)"
        ),
    }
    if not host:
        codes |= {
            "global": f"flat.grad.mul_(({limit} / (norm + 1e-6)).clamp_(max=1.0).nan_to_num_(nan=1.0))",
            "per-tensor": (
                "grads = [parameter.grad for parameter in model.parameters() if parameter.requires_grad]\n"
                "norms = torch.stack([torch.linalg.vector_norm(grad) for grad in grads])\n"
                f"for grad, scale in zip(grads, ({limit} / norms.clamp(min={limit})).unbind()):\n"
                "    grad.mul_(scale)"
            ),
        }
    kinds = plan.values("clip.kind")
    branches = {kind: codes[kind] for kind in kinds if kind != "none"}
    off = [f'{plan.get("clip.kind")} == "none"'] * ("none" in kinds)
    within = [f"norm <= {limit}"] * host
    why = "  # no tensor and no entry exceeds the joint norm" if host else ""
    guard = f"if {' or '.join(off + within)}:\n    return{why}\n" if off or within else ""
    if len(branches) == 1:
        body = next(iter(branches.values()))
    else:
        words = ["if", *["elif"] * (len(branches) - 1)]
        body = "\n".join(
            f'{word} {plan.get("clip.kind")} == "{name}":\n{indented(code)}'
            for word, (name, code) in zip(words, branches.items(), strict=True)
        )
    body = guard + body
    return f"def clip(model, flat, norm):\n{indented(body)}\n"


def _train(plan: Plan, around: Surroundings, shuffled: bool) -> str:
    scheduled = plan.values("schedule.kind") != ["constant"]
    plateau = "plateau" in plan.values("schedule.kind")
    takes = "step, plateau" if plateau else "step"
    before = ["flat = flatten(model)", "optimizer = make_optimizer(flat)"]
    before += ["batches = Batches()"] * shuffled + ["plateau = Plateau()"] * plateau
    update: list[str] = []
    if plan.values("clip.kind") != ["none"]:
        update.append("clip(model, flat, norm)")
    if scheduled:
        update.append(f'optimizer.param_groups[0]["lr"] = {plan.get("optim.lr")} * rate_factor({takes})')
    update.append("optimizer.step()")
    if plateau:
        observed = "plateau.observe(loss.item())"
        watching = f'if {plan.get("schedule.kind")} == "plateau":\n    {observed}'
        update.append(watching if plan.varies("schedule.kind") else observed)
    tweaking = _tweaking(plan, plateau=plateau, shuffled=shuffled)
    if tweaking:
        before.append("tweaks = collections.deque(TWEAKS)")
    batch = "batches.next()" if shuffled else "DATA"
    loop = [
        *tweaking,
        "flat.grad.zero_()",
        f"loss = objective(model, {batch}, step)",
        "loss.backward()",
        f"norm = torch.linalg.vector_norm(flat.grad){'.item()' * around.host}",
    ]
    if around.host:
        loop.append("if math.isfinite(norm) and math.isfinite(loss.item()):")
        loop.append(indented("\n".join(update)))
    else:
        loop.append("flat.grad.masked_fill_(~(norm.isfinite() & loss.detach().isfinite()), 0.0)")
        loop += update
    loop.append("if (step + 1) % max(1, steps // 10) == 0:")
    loop.append('    print(f"step {step + 1:,}: loss {loss.item():.6g}", file=sys.stderr)')
    finite = (
        "A step whose loss or gradient is not finite changes no weight."
        if around.host
        else "Where loss or gradient is not finite, the gradient counts as zero."
    )
    return (
        f'def train(model, steps):\n    """{finite}"""\n'
        f"{indented(chr(10).join(before))}\n    for step in range(steps):\n{indented(chr(10).join(loop), 8)}\n"
    )


def _tweaking(plan: Plan, *, plateau: bool, shuffled: bool) -> list[str]:
    """The lines of the loop that put tweaks in force, none where there are none."""
    if not plan.tweaked:
        return []
    lines = [
        "while tweaks and tweaks[0][0] == step:",
        "    changes = tweaks.popleft()[1]",
        "    setting.update(changes)",
    ]
    other = ""
    if plan.varies("optim.kind"):
        lines += ['    if "optim.kind" in changes:', "        optimizer = make_optimizer(flat)"]
        other = "el"
    if any(path.startswith("optim.") for _, news in plan.tweaks() for path in news if path != "optim.kind"):
        lines += [f'    {other}if any(path.startswith("optim.") for path in changes):']
        lines += ["        optimizer.param_groups[0].update(optimizer_options())"]
    if plateau and plan.varies("schedule.kind"):
        lines += ['    if "schedule.kind" in changes:', "        plateau = Plateau()"]
    if shuffled and plan.varies("train.batch_size"):
        lines += ['    if "train.batch_size" in changes:', "        batches.ready = []"]
    return lines
