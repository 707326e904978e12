"""A study with a wrong setting is not created."""

import pytest

from tests.support.bad_input import CONFLICT, CREATE, INPUT, check_refused


pytestmark = pytest.mark.usefixtures("workplace")


WRONG_SETTINGS = {
    "--architecture siamse": "'siamse'.* siamese",
    "--architecture transformer": "'transformer'.* convpair, ",
    "--architecture ''": "''.* convpair",
    "--architecture baseline": "recipe.yaml: .*siamese.*'baseline'",
    "--dataset digit": "'digit'.* digits",
    "--dataset ''": "''.* mnist, digits",
    "--sampler tpes": "'tpes'.* tpe",
    "--sampler annealing": "known: tpe, random, grid, gp, cmaes",
    "--sampler grid": "learning_rate.* step or values",
    "--pruner hyperbands": "'hyperbands'.* hyperband",
    "--trials 0": "trials: .* 1.* 0",
    "--trials -1": "trials: ",
    "--trials 1000001": "trials: .*1000000",
    "--trials many": "'--trials'",
    "--trials 1.5": "'--trials'",
    "--folds 1": "folds: .* 2.* 1",
    "--folds 0": "folds: ",
    "--folds -5": "folds: ",
    "--folds five": "'--folds'",
    "--folds 301 --train-size 600": "301 folds of 600 training examples",
    "--folds 2 --train-size 1": "2 folds of 1 training examples: .*more examples",
    "--epochs 0": "epochs: ",
    "--epochs -1": "epochs: ",
    "--epochs 100000000000000000000": "epochs: .*1000000",
    "--epochs x": "'--epochs'",
    "--batch-size 0": "batch_size: ",
    "--batch-size 1": "batch_size: .* 2.* 1",
    "--batch-size -8": "batch_size: ",
    "--precision float16": "precision: .*'float32'.*'bfloat16'.*'float16'",
    "--batch-size x": "'--batch-size'",
    "--repeats 0": "repeats: ",
    "--repeats -1": "repeats: ",
    "--repeats 3000000000": "repeats: ",
    "--repeats x": "'--repeats'",
    "--max-attempts 0": "max_attempts: ",
    "--max-attempts -1": "max_attempts: ",
    "--max-attempts x": "'--max-attempts'",
    "--train-size 0": "train_size: ",
    "--train-size -1": "train_size: ",
    "--train-size 601": "601 training .*digits.* 1 to 600",
    "--train-size x": "'--train-size'",
    "--test-size 0": "test_size: ",
    "--test-size -1": "test_size: ",
    "--test-size 299": "299 test .*digits.* 1 to 298",
    "--test-size x": "'--test-size'",
    "--seed -1": "seed: .* 0.* -1",
    "--seed 9223372036854775808": "seed: ",
    "--seed x": "'--seed'",
    "--lease 0": "lease_s: .* 0",
    "--lease -5": "lease_s: .* 0",
    "--lease nan": "lease_s: ",
    "--lease inf": "lease_s: ",
    "--lease 1000000": "lease_s: .*86400",
    "--lease soon": "'--lease'",
    "--name ''": "name: '' cannot name a study",
    "--name ../x": "name: '../x' cannot name a study",
    "--name 'a b'": "name: 'a b' cannot name a study",
    "--name -x": "name: '-x' cannot name a study",
    "--name .hidden": "name: '.hidden' cannot name a study",
    "--name 😀": "cannot name a study",
    f"--name {'n' * 300}": "at most 100",
    "--space missing.yaml": "missing.yaml: cannot be read",
    "--space .": "cannot be read",
    "--space notes.txt": "notes.txt: line 2, column 1: .*'to do'",
    "--space hpo.db": "hpo.db: not UTF-8",
    "--spaces recipe.yaml": "--spaces",
    "extra": "extra",
}


@pytest.mark.parametrize(("flags", "says"), WRONG_SETTINGS.items())
def test_a_study_with_a_wrong_setting_is_not_created(flags: str, says: str) -> None:
    check_refused(f"{CREATE} {flags}", INPUT, says)


@pytest.mark.parametrize("flags", ["--trials 0", "--sampler tpes", "--space missing.yaml"])
def test_a_dry_run_finds_the_same_mistakes(flags: str) -> None:
    check_refused(f"{CREATE} --dry-run {flags}", INPUT, flags.split()[1])


def test_a_wrong_name_is_told_before_the_data_are_loaded() -> None:
    check_refused(f"{CREATE} --dataset none:none --name a/b", INPUT, "name: 'a/b' cannot name")


def test_a_name_that_exists_is_told_before_the_data_are_loaded() -> None:
    command = f"{CREATE} --dataset none:none --name made"
    check_refused(command, CONFLICT, "a study named 'made' exists already")
