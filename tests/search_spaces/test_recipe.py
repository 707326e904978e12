"""Recipe files: what is read, what is refused and in which words."""

from pathlib import Path
from typing import Any

import pytest

from search_spaces import RecipeError
from search_spaces.recipe import Recipe, Reported, architectures, read
from search_spaces.space import SearchSpace


def space(**parameters: Any) -> SearchSpace:
    return SearchSpace.from_json(parameters)


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "recipe.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refusal(path: Path, architecture: str | None = None) -> str:
    """The one line with which a file is refused; it always begins with the file's name."""
    with pytest.raises(RecipeError) as caught:
        read(path, architecture)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    assert len(message) < len(str(path)) + 400
    return message.removeprefix(f"{path}: ")


HEAD = "architecture: net\n"
PLAIN = HEAD + "parameters: {rate: {type: float, low: 0.0, high: 1.0}, width: 8}\n"


def test_a_file_is_read_with_all_its_sections(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "architecture: net\n"
        "training: {epochs: 30, batch_size: 64}\n"
        "parameters: {rate: {type: float, low: 0.0, high: 1.0}, width: 8}\n"
        "known: [{rate: 1}, {width: 8, rate: 0.5}]\n"
        "reported: {source: Table 1, test_error: 0.25, std: 0.5, n: 3, n_parameters: 99,\n"
        "  train_s: 4.05, hyperparameters: {rate: 2, sizes: [1]}, chosen: the rate}\n",
    )
    expected = Recipe(
        architecture="net",
        epochs=30,
        batch_size=64,
        space=space(rate={"type": "float", "low": 0.0, "high": 1.0}, width=8),
        known=({"rate": 1.0, "width": 8}, {"rate": 0.5, "width": 8}),
        reported=Reported(
            source="Table 1",
            test_error=0.25,
            std=0.5,
            n=3,
            n_parameters=99,
            train_s=4.05,
            hyperparameters={"rate": 2, "sizes": [1]},
            chosen="the rate",
        ),
    )
    assert read(path) == expected
    assert read(path, "net") == expected
    assert architectures(path) == ("net",)


def test_all_but_the_parameters_may_be_left_out(tmp_path: Path) -> None:
    assert read(write(tmp_path, HEAD + "parameters: {}")) == Recipe(
        "net", None, None, SearchSpace(()), (), None
    )


def only_reported(source: str, test_error: float | None = None) -> Reported:
    """A report that says no more than this."""
    return Reported(source, test_error, None, None, None, None, {}, None)


def test_of_what_is_reported_all_but_the_source_may_be_left_out(tmp_path: Path) -> None:
    found = read(write(tmp_path, PLAIN + "reported: {source: Table 1}")).reported
    assert found == only_reported("Table 1")


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    assert read(write(tmp_path, b"\xef\xbb\xbf" + PLAIN.encode())).architecture == "net"


FAMILY = """
architectures:
  small:
  large:
    training: {epochs: 50}
    parameters:
      width: {type: int, low: 1, high: 9}
      rate: null
      depth: 3
    known: [{width: 2}]
    reported: {std: 0.1, test_error: 0.25}
  plain:
    parameters: {rate: null}
    reported: {test_error: null, n: 7}
training: {epochs: 10, batch_size: 5}
parameters: {rate: {type: float, low: 0.0, high: 1.0}, width: 8}
known: [{rate: 0.1}]
reported: {source: Table 1, test_error: 0.5}
"""


def test_a_member_of_a_family_takes_what_is_common(tmp_path: Path) -> None:
    path = write(tmp_path, FAMILY)
    assert architectures(path) == ("small", "large", "plain")
    small = read(path, "small")
    assert small.architecture == "small"
    assert (small.epochs, small.batch_size) == (10, 5)
    assert small.space.names == ("rate", "width")
    assert small.known == ({"rate": 0.1, "width": 8},)
    assert small.reported == only_reported("Table 1", 0.5)


def test_a_member_of_a_family_changes_adds_and_removes(tmp_path: Path) -> None:
    large = read(write(tmp_path, FAMILY), "large")
    assert (large.epochs, large.batch_size) == (50, 5)
    assert large.space == space(width={"type": "int", "low": 1, "high": 9}, depth=3)
    assert large.known == ({"width": 2, "depth": 3},)
    assert large.reported is not None
    assert (large.reported.source, large.reported.test_error) == ("Table 1", 0.25)
    assert large.reported.std == 0.1


def test_what_a_member_drops_is_gone_from_the_known_ones(tmp_path: Path) -> None:
    plain = read(write(tmp_path, FAMILY), "plain")
    assert plain.space == space(width=8)
    assert plain.known == ({"width": 8},)


def test_what_is_reported_is_merged_key_by_key(tmp_path: Path) -> None:
    found = read(write(tmp_path, FAMILY), "plain").reported
    assert found == Reported("Table 1", None, None, 7, None, None, {}, None)


def test_own_known_configurations_are_not_thinned_out(tmp_path: Path) -> None:
    text = FAMILY.replace("plain:\n", "plain:\n    known: [{rate: 0.5}]\n")
    said = "known[0]: unknown parameter 'rate'"
    assert said in refusal(write(tmp_path, text), "plain")


@pytest.mark.parametrize(
    ("text", "architecture", "said"),
    [
        (FAMILY, None, "holds a family; say which architecture: small, large, plain"),
        (FAMILY, "smal", "unknown architecture 'smal'; did you mean small"),
        (PLAIN, "other", "holds architecture net, not 'other'"),
        ("architectures: {a: {parameters: {x: null}}}\nparameters: {}", "a", "null removes an"),
        (
            "architectures: {a: {parameters: 3}}\nknown: [{x: 1}]",
            "a",
            "architecture a: parameters: 3 is not a map",
        ),
        ("architectures: {a: {epochs: 3}}\nparameters: {}", "a", "unknown key 'epochs'"),
        ("architectures: {a: 3}\nparameters: {}", "a", "architecture a: 3 is not a map"),
        ("architectures: {a: }", "a", "architecture a: parameters is missing"),
        ("architectures: {}\nparameters: {}", "a", "architectures: the map is empty"),
        ("architectures: [a]\nparameters: {}", "a", "architectures: ['a'] is not a map"),
        ("architectures: {false: {}}\nparameters: {}", "a", "false is not a line of text"),
        (
            "architectures: {a: {known: [{x: 3}]}}\nparameters: {x: 2}",
            "a",
            "a: known[0]: parameter",
        ),
    ],
)
def test_a_family_is_refused_in_one_line(
    tmp_path: Path, text: str, architecture: str | None, said: str
) -> None:
    assert said in refusal(write(tmp_path, text), architecture)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("{type: flaot, low: 0, high: 1}", "unknown type 'flaot'; did you mean float? allowed:"),
        ("{type: [float], low: 0, high: 1}", "unknown type ['float']"),
        ("{low: 0, high: 1}", "type is missing; allowed: float, int, categorical, channels"),
        ("{type: float, low: 0, high: 1, lgo: true}", "unknown key 'lgo'; did you mean lo"),
        ("{type: float, high: 1}", "low is missing"),
        ("{type: int, low: 1}", "high is missing"),
        ("{type: float, low: 2, high: 1}", "low 2.0 is above high 1.0"),
        ("{type: float, low: 0, high: 1, log: true}", "low 0.0 is not above 0; with log: true"),
        ("{type: int, low: 0, high: 9, log: true}", "low 0 is not above 0; with log: true"),
        ("{type: float, low: 1, high: 2, log: true, step: 0.1}", "log and step cannot be combined"),
        (
            "{type: float, low: 1, high: 2, log: maybe}",
            "log: 'maybe' is neither true nor false; write true or false",
        ),
        ("{type: float, low: 0, high: 1, step: 0}", "step 0.0 is not above 0"),
        ("{type: int, low: 0, high: 9, step: -2}", "step -2 is not above 0"),
        ("{type: int, low: 0, high: 9, step: 0.5}", "step: 0.5 is not a whole number"),
        ("{type: float, low: 0, high: 1, step: 1.0e-300}", "step 1e-300 is too small"),
        ("{type: float, low: -1.0e+308, high: 1.0e+308}", "is too wide; choose a narrower range"),
        ("{type: float, low: .nan, high: 1}", "low: nan is not a finite number"),
        ("{type: float, low: 0, high: .inf}", "high: inf is not a finite number"),
        ("{type: float, low: 0, high: 0x" + "f" * 400 + "}", "is not a finite number"),
        ("{type: int, low: 0, high: 0x" + "f" * 20 + "}", "is too large; allowed: -2^53 to 2^53"),
        ("{type: float, low: true, high: 2}", "low: true is not a number"),
        ("{type: float, low: null, high: 2}", "low: null is not a number"),
        ("{type: float, low: 1e-4, high: 1}", "'1e-4' is a string, not a number"),
        ("{type: float, low: 1e-4, high: 1}", "write 1.0e-4"),
        ("{type: float, low: 0, high: 1.5e3}", "write 1.5e+3"),
        ("{type: float, low: '0.1', high: 1}", "write 0.1 without quotes"),
        ("{type: float, low: tiny, high: 1}", "low: 'tiny' is a string, not a number"),
        ("{type: int, low: 1.0, high: 2}", "low: 1.0 is not a whole number"),
        ("{type: categorical}", "choices is missing"),
        ("{type: categorical, choices: []}", "choices: the list is empty"),
        ("{type: categorical, choices: relu}", "choices: 'relu' is not a list"),
        ("{type: categorical, choices: [a, b, a]}", "choices: 'a' occurs twice"),
        ("{type: categorical, choices: [1, true]}", "choices: true occurs twice"),
        ("{type: categorical, choices: [[1, 2]]}", "choices: [1, 2] is neither a string, a number"),
        ("{type: categorical, choices: [1e-4, 1e-3]}", "write 1.0e-4"),
        ("{type: categorical, choices: [.inf]}", "inf is not a finite number"),
        ("{type: categorical, values: [a]}", "leave the type 'categorical' out"),
        ("{values: []}", "values: the list is empty"),
        ("{values: [1, 1.0]}", "values: 1.0 occurs twice"),
        ("{values: [1], low: 0}", "unknown key 'low'; allowed: values"),
        ("{type: float, values: [a]}", "values: 'a' is a string, not a number"),
        ("{type: int, values: [1.5]}", "values: 1.5 is not a whole number"),
        ("{type: null, values: [1.5]}", "leave the type null out"),
        ("{type: channels, layers: 3}", "choices is missing"),
        ("{type: channels, choices: [8, 16]}", "layers is missing"),
        ("{type: channels, choices: [8], layers: 3}", "choices: one is too few; allowed: two"),
        ("{type: channels, choices: [8, 8], layers: 3}", "choices: 8 occurs twice"),
        ("{type: channels, choices: [8, 16.0], layers: 3}", "choices: 16.0 is not a whole number"),
        ("{type: channels, choices: [0, 8], layers: 3}", "choices: 0 is not positive"),
        ("{type: channels, choices: [8, 16], layers: 0}", "layers: 0 is not positive"),
        ("{type: channels, choices: [8, 16], layers: 1000}", "layers: 1000 is too many"),
        ("{type: channels, choices: [8, 16], layers: 3, step: 1}", "unknown key 'step'"),
        ("null", "null is not a value; allowed: a value, or a map with a type"),
        ("[]", "the list is empty; allowed: one entry or more"),
        ("[[1], [2]]", "[1] is neither a string, a number, true, false nor null"),
        ("1e-4", "write 1.0e-4"),
        (".nan", "nan is not a finite number"),
    ],
)
def test_a_wrong_parameter_is_refused_with_its_name(
    tmp_path: Path, written: str, said: str
) -> None:
    message = refusal(write(tmp_path, f"{HEAD}parameters:\n  rate: {written}\n"))
    assert message.startswith("parameters: rate: ")
    assert said in message


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "learning-rate",
            "'learning-rate' is not a parameter's name; allowed: letters, digits and _",
        ),
        ("2nd", "'2nd' is not a parameter's name"),
        ("''", "'' is not a parameter's name"),
        ("größe", "is not a parameter's name"),
        ("a" * 101, "is not a parameter's name"),
        ("true", "true is not a parameter's name"),
        ("3", "3 is not a parameter's name"),
        ("lambda", "parameters: lambda is a keyword of Python; choose another"),
    ],
)
def test_a_wrong_name_of_a_parameter_is_refused(tmp_path: Path, name: str, said: str) -> None:
    assert said in refusal(write(tmp_path, f"{HEAD}parameters:\n  {name}: 1\n"))


@pytest.mark.parametrize("other", ["c_0: 1", "c_1: {type: int, low: 0, high: 1}", "C: 1"])
@pytest.mark.parametrize("first", [True, False])
def test_names_that_collide_in_the_database_are_refused(
    tmp_path: Path, other: str, first: bool
) -> None:
    both = ["c: {type: channels, choices: [8, 16], layers: 2}", other]
    lines = "".join(f"  {line}\n" for line in (both if first else reversed(both)))
    message = refusal(write(tmp_path, f"{HEAD}parameters:\n{lines}"))
    assert "collides with parameter" in message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file is empty"),
        ("# only a comment\n", "the file is empty"),
        ("- architecture: net\n", "is not a map of keys and values"),
        ("net", "'net' is not a map"),
        ("parameters: {}", "either architecture (one name) or architectures (a map)"),
        (HEAD + "architectures: {}\nparameters: {}", "either architecture (one name) or"),
        (HEAD, "parameters is missing"),
        (HEAD + "parameters:\n", "parameters: null is not a map"),
        (HEAD + "parameters: [a]\n", "parameters: ['a'] is not a map"),
        ("architecture: \nparameters: {}", "architecture: null is not a line of text"),
        ("architecture: [a]\nparameters: {}", "architecture: ['a'] is not a line of text"),
        ('architecture: "a\\nb"\nparameters: {}', "architecture: 'a\\nb' is not a line of text"),
        (PLAIN + "trainning: {}", "unknown key 'trainning'; did you mean training?"),
        (PLAIN + "1: {}", "unknown key 1; allowed: architecture"),
        (PLAIN + "training: 25", "training: 25 is not a map"),
        (PLAIN + "training: {epoch: 3}", "training: unknown key 'epoch'; did you mean epochs?"),
        (PLAIN + "training: {epochs: 0}", "training: epochs: 0 is not positive"),
        (PLAIN + "training: {epochs: 2.5}", "training: epochs: 2.5 is not a whole number"),
        (PLAIN + "training: {epochs: }", "training: epochs: null is not a number"),
        (PLAIN + "training: {batch_size: true}", "training: batch_size: true is not a number"),
        (PLAIN + "training: {batch_size: -100}", "training: batch_size: -100 is not positive"),
        (
            HEAD + "training: {epochs: 3}\nparameters: {epochs: {type: int, low: 1, high: 9}}",
            "epochs: is under training and under parameters; remove one of the two",
        ),
        (
            HEAD + "training: {batch_size: 3}\nparameters: {batch_size: 8}",
            "batch_size: is under training and under parameters; remove one of the two",
        ),
        (PLAIN + "known: {rate: 0.5}", "known: {'rate': 0.5} is not a list of configurations"),
        (PLAIN + "known: [0.5]", "known[0]: 0.5 is not a map"),
        (PLAIN + "known: [{rate: 0.5}, {rate: 2}]", "known[1]: parameter rate: 2.0 is outside 0.0"),
        (PLAIN + "known: [{}]", "known[0]: missing: rate"),
        (
            PLAIN + "known: [{rate: 0.1, width: 9}]",
            "known[0]: parameter width: 9 is not allowed; the parameter is fixed",
        ),
        (PLAIN + "known: [{rate: 0.1, depth: 9}]", "known[0]: unknown parameter 'depth'"),
        (PLAIN + "reported: 0.05", "reported: 0.05 is not a map"),
        (PLAIN + "reported: {test_error: 0.1}", "reported: source is missing"),
        (PLAIN + "reported: {source: 3, test_error: 0.1}", "reported: source: 3 is not a line"),
        (PLAIN + "reported: {source: T, test_error: 5.2}", "test_error: 5.2 is outside 0 to 1"),
        (PLAIN + "reported: {source: T, test_error: -0.1}", "test_error: -0.1 is outside 0 to 1"),
        (PLAIN + "reported: {source: T, test_error: 0.1, std: x}", "std: 'x' is a string"),
        (PLAIN + "reported: {source: T, test_error: 0.1, n: 0}", "reported: n: 0 is not positive"),
        (PLAIN + "reported: {source: T, std: 1.5}", "reported: std: 1.5 is outside 0 to 1"),
        (PLAIN + "reported: {source: T, n_parameters: 0}", "n_parameters: 0 is not positive"),
        (PLAIN + "reported: {source: T, n_parameters: 9.5}", "n_parameters: 9.5 is not a whole"),
        (PLAIN + "reported: {source: T, train_s: 4 s}", "reported: train_s: '4 s' is a string"),
        (PLAIN + "reported: {source: T, train_s: -4.0}", "reported: train_s: -4.0 is negative"),
        (PLAIN + "reported: {source: T, n: -1}", "reported: n: -1 is not positive"),
        (PLAIN + "reported: {source: T, n_parameters: -9}", "n_parameters: -9 is not positive"),
        (PLAIN + "reported: {source: T, std: -0.1}", "reported: std: -0.1 is outside 0 to 1"),
        (PLAIN + "reported: {source: T, chosen: [rate]}", "chosen: ['rate'] is not a line of text"),
        (PLAIN + "reported: {source: T, test_error: 0.1, runs: 3}", "unknown key 'runs'"),
        (
            PLAIN + "reported: {source: T, test_error: 0.1, hyperparameters: {a: {b: 1}}}",
            "hyperparameters: a: {'b': 1} is neither a string",
        ),
        (
            PLAIN + "reported: {source: T, test_error: 0.1, hyperparameters: {a-b: 1}}",
            "hyperparameters: 'a-b' is not a parameter's name",
        ),
    ],
)
def test_a_wrong_section_is_refused_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    assert said in refusal(write(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("architecture: net\n  parameters: {", "line 2, column 13: mapping values are not allowed"),
        ("architecture: [net\n", "line 2, column 1: while parsing a flow sequence"),
        ("a: \tb: c\n", "line 1, column"),
        ("a: {b: 1}\nc: {b: 1,\n    b: 2}\n", "line 3, column 5: the key 'b' occurs twice"),
        (PLAIN + HEAD, "line 3, column 1: the key 'architecture' occurs twice"),
        ("a: &x [1]\nb: 2\n", "line 1, column 4: anchors and aliases"),
        ("a: *x\n", "line 1, column 4: anchors and aliases"),
        ("a: !!python/name:os.system x\n", "line 1, column 4: tags (!) are not allowed"),
        ("a: !!float b\n", "line 1, column 4: tags (!) are not allowed"),
        ("? [a]\n: 1\n", "line 1, column 3"),
        ("a: 1\n---\nb: 2\n", "expected a single document"),
        ("[" * 100_000, "line 1, column 21: nested more than 20 levels deep"),
        ("a: [" + "1, " * 20_000 + "]", "more than 10000 values"),
        ("a: " + "9" * 5_000, "line 1, column 4: a value is longer than 1000 characters"),
        ("a: \x00\n", "not YAML: unacceptable character #x0000"),
    ],
)
def test_what_is_not_plain_yaml_is_refused_with_line_and_column(
    tmp_path: Path, text: str, said: str
) -> None:
    assert said in refusal(write(tmp_path, text))


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in refusal(tmp_path / "missing.yaml")
    assert "cannot be read: Is a directory" in refusal(tmp_path)
    assert "cannot be read: File name too long" in refusal(tmp_path / ("a" * 300))
    with pytest.raises(RecipeError, match="cannot be read"):
        read(tmp_path / "a\0b")


def test_a_file_of_another_encoding_or_size_is_refused(tmp_path: Path) -> None:
    assert refusal(write(tmp_path, b"architecture: n\xe9t")).startswith("not UTF-8 text (byte 15)")
    assert "larger than 300 kB" in refusal(write(tmp_path, PLAIN + "#" * 300_000))


def test_a_file_name_with_a_line_break_still_gives_one_line(tmp_path: Path) -> None:
    path = tmp_path / "two\nlines.yaml"
    with pytest.raises(RecipeError) as caught:
        read(path)
    assert "\n" not in str(caught.value)
