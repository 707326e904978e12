"""Plans and results of repeated training of a configuration, without a search or a database."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from hpo import protocol as protocols
from hpo.architectures import count_parameters
from hpo.errors import HpoError
from hpo.foreign_code.failures import describe, is_interrupt
from hpo.protocol import Protocol
from hpo.statistics import Summary, mean, summarize
from hpo.training.config import TrainingConfig
from hpo.training.fit import DivergedError, Training, repeatable


class RunPlan(NamedTuple):
    """A plan to train one configuration `protocol.repeats` times.

    The search space of the protocol contains only this configuration.
    """

    protocol: Protocol
    n_parameters: int


class RunTask(NamedTuple):
    """One run: the number of its plan, the plan's protocol, the run's seed and its device."""

    plan: int
    protocol: Protocol
    seed: int
    device: str


class Run(NamedTuple):
    """The result of one training.

    `curve` has the error after each epoch. `train_s` is the duration in seconds. `failure` says why
    the training failed; None if it did not.
    """

    curve: tuple[float, ...]
    train_s: float
    failure: str | None


@dataclass(frozen=True)
class Repeats:
    """The runs of one configuration with the seeds 0, 1, 2, ..."""

    runs: tuple[Run, ...]

    @classmethod
    def of(cls, runs: Mapping[int, Run]) -> Self:
        """The repeats with the given runs, which are in any order and keyed by seed from 0."""
        return cls(tuple(runs[seed] for seed in sorted(runs)))

    @property
    def measured(self) -> Summary | None:
        """The summary of the errors after the last epoch, fractions; None if every run failed."""
        runs = enumerate(self.runs)
        errors = {seed: run.curve[-1] for seed, run in runs if run.failure is None}
        return summarize([*errors.values()], [*errors], highest=1.0)

    @property
    def train_s(self) -> float | None:
        """The mean duration in seconds of the runs that did not fail, including evaluations.

        None if every run failed.
        """
        seconds = [run.train_s for run in self.runs if run.failure is None]
        return mean(seconds) if seconds else None

    @property
    def failures(self) -> tuple[str, ...]:
        """The reason of each failed run."""
        return tuple(run.failure for run in self.runs if run.failure is not None)


def plan(name: str, params: dict[str, Any], *, repeats: int, **training: Any) -> RunPlan:
    """Plan `repeats` runs of the configuration `params` of the architecture `name`.

    The runs use the architecture's default data set in its default sizes. `training` may set
    `epochs`, `batch_size` and `precision`. Epochs and batch size default to the recipe's values,
    else to 25 and 100. The precision defaults to float32.

    Raises:
        InputError: the architecture is unknown, its network cannot be built with `params`, or a
            number is out of range.
        RecipeError: a parameter is not a fixed value, or the architecture's recipe is wrong.
        DataError: the files of the data set are missing or damaged.
    """
    from hpo.architectures import architectures
    from hpo.studies import checks, recipes  # loads Optuna, which spawned processes do not need

    entry = architectures.get(name)
    recipe = recipes.own_recipe(entry)
    dataset, data = recipes.find_dataset(None, entry)
    durations = {"epochs": recipe.epochs, "batch_size": recipe.batch_size} if recipe else {}
    own_durations = {name: value for name, value in durations.items() if value is not None}
    protocol = protocols.make(
        architecture=name,
        dataset=dataset,
        fingerprint="",  # nothing is recorded, so no later run compares its data
        train_size=data.default_train_size,
        test_size=data.default_test_size,
        space=params,
        repeats=repeats,
        **(own_durations | training),
    )
    checks.check_names(protocol.search_space, entry)
    model = TrainingConfig.of(protocol, configuration(protocol)).try_build()
    return RunPlan(protocol=protocol, n_parameters=count_parameters(model))


def configuration(protocol: Protocol) -> dict[str, Any]:
    """The only configuration of the protocol's search space, in the form of a recipe.

    Raises:
        RecipeError: the search space has several configurations.
    """
    return protocol.search_space.decode({})


def pieces(plans: Sequence[RunPlan], device: str) -> list[RunTask]:
    """The runs of all plans, in the order of the plans and then of the seeds."""
    return [
        RunTask(plan=number, protocol=plan.protocol, seed=seed, device=device)
        for number, plan in enumerate(plans)
        for seed in range(plan.protocol.repeats)
    ]


def finish(trainings: Iterable[Training]) -> Run:
    """Train until `trainings` ends; an exception in the network makes a failed run, as in a study.

    `trainings` yields the same training after every epoch.
    """
    last: Training | None = None
    failure = None
    try:
        with repeatable():
            for last in trainings:  # noqa: B007  only the last one matters
                pass
    except DivergedError as error:
        failure = str(error)
    except BaseException as error:  # one network's bug must not end the others' runs
        if isinstance(error, HpoError) or is_interrupt(error):
            raise
        failure = describe(error)
    curve, train_s = (tuple(last.curve), last.train_s) if last is not None else ((), 0.0)
    return Run(curve=curve, train_s=train_s, failure=failure)
