"""The source files of the project, and what they import, read without running them."""

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path


ROOT = Path(__file__).parents[2]


def sources(name: str) -> list[Path]:
    """The Python files of a package, or the one of a module, at the top of the repository."""
    return sorted((ROOT / name).rglob("*.py")) or [ROOT / f"{name}.py"]


def imports(path: Path) -> Iterator[str]:
    """Every dotted name that a file imports, also within functions and for type checkers alone."""
    package = ".".join(path.relative_to(ROOT).parent.parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (node.module or "")
            module = importlib.util.resolve_name(origin, package)
            yield from (f"{module}.{alias.name}" for alias in node.names)
