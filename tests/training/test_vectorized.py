"""Trainings stacked into one model do what each does alone: every network, dropout, odd folds."""

import itertools
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hpo
from hpo import events
from hpo.architectures import Architecture, architectures
from hpo.datasets import Examples, load_dataset
from hpo.evaluation import repeated_seeds
from hpo.evaluation.cross_validation import CrossValidation
from hpo.operations.audit import problems
from hpo.protocol import Protocol
from hpo.settings import Precision
from hpo.studies.lifecycle import open_database, open_study
from hpo.training.config import TrainingConfig
from hpo.training.fit import DivergedError, Training, repeatable
from hpo.training.split import Split
from hpo.training.vectorized import NotVectorizableError, VectorizedTraining, together
from hpo.workers.limits import Limits
from hpo.workers.loop import Worker
from storage import claims, studies
from storage.errors import UnreachableError
from storage.studies import WorkRow
from tests.support.tiny_studies import RECIPE, TINY, write_recipe


CPU = torch.device("cpu")
LINEAR = {"optimizer": "sgd", "learning_rate": 0.001}
"""Adam would make whole steps of roundings where a gradient is nearly 0."""

ROUNDING = 2e-3
"""Of what was learned: a value on the border of a ReLU can fall on either side."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with repeatable():
        yield


def splits(entry: Architecture, n: int, n_folds: int = 3) -> list[Split]:
    name = "digits" if entry.dataset in (None, "mnist") else entry.dataset
    examples, order = load_dataset(name).draw_train(n, seed=0), torch.arange(n)
    folds = [order % n_folds == fold for fold in range(n_folds)]
    return [
        Split.of(examples.subset(order[~fold]), examples.subset(order[fold]), CPU) for fold in folds
    ]


def setting_of(
    entry: Architecture, precision: Precision = "float32", **params: Any
) -> TrainingConfig:
    dropout = {"dropout": 0.3} if "dropout" in entry.hyperparameters else {}
    return TrainingConfig(
        architecture=entry,
        params=LINEAR | dropout | params,
        epochs=2,
        batch_size=25,
        precision=precision,
    )


def start(config: TrainingConfig, on: list[Split]) -> list[Training]:
    return [Training(config, split, CPU, ("fold", n)) for n, split in enumerate(on)]


def farthest(some: list[Training], others: list[Training]) -> float:
    """The largest difference of any weight or buffer."""
    differences: list[float] = [
        (a.double() - b.double()).abs().max().item()
        for one, other in zip(some, others, strict=True)
        for a, b in zip(
            one.model.state_dict().values(), other.model.state_dict().values(), strict=True
        )
    ]
    return max(differences)


def both_ways(config: TrainingConfig, on: list[Split]) -> tuple[list[Training], list[Training]]:
    """Trained alone, and stacked, to the same weights but for rounding."""
    alone, vectorized = start(config, on), start(config, on)
    begun = start(config, on)
    units = together(vectorized)
    assert any(isinstance(unit, VectorizedTraining) for unit in units)
    for _ in range(config.epochs):
        for unit in (*alone, *units):
            unit.run_epoch()
    assert farthest(alone, vectorized) < ROUNDING * farthest(alone, begun)
    return alone, vectorized


LAST = {name.partition("-")[0]: name for name in architectures}
FIRST = {name.partition("-")[0]: name for name in reversed([*architectures])}
"""Of each family the plainest variant, and the one that has most of what variants differ in."""


@pytest.mark.parametrize("name", sorted({*FIRST.values(), *LAST.values()}))
def test_every_network_of_the_zoo_learns_the_same_stacked(name: str) -> None:
    entry = architectures.get(name)
    alone, vectorized = both_ways(setting_of(entry), splits(entry, 150))
    for one, other in zip(alone, vectorized, strict=True):
        assert one.curve == pytest.approx(other.curve, abs=0.021)  # one of 50 on the border
        assert other.train_s > 0


@pytest.mark.parametrize(
    "params",
    [
        {"optimizer": "nesterov", "schedule": "one_cycle", "weight_decay": 0.1},
        {"optimizer": "momentum", "schedule": "exponential", "label_smoothing": 0.1},
        {"dropout": 1.0, "comparator_dropout": 0.0},
        {"initialization": "he", "loss": "mse"},
    ],
)
def test_hyperparameters_mean_the_same_stacked(params: dict[str, Any]) -> None:
    entry = architectures.get("siamese")
    both_ways(setting_of(entry, **params), splits(entry, 150))


def test_bfloat16_means_the_same_stacked() -> None:
    entry = architectures.get("fnn-ws-aux")
    both_ways(setting_of(entry, "bfloat16"), splits(entry, 150))


def test_augmented_examples_are_the_same_stacked() -> None:
    entry = architectures.get("siamese")
    params: dict[str, Any] = {"shift": 2.0, "rotation": 10.0}
    both_ways(setting_of(entry, **params), splits(entry, 150))


def test_folds_of_two_sizes_are_two_stacks() -> None:
    entry = architectures.get("siamese")
    on = splits(entry, 160, n_folds=4)
    odd = [*on, *splits(entry, 165, n_folds=3)]
    units = together(start(setting_of(entry), odd))
    assert [isinstance(unit, VectorizedTraining) for unit in units] == [True, True]
    both_ways(setting_of(entry), odd)


def test_a_cross_validation_gives_the_same_errors_stacked() -> None:
    entry = architectures.get("fnn-ws-aux")
    config = setting_of(entry, optimizer="adam", learning_rate=0.002)
    curves = []
    for vectorized in (False, True):
        folds = CrossValidation(
            load_dataset("digits").draw_train(200, 0), 5, 0, CPU, vectorized=vectorized
        )
        *_, trainings = folds.run(config, ("trial", 1))
        curves.append([each.curve for each in trainings])
    assert len(curves[0]) == 5
    for alone, together_ in zip(*curves, strict=True):
        assert alone == pytest.approx(together_, abs=0.051)


def test_a_member_that_diverges_ends_the_trial_as_it_does_alone() -> None:
    entry = architectures.get("siamese")
    config = setting_of(entry, optimizer="sgd", learning_rate=1e30)
    (unit,) = together(start(config, splits(entry, 150)))
    with pytest.raises(DivergedError, match="in epoch 1"):
        unit.run_epoch()


class Looking(nn.Module):
    """A network whose way depends on its values, which members do not share."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(392, 2)

    def forward(self, images: Tensor) -> Tensor:
        answers: Tensor = self.line(images.flatten(1))
        return answers if answers.sum() > 0 else -answers


class Drawing(Looking):
    """A network that draws by itself, which the members' seeds would not reach."""

    def forward(self, images: Tensor) -> Tensor:
        answers: Tensor = self.line(images.flatten(1))
        return answers + torch.rand_like(answers)


@pytest.mark.parametrize("network", [Looking, Drawing])
def test_what_cannot_be_stacked_is_trained_alone_with_a_note(
    network: type[nn.Module], caplog: pytest.LogCaptureFixture
) -> None:
    entry = Architecture(build=network, name=network.__name__)
    config = setting_of(entry)
    on = splits(entry, 150)
    with pytest.raises(NotVectorizableError):
        VectorizedTraining(start(config, on))
    trainings = start(config, on)
    assert together(trainings) == trainings
    assert "cannot be vectorized" in caplog.text
    alone = start(config, on)
    for each in (*trainings, *alone):
        each.run_epoch()
    assert farthest(trainings, alone) == 0.0


def test_folds_in_turn_stay_in_turn_where_they_cannot_be_stacked() -> None:
    """Else a pruner's first look would cost an epoch of every fold."""
    examples = load_dataset("digits").draw_train(60, 0)
    folds = CrossValidation(examples, 3, 0, CPU, vectorized=True)
    config = setting_of(Architecture(build=Looking, name="Looking in turn"))
    epochs = folds.run(config, ("trial", 1), in_turn=True)
    done = [[len(training.curve) for training in begun] for begun in epochs]
    assert done == [[1], [2], [2, 1], [2, 2], [2, 2, 1], [2, 2, 2]]


def test_a_loss_that_cannot_be_used_is_refused_as_it_is_alone() -> None:
    entry = architectures.get("siamese")
    on = [
        Split.of(Examples(s.train.inputs, s.train.targets), s.held_out, CPU)
        for s in splits(entry, 150)
    ]
    with pytest.raises(Exception, match="no labels of the parts"):
        together(start(setting_of(entry), on))


def run_study(folder: Path, text: str, *, vectorized: bool) -> tuple[list[WorkRow], list[str]]:
    """A study done by one worker: its pieces, and the events it told, of claims and results."""
    folder.mkdir()
    url = f"sqlite:///{folder / 'hpo.db'}"
    space = write_recipe(folder, text)
    hpo.create_study(
        "siamese",
        storage=url,
        space=space,
        **(TINY | {"trials": 2, "repeats": 5, "pruner": "none"}),
    )
    told: list[str] = []

    class Noted(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(events.event_of(record))

    db = open_database(url)
    with events.attached(Noted()):
        Worker(db, vectorized=vectorized).run("siamese")
    pieces = studies.work(db, open_study(db, "siamese").id)
    assert problems(db, studies.get(db, "siamese")) == []
    db.close()
    return pieces, told


def test_stacked_test_runs_record_what_single_ones_do(tmp_path: Path) -> None:
    text = RECIPE.replace("parameters:", "parameters:\n  optimizer: sgd")
    alone, one_by_one = run_study(tmp_path / "alone", text, vectorized=False)
    vectorized, together_ = run_study(tmp_path / "stacked", text, vectorized=True)
    assert [(w.kind, w.trial, w.part, w.state) for w in vectorized] == [
        (w.kind, w.trial, w.part, w.state) for w in alone
    ]
    assert len([w for w in vectorized if w.kind == "test" and w.state == "complete"]) == 5
    for one, other in zip(alone, vectorized, strict=True):
        assert one.error == pytest.approx(other.error, abs=0.051)  # of 30 or 40 examples
        assert one.n_epochs == other.n_epochs == 2
    assert together_[-11:-1] == ["claimed"] * 5 + ["finished"] * 5
    assert one_by_one[-11:-1] == ["claimed", "finished"] * 5


def test_of_stacked_test_runs_only_those_fail_that_fail_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The data of one seed hold what is no number."""
    draw = repeated_seeds.draw_split

    def spoiled(protocol: Protocol, seed: int, device: torch.device) -> Split:
        split = draw(protocol, seed, device)
        if seed == 3:
            split.train.inputs.fill_(torch.nan)
        return split

    monkeypatch.setattr(repeated_seeds, "draw_split", spoiled)
    pieces, _ = run_study(tmp_path / "study", RECIPE, vectorized=True)
    states = {work.seed: work.state for work in pieces if work.kind == "test"}
    assert states == {0: "complete", 1: "complete", 2: "complete", 3: "failed", 4: "complete"}


def test_an_outage_gives_held_test_runs_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the next worker would wait for their leases to run out."""
    url = f"sqlite:///{tmp_path / 'hpo.db'}"
    space = write_recipe(tmp_path, RECIPE)
    settings = TINY | {"trials": 1, "repeats": 3, "lease_s": 3600.0}
    hpo.create_study("siamese", storage=url, space=space, **settings)
    db = open_database(url)
    claim, n_asked = claims.claim, itertools.count(1)

    def away(*arguments: Any, **named: Any) -> Any:
        if next(n_asked) >= 4:  # a trial, and two of three test runs
            raise UnreachableError("away")
        return claim(*arguments, **named)

    monkeypatch.setattr(claims, "claim", away)
    with pytest.raises(UnreachableError):
        Worker(db, Limits(storage_timeout_s=0.1), vectorized=True).run("siamese")
    pieces = studies.work(db, open_study(db, "siamese").id)
    assert [work.is_held for work in pieces if work.kind == "test"] == [False, False]
    db.close()
