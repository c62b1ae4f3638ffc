"""`aetui alerts test`: every way of an alert that the settings name, tried now."""

import sys
import time

from aetui.alerts.sending import ways
from aetui.alerts.settings import KINDS, load_alerts
from aetui.alerts.terminal import BELL, notification
from aetui.alerts.told import Alert
from aetui.cli.progress import say
from aetui.paths import settings_path


def test_alerts() -> int:
    """Take each way and print what came of it; status 1 where one failed or none is set."""
    settings, problems = load_alerts()
    for problem in problems:
        say(problem)
    told = ", ".join(settings.on) or "nothing"
    print(f"{settings_path()} has these told: {told} (of {', '.join(KINDS)})")
    on_terminal = settings.bell or settings.desktop != "off"
    if not (on_terminal or settings.sent):
        print("no way is set: bell, desktop, command or webhook under [alerts]")
        return 1
    alert = Alert(kind="finish", text="aetui alerts test: this is how an alert comes", run="test", time=time.time())
    well = not problems
    if on_terminal:
        names = [*["bell"] * settings.bell, *[f"desktop ({settings.desktop})"] * (settings.desktop != "off")]
        if sys.stderr.isatty():
            print(BELL * settings.bell + notification("aetui", alert.text, settings.desktop), end="", file=sys.stderr)
            sys.stderr.flush()
            print(f"{' and '.join(names)}: sent; a terminal does not say whether it takes it")
        else:
            print(f"{' and '.join(names)}: standard error is no terminal")
            well = False
    for name, done, said in ways(alert, settings):
        print(f"{name}: {said}")
        well &= done
    return int(not well)
