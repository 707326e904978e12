"""The list of all architectures, with their sizes and the results of their reports."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from importlib.metadata import EntryPoint
from typing import Any

from hpo import events
from hpo.architectures import Architecture, architectures, count_parameters
from hpo.errors import InputError
from hpo.registry import origin, user_code
from hpo.studies.recipes import own_recipe
from hpo.training.config import TrainingConfig
from search_spaces.recipe import Reported


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One architecture; its sizes are those of the configuration in its report.

    `n_parameters` counts all trainable parameters, `n_weights` those without biases. `reported` is
    the section `reported` of the architecture's recipe; None if the recipe has no such section.
    """

    name: str
    task: str | None
    weight_sharing: bool
    auxiliary_loss: bool
    asymmetry_loss: bool
    n_parameters: int
    n_weights: int
    source: str
    reported: dict[str, Any] | None


def list_architectures() -> list[Entry]:
    """All architectures: those of hpo, then those that installed packages offer.

    An offered architecture that cannot be loaded is left out, and a warning is logged.
    """
    return [*(_entry(architectures.get(name)) for name in architectures), *_offered()]


def _offered() -> Iterator[Entry]:
    own_names = set(architectures)
    for name, points in architectures.offers().items():
        try:
            if name in own_names:
                raise InputError(
                    f"hpo has an architecture {name}; use the name {points[0].value} for this one"
                )
            yield _offered_entry(name, points[0])
        except InputError as error:
            packages = " and ".join(origin(point) for point in points)
            events.warn("architecture_left_out", f"{packages}: {error}", architecture=name)


def _offered_entry(name: str, point: EntryPoint) -> Entry:
    architecture = architectures.get(name)
    with user_code(f"architecture {name}"):
        return _entry(replace(architecture, source=architecture.source or origin(point)))


def _entry(architecture: Architecture) -> Entry:
    recipe = own_recipe(architecture)
    reported: Reported | None = None if recipe is None else recipe.reported
    params = {} if reported is None else reported.hyperparameters
    model = TrainingConfig(
        architecture=architecture, params=params, epochs=1, batch_size=2
    ).try_build()
    return Entry(
        name=architecture.name,
        task=architecture.task,
        weight_sharing=architecture.weight_sharing,
        auxiliary_loss=architecture.auxiliary_loss,
        asymmetry_loss=architecture.asymmetry_loss,
        n_parameters=count_parameters(model),
        n_weights=count_parameters(model, biases=False),
        source=architecture.source,
        reported=None if reported is None else asdict(reported),
    )
