"""Optimizer, learning rate, clipping and batches of a run, and its loop."""

from __future__ import annotations

from dataclasses import dataclass
from inspect import signature

from aetui.runs.export.standalone.plan import Plan, choice, indented
from aetui.runs.export.standalone.verbatim import source_of
from aetui.spec.fields import variants
from aetui.training import optimizers
from aetui.training.batches import BatchOrder
from aetui.training.clipping import CLIPS
from aetui.training.flat import flatten
from aetui.training.late import LateLosses
from aetui.training.optimizers import OPTIMIZERS
from aetui.training.schedules import SCHEDULES
from aetui.training.step import joint_norm, set_rates, step_unless, update_on_device, update_on_host


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
    blocks = source_of(flatten, *([BatchOrder] if shuffled else []))
    blocks += _optimizer(plan, around.host)
    blocks += _schedule(plan)
    if plan.values("clip.kind") != ["none"]:
        blocks += _clip(plan, around.host)
    blocks += source_of(joint_norm, set_rates, *([update_on_host] if around.host else [step_unless, update_on_device]))
    if not around.host and _watched(plan):
        blocks += source_of(LateLosses)
    blocks.append(_train(plan, around, shuffled))
    return blocks


def _optimizer(plan: Plan, host: bool) -> list[str]:
    kinds = plan.values("optim.kind")
    options = choice(plan, "optim.kind", {kind: f"return {_options(plan, kind, host)}" for kind in kinds})
    made = choice(plan, "optim.kind", {kind: f"return {_constructor(kind)}" for kind in kinds})
    makers = [OPTIMIZERS[variants("optim")[kind]] for kind in kinds]
    return [
        *source_of(*(entry.make for entry in makers if not entry.native)),
        f"def optimizer_options():\n{indented(options)}\n",
        f"def make_optimizer(flat):\n{indented(made)}\n",
    ]


def _constructor(kind: str) -> str:
    entry = OPTIMIZERS[variants("optim")[kind]]
    fused = ", fused=True" if entry.fused else ""
    name = f"torch.optim.{entry.make.__name__}" if entry.native else entry.make.__name__
    return f"{name}([flat], **optimizer_options(){fused})"


def _options(plan: Plan, kind: str, host: bool) -> str:
    """PyTorch's options; those that are off by default, and in this run always, are left out."""
    section = variants("optim")[kind]
    known = signature(OPTIMIZERS[section].make).parameters
    entries: list[str] = []
    for option, names in optimizers.settings_of(section).items():
        paths = [f"optim.{name}" for name in names]
        if known[option].default or any(plan.ever(path) for path in paths):
            values = ", ".join(map(plan.get, paths))
            if option == "lr" and not host and OPTIMIZERS[section].fused:
                values = f'torch.tensor({values}, device=DEVICE) if DEVICE.type in ("cuda", "cpu") else {values}'
            entries.append(f'"{option}": {values if len(paths) == 1 else f"({values})"}')
    return "{\n" + "".join(f"    {entry},\n" for entry in entries) + "}"


def _schedule(plan: Plan) -> list[str]:
    kinds = plan.values("schedule.kind")
    if kinds == ["constant"]:
        return []
    entries = [SCHEDULES[variants("schedule")[kind]] for kind in kinds if kind != "constant"]
    needed = [part for entry in entries for part in (*entry.uses, *([entry.factor] if entry.factor else []))]
    body = choice(plan, "schedule.kind", {kind: _factor(plan, kind) for kind in kinds})
    if plan.ever("schedule.since") and any(entry.factor for entry in entries):
        body = f"step -= {plan.get('schedule.since')}\n{body}"
    takes = "step, plateau" if _watched(plan) else "step"
    return [
        *source_of(*needed),
        f'def rate_factor({takes}):\n    """What the schedule multiplies the rate by after `step` steps."""\n'
        f"{indented(body)}\n",
    ]


def _watched(plan: Plan) -> list[str]:
    """The kinds of schedules in the run that follow the loss."""
    return [kind for kind in plan.values("schedule.kind") if SCHEDULES[variants("schedule")[kind]].factor is None]


def _factor(plan: Plan, kind: str) -> str:
    section = variants("schedule")[kind]
    factor = SCHEDULES[section].factor
    if kind == "constant":
        return "return 1.0"
    if factor is None:
        return "return plateau.factor"
    endless = ""
    if "steps" in section.__struct_fields__ and not plan.never_zero("schedule.steps"):
        endless = f"if not {plan.get('schedule.steps')}:\n    return 1.0\n"
    return f"{endless}return {factor.__name__}(step{_settings(plan, section)})"


def _settings(plan: Plan, section: type) -> str:
    return "".join(f", {name}={plan.get(f'schedule.{name}')}" for name in section.__struct_fields__)


def _clip(plan: Plan, host: bool) -> list[str]:
    """`clip(grads, views, norm)`, and what it calls."""
    limit = plan.get("clip.threshold")
    kinds = plan.values("clip.kind")
    entries = {kind: entry for kind in kinds if (entry := CLIPS[variants("clip")[kind]]) is not None}
    functions = {kind: entry.on_host if host else entry.on_device for kind, entry in entries.items()}
    off = [f'{plan.get("clip.kind")} == "{kind}"' for kind in kinds if kind not in entries]
    within = [f"norm <= {limit}"] * host
    why = "  # no tensor and no entry exceeds the joint norm" if host else ""
    guard = f"if {' or '.join(off + within)}:\n    return {not host and None}{why}\n" if off or within else ""
    calls = {kind: f"return {function.__name__}(grads, views, {limit}, norm)" for kind, function in functions.items()}
    body = guard + choice(plan, "clip.kind", calls)
    return [*source_of(*functions.values()), f"def clip(grads, views, norm):\n{indented(body)}\n"]


def _train(plan: Plan, around: Surroundings, shuffled: bool) -> str:
    watched = _watched(plan)
    before = ["flat, views = flatten([parameter for parameter in model.parameters() if parameter.requires_grad])"]
    before += ["optimizer = make_optimizer(flat)"]
    if shuffled:
        order = "torch.Generator().manual_seed(ORDER_SEED)"
        before.append(f"batches = BatchOrder(DATA, {plan.get('train.batch_size')}, {order}, {around.least})")
    before += ["plateau = PlateauState()"] * bool(watched)
    before += ["late = LateLosses(DEVICE)"] * bool(watched and not around.host)
    rates, rating = "()", []
    if plan.values("schedule.kind") != ["constant"]:
        factor = f"rate_factor({'step, plateau' if watched else 'step'})"
        rates, rating = "[rate]", [f"rate = {plan.get('optim.lr')} * {factor}"]
    clip = f"lambda norm: {'False' if around.host else 'None'}"
    if plan.values("clip.kind") != ["none"]:
        clip = "bound"
        before.append("bound = functools.partial(clip, [flat.grad], views)")
    tweaking = _tweaking(plan, plateau=bool(watched), shuffled=shuffled, host=around.host)
    if tweaking:
        before.append("tweaks = collections.deque(TWEAKS)")
    if around.host:
        kept = "finite, _" if watched else "_"
        update = f"{kept} = update_on_host(optimizer, {rates}, {clip}, loss.item(), norm.item())"
    else:
        kept = "lost, _ = " if watched else ""
        update = f"{kept}update_on_device(optimizer, {rates}, {clip}, loss.detach(), norm)"
    loop = [
        *tweaking,
        "flat.grad.zero_()",
        f"loss = objective(model, {'batches.next()' if shuffled else 'DATA'}, step)",
        "loss.backward()",
        "norm = joint_norm([flat.grad])",
        *rating,
        update,
        *(_observing(plan, kind, around.host) for kind in watched),
        "if (step + 1) % max(1, steps // 10) == 0:",
        '    print(f"step {step + 1:,}: loss {loss.item():.6g}", file=sys.stderr)',
    ]
    return (
        'def train(model, steps):\n    """A step whose loss or gradient is not finite changes no weight."""\n'
        f"{indented(chr(10).join(before))}\n    for step in range(steps):\n{indented(chr(10).join(loop), 8)}\n"
    )


def _observing(plan: Plan, kind: str, host: bool) -> str:
    """The lines of the loop that tell a schedule the loss."""
    conditions = ["finite"] * host + [f'{plan.get("schedule.kind")} == "{kind}"'] * plan.varies("schedule.kind")
    settings = _settings(plan, variants("schedule")[kind]).replace(", ", ",\n    ")
    line = f"plateau.observe(\n    {'loss.item()' if host else 'one'}{settings},\n)"
    if not host:
        line = f"late.add(loss.detach(), lost)\nfor one in late.due():\n{indented(line)}"
    return f"if {' and '.join(conditions)}:\n{indented(line)}" if conditions else line


def _tweaking(plan: Plan, *, plateau: bool, shuffled: bool, host: bool) -> list[str]:
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
        lines += ['    if "schedule.kind" in changes:', "        plateau = PlateauState()"]
        lines += ["        late.restore([])"] * (not host)
    if shuffled and plan.varies("train.batch_size"):
        lines += ['    if "train.batch_size" in changes:', f"        batches.resize({plan.get('train.batch_size')})"]
    return lines
