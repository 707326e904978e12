"""What a study freezes when it is created: all that a worker needs besides storage and a name.

The budget of trials stands beside it in the study's row, because `hpo study extend` raises it.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hpo.errors import HpoError
from hpo.settings import (
    Attempts,
    BatchSize,
    Epochs,
    Folds,
    LeaseSeconds,
    Precision,
    Repeats,
    Seed,
    Size,
    defaults,
    out_of_range,
    settings,
)
from search_spaces import RecipeError
from search_spaces.space import SearchSpace


DEFAULT_EPOCHS = 25
DEFAULT_BATCH_SIZE = 100

MAX_REASON_LENGTH = 200
"""Characters of the reason why a stored protocol cannot be read; the rest is cut off."""

VERSION: Literal[4] = 4
"""Version 1 had no hyperparameters of a fit but learning rate, weight decay and auxiliary weight.
Versions 1 and 2 had no precision, and no pruner that trains the folds in turn. Versions 1 to 3 did
not begin with the centre of the space."""

Name = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
"""Without control characters, which a terminal would obey."""


class Protocol(BaseModel):
    """One study's frozen settings; durations in seconds, sizes in examples.

    `space` and `known` are in the recipe's form (see `search_spaces`). `fingerprint` is the data
    set's. A default below is what a study had whose version did not store the field; the default of
    a new study is in `hpo.settings`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1, 2, 3, 4] = VERSION
    architecture: Name
    dataset: Name
    fingerprint: str
    train_size: Size
    test_size: Size
    space: dict[str, Any]
    known: tuple[dict[str, Any], ...] = ()
    centre: bool = False
    folds: Folds
    epochs: Epochs
    batch_size: BatchSize
    precision: Precision = "float32"
    confirm: Literal[0] = 0
    repeats: Repeats
    max_attempts: Attempts
    sampler: str
    pruner: str
    seed: Seed
    lease_s: LeaseSeconds

    @property
    def frozen(self) -> dict[str, Any]:
        """The settings of a study that the protocol holds, but for the space: values by name."""
        names = [name for name in settings() if name in Protocol.model_fields and name != "space"]
        return {name: getattr(self, name) for name in names}

    @property
    def search_space(self) -> SearchSpace:
        """The space as an object."""
        return SearchSpace.from_json(self.space)

    @property
    def first(self) -> list[dict[str, Any]]:
        """Configurations that no sampler draws and no pruner stops: the known, then the centre."""
        space = self.search_space
        known = [space.encode(each) for each in self.known]
        is_new = self.centre and space.encode(space.centre) not in known
        return [*self.known, space.centre] if is_new else list(self.known)


def make(**values: Any) -> Protocol:
    """A protocol of these values; a setting that is left out has its default.

    Raises:
        InputError: a value is out of its range; the message names it.
    """
    usual = {"epochs": DEFAULT_EPOCHS, "batch_size": DEFAULT_BATCH_SIZE}
    try:
        return Protocol(**(defaults() | usual | values))
    except ValidationError as error:
        name = ".".join(map(str, error.errors()[0]["loc"])) or "protocol"
        raise out_of_range(name, error) from error


def read(text: str, study: str) -> Protocol:
    """The protocol of a study as it was stored.

    Raises:
        HpoError: it is damaged or of a newer version; the message names the study.
    """
    try:
        stored = Protocol.model_validate_json(text)
        space = stored.search_space
        for known in stored.known:
            space.encode(known)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise _unreadable(study, f"{where}: {first['msg']}" if where else first["msg"]) from error
    except RecipeError as error:
        raise _unreadable(study, str(error)) from error
    return stored


def _unreadable(study: str, reason: str) -> HpoError:
    words = " ".join(reason.split())
    words = words if words.isprintable() else ascii(words)
    if len(words) > MAX_REASON_LENGTH:
        words = f"{words[:MAX_REASON_LENGTH]}..."
    return HpoError(
        f"the stored protocol of study {study!r} cannot be read ({words}); it was made by a newer "
        "hpo or was changed by hand: use that hpo, or remove it with hpo study delete"
    )
