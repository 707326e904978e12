"""Words of other programs: the error names hpo's word."""

from pathlib import Path

import pytest

import hpo
from hpo import words
from hpo.settings import settings
from search_spaces import RecipeError
from search_spaces import words as recipe_words
from search_spaces.forms import READERS, read_kind
from tests.project.test_docs import parse
from tests.support.bad_input import CREATE, INPUT, check_refused
from tests.support.tiny_studies import must, write_recipe


pytestmark = pytest.mark.usefixtures("workplace")


COMMAND_LINES = {
    "study create siamese --cv 5": "--cv; use --folds of hpo study create; see: hpo study create",
    "study create siamese --n-splits 5": "use --folds of hpo study create",
    "study create siamese --n-trials=5": "use --trials of hpo study create",
    "study create siamese --random-state 1": "use --seed of hpo study create",
    "study create siamese --batch_size 8": "use --batch-size of hpo study create",
    "study create --model siamese": "use --architecture of hpo study create",
    "study create siamese --n-jobs 4": "use --processes of hpo worker",
    "study create siamese -j 4": "use --processes of hpo worker",
    "study create siamese --device cuda": "use --device of hpo worker",
    "study create siamese --lr 0.1": "write learning_rate in a recipe; .* --space FILE of",
    "study create siamese --weight-decay 0": "write weight_decay in a recipe",
    "worker --cv 5": "use --folds of hpo study create; see: hpo worker --help",
    "worker --n-jobs 4": "use --processes of hpo worker",
    "run": "'run'; use hpo worker; see: hpo --help",
    "sweep sweep.yaml": "use hpo study create, then hpo worker",
    "best": "use hpo study show NAME",
    "optimize": "use hpo study create, then hpo worker",
    "tune": "use hpo study create, then hpo worker",
    "init": "use hpo study create",
    "study best": "use hpo study show NAME; see: hpo study --help",
    "study rm made": "use hpo study delete NAME",
    "study create siamese --study-name mine": "use --name of hpo study create",
    "worker siamese": r"argument\(s\); write --study siamese; see: hpo worker --help",
    "export made best.yaml": "write --output best.yaml; see: hpo export --help",
    "worker --gpus 1": "use --device of hpo worker",
    "worker --device gpu": "no device named 'gpu'; hpo calls it cuda",
    f"{CREATE} --sampler bayes": "no sampler named 'bayes'; hpo calls it tpe",
    f"{CREATE} --pruner ASHA": "no pruner named 'ASHA'; hpo calls it hyperband",
    "study create siamese --dataset MNIST": r"did you mean mnist\?$",
    "study create mynet": "name your own as package.module:attribute$",
    "study create ./mynet.py": "name an object of a module with a colon: mynet:build",
    "study create nets/mynet.py": "with a colon: nets.mynet:build",
    "study export made": "use hpo export NAME",
    "study stop made": "use hpo study pause NAME",
    "version": "use hpo --version",
    "worker --stduy made": "--study",  # a mistake in hpo's own word
}


@pytest.mark.parametrize(("command", "says"), COMMAND_LINES.items())
def test_a_command_line_of_another_program_is_told_of_hpos(command: str, says: str) -> None:
    check_refused(command, INPUT, says)


@pytest.mark.parametrize("command", sorted(set(words.COMMANDS.values())))
def test_the_command_that_is_named_is_one_of_the_program(command: str) -> None:
    for part in command.split(", then hpo "):
        if part not in ("--help", "--version"):
            parse(part.split())


def test_the_options_that_are_named_are_hpos() -> None:
    assert set(words.SETTINGS.values()) <= set(settings())
    assert not set(words.SETTINGS) & set(settings())
    assert set(words.WORKER_OPTIONS.values()) <= set(hpo.run_worker.__annotations__)


def test_a_setting_in_python_is_told_of_hpos() -> None:
    unknown: dict[str, int] = {"n_splits": 5}
    with pytest.raises(hpo.HpoError, match=r"^no setting named 'n_splits'; hpo calls it folds$"):
        hpo.create_study("siamese", **unknown)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "ours"),
    [("lr", "learning_rate"), ("wd", "weight_decay"), ("optim", "optimizer"), ("bs", "batch_size")],
)
def test_a_parameter_of_another_name_is_told_of_hpos(name: str, ours: str) -> None:
    recipe = f"{{architecture: siamese, parameters: {{{name}: 1}}}}"
    write_recipe(Path(), recipe, "other.yaml")
    says = f"^no parameter of siamese named '{name}'; hpo calls it {ours}$"
    check_refused(f"{CREATE} --space other.yaml", INPUT, says)


TYPES = {
    "loguniform": "unknown type 'loguniform'; write type: float with log: true",
    "log_uniform": "write type: float with log: true",
    "Uniform": "write type: float",
    "int_uniform": "write type: int",
    "quniform": "write type: float with a step",
    "boolean": r"choices: \[true, false\]",
}


@pytest.mark.parametrize(("name", "says"), TYPES.items())
def test_a_type_of_another_program_is_told_of_hpos(name: str, says: str) -> None:
    with pytest.raises(RecipeError, match=f"{says}$"):
        read_kind({"type": name, "low": 0.1, "high": 1})


def test_a_key_of_another_program_is_told_of_hpos() -> None:
    with pytest.raises(RecipeError, match=r"^unknown key 'min'; write low$"):
        read_kind({"type": "float", "min": 0.1, "max": 1.0})
    with pytest.raises(RecipeError, match=r"^unknown key 'max'; allowed: type, choices$"):
        read_kind({"type": "categorical", "max": 1.0, "choices": [1]})


def test_no_word_of_others_hides_one_of_a_recipe() -> None:
    assert not set(recipe_words.TYPES) & set(READERS)


class TestThePositionalArchitecture:
    def test_it_is_the_same_as_the_option(self) -> None:
        sizes = "--dataset digits --space recipe.yaml --folds 2 --json"
        positional = must(f"study create siamese --name one {sizes}")
        option = must(f"study create --architecture siamese --name two {sizes}")
        assert positional.replace('"one"', '"two"') == option

    def test_both_are_refused(self) -> None:
        says = "given twice: fnn and --architecture siamese; leave one out"
        check_refused("study create fnn --architecture siamese", INPUT, says)

    def test_neither_is_refused(self) -> None:
        says = "^name an architecture, as in: hpo study create siamese; "
        check_refused("study create --dataset digits", INPUT, says)


def test_a_search_space_that_is_no_file_is_told_so() -> None:
    space: object = {"width": [4, 8]}
    with pytest.raises(hpo.HpoError, match=r"^space: should be the path of a file, but it is {"):
        hpo.create_study("siamese", dataset="digits", space=space)  # type: ignore[arg-type]
