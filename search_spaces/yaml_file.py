"""A strict reader of YAML and JSON files from untrusted sources.

Files are limited in size and depth. Error messages are one line.
"""

import itertools
import json
import re
from collections import Counter
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any, NoReturn

import yaml

from search_spaces.checks import shown
from search_spaces.errors import RecipeError


MAX_BYTES = 300_000
"""Largest file in bytes; a larger file is an error."""
MAX_NODES = 10_000
"""Largest number of values in a file, keys included; more values are an error."""
MAX_DEPTH = 20
"""Largest number of nested levels; deeper nesting is an error."""
MAX_SCALAR = 1_000
"""Largest number of characters in a value; a longer value is an error."""

MISREAD = {
    "bool": "(?i:yes|no|on|off)",
    "int": r"[-+]?0[0-9_]+|.*:.*",
    "float": ".*:.*",
    "timestamp": ".*",
    "value": ".*",
    "merge": ".*",
}
"""Plain values that YAML 1.1 reads as something else than they look like, by YAML's type.

For example, `no` is false, `010` is 8, `1:30` is 90 and `2024-01-01` is a date. The newer YAML 1.2
reads them as they look.
"""


def read(path: Path) -> object:
    """The content of a file: JSON if its name ends in `.json`, else YAML.

    Raises:
        RecipeError: the file cannot be read, has a syntax error or exceeds a limit. The message
            does not name the file.
    """
    text = _read(path)
    if path.suffix == ".json":  # the YAML reader would read JSON's 1e-07 as a string
        return _json(text)
    try:
        return _StrictLoader(text).get_single_data()
    except yaml.MarkedYAMLError as error:
        raise RecipeError(_one_line(error)) from error
    except (yaml.YAMLError, ValueError, ArithmeticError) as error:
        raise RecipeError(f"not YAML: {' '.join(str(error).split())}") from error


def _json(text: str) -> object:
    try:
        content = json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise RecipeError(f"not JSON: {error}") from error
    check_limits(content)
    return content


def check_limits(content: object) -> int:
    """Check that a JSON value is no larger than a file may be; the number of values in it.

    Raises:
        RecipeError: the value exceeds the limit of depth, of length or of the number of values.
    """
    level, n_nodes, depth = [content], 0, 0
    while level:
        n_nodes, depth = n_nodes + len(level), depth + 1
        longest = max((len(node) for node in level if isinstance(node, str)), default=0)
        if problem := _exceeded_limit(longest, depth, n_nodes):
            raise RecipeError(problem)
        level = [child for node in level for child in _children(node)]
    return n_nodes


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object whose keys are all different."""
    result = dict(pairs)
    if len(result) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        duplicate = next(key for key, n in counts.items() if n > 1)
        raise RecipeError(f"the key {shown(duplicate)} occurs twice; remove one")
    return result


def _refuse_constant(name: str) -> NoReturn:
    raise RecipeError(f"{name} is not JSON; write a finite number")


def _children(node: object) -> Iterable[object]:
    """The values directly inside a JSON value. Keys of an object count as values, as in YAML."""
    if isinstance(node, dict):
        return itertools.chain.from_iterable(node.items())
    return node if isinstance(node, list) else ()


def _exceeded_limit(length: int, depth: int, n_nodes: int) -> str | None:
    """The limit that the longest value, the depth or the number of values exceeds; else None."""
    if length > MAX_SCALAR:
        return f"a value is longer than {MAX_SCALAR} characters"
    if depth > MAX_DEPTH:
        return f"nested more than {MAX_DEPTH} levels deep"
    return f"more than {MAX_NODES} values" if n_nodes > MAX_NODES else None


class _StrictLoader(yaml.SafeLoader):
    """PyYAML's safe loader, which also refuses anchors, tags, duplicate keys and large files."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.n_nodes = 0
        self.depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.n_nodes += 1
        self.depth += 1
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if problem := self._problem(event):
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def compose_scalar_node(self, anchor: Any) -> yaml.ScalarNode:
        node = super().compose_scalar_node(anchor)
        if node.style is None and (problem := self._misreading(node)):
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
        return node

    def _misreading(self, node: yaml.ScalarNode) -> str | None:
        """The problem with a value without quotes that YAML reads as something else; else None."""
        written, kind = node.value, node.tag.rpartition(":")[2]
        if kind not in MISREAD or not re.fullmatch(MISREAD[kind], written):
            return None
        if kind not in ("bool", "int", "float"):
            return f"YAML does not read {shown(written)} as text without quotes; quote it"
        value = shown(self.construct_object(node))
        return f"YAML reads {written} as {value}; write {value}, or in quotes {shown(written)}"

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        mapping = super().construct_mapping(node, deep=deep)
        if len(mapping) < len(node.value):  # a duplicate key overwrote a value
            self._refuse_duplicate(node)
        return mapping

    def _problem(self, event: yaml.Event) -> str | None:
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            return "anchors and aliases (& and *) are not allowed; write the value out"
        if getattr(event, "tag", None):
            return "tags (!) are not allowed; quote the value if it is text"
        return _exceeded_limit(len(getattr(event, "value", "")), self.depth, self.n_nodes)

    def _refuse_duplicate(self, node: yaml.MappingNode) -> None:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node)
            if key in seen:
                problem = f"the key {shown(key)} occurs twice; remove one"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key_node.start_mark)
            seen.add(key)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise RecipeError(f"cannot be read: {error.strerror}") from error
    except ValueError as error:  # the path contains a null character
        raise RecipeError(f"cannot be read: {error}") from error
    if len(content) > MAX_BYTES:
        raise RecipeError("larger than 300 kB; a recipe is a few kB")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError(f"not UTF-8 text (byte {error.start}); save it as UTF-8") from error


def _one_line(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "YAML"
    message = " ".join(part for part in (error.context, error.problem) if part)
    return f"{where}: {' '.join(message.split())}"
