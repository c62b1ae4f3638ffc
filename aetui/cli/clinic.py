"""`aetui clinic`: the gallery of known failures."""

from aetui import presets


def list_gallery() -> int:
    """Print every case of the gallery in one line, under its cause."""
    names = presets.clinic_names()
    width = max(map(len, names))
    heading = None
    for name in names:
        about = presets.load(name).about
        if about.cause != heading:
            heading = about.cause
            print(heading or "\nnothing wrong")
        print(f"  {name:<{width}}  {about.title}")
    print(
        "\naetui clinic/NAME opens one with its story and its repair (key a);\n"
        "aetui diagnose clinic/NAME says what is wrong with it."
    )
    return 0
