"""No modules of the package import each other in a circle, be it through others or for their types alone."""

import sys
from pathlib import Path

import grimp
import pytest


def circles(graph: grimp.ImportGraph) -> list[str]:
    """Every import that can be followed back to the module that makes it."""
    return sorted(
        f"{importer} imports {imported}"
        for importer in graph.modules
        for imported in graph.find_modules_directly_imported_by(importer)
        if graph.chain_exists(importer=imported, imported=importer)
    )


def test_no_modules_import_each_other_in_a_circle():
    graph = grimp.build_graph("aetui", exclude_type_checking_imports=False, cache_dir=None)
    assert len(graph.modules) > 100
    assert circles(graph) == []


def test_a_circle_through_a_third_module_and_for_types_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    package = tmp_path / "ringed"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "one.py").write_text("import ringed.two\n")
    (package / "two.py").write_text("def late():\n    import ringed.three\n")
    (package / "three.py").write_text(
        "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from ringed.one import Any\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    graph = grimp.build_graph("ringed", exclude_type_checking_imports=False, cache_dir=None)
    sys.modules.pop("ringed", None)
    assert circles(graph) == [
        "ringed.one imports ringed.two",
        "ringed.three imports ringed.one",
        "ringed.two imports ringed.three",
    ]
