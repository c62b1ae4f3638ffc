"""What every section of a spec is."""

from msgspec import Struct

LIVE = {"live": True}
"""Marks a setting that may change between two steps."""


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """Base of every section variant; the struct's tag is its `kind`."""
