"""`aetui clinic`: the gallery of known failures, and how well they are diagnosed."""

from aetui import presets


def list_gallery() -> int:
    """Print every case of the gallery: its name, its cause, one line."""
    rows = [(name, presets.load(name).about) for name in presets.clinic_names()]
    width, causes = max(len(name) for name, _ in rows), max(len(about.cause) for _, about in rows)
    failing = [row for row in rows if row[1].cause]
    healthy = [row for row in rows if not row[1].cause]
    for title, part in (("Failures, each with its cause", failing), ("Nothing wrong", healthy)):
        print(title)
        for name, about in part:
            print(f"  {name:<{width}}  {about.cause:<{causes}}  {about.title}".rstrip())
        print()
    print("`aetui run clinic/NAME` opens one, `aetui diagnose clinic/NAME` says what is wrong with it.")
    return 0
