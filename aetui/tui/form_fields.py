"""What the form shows and sends, worked out from specs alone: rows, help, edits carried over."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from aetui import protocol as p
from aetui.spec import Difference, RunSpec, SpecError, changed, differences
from aetui.spec.bottleneck import no_bottleneck, what_holds_back
from aetui.spec.fields import FORM_SECTIONS, Field, fields_of, kind_of, variants
from aetui.spec.sections import LIVE_KINDS
from aetui.tui.texts import cut, wrap

TITLES = {
    "data": "DATA",
    "model": "MODEL",
    "init": "INITIALIZATION",
    "loss": "LOSS",
    "optim": "OPTIMIZER",
    "schedule": "SCHEDULE",
    "clip": "CLIPPING",
    "train": "TRAINING",
}

ORDER = ("optim", "schedule", "clip", "loss", "train", "model", "init", "data")
"""Sections from above: first those that change between two steps, then those that need a new run."""
assert sorted(ORDER) == sorted(FORM_SECTIONS) == sorted(TITLES)


@dataclass(frozen=True)
class Row:
    """One line of the form: a heading, a section's kind or a setting."""

    path: str
    """`optim.lr`, `optim.kind`; of a heading the section's name."""
    name: str
    value: str = ""
    live: bool = False
    """Whether a change takes effect between two steps; of a heading, of most of its settings."""
    marker: str = ""
    """`live` or `new run` where it needs saying: on headings and on rows that differ from theirs."""
    heading: bool = False
    field: Field | None = None
    choices: tuple[str, ...] = ()
    setting: p.Setting | None = None
    """What the run tells of it, where no spec has it."""

    @property
    def help(self) -> str:
        """What the setting is, or what the present kind is."""
        if self.heading:
            return ""
        if self.setting is not None:
            return self.setting.help
        return self.field.help if self.field else kind_help(self.section, self.value)

    @property
    def section(self) -> str:
        return self.path.partition(".")[0]

    def starts_with(self, character: str) -> bool:
        """Whether typing `character` on the row starts a new value: digits and points do, but on choices."""
        return not self.heading and not self.choices and (character.isdecimal() or character == ".")


def rows_of(spec: RunSpec, kinds: Mapping[str, str] | None = None) -> list[Row]:
    """The form's rows for `spec`; `kinds` shows sections as another kind, with what is still to be filled in."""
    rows: list[Row] = []
    for section in ORDER:
        part = getattr(spec, section)
        kind = (kinds or {}).get(section, kind_of(part))
        own: list[Row] = []
        if kind:
            known = tuple(variants(section))
            own.append(Row(f"{section}.kind", "kind", kind, section in LIVE_KINDS, choices=known))
        own.extend(_row(field, part) for field in fields_of(variants(section)[kind]).values())
        mostly_live = 2 * sum(row.live for row in own) > len(own)
        rows.append(Row(section, TITLES[section], "", mostly_live, _word(mostly_live), heading=True))
        rows.extend(replace(row, marker=_word(row.live)) if row.live != mostly_live else row for row in own)
    return rows


def _row(field: Field, part: object) -> Row:
    value = getattr(part, field.name, field.default)
    text = "" if field.required and not hasattr(part, field.name) else field.format(value)
    choices = ("true", "false") if field.is_bool else field.choices
    return Row(field.path, field.name.replace("_", " "), text, field.live, field=field, choices=choices)


def _word(live: bool) -> str:
    return "live" if live else "new run"


def remark(draft: RunSpec, path: str, features: int) -> str:
    """What is worth knowing of a setting's value in `draft`, '' if nothing. features: of the data, 0 if unknown."""
    if path != "model.code" or not draft.model.code:
        return ""
    return no_bottleneck(draft.model.code, features, what_holds_back(draft.model))


def about(row: Row, applied: Mapping[str, str], remark: str = "") -> str:
    """Whether the row is live; the remark, or the value in force where it is another, help, bounds, the default."""
    if row.heading:
        return ""
    state = _word(row.live)
    if remark:
        return f"{row.path} ({state}): {remark}"
    in_force = applied.get(row.path)
    if in_force is not None and in_force != row.value:
        state += f", in force: {in_force or 'empty'}"
    if row.setting is not None:
        allowed, default = row.setting.allowed, row.setting.default
    elif row.field is None:
        allowed, default = f"one of {', '.join(row.choices)}", kind_of(getattr(RunSpec(), row.section))
    else:
        allowed = row.field.allowed
        default = "" if row.field.required else row.field.format(row.field.default) or "empty"
    parts = [row.help.rstrip("."), allowed, *([f"default {default}"] if default else [])]
    return f"{row.path} ({state}): {'; '.join(parts)}"


def kind_help(section: str, kind: str) -> str:
    """What a kind is, in one sentence."""
    return " ".join((variants(section)[kind].__doc__ or "").split())


def texts_of(spec: RunSpec) -> dict[str, str]:
    """Every setting and kind of the form as text, by path."""
    return {row.path: row.value for row in rows_of(spec) if not row.heading}


def edits(applied: RunSpec, draft: RunSpec) -> dict[str, str]:
    """The changes, as text by path with kinds first, that turn `applied` into `draft`."""
    found = differences(applied, draft)
    return {one.path: one.new for one in sorted(found, key=lambda one: not one.path.endswith(".kind"))}


def split(applied: RunSpec, draft: RunSpec) -> tuple[dict[str, str], list[Difference]]:
    """What of a draft can be set between two steps, as text by path with kinds first, and what needs a new run."""
    found = differences(applied, draft)
    fixed = {one.path.partition(".")[0] for one in found if one.path.endswith(".kind") and not one.live}
    structural = [one for one in found if not one.live or one.path.partition(".")[0] in fixed]
    live = {path: text for path, text in edits(applied, draft).items() if path not in {one.path for one in structural}}
    return live, structural


def carried_over(applied: RunSpec, draft: RunSpec, now: RunSpec) -> RunSpec:
    """`now` with the edits that made `draft` out of `applied`; sections whose edits no longer fit are dropped."""
    wanted = edits(applied, draft)
    try:
        return changed(now, wanted, text=True)
    except SpecError:
        result = now
        for section in FORM_SECTIONS:
            own = {path: text for path, text in wanted.items() if path.startswith(f"{section}.")}
            try:
                result = changed(result, own, text=True)
            except SpecError:
                continue
        return result


def sentence(error: SpecError, path: str) -> str:
    """What is wrong, without the path where it is the field's own."""
    problem = error.problems[0]
    return problem.text if problem.path == path else str(problem)


def unfilled(spec: RunSpec, section: str, kind: str) -> str:
    """Path of the setting that `kind` can't do without and `spec` does not have, '' if there is none."""
    part = getattr(spec, section)
    required = (field for field in fields_of(variants(section)[kind]).values() if field.required)
    return next((field.path for field in required if not hasattr(part, field.name)), "")


def fitted(text: str, width: int, height: int) -> list[str]:
    """`text` wrapped to `width`; what is cut off after `height` lines is marked by an ellipsis."""
    lines = wrap(text, width)
    if len(lines) > height:
        lines = [*lines[: height - 1], cut(" ".join(lines[height - 1 :]), width)]
    return lines
