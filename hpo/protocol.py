"""The protocol of a study: the settings that are fixed when the study is created.

A worker needs only the protocol, the storage URL and the study's name. The present number of trials
is stored beside the protocol, because `hpo study extend` raises it.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hpo.errors import DamagedError
from hpo.settings import (
    DEFAULT_BATCH_SIZE,
    DEFAULT_EPOCHS,
    Attempts,
    BatchSize,
    Epochs,
    Folds,
    LeaseSeconds,
    Precision,
    Repeats,
    Seed,
    Size,
    Trials,
    defaults,
    out_of_range,
    settings,
)
from search_spaces import RecipeError, yaml_file
from search_spaces.space import SearchSpace


MAX_REASON_LENGTH = 200
"""Maximum characters of the reason in an error about an unreadable protocol; the rest is cut."""

MAX_LENGTH = 10_000_000
"""Maximum characters of a stored protocol; a longer one is an error."""

MAX_CHECKS = 1_000_000
"""Maximum values in a stored search space times known configurations; more is an error.

Reading a protocol checks each known configuration against the space, within a second or so.
"""

VERSION: Literal[5] = 5
"""The version of new protocols. Each version added settings:

- 2: training hyperparameters besides learning rate, weight decay and auxiliary weight
- 3: the precision, and pruners that train the folds one after another
- 4: the centre of the search space as one of the first trials
- 5: the number of trials at the creation; no configuration is tried again while others are left
"""

Name = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
"""A name of 1 to 500 characters. Control characters are refused: they could change a terminal."""


class Protocol(BaseModel):
    """The fixed settings of one study; durations are in seconds, sizes in examples.

    `space` and `known` have the form of a recipe (see `search_spaces`). `fingerprint` identifies
    the content of the data set. `initial_trials` is the number of trials at the creation. The
    default of a field below holds for protocols of versions that did not store the field. The
    defaults of new studies are in `hpo.settings`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1, 2, 3, 4, 5] = VERSION
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
    initial_trials: Trials | None = None

    @property
    def avoids_repeats(self) -> bool:
        """Whether the search tries new configurations while there are any.

        Then a sampler that draws a configuration that has an outcome draws again, a countable
        search space limits the number of trials, and trials with equal configurations are one
        candidate for the choice. Studies of older versions continue as they began.
        """
        return self.version >= 5

    @property
    def frozen(self) -> dict[str, Any]:
        """The study settings in the protocol except the search space, as values by name."""
        names = [name for name in settings() if name in Protocol.model_fields and name != "space"]
        return {name: getattr(self, name) for name in names}

    @property
    def search_space(self) -> SearchSpace:
        """The field `space` as a `SearchSpace`."""
        return SearchSpace.from_json(self.space)

    @property
    def first(self) -> list[dict[str, Any]]:
        """The configurations of the first trials: the known ones, then the centre of the space.

        No sampler draws them and no pruner stops them. A centre that is known is not repeated.
        """
        space = self.search_space
        known = [space.encode(configuration) for configuration in self.known]
        is_new = self.centre and space.encode(space.centre) not in known
        return [*self.known, space.centre] if is_new else list(self.known)


def make(**values: Any) -> Protocol:
    """A protocol with the given values; a missing setting gets its default.

    Raises:
        InputError: a value has the wrong type or is out of range; the message names the value.
    """
    training_defaults = {"epochs": DEFAULT_EPOCHS, "batch_size": DEFAULT_BATCH_SIZE}
    try:
        return Protocol(**(defaults() | training_defaults | values))
    except ValidationError as error:
        name = ".".join(map(str, error.errors()[0]["loc"])) or "protocol"
        raise out_of_range(name, error) from error


def read(text: str, study: str) -> Protocol:
    """Parse the stored protocol `text` of the study named `study`.

    Raises:
        DamagedError: the protocol is damaged, too long or has a newer version; the message names
            the study.
    """
    if len(text) > MAX_LENGTH:
        raise _unreadable(study, f"longer than {MAX_LENGTH:,} characters")
    try:
        stored = Protocol.model_validate_json(text)
        _check_size(stored)
        space = stored.search_space
        for known in stored.known:
            space.encode(known)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise _unreadable(study, f"{field}: {first['msg']}" if field else first["msg"]) from error
    except RecipeError as error:
        raise _unreadable(study, str(error)) from error
    return stored


def _check_size(stored: Protocol) -> None:
    """Check that the search space is no larger than that of a recipe, and the rest in proportion.

    Raises:
        RecipeError: the space or the list of known configurations is too large.
    """
    n_values = yaml_file.check_limits(stored.space)
    if n_values * len(stored.known) > MAX_CHECKS:
        raise RecipeError(f"{len(stored.known)} known configurations are too many for this space")


def shortened(reason: str) -> str:
    """The reason on one printable line of at most `MAX_REASON_LENGTH` characters."""
    line = " ".join(reason.split())
    line = line if line.isprintable() else ascii(line)
    return line if len(line) <= MAX_REASON_LENGTH else f"{line[:MAX_REASON_LENGTH]}..."


def _unreadable(study: str, reason: str) -> DamagedError:
    return DamagedError(
        f"the stored protocol of study {study!r} cannot be read ({shortened(reason)}); it was made "
        "by a newer hpo or was changed by hand: use that hpo, or remove the study with hpo study "
        "delete"
    )
