"""Every action of the workbench, once: bindings, footer, help, command palette and docs read it."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial

from textual.binding import Binding
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.keys import REPLACED_KEYS, key_to_character


@dataclass(frozen=True)
class Action:
    """Something the user can ask for; the app has the method `action_...`."""

    id: str
    """Its name in the settings file's [keys]."""
    label: str
    """A few words, for the footer and the palette."""
    help: str
    """One sentence, for the help screen."""
    keys: tuple[str, ...] = ()
    """Keys that work everywhere, in a form field too."""
    plain_keys: tuple[str, ...] = ()
    """Keys that work while no field is being edited."""
    group: str = "Other"
    footer: bool = False
    method: str = ""
    """What Textual runs, as `name` or `name('argument')`; the id with underscores if empty."""
    priority: bool = False
    """Whether `keys` work above fields and dialogs too."""

    @property
    def command(self) -> str:
        """The action string for `App.run_action`."""
        return self.method or self.id.replace("-", "_")


PANES = (
    ("loss", "Loss"),
    ("variance", "Variance"),
    ("settings", "Settings"),
    ("code", "Code"),
    ("pairs", "Pairs"),
    ("layers", "Layers"),
    ("journal", "Journal"),
    ("why", "Why"),
    ("output", "Output"),
)
"""Panes in the order of their number keys: name and title."""


_LETTERS = {"why": ("y",), "output": ("o",)}
"""Letters that go to a pane too: a digit starts a value where the form has the focus."""


def _pane(number: int, name: str, title: str) -> Action:
    return Action(
        f"pane-{name}", title, f"Go to the {title} pane.", (), (*_LETTERS.get(name, ()), str(number)), "Panes",
        method=f"show_pane('{name}')",
    )  # fmt: skip


TRAINING, TWEAKS, VIEW, PROGRAM = "Training", "Tweaks", "View", "Program"

ACTIONS: tuple[Action, ...] = (
    Action(
        "run-pause", "run/pause", "Train on, or stop before the next step.",
        ("f5",), ("space",), TRAINING, True, priority=True,
    ),
    Action("step", "step", "Train one step and pause.", ("f6",), ("s",), TRAINING, True, priority=True),
    Action(
        "examine", "check suspects", "Check the suspects with short probes on copies; training pauses.",
        ("f4",), ("x",), TRAINING, priority=True,
    ),
    Action(
        "what-if", "what-if", "Try remedies and edits on forks of the run, beside controls, and adopt what works.",
        ("f2",), ("F",), TRAINING, priority=True,
    ),
    Action("run-steps", "run N steps", "Train a number of steps and pause.", (), ("n",), TRAINING),
    Action(
        "undo", "undo", "Take the last tweak back: the run returns to just before it.",
        ("ctrl+z",), ("u",), TRAINING, True, priority=True,
    ),
    Action(
        "redo", "redo", "Return to where the last undo left from.",
        ("ctrl+y",), ("U",), TRAINING, priority=True,
    ),
    Action(
        "rewind", "rewind", "Return to a checkpoint from a list; what came after it is kept.",
        ("f3",), ("b",), TRAINING, priority=True,
    ),
    Action(
        "lr-down", "lr down", "Divide the learning rate by 10^(1/4).",
        ("f7",), ("minus",), TWEAKS, True, priority=True,
    ),
    Action(
        "lr-up", "lr up", "Multiply the learning rate by 10^(1/4).",
        ("f8",), ("plus", "equals_sign"), TWEAKS, True, priority=True,
    ),
    Action(
        "clipping", "clip", "Choose kind and threshold of gradient clipping beside the present norm.",
        ("f9",), ("c",), TWEAKS, True,
    ),
    Action("find-setting", "find setting", "Find a setting by name and edit it.", ("ctrl+g",), ("slash",), TWEAKS),
    Action(
        "apply-form", "apply", "Apply the edited settings; those that need a new run offer one.",
        ("ctrl+s",), (), TWEAKS, True,
    ),
    Action("reset-form", "reset form", "Drop the edits that are not applied.", ("ctrl+r",), (), TWEAKS),
    *(_pane(number, name, title) for number, (name, title) in enumerate(PANES, 1)),
    Action("maximize", "maximize", "Give the pane in focus the whole screen, or put it back.", (), ("z",), "Panes"),
    Action("next-pane", "next pane", "Go to the pane with the next number.", ("ctrl+n",), ("i",), "Panes"),
    Action("previous-pane", "previous pane", "Go to the pane with the number before.", (), ("I",), "Panes"),
    Action("focus-next", "next pane", "Go to the next pane or field.", ("tab",), (), "Panes"),
    Action("focus-previous", "previous pane", "Go to the previous pane or field.", ("shift+tab",), (), "Panes"),
    Action("leave", "leave", "Leave the field, then the pane.", ("escape",), (), "Panes"),
    Action("chart-log", "log axis", "Loss axis linear or logarithmic.", (), ("l",), VIEW),
    Action("chart-window", "window", "Next window of the loss chart: all steps, or the last ones.", (), ("w",), VIEW),
    Action("chart-smoothing", "smoothing", "Next smoothing of the loss chart.", (), ("m",), VIEW),
    Action(
        "chart-curve", "curve",
        "Next curve of the loss chart: loss, gradient norm, penalties, learning rate, explained variance, your own.",
        (), ("v",), VIEW,
    ),
    Action("chart-axis", "axis", "Steps, epochs or time along the loss chart.", (), ("h",), VIEW),
    Action(
        "chart-marker", "marker", "What the loss chart is drawn in: braille, quadrants, blocks or ASCII.",
        (), ("p",), VIEW,
    ),
    Action(
        "sample-next", "next sample", "Next sample of the reconstructions.",
        (), ("greater_than_sign", "right_square_bracket"), VIEW,
    ),
    Action(
        "sample-previous", "previous sample", "Previous sample of the reconstructions.",
        (), ("less_than_sign", "left_square_bracket"), VIEW,
    ),
    Action(
        "export", "export", "Take the run away: its history, its weights, or a script that trains it.",
        ("ctrl+o",), ("e",), PROGRAM,
    ),
    Action(
        "copy", "copy",
        "Copy what is under the cursor (remedy, setting, entries of the journal), else verdict and status.",
        ("ctrl+t",), ("Y",), PROGRAM,
    ),
    Action("next-theme", "theme", "Next color theme.", (), ("t",), VIEW),
    Action("about", "about this run", "What this run shows, and which settings to try.", (), ("a",), PROGRAM),
    Action(
        "screenshot", "screenshot", "Save the screen as an SVG file.", ("f12",), ("S",), PROGRAM, method="save_screen"
    ),
    Action("command-palette", "menu", "Find any action by name.", ("ctrl+p",), (), PROGRAM, True),
    Action("help", "help", "Keys and terms.", ("f1",), ("question_mark",), PROGRAM, True),
    Action(
        "detach", "detach", "Leave the run to its engine in the background; aetui attach brings the screen back.",
        ("ctrl+d",), ("d",), PROGRAM, priority=True,
    ),
    Action(
        "suspend", "suspend", "Suspend the screen to the shell while training goes on; fg brings it back.",
        ("ctrl+backslash",), (), PROGRAM, priority=True,
    ),
    Action(
        "quit", "quit", "Leave; asks whether to stop a run that trains or that others watch.",
        ("ctrl+q",), ("q",), PROGRAM, True, priority=True,
    ),
)  # fmt: skip

BY_ID: dict[str, Action] = {action.id: action for action in ACTIONS}

_NO_KEY = "no_key"
"""Part of the name of a key that no terminal sends; see `bindings`."""

_ABOVE = ".above"
"""Ends the id of the binding whose keys work above fields and dialogs."""
_STRONG = re.compile(r"(.+\+)?f[0-9]+$|(ctrl|alt)\+")

_SHOWN = {
    "minus": "-", "plus": "+", "equals_sign": "=", "question_mark": "?", "left_square_bracket": "[",
    "right_square_bracket": "]", "space": "space", "escape": "esc", "full_stop": ".", "comma": ",", "slash": "/",
    "backslash": "\\", "less_than_sign": "<", "greater_than_sign": ">",
    # Characters whose names say no more which they are.
    "left_pointing_double_angle_quotation_mark": "«", "right_pointing_double_angle_quotation_mark": "»",
    "plus_minus_sign": "±",
}  # fmt: skip


def bindings() -> list[Binding]:
    """The app's BINDINGS, each with its action's id so that a keymap can replace its keys.

    An action with plain keys alone gets one more that no terminal sends: Textual drops the keys
    that a field consumes before it applies a keymap, and would forget the replacement with them.
    """
    result: list[Binding] = []
    for action in ACTIONS:
        base = Binding("", action.command, action.label, show=action.footer, tooltip=action.help, id=action.id)
        if action.keys:
            strong = replace(base, id=action.id + _ABOVE, priority=True) if action.priority else base
            result.append(replace(strong, key=",".join(action.keys)))
        if action.plain_keys:
            result.append(replace(base, key=",".join(action.plain_keys)))
        if not action.keys or action.priority:
            result.append(replace(base, key=f"{_NO_KEY}_{action.id}", show=False))
    return result


def keymap_for(user: Mapping[str, str]) -> dict[str, str]:
    """The user's keys as `App.set_keymap` takes them.

    Keys that type something never work above fields and dialogs, whatever the action's own do.
    """
    result: dict[str, str] = {}
    for name, keys in user.items():
        action = BY_ID.get(name)
        if action is None or not action.priority:
            result[name] = keys
            continue
        given = keys_of(action, user)
        strong = [key for key in given if _STRONG.match(key)]
        result[name + _ABOVE] = ",".join(strong) or f"{_NO_KEY}_{name}{_ABOVE}"
        result[name] = ",".join(key for key in given if key not in strong) or f"{_NO_KEY}_{name}"
    return result


def keys_of(action: Action, keymap: Mapping[str, str]) -> tuple[str, ...]:
    """The keys of an action, those of the user's keymap first of all."""
    if action.id in keymap:
        return tuple(key.strip() for key in keymap[action.id].split(",") if key.strip())
    return action.keys + action.plain_keys


def shown(key: str) -> str:
    """A key as people write it: `F5`, `^s`, `?`."""
    *modifiers, name = key.split("+")
    character = "" if name in _SHOWN else key_to_character(REPLACED_KEYS.get(name, name)) or ""
    name = _SHOWN.get(name) or (character if character.isprintable() and character else name)
    name = name.upper() if len(name) in (2, 3) and name[0] == "f" and name[1:].isdigit() else name
    prefix = "".join("^" if modifier == "ctrl" else f"{modifier}+" for modifier in modifiers)
    return prefix + name


def key_text(action_id: str, keymap: Mapping[str, str]) -> str:
    """The first key of an action as people write it, '' if it has none."""
    keys = keys_of(BY_ID[action_id], keymap)
    return shown(keys[0]) if keys else ""


_LEFT_OUT = ("apply-form", "step")
"""Actions that a narrow footer leaves out, in this order; the form names the key that applies."""


def footer_items(keymap: Mapping[str, str], width: int = 10_000) -> list[tuple[str, str, str]]:
    """What the footer shows: key, label and command of each action, the learning rate's two together.

    As many of those that can be left out as fit in `width` cells with the others.
    """
    fullest_first = [_footer_items(keymap, _LEFT_OUT[:count]) for count in range(len(_LEFT_OUT) + 1)]
    fitting = (
        items for items in fullest_first if sum(len(key) + len(label) + 3 for key, label, _ in items) - 2 <= width
    )
    return next(fitting, fullest_first[-1])


def _footer_items(keymap: Mapping[str, str], left_out: Collection[str]) -> list[tuple[str, str, str]]:
    items: list[tuple[str, str, str]] = []
    for action in ACTIONS:
        if not action.footer or action.id == "lr-up" or action.id in left_out:
            continue
        key, label = key_text(action.id, keymap), action.label
        if action.id == "lr-down":
            key, label = f"{key}/{key_text('lr-up', keymap)}", "lr"
        items.append((key, label, action.command))
    return items


def grouped() -> dict[str, list[Action]]:
    """The actions by group, in order."""
    result: dict[str, list[Action]] = {}
    for action in ACTIONS:
        result.setdefault(action.group, []).append(action)
    return result


def docs_table() -> list[tuple[str, str, str]]:
    """Rows for the docs: keys, id in the settings file, what it does."""
    rows: list[tuple[str, str, str]] = []
    for action in ACTIONS:
        keys = [f"`{shown(key)}`" for key in action.keys + action.plain_keys]
        rows.append((" ".join(keys), f"`{action.id}`", action.help))
    return rows


class ActionProvider(Provider):
    """Every action in the command palette, with its keys."""

    def _entries(self) -> list[tuple[str, str, partial[object]]]:
        keymap: Mapping[str, str] = getattr(self.app, "user_keys", {})
        entries: list[tuple[str, str, partial[object]]] = []
        for action in ACTIONS:
            if action.id == "command-palette":
                continue
            keys = "  ".join(shown(key) for key in keys_of(action, keymap))
            entries.append(
                (action.label, f"{action.help}  {keys}".rstrip(), partial(self.app.run_action, action.command))
            )
        return entries

    async def discover(self) -> Hits:
        for label, text, run in self._entries():
            yield DiscoveryHit(label, run, help=text)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for label, text, run in self._entries():
            named, described = matcher.match(label), matcher.match(text) / 2
            if named > 0 or described > 0:
                display = matcher.highlight(label) if named > 0 else label
                yield Hit(max(named, described), display, run, text=label, help=text)
