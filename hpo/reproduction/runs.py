"""A configuration, trained several times without a search: what is planned, and what came of it.

Nothing is recorded in a database: what is not complete when the program ends is lost.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from hpo import protocol as protocols
from hpo.architectures import count_parameters
from hpo.errors import HpoError
from hpo.protocol import Protocol
from hpo.statistics import Summary, mean, summarize
from hpo.training.config import TrainingConfig
from hpo.training.fit import DivergedError, Training, repeatable


class RunPlan(NamedTuple):
    """What is to be run: the only configuration of the protocol's space, `repeats` times."""

    protocol: Protocol
    n_parameters: int


class Piece(NamedTuple):
    """One run of the plan of that number."""

    plan: int
    protocol: Protocol
    seed: int
    device: str


class Run(NamedTuple):
    """What came of one training: its error after each epoch, its seconds, why it failed if so."""

    curve: tuple[float, ...]
    train_s: float
    failure: str | None


@dataclass(frozen=True)
class Repeats:
    """The runs of one plan, by seed."""

    runs: tuple[Run, ...]

    @classmethod
    def of(cls, runs: Mapping[int, Run]) -> Self:
        """Of runs that came in any order, each under its seed."""
        return cls(tuple(runs[seed] for seed in sorted(runs)))

    @property
    def measured(self) -> Summary | None:
        """The errors of the last epochs; None where every run failed."""
        return summarize([each.curve[-1] for each in self.runs if each.failure is None])

    @property
    def train_s(self) -> float | None:
        """The mean seconds of those that did not fail, evaluations included; None where all did."""
        seconds = [each.train_s for each in self.runs if each.failure is None]
        return mean(seconds) if seconds else None

    @property
    def failures(self) -> tuple[str, ...]:
        """Why runs failed."""
        return tuple(each.failure for each in self.runs if each.failure is not None)


def plan(name: str, params: dict[str, Any], *, repeats: int, **training: Any) -> RunPlan:
    """A configuration of an architecture on its own data set, in the sizes that this has.

    `training` holds epochs, batch size and precision; without them the first two are the recipe's,
    else 25 and 100, and the precision is float32.

    Raises:
        InputError: the architecture is unknown or cannot be built so, or a number is out of range.
        RecipeError: a parameter is no fixed value, or the architecture's own recipe is wrong.
        DataError: the files of the data set are missing or damaged.
    """
    from hpo.architectures import architectures
    from hpo.studies import checks, recipes  # loads Optuna, which no spawned process needs

    entry = architectures.get(name)
    found = recipes.own_recipe(entry)
    dataset, data = recipes.find_dataset(None, entry)
    durations = {"epochs": found.epochs, "batch_size": found.batch_size} if found else {}
    usual = {name: value for name, value in durations.items() if value is not None}
    protocol = protocols.make(
        architecture=name,
        dataset=dataset,
        fingerprint="",  # nothing is recorded, so there is no other data to tell it from
        train_size=data.default_train_size,
        test_size=data.default_test_size,
        space=params,
        repeats=repeats,
        **(usual | training),
    )
    checks.check_names(protocol.search_space, entry)
    model = TrainingConfig.of(protocol, configuration(protocol)).try_build()
    return RunPlan(protocol=protocol, n_parameters=count_parameters(model))


def configuration(protocol: Protocol) -> dict[str, Any]:
    """The only one of the protocol's space, in the recipe's form.

    Raises:
        RecipeError: there are more.
    """
    return protocol.search_space.decode({})


def pieces(plans: Sequence[RunPlan], device: str) -> list[Piece]:
    """Every run, plan by plan."""
    return [
        Piece(plan=number, protocol=each.protocol, seed=seed, device=device)
        for number, each in enumerate(plans)
        for seed in range(each.protocol.repeats)
    ]


def finish(trainings: Iterable[Training]) -> Run:
    """Train to the end; what goes wrong in the network is a failed run, as in a study.

    `trainings` gives the same training after every epoch.
    """
    last: Training | None = None
    failure = None
    try:
        with repeatable():
            for last in trainings:  # noqa: B007  what counts is where it ends
                pass
    except DivergedError as error:
        failure = str(error)
    except HpoError:
        raise
    except Exception as error:  # noqa: BLE001  one network's bug must not end the others' runs
        failure = f"{type(error).__name__}: {error}"
    curve, train_s = (tuple(last.curve), last.train_s) if last is not None else ((), 0.0)
    return Run(curve=curve, train_s=train_s, failure=failure)
