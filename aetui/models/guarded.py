"""Whether importing a user's file would train or write, read off its text before anything of it is run."""

from __future__ import annotations

import ast
from pathlib import Path

from aetui.models.errors import ModelError

_TRAINS = ("backward", "fit", "fit_transform", "train_model", "train_on_batch")
_WRITES = ("save", "save_checkpoint", "savez", "savefig", "to_csv", "dump", "save_image", "makedirs", "mkdir", "rmtree")
_READS_ARGUMENTS = ("parse_args", "parse_known_args")


def refuse_script(file: Path) -> None:
    """Refuse a file whose own top level trains, writes or reads the command line.

    Functions and classes are only defined by an import, and what is under `if __name__ == "__main__":` is not run.

    Raises:
        ModelError: it does; the sentence names line, call and what to guard.
    """
    try:
        tree = ast.parse(file.read_bytes(), str(file))
    except (SyntaxError, ValueError):
        return  # the import says it better
    known = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    for node in tree.body:
        found = _found(node, known, set())
        if found is not None:
            line, what = found
            raise ModelError(
                "model.path",
                f"{file.name}, line {line}: importing it {what}, and nothing of it was run; put what trains, writes "
                'or reads arguments under if __name__ == "__main__":',
            )


def _found(node: ast.AST, known: dict[str, ast.FunctionDef], seen: set[str]) -> tuple[int, str] | None:
    """Line and effect of the first call under a statement that an import must not make."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda) or _is_main(node):
        return None
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        for names, what in (
            (_TRAINS, "trains"),
            (_WRITES, "writes files"),
            (_READS_ARGUMENTS, "reads the command line"),
        ):
            if name in names and isinstance(node.func, ast.Attribute):
                return node.lineno, f"{what} ({name})"
        if isinstance(node.func, ast.Name) and name in known and name not in seen:
            seen.add(name)
            for inner in known[name].body:
                if (found := _found(inner, known, seen)) is not None:
                    return node.lineno, found[1]
    for child in ast.iter_child_nodes(node):
        if (found := _found(child, known, seen)) is not None:
            return found
    return None


def _is_main(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and any(
        isinstance(part, ast.Name) and part.id == "__name__" for part in ast.walk(node.test)
    )
