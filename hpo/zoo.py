"""The zoo as a listing: every architecture with its size and what its report gives."""

from dataclasses import asdict, dataclass
from typing import Any

from hpo.architectures import Architecture, architectures, count_parameters
from hpo.training import Setting
from search_spaces import recipe
from search_spaces.recipe import Reported


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One architecture; sizes are those of the report's own configuration.

    `n_parameters` counts all that is trained, `n_weights` leaves out biases.
    """

    name: str
    task: str
    weight_sharing: bool
    auxiliary_loss: bool
    asymmetry_loss: bool
    n_parameters: int
    n_weights: int
    source: str
    reported: dict[str, Any] | None


def list_architectures() -> list[Entry]:
    """All architectures, in the zoo's order."""
    return [_entry(architectures.get(name)) for name in architectures]


def _entry(architecture: Architecture) -> Entry:
    found = recipe.bundled(architecture.name)
    reported: Reported | None = None if found is None else found.reported
    params = {} if reported is None else reported.hyperparameters
    model = Setting(architecture=architecture, params=params, epochs=1, batch_size=2).build()
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
