"""Reading a YAML file from anyone: strict, bounded in size, and with one-line errors."""

import json
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from search_spaces.checks import shown
from search_spaces.errors import RecipeError


MAX_BYTES = 1_000_000
MAX_NODES = 10_000
MAX_DEPTH = 20
MAX_SCALAR = 1_000


def load(path: Path) -> object:
    """What the file holds, of plain types.

    Raises:
        RecipeError: it cannot be read, or is not plain YAML; the message does not name the file.
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
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecipeError(f"not JSON: {error}") from error


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
        if len(getattr(event, "value", "")) > MAX_SCALAR:
            return f"a value is longer than {MAX_SCALAR} characters"
        if self.depth > MAX_DEPTH:
            return f"nested more than {MAX_DEPTH} levels deep"
        return f"more than {MAX_NODES} values" if self.n_nodes > MAX_NODES else None

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
        raise RecipeError("larger than 1 MB; a recipe is a few kB")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError(f"not UTF-8 text (byte {error.start}); save it as UTF-8") from error


def _one_line(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "YAML"
    said = " ".join(part for part in (error.context, error.problem) if part)
    return f"{where}: {' '.join(said.split())}"
