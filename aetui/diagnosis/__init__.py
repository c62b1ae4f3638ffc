"""Causes of bad training: evidence, findings, verdict."""

from aetui.diagnosis.api import diagnose, preflight
from aetui.diagnosis.examine import Progress
from aetui.diagnosis.of_spec import diagnose_spec

__all__ = ["Progress", "diagnose", "diagnose_spec", "preflight"]
