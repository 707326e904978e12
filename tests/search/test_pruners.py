"""Where pruners can act, what the forgiving one stops, and what reaches the database meanwhile."""

import json
import math
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
from hpo import protocol
from hpo.operations.audit import problems
from hpo.search.pruners import ForgivingPruning, LockstepPruning, make_pruning, pruners
from hpo.statistics import mean
from hpo.studies.lifecycle import open_database, open_study
from hpo.studies.trials import list_trials
from hpo.workers import reporter
from hpo.workers.loop import Worker
from storage import studies
from tests.support.own_code import POINTS, write
from tests.support.own_code import TINY as OWN
from tests.support.tiny_studies import TINY, must, write_recipe
from tests.support.tiny_studies import hpo as command


EPOCHS = 30
PROTOCOL = protocol.make(
    architecture="siamese",
    dataset="digits",
    fingerprint="",
    train_size=60,
    test_size=40,
    space={},
    folds=3,
    epochs=EPOCHS,
)
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


def stopped_at(
    name: str, *, told_everything: bool, study_name: str = "same", first_name: str | None = None
) -> list[int]:
    """The last step of each of 40 trials one after another, and whether all steps are told."""
    pruning = make_pruning(PROTOCOL.model_copy(update={"pruner": name}), EPOCHS, first_name)
    assert isinstance(pruning, LockstepPruning)
    study = optuna.create_study(study_name=study_name, pruner=pruning.pruner)
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
def test_a_pruner_stops_nothing_where_it_is_not_asked(name: str) -> None:
    last = stopped_at(name, told_everything=True)
    assert stopped_at(name, told_everything=False) == last
    assert (min(last) < EPOCHS) == (name != "none")


def test_a_renamed_study_keeps_its_brackets() -> None:
    before = stopped_at("hyperband", told_everything=True)
    assert stopped_at("hyperband", told_everything=True, study_name="renamed") != before
    kept = stopped_at("hyperband", told_everything=True, study_name="renamed", first_name="same")
    assert kept == before


@pytest.mark.parametrize(
    ("own", "is_stopped"),
    [
        ([[0.9, 0.8, 0.7, 0.14]], False),  # the best trial's first fold, and half of 0.1
        ([[0.1, 0.1, 0.1, 0.16]], True),
        ([[0.5, 0.54]], False),
        ([[0.1, 0.56]], True),
        ([[0.5, 0.5, 0.4, 0.14], [0.5, 0.5, 0.5, 0.32]], False),  # 0.23 beside 0.2 and 0.035
        ([[0.5, 0.5, 0.4, 0.14], [0.5, 0.5, 0.5, 0.34]], True),
    ],
)
def test_the_forgiving_pruner_compares_the_same_folds(
    own: list[list[float]], is_stopped: bool
) -> None:
    best = [[0.6, 0.5, 0.4, 0.1], [0.5, 0.4, 0.3, 0.3], [0.4, 0.3, 0.2, 0.2]]
    step = sum(map(len, own))
    assert ForgivingPruning(epochs=4, n_folds=3).is_worse(own, best, step) == is_stopped


@pytest.mark.parametrize(
    ("best_folds", "own"),
    [
        ((0.9, 0.1, 0.2), ((0.9, False), (1.2, True))),
        ((0.1, 0.9, 0.2), ((0.3, False), (0.4, True))),
    ],
    ids=["a hard fold is hard for all", "an easy fold hides no poor trial"],
)
def test_the_forgiving_pruner_knows_how_hard_the_first_fold_is(
    best_folds: tuple[float, ...], own: tuple[tuple[float, bool], ...]
) -> None:
    pruning = ForgivingPruning(epochs=4, n_folds=3)
    best = [[error] * 4 for error in best_folds]
    for first_fold, is_stopped in own:
        assert pruning.is_worse([[first_fold] * 4], best, 4) == is_stopped


def test_the_forgiving_pruner_compares_shares_of_lengths() -> None:
    pruning = ForgivingPruning(epochs=2, n_folds=2)
    best = [[0.6, 0.5, 0.4, 0.1], [0.6, 0.3, 0.3, 0.3]]
    for error, is_stopped in ((0.56, False), (0.58, True)):
        assert pruning.is_worse([[error]], best, 1) == is_stopped


def test_the_forgiving_pruner_is_asked_in_and_between_folds() -> None:
    steps = {n: pruners.get("forgiving")(PROTOCOL, n).steps for n in (1, 3, 10, 50)}
    assert steps == {1: [1, 2], 3: [1, 3, 6], 10: [2, 5, 10, 20], 50: [5, 12, 25, 50, 100]}


def test_the_forgiving_pruner_first_looks_later() -> None:
    pruning = ForgivingPruning(epochs=40, n_folds=2)
    curve = [1 - epoch / 100 for epoch in range(1, 41)]
    for error, is_stopped in ((0.975, False), (0.985, True)):
        own = [[1.0, 1.0, 1.0, error]]
        assert pruning.is_worse(own, [curve, curve], 4) == is_stopped


def test_the_forgiving_pruner_waits_for_a_complete_trial(sqlite_url: str) -> None:
    """A trial that another program added has no folds to compare with."""
    study = hpo.create_study("siamese", storage=sqlite_url, **TINY)
    db = open_database(sqlite_url)
    optuna.load_study(study_name="siamese", storage=db.optuna).add_trial(
        optuna.create_trial(value=0.0)
    )
    assert studies.best_curves(db, study.id) is None


def run_study(
    folder: Path, *, vectorized: bool = False, **settings: Any
) -> tuple[list[dict[str, Any]], dict[int, list[Any]]]:
    """A study's trials, and its curves by trial."""
    folder.mkdir(exist_ok=True)
    storage = f"sqlite:///{folder / 'hpo.db'}"
    space = write_recipe(folder, RECIPE)
    hpo.create_study("siamese", storage=storage, space=space, **(TINY | settings))
    db = open_database(storage)
    Worker(db, vectorized=vectorized).run("siamese")
    study = open_study(db, "siamese")
    numbers = {w.id: w.trial for w in studies.work(db, study.id) if w.kind == "trial"}
    curves: dict[int, list[Any]] = {number: [] for number in numbers.values()}
    for each in studies.curves(db, study.id):
        if each.claim_id in numbers:
            curves[numbers[each.claim_id]].append(each.curve)
    trials = list_trials(db, study)
    assert problems(db, studies.get(db, "siamese")) == []
    db.close()
    return trials, curves


def reported(folder: Path) -> dict[int, dict[int, float]]:
    """What Optuna has been told of each trial's steps."""
    url = f"sqlite:///{folder / 'hpo.db'}"
    study = optuna.load_study(study_name="siamese", storage=url)
    return {trial.number: trial.intermediate_values for trial in study.get_trials()}


IN_TURN: dict[str, Any] = {
    "pruner": "forgiving",
    "sampler": "random",
    "trials": 12,
    "epochs": 4,
    "folds": 3,
    "repeats": 1,
}


def errors_in_turn(curves: list[tuple[float, ...]]) -> list[float]:
    """What a pruner is told: the mean over a fold and those before, fold by fold."""
    ends = [curve[-1] for curve in curves]
    return [mean([*ends[:fold], error]) for fold, curve in enumerate(curves) for error in curve]


def test_folds_trained_in_turn_have_the_same_curves(
    tmp_path: Path,
) -> None:
    _, in_lockstep = run_study(tmp_path / "lockstep", **(IN_TURN | {"pruner": "none"}))
    trials, in_turn = run_study(tmp_path / "turn", **IN_TURN)
    stopped = [trial for trial in trials if trial["state"] == "pruned"]
    assert stopped
    assert trials[0]["state"] == "complete"
    for trial in trials:
        curves, number = in_turn[trial["number"]], trial["number"]
        whole = zip(curves, in_lockstep[number], strict=False)
        assert all(curve == other[: len(curve)] for curve, other in whole)
        done = [len(curve) for curve in curves]
        ends = {"complete": [[4, 4, 4]], "pruned": [[1], [2], [4], [4, 4]]}
        assert done in ends[trial["state"]]
        assert trial["n_epochs"] == sum(done) // 3
        after = {"fold": len(done), "epoch": done[-1]}
        assert trial["pruned_after"] == (after if trial["state"] == "pruned" else None)
        assert trial["validation_error"] == mean(curve[-1] for curve in curves)
        told = enumerate(errors_in_turn(curves), start=1)
        assert reported(tmp_path / "turn")[number] == dict(told)
    found = command("doctor", "--storage", f"sqlite:///{tmp_path / 'turn' / 'hpo.db'}", "--json")
    assert found.code == 0, found.out


@pytest.mark.parametrize(
    ("train_size", "stopped_after"),
    [(60, [[1, 1, 1], [2, 2, 2]]), (61, [[1], [2], [4]])],
    ids=["all folds together", "a fold, then the others together"],
)
def test_stacked_folds_are_judged_by_the_first(
    tmp_path: Path, train_size: int, stopped_after: list[list[int]]
) -> None:
    trials, curves = run_study(tmp_path, vectorized=True, train_size=train_size, **IN_TURN)
    assert {trial["state"] for trial in trials} == {"complete", "pruned"}
    for trial in trials:
        own, told = curves[trial["number"]], reported(tmp_path)[trial["number"]]
        done = [len(curve) for curve in own]
        if trial["state"] == "complete" or done[0] == 4:
            assert list(told.values()) == errors_in_turn(own)
        else:
            assert tuple(told.values()) == own[0]
        assert done in (stopped_after if trial["state"] == "pruned" else [[4, 4, 4]])
        if trial["state"] == "pruned":
            fold = 1 if len(done) == 1 else None
            assert trial["pruned_after"] == {"fold": fold, "epoch": done[0]}
        assert trial["validation_error"] == mean(curve[-1] for curve in own)
        assert trial["n_epochs"] == sum(done) // 3


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
def test_every_error_that_a_pruner_needs_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pruner: str, most: int
) -> None:
    """Of 8 epochs Hyperband looks at the first and the third; the rest comes with the result."""
    monkeypatch.setattr(reporter, "PROGRESS_S", math.inf)
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
    if next(asked) == 8:
        FAIL
    return outputs.logits.square().mean()
NETWORK = Architecture(build=Line, loss=loss)
"""


@pytest.mark.parametrize("fail", ["return outputs.logits.mean() + float('nan')", "raise OSError"])
def test_what_was_measured_before_a_failure_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fail: str
) -> None:
    """The sixth step after the two that check the network: the third epoch of the second fold."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("HPO_STORAGE", "sqlite:///hpo.db")
    module = f"failing_{abs(hash(fail))}"
    space = f"architecture: {module}:NETWORK\nparameters: {{learning_rate: 0.01}}\n"
    nets = NETS.replace("FAIL", fail)
    write(tmp_path, {f"{module}.py": nets, "pruner_points.py": POINTS, "space.yaml": space})
    names = f"--architecture {module}:NETWORK --dataset pruner_points:Points --name siamese"
    flags = "--space space.yaml --trials 1 --epochs 5 --pruner none"
    must("study", "create", *names.split(), *OWN, *flags.split())
    command("worker", "--study", "siamese", "--processes", "1")
    (trial,) = json.loads(must("study", "trials", "siamese", "--json"))
    assert (trial["state"], trial["n_epochs"]) == ("failed", 2)
    assert reported(tmp_path)[0].keys() == {1, 2}
