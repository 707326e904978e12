"""Values without quotes that YAML 1.1 reads as something else than they look like."""

import re
from pathlib import Path

import pytest

from search_spaces.recipe import read
from tests.search_spaces.test_recipe import HEAD, refusal, write


MISREAD = [
    ("no", "YAML reads no as false; write false, or in quotes 'no'"),
    ("Yes", "YAML reads Yes as true; write true, or in quotes 'Yes'"),
    ("OFF", "YAML reads OFF as false"),
    ("on", "YAML reads on as true"),
    ("010", "YAML reads 010 as 8; write 8, or in quotes '010'"),
    ("-0_7", "YAML reads -0_7 as -7"),
    ("1:30", "YAML reads 1:30 as 90"),
    ("1:30.5", "YAML reads 1:30.5 as 90.5"),
    ("2020-01-31", "YAML does not read '2020-01-31' as text without quotes; quote it"),
    ("2020-13-31", "YAML does not read '2020-13-31' as text"),
    ("=", "YAML does not read '=' as text"),
    ("<<", "YAML does not read '<<' as text"),
]


@pytest.mark.parametrize(("word", "said"), MISREAD)
@pytest.mark.parametrize(
    "form",
    [
        "rate: {type: categorical, choices: [WORD, batch]}",
        "rate: {values: [WORD]}",
        "rate: WORD",
        "rate: {WORD: 1}",
        "rate: {type: categorical, choices: [a, b]}\nknown:\n  - {rate: WORD}",
    ],
)
def test_a_word_that_yaml_reads_otherwise_is_refused(
    tmp_path: Path, form: str, word: str, said: str
) -> None:
    message = refusal(write(tmp_path, f"{HEAD}parameters:\n  {form.replace('WORD', word)}\n"))
    assert re.match(r"line \d, column \d+: ", message)
    assert said in message


@pytest.mark.parametrize("word", ["'no'", '"010"', "y", "n", "None", "1.30", "'2020-01-31'", "a=b"])
def test_a_quoted_or_plain_word_is_read_as_it_looks(tmp_path: Path, word: str) -> None:
    path = write(tmp_path, f"{HEAD}parameters: {{rate: {{values: [{word}, 0x10, 1_000]}}}}\n")
    (kind,) = dict(read(path).space.parameters).values()
    assert str(kind.to_json()["values"][0]) == word.strip("'\"").replace("1.30", "1.3")
    assert kind.to_json()["values"][1:] == [16, 1000]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("{type: categorical, choices: [.5e3, 1]}", "write 0.5e+3"),
        ("{type: categorical, choices: [-.5, 1]}", "write -0.5 without quotes"),
        ("{type: float, low: 08, high: 9}", "write 8 without quotes"),
    ],
)
def test_a_number_that_yaml_reads_as_text_is_refused(
    tmp_path: Path, written: str, said: str
) -> None:
    assert said in refusal(write(tmp_path, f"{HEAD}parameters: {{rate: {written}}}\n"))
