"""A study with a wrong setting is not created."""

import pytest

from tests.support.bad_input import CONFLICT, CREATE, INPUT, check_refused


pytestmark = pytest.mark.usefixtures("workplace")


WRONG_SETTINGS = {
    "--architecture siamse": "no architecture named 'siamse'; did you mean siamese",
    "--architecture transformer": "no architecture named 'transformer'; known: convpair, ",
    "--architecture ''": "no architecture named ''; known: convpair",
    "--architecture baseline": "recipe.yaml: holds architecture siamese, not 'baseline'",
    "--dataset digit": "no data set named 'digit'; did you mean digits",
    "--dataset ''": "no data set named ''; known: mnist, digits",
    "--sampler tpes": "no sampler named 'tpes'; did you mean tpe",
    "--sampler annealing": "known: tpe, random, grid, gp, cmaes",
    "--sampler grid": "not countable: learning_rate; give each a step or values",
    "--pruner hyperbands": "no pruner named 'hyperbands'; did you mean hyperband",
    "--trials 0": "trials: should be greater than or equal to 1, but it is 0",
    "--trials -1": "trials: should be",
    "--trials 1000001": "trials: should be less than or equal to 1000000",
    "--trials many": "'--trials'",
    "--trials 1.5": "'--trials'",
    "--folds 1": "folds: should be greater than or equal to 2, but it is 1",
    "--folds 0": "folds: should be",
    "--folds -5": "folds: should be",
    "--folds five": "'--folds'",
    "--folds 301 --train-size 600": "301 folds of 600 training examples",
    "--folds 2 --train-size 1": "2 folds of 1 training examples: .* use more examples$",
    "--epochs 0": "epochs: should be",
    "--epochs -1": "epochs: should be",
    "--epochs 100000000000000000000": "epochs: should be less than or equal to 1000000",
    "--epochs x": "'--epochs'",
    "--batch-size 0": "batch_size: should be",
    "--batch-size 1": "batch_size: should be greater than or equal to 2, but it is 1",
    "--batch-size -8": "batch_size: should be",
    "--precision float16": "precision: should be 'float32' or 'bfloat16', but it is 'float16'",
    "--batch-size x": "'--batch-size'",
    "--repeats 0": "repeats: should be",
    "--repeats -1": "repeats: should be",
    "--repeats 3000000000": "repeats: should be",
    "--repeats x": "'--repeats'",
    "--max-attempts 0": "max_attempts: should be",
    "--max-attempts -1": "max_attempts: should be",
    "--max-attempts x": "'--max-attempts'",
    "--train-size 0": "train_size: should be",
    "--train-size -1": "train_size: should be",
    "--train-size 601": "601 training pairs cannot be drawn from digits: ask for 1 to 600",
    "--train-size x": "'--train-size'",
    "--test-size 0": "test_size: should be",
    "--test-size -1": "test_size: should be",
    "--test-size 299": "299 test pairs cannot be drawn from digits: ask for 1 to 298",
    "--test-size x": "'--test-size'",
    "--seed -1": "seed: should be greater than or equal to 0, but it is -1",
    "--seed 9223372036854775808": "seed: should be less than",
    "--seed x": "'--seed'",
    "--lease 0": "lease_s: should be greater than 0",
    "--lease -5": "lease_s: should be greater than 0",
    "--lease nan": "lease_s: should be",
    "--lease inf": "lease_s: should be",
    "--lease 1000000": "lease_s: should be less than or equal to 86400",
    "--lease soon": "'--lease'",
    "--name ''": "name: '' cannot name a study",
    "--name ../x": "name: '../x' cannot name a study; use letters, digits",
    "--name 'a b'": "name: 'a b' cannot name a study",
    "--name -x": "name: '-x' cannot name a study",
    "--name .hidden": "name: '.hidden' cannot name a study",
    "--name 😀": "cannot name a study",
    f"--name {'n' * 300}": "at most 100",
    "--space missing.yaml": "missing.yaml: cannot be read: No such file",
    "--space .": "cannot be read: Is a directory",
    "--space notes.txt": "notes.txt: line 2, column 1: the key 'to do' stands twice",
    "--space hpo.db": "hpo.db: not UTF-8",
    "--spaces recipe.yaml": "--spaces",
    "extra": "unexpected extra argument",
}


@pytest.mark.parametrize(("flags", "says"), WRONG_SETTINGS.items())
def test_a_study_with_a_wrong_setting_is_not_created(flags: str, says: str) -> None:
    check_refused(f"{CREATE} {flags}", INPUT, says)


@pytest.mark.parametrize("flags", ["--trials 0", "--sampler tpes", "--space missing.yaml"])
def test_a_dry_run_finds_the_same_mistakes(flags: str) -> None:
    check_refused(f"{CREATE} --dry-run {flags}", INPUT, flags.split()[1])


def test_a_name_that_exists_is_a_conflict() -> None:
    check_refused(f"{CREATE} --name made", CONFLICT, "a study named 'made' exists already")
