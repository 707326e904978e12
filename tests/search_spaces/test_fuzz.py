"""Whatever a recipe, an export or a stored protocol holds: it is read, or refused in one line.

HPO_FUZZ_EXAMPLES says how many examples each test takes; by default a few seconds' worth.
"""

import copy
import json
import os
import string
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpo import protocol
from hpo.errors import HpoError
from search_spaces import RecipeError, recipe
from search_spaces.space import SearchSpace


N_EXAMPLES = int(os.environ.get("HPO_FUZZ_EXAMPLES", "30"))
LONGEST_S = 10.0
"""Processor time that reading anything may take."""
fuzz = settings(
    max_examples=N_EXAMPLES,
    deadline=None,  # a busy machine may take any time
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

BUNDLED = [path.read_text() for path in recipe.bundled_files()]
WRITTEN = [yaml.safe_load(text) for text in BUNDLED]
WORDS = [
    *("architecture", "architectures", "parameters", "known", "training", "reported"),
    *("type", "low", "high", "log", "step", "values", "choices", "layers", "source", "hpo_export"),
    *("float", "int", "categorical", "channels", "epochs", "recipe", "net", "siamese", "class"),
]
NUMBERS = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from([0, -1, 2**53, 2**53 + 1, 10**300, 10**400, 5e-324, 1e308, -0.0, 1e-7]),
)
SCALARS = st.one_of(
    st.none(), st.booleans(), NUMBERS, st.text(max_size=20), st.sampled_from([*WORDS, "1e-4", "<<"])
)
KEYS = st.one_of(st.sampled_from(WORDS), st.text(max_size=8), SCALARS)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=12,
)
TEXTS = st.text(st.one_of(st.sampled_from(string.printable), st.characters()), max_size=300)


def places(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path to every value inside another one."""
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    else:
        return []
    return [path for key, each in inner for path in ((*above, key), *places(each, (*above, key)))]


@st.composite
def mutated(draw: st.DrawFn, originals: list[Any]) -> Any:
    """One of the originals with one to three of its values changed, taken away or added to."""
    changed = copy.deepcopy(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(1, 3))):
        found = places(changed)
        if not found:
            break
        *path, last = draw(st.sampled_from(found))
        parent = changed
        for key in path:
            parent = parent[key]
        match draw(st.sampled_from(["change", "remove", "add"])):
            case "change":
                parent[last] = draw(VALUES)
            case "remove":
                del parent[last]
            case "add" if isinstance(parent, dict):
                parent[draw(KEYS)] = draw(VALUES)
    return changed


def plain_json(value: Any) -> str:
    """As JSON, with keys that are no strings written as Python writes them, NaN and all."""
    return json.dumps(value, skipkeys=True)


def check_read(path: Path, content: bytes | str) -> None:
    """The reader reads it, and what it read goes to Optuna; or it says in one line why not."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode(errors="ignore"))
    try:
        found = recipe.read(path, recipe.architectures(path)[0])
    except RecipeError as refusal:
        check_one_line(refusal)
        return
    found.space.distributions()
    for known in found.known:
        found.space.encode(known)
    written = json.dumps(found.space.to_json())
    assert SearchSpace.from_json(json.loads(written)) == found.space


def check_one_line(refusal: Exception) -> None:
    assert str(refusal).isprintable()
    assert len(str(refusal)) < 1000


@fuzz
@given(text=TEXTS)
@pytest.mark.parametrize("suffix", ["yaml", "json"])
def test_any_text(tmp_path: Path, suffix: str, text: str) -> None:
    check_read(tmp_path / f"recipe.{suffix}", text)


@fuzz
@given(content=st.binary(max_size=300))
@pytest.mark.parametrize("suffix", ["yaml", "json"])
def test_any_bytes(tmp_path: Path, suffix: str, content: bytes) -> None:
    check_read(tmp_path / f"recipe.{suffix}", content)


@fuzz
@given(value=st.one_of(VALUES, mutated(WRITTEN)))
@pytest.mark.parametrize("suffix", ["yaml", "json"])
def test_any_structure_and_recipes_with_a_part_changed(
    tmp_path: Path, suffix: str, value: Any
) -> None:
    path = tmp_path / f"recipe.{suffix}"
    check_read(path, plain_json(value) if suffix == "json" else yaml.safe_dump(value))


@st.composite
def cut_up(draw: st.DrawFn, texts: list[str]) -> str:
    """A text with a piece of it replaced."""
    text = draw(st.sampled_from(texts))
    start = draw(st.integers(0, len(text)))
    end = start + draw(st.integers(0, 40))
    marks = st.sampled_from("[]{}:,&*!|>?-'\"%@`#\t\n")
    return text[:start] + draw(st.one_of(TEXTS, marks)) + text[end:]


@fuzz
@given(text=cut_up(BUNDLED))
def test_the_text_of_a_recipe_with_a_piece_replaced(tmp_path: Path, text: str) -> None:
    check_read(tmp_path / "recipe.yaml", text)


ENDLESS: dict[str, Callable[[], str]] = {
    "levels": lambda: "[" * 250_000,
    "levels of maps": lambda: '{"a":' * 45_000,
    "indented levels": lambda: "- " * 140_000,
    "values": lambda: f"[{'1,' * 140_000}1]",
    "different values": lambda: json.dumps({"values": list(range(40_000))}),
    "keys": lambda: json.dumps({f"a{number}": 1 for number in range(20_000)}),
    "the last key twice": lambda: "{" + "".join(f'"{n}":1,' for n in range(25_000)) + '"0":1}',
    "one word": lambda: "a" * 290_000,
    "one quoted word": lambda: '"' + "a" * 290_000 + '"',
    "one number": lambda: "9" * 290_000,
    "one number after a point": lambda: "0." + "9" * 290_000,
    "lines": lambda: "\n" * 290_000,
    "comments": lambda: "#\n" * 140_000,
    "question marks": lambda: "? " * 140_000,
    "anchors": lambda: "a: &a [x]\n" + "".join(f"b{n}: *a\n" for n in range(20_000)),
    "documents": lambda: "---\n" * 70_000,
    "too much": lambda: " " * 300_001,
}


@pytest.mark.parametrize("suffix", ["yaml", "json"])
@pytest.mark.parametrize("kind", list(ENDLESS))
def test_what_has_no_end_is_refused_at_once(tmp_path: Path, suffix: str, kind: str) -> None:
    path = tmp_path / f"recipe.{suffix}"
    path.write_text(ENDLESS[kind]())
    start = time.process_time()
    with pytest.raises(RecipeError) as refused:
        recipe.read(path)
    assert time.process_time() - start < LONGEST_S
    check_one_line(refused.value)


PROTOCOLS = [
    protocol.make(
        architecture=found.architecture,
        dataset="digits",
        fingerprint="f",
        train_size=600,
        test_size=290,
        space=found.space.to_json(),
        known=found.known,
        sampler=sampler,
    ).model_dump_json()
    for found in map(recipe.bundled, ("siamese", "ordinal", "disk-fc"))
    if found is not None
    for sampler in ("tpe", "grid")
]


def check_protocol(text: str) -> None:
    """It is read, and its space goes to Optuna; or one line names the study."""
    try:
        found = protocol.read(text, "named")
    except HpoError as refusal:
        check_one_line(refusal)
        assert "study 'named'" in str(refusal)  # noqa: PT017
        return
    found.search_space.distributions()
    assert protocol.read(found.model_dump_json(), "named") == found


@fuzz
@given(value=mutated([json.loads(each) for each in PROTOCOLS]))
def test_protocols_with_a_part_changed(value: Any) -> None:
    check_protocol(plain_json(value))


@fuzz
@given(text=st.one_of(VALUES.map(plain_json), TEXTS, cut_up(PROTOCOLS)))
def test_any_text_as_a_protocol(text: str) -> None:
    check_protocol(text)


@pytest.mark.parametrize("kind", list(ENDLESS))
def test_a_protocol_that_has_no_end_is_refused_at_once(kind: str) -> None:
    start = time.process_time()
    check_protocol(ENDLESS[kind]())
    check_protocol(PROTOCOLS[0].replace('"space":{', f'"space":{{"x":{ENDLESS[kind]()},'))
    assert time.process_time() - start < LONGEST_S
