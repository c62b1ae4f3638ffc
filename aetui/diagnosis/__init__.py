"""Causes of bad training: evidence, findings, verdict."""

from aetui.diagnosis.api import diagnose, preflight
from aetui.diagnosis.of_files import diagnose_files
from aetui.diagnosis.of_spec import diagnose_spec
from aetui.diagnosis.probing import Progress

__all__ = ["Progress", "diagnose", "diagnose_files", "diagnose_spec", "preflight"]
