"""The functions of `import hpo` raise one exception for all mistakes of their user."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hpo
from tests.support.bad_input import CONFLICT, INPUT, MISSING, STORAGE, contents
from tests.support.tiny_studies import TINY


pytestmark = pytest.mark.usefixtures("workplace")

any_type: Any = hpo
"""The same functions for calls that a type checker would refuse."""

MISTAKES: dict[str, tuple[int, Callable[[], object]]] = {
    "trials of no study": (MISSING, lambda: hpo.study_trials("nope")),
    "extend no study": (MISSING, lambda: hpo.extend_study("nope", 9)),
    "pause no study": (MISSING, lambda: hpo.pause_study("nope")),
    "rename no study": (MISSING, lambda: hpo.rename_study("nope", "other")),
    "work on no study": (MISSING, lambda: hpo.run_worker("nope")),
    "no database": (MISSING, lambda: hpo.upgrade_storage("sqlite:///none.db")),
    "no such database": (INPUT, lambda: hpo.check_storage("redis://localhost")),
    "copy to no database": (INPUT, lambda: hpo.copy_study("made", "redis://localhost")),
    "a file that is no database": (STORAGE, lambda: hpo.list_studies("sqlite:///notes.txt")),
    "no recipe file": (INPUT, lambda: hpo.create_study("fnn", dataset="digits", space="no.yaml")),
    "a file that is no recipe": (INPUT, lambda: hpo.create_study("fnn", space="notes.txt")),
    "a file that is no export": (INPUT, lambda: hpo.load("recipe.yaml")),
    "no export file": (INPUT, lambda: hpo.load("nope.yaml")),
    "a path that cannot be": (INPUT, lambda: hpo.load("\0")),
    "a taken name": (
        CONFLICT,
        lambda: hpo.create_study("siamese", name="made", space="recipe.yaml", **TINY),
    ),
    "an architecture of a wrong type": (INPUT, lambda: any_type.create_study(7)),
    "a setting of a wrong type": (INPUT, lambda: any_type.create_study("fnn", folds="many")),
    "an unknown setting": (INPUT, lambda: any_type.create_study("fnn", fold=3)),
    "a name of a wrong type": (INPUT, lambda: any_type.delete_study(b"made")),
    "no name": (INPUT, lambda: any_type.show_study(None)),
    "a number as text": (INPUT, lambda: any_type.extend_study("made", "5")),
    "a number that is not whole": (INPUT, lambda: any_type.extend_study("made", 5.5)),
    "processes as text": (INPUT, lambda: any_type.run_worker("made", processes="2")),
    "a port that cannot be": (INPUT, lambda: hpo.run_worker("made", metrics_port=99999)),
    "a storage that is a path": (INPUT, lambda: any_type.list_studies(Path("hpo.db"))),
    "a format of a wrong type": (INPUT, lambda: any_type.export_study("made", file_format=None)),
    "an output that is a number": (INPUT, lambda: any_type.export_study("made", output=3)),
}


@pytest.mark.parametrize(("code", "call"), MISTAKES.values(), ids=list(MISTAKES))
def test_a_mistake_raises_hpos_error(code: int, call: Callable[[], object]) -> None:
    before = contents(Path.cwd())
    with pytest.raises(hpo.HpoError) as raised:
        call()
    assert raised.value.exit_code == code
    assert len(str(raised.value).splitlines()) == 1
    assert contents(Path.cwd()) == before


FUNCTIONS = [name for name in hpo.__all__ if inspect.isfunction(getattr(hpo, name))]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_public_function_checks_its_arguments(name: str) -> None:
    function = getattr(hpo, name)
    first = next(iter(inspect.signature(function).parameters))
    with pytest.raises(hpo.HpoError, match=f"^{first}: should be .*, but it is <object"):
        function(object(), *["x"] * (name in ("extend_study", "copy_study", "rename_study")))


def test_a_wrong_argument_is_named_with_what_it_should_be() -> None:
    with pytest.raises(hpo.HpoError, match=r"^timeout: should be float \| None, but it is 'soon'$"):
        any_type.run_worker("made", timeout="soon")


def test_an_unknown_argument_is_pythons_own_error() -> None:
    with pytest.raises(TypeError, match="studdy"):
        any_type.run_worker(studdy="made")


def test_a_whole_number_is_a_number_and_a_path_is_a_file() -> None:
    hpo.run_worker("made", timeout=1, max_trials=1)
    assert hpo.show_study("made").trials.finished <= 1
    with pytest.raises(hpo.HpoError, match=r"cannot read nope\.yaml"):
        hpo.load(Path("nope.yaml"))
