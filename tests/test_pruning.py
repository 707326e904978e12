"""Where pruners can act, what the forgiving one stops, and what reaches the database meanwhile."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy as sa
from optuna.trial import TrialState

import hpo
from hpo.pruning import ForgivingPruner, pruners
from hpo.statistics import mean
from hpo.status import list_trials
from hpo.studies import open_database, open_study
from storage import catalog
from tests.own_code import POINTS, write
from tests.own_code import TINY as OWN
from tests.tiny_studies import TINY, must, write_recipe
from tests.tiny_studies import hpo as command


EPOCHS = 30
RECIPE = """\
architecture: siamese
parameters:
  learning_rate: {type: float, low: 1.0e-4, high: 1.0e-1, log: true}
  channels: {type: channels, choices: [2, 4], layers: 3}
known:
  - {learning_rate: 0.01, channels: [2, 4, 4]}
"""


def curve_of(number: int) -> dict[int, float]:
    """Errors that fall to a level, and cross those of other trials on the way."""
    level, speed = (number * 7 % 11) / 11, (number * 5 % 13) / 13
    return {step: level + (1 - level) / (1 + speed * step) for step in range(1, EPOCHS + 1)}


def stopped_at(name: str, *, told_everything: bool) -> list[int]:
    """The last step of each of 40 trials one after another, and whether all steps are told."""
    pruning = pruners.get(name)(EPOCHS)
    study = optuna.create_study(study_name="same", pruner=pruning.pruner)
    last = []
    for number in range(40):
        trial = study.ask()
        for step, error in curve_of(number).items():
            trial.report(error, step)
            if (told_everything or step in pruning.steps) and trial.should_prune():
                study.tell(trial, state=TrialState.PRUNED)
                break
        else:
            study.tell(trial, error)
        last.append(step)
    return last


@pytest.mark.parametrize("name", ["hyperband", "median", "none"])
def test_a_pruner_stops_nothing_at_steps_at_which_it_is_not_asked(name: str) -> None:
    last = stopped_at(name, told_everything=True)
    assert stopped_at(name, told_everything=False) == last
    assert (min(last) < EPOCHS) == (name != "none")


def judged(best_folds: list[float], own_folds: list[float]) -> bool:
    """The forgiving pruner's opinion of a trial beside a complete one, and a worse one."""
    study = optuna.create_study()
    for folds in (best_folds, [error + 0.2 for error in best_folds]):
        trial = study.ask()
        for n_done in range(1, len(folds) + 1):
            trial.report(mean(folds[:n_done]), n_done)
        study.tell(trial, mean(folds))
    study.pruner = ForgivingPruner()
    own = study.ask()
    own.report(mean(own_folds), len(own_folds))
    return own.should_prune()


@pytest.mark.parametrize(
    ("own_folds", "is_stopped"),
    [([0.29], False), ([0.31], True), ([0.35, 0.24], False), ([0.25, 0.36], True)],
)
def test_the_forgiving_pruner_compares_with_the_worst_fold_of_the_best_trial(
    own_folds: list[float], is_stopped: bool
) -> None:
    assert judged([0.1, 0.3, 0.2], own_folds) == is_stopped


def test_the_forgiving_pruner_stops_nothing_before_a_trial_is_complete() -> None:
    study = optuna.create_study(pruner=ForgivingPruner())
    trial = study.ask()
    trial.report(1.0, 1)
    assert not trial.should_prune()


def run_study(folder: Path, **settings: Any) -> tuple[list[dict[str, Any]], dict[int, list[Any]]]:
    """A study's trials, and its curves by trial."""
    folder.mkdir(exist_ok=True)
    storage = f"sqlite:///{folder / 'hpo.db'}"
    space = write_recipe(folder, RECIPE)
    hpo.create_study("siamese", storage=storage, space=space, **(TINY | settings))
    hpo.run_worker("siamese", storage=storage)
    db = open_database(storage)
    study = open_study(db, "siamese")
    numbers = {w.id: w.trial for w in catalog.work(db, study.id) if w.kind == "trial"}
    curves: dict[int, list[Any]] = {number: [] for number in numbers.values()}
    for each in catalog.curves(db, study.id):
        if each.claim_id in numbers:
            curves[numbers[each.claim_id]].append(each.curve)
    trials = list_trials(db, study)
    db.close()
    return trials, curves


def reported(folder: Path) -> dict[int, dict[int, float]]:
    """What Optuna has been told of each trial's steps."""
    url = f"sqlite:///{folder / 'hpo.db'}"
    study = optuna.load_study(study_name="siamese", storage=url)
    return {trial.number: trial.intermediate_values for trial in study.get_trials()}


def test_under_the_forgiving_pruner_folds_are_trained_in_turn_to_the_same_curves(
    tmp_path: Path,
) -> None:
    same = {"sampler": "random", "trials": 12, "epochs": 3, "folds": 3, "repeats": 1}
    _, in_lockstep = run_study(tmp_path / "lockstep", pruner="none", **same)
    trials, in_turn = run_study(tmp_path / "turn", pruner="forgiving", **same)
    stopped = [trial for trial in trials if trial["state"] == "pruned"]
    assert stopped
    assert trials[0]["state"] == "complete"
    for trial in trials:
        curves, number = in_turn[trial["number"]], trial["number"]
        assert curves == in_lockstep[number][: len(curves)]
        assert all(len(curve) == 3 for curve in curves)
        assert (len(curves) < 3) == (trial["state"] == "pruned")
        assert trial["n_epochs"] == len(curves)
        errors = [curve[-1] for curve in curves]
        assert trial["validation_error"] == mean(errors)
        steps = {n: mean(errors[:n]) for n in range(1, len(errors) + 1)}
        assert reported(tmp_path / "turn")[number] == steps
    found = command("doctor", "--storage", f"sqlite:///{tmp_path / 'turn' / 'hpo.db'}", "--json")
    assert found.code == 0, found.out


@contextmanager
def counted(statements: list[str]) -> Iterator[None]:
    """Note all statements that any engine of this process executes."""

    def note(*event: Any) -> None:
        statements.append(event[2])

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        yield
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)


@pytest.mark.parametrize(("pruner", "most"), [("none", 1), ("hyperband", 3)])
def test_errors_go_to_the_database_where_the_pruner_can_act_and_none_is_left_out(
    tmp_path: Path, pruner: str, most: int
) -> None:
    """Of 8 epochs Hyperband looks at the first and the third; the rest comes with the result."""
    statements: list[str] = []
    with counted(statements):
        trials, curves = run_study(tmp_path, pruner=pruner, trials=6, epochs=8, repeats=1)
    n_writes = sum("INSERT INTO trial_intermediate_values" in each for each in statements)
    assert 0 < n_writes <= 1 + 5 * most  # the first trial is a known configuration, never pruned
    for trial in trials:
        epochs = zip(*curves[trial["number"]], strict=True)
        means = dict(enumerate(map(mean, epochs), start=1))
        assert reported(tmp_path)[trial["number"]] == means
        assert len(means) == trial["n_epochs"]


NETS = """\
import itertools
from torch import nn
from hpo import Architecture
class Line(nn.Linear):
    def __init__(self):
        super().__init__(3, 2)
asked = itertools.count(1)
def loss(outputs, batch):
    if next(asked) == 6:
        FAIL
    return outputs.logits.square().mean()
NETWORK = Architecture(build=Line, loss=loss)
"""


@pytest.mark.parametrize("fail", ["return outputs.logits.mean() + float('nan')", "raise OSError"])
def test_what_was_measured_before_a_failure_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fail: str
) -> None:
    """The sixth step is in the third epoch of the second fold."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("HPO_STORAGE", "sqlite:///hpo.db")
    module = f"failing_{abs(hash(fail))}"
    space = f"architecture: {module}:NETWORK\nparameters: {{learning_rate: 0.01}}\n"
    nets = NETS.replace("FAIL", fail)
    write(tmp_path, {f"{module}.py": nets, "points.py": POINTS, "space.yaml": space})
    create = f"study create --architecture {module}:NETWORK --dataset points:Points --name siamese"
    must(*create.split(), "--space", "space.yaml", "--trials", "1", *OWN, "--epochs", "5")
    command("worker", "--study", "siamese")
    (trial,) = json.loads(must("study", "trials", "siamese", "--json"))
    assert (trial["state"], trial["n_epochs"]) == ("failed", 2)
    assert reported(tmp_path)[0].keys() == {1, 2}
