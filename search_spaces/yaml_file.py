"""Reading a YAML or JSON file from anyone: strict, bounded in size, and with one-line errors."""

import itertools
import json
from collections import Counter
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any, NoReturn

import yaml

from search_spaces.checks import shown
from search_spaces.errors import RecipeError


MAX_BYTES = 300_000
MAX_NODES = 10_000
MAX_DEPTH = 20
MAX_SCALAR = 1_000


def read(path: Path) -> object:
    """What the file holds, of plain types.

    Raises:
        RecipeError: it cannot be read, is not plain YAML (JSON where it is called so) or holds more
            than a recipe can; the message does not name the file.
    """
    text = _read(path)
    if path.suffix == ".json":  # an export; YAML would take JSON's 1e-07 for a word
        return _json(text)
    try:
        return _StrictLoader(text).get_single_data()
    except yaml.MarkedYAMLError as error:
        raise RecipeError(_one_line(error)) from error
    except (yaml.YAMLError, ValueError) as error:
        raise RecipeError(f"not YAML: {' '.join(str(error).split())}") from error


def _json(text: str) -> object:
    try:
        found = json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise RecipeError(f"not JSON: {error}") from error
    level, n_nodes, depth = [found], 0, 0
    while level:
        n_nodes, depth = n_nodes + len(level), depth + 1
        longest = max((len(node) for node in level if isinstance(node, str)), default=0)
        if problem := _excess(longest, depth, n_nodes):
            raise RecipeError(problem)
        level = [inner for node in level for inner in _inner(node)]
    return found


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object whose keys are all different."""
    found = dict(pairs)
    if len(found) < len(pairs):
        times = Counter(key for key, _ in pairs)
        twice = next(key for key, n in times.items() if n > 1)
        raise RecipeError(f"the key {shown(twice)} stands twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise RecipeError(f"{name} is not JSON; write a finite number")


def _inner(node: object) -> Iterable[object]:
    """What a value of JSON holds; the keys of an object are values, too, as in YAML."""
    if isinstance(node, dict):
        return itertools.chain.from_iterable(node.items())
    return node if isinstance(node, list) else ()


def _excess(length: int, depth: int, n_nodes: int) -> str | None:
    """What of a file is more than a recipe can have: longest value, levels, values."""
    if length > MAX_SCALAR:
        return f"a value is longer than {MAX_SCALAR} characters"
    if depth > MAX_DEPTH:
        return f"nested more than {MAX_DEPTH} levels deep"
    return f"more than {MAX_NODES} values" if n_nodes > MAX_NODES else None


class _StrictLoader(yaml.SafeLoader):
    """PyYAML's safe loader without anchors, tags, duplicate keys, and what has no end."""

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

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        mapping = super().construct_mapping(node, deep=deep)
        if len(mapping) < len(node.value):  # an earlier value was overwritten
            self._refuse_duplicate(node)
        return mapping

    def _problem(self, event: yaml.Event) -> str | None:
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            return "anchors and aliases (& and *) are not allowed; write the value out"
        if getattr(event, "tag", None):
            return "tags (!) are not allowed; quote the value where it is text"
        return _excess(len(getattr(event, "value", "")), self.depth, self.n_nodes)

    def _refuse_duplicate(self, node: yaml.MappingNode) -> None:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node)
            if key in seen:
                problem = f"the key {shown(key)} stands twice"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key_node.start_mark)
            seen.add(key)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise RecipeError(f"cannot be read: {error.strerror}") from error
    except ValueError as error:  # a path with a null character
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
    said = " ".join(part for part in (error.context, error.problem) if part)
    return f"{where}: {' '.join(said.split())}"
