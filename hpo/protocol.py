"""What a study freezes when it is created: all that a worker needs besides storage and a name.

The budget of trials stands beside it in the study's row, because `hpo study extend` raises it.
"""

from typing import Annotated, Any, Literal, NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hpo.errors import HpoError, InputError
from search_spaces import RecipeError
from search_spaces.space import SearchSpace


DEFAULT_EPOCHS = 25
DEFAULT_BATCH_SIZE = 100
MAX_COUNT = 1_000_000
LONGEST = 200
"""Characters of the reason why a stored protocol cannot be read."""

VERSION: Literal[4] = 4
"""1 had no hyperparameters of a fit but learning rate, weight decay and auxiliary weight; 1 and 2
had no precision and no pruner that has the folds trained in turn; 1 to 3 did not begin with the
centre of the space."""

Precision = Literal["float32", "bfloat16"]
"""bfloat16: the training pass computes in it where torch's autocast finds it safe, while weights,
gradients and the optimizer stay float32. Errors are always measured in float32."""


Name = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
"""Without control characters, which a terminal would obey."""


class Protocol(BaseModel):
    """One study's frozen settings; durations in seconds, sizes in examples.

    `space` and `known` are in the recipe's form (see `search_spaces`), `fingerprint` is the data
    set's. The first trials are `first`, whatever the sampler; with `centre` the search space's
    is among them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1, 2, 3, 4] = VERSION
    architecture: Name
    dataset: Name
    fingerprint: str
    train_size: int = Field(ge=1)
    test_size: int = Field(ge=1)
    space: dict[str, Any]
    known: tuple[dict[str, Any], ...] = ()
    centre: bool = False
    folds: int = Field(default=5, ge=2)
    epochs: int = Field(default=DEFAULT_EPOCHS, ge=1, le=MAX_COUNT)
    batch_size: int = Field(default=DEFAULT_BATCH_SIZE, ge=2)
    precision: Precision = "float32"
    confirm: int = Field(default=0, ge=0, le=0)
    repeats: int = Field(default=15, ge=1, le=MAX_COUNT)
    max_attempts: int = Field(default=3, ge=1, le=MAX_COUNT)
    sampler: str = "tpe"
    pruner: str = "forgiving"
    seed: int = Field(default=0, ge=0, lt=2**63)
    lease_s: float = Field(default=60.0, gt=0, le=86400, allow_inf_nan=False)

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


def make(**settings: Any) -> Protocol:
    """A protocol from settings that a user gave.

    Raises:
        InputError: one is out of its range; the message names it.
    """
    try:
        return Protocol(**settings)
    except ValidationError as error:
        _refuse(error)


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
    return HpoError(
        f"the stored protocol of study {study!r} cannot be read "
        f"({words if len(words) <= LONGEST else words[:LONGEST] + '...'}); it was made by a newer "
        "hpo or was changed by hand: use that hpo, or remove it with hpo study delete"
    )


def _refuse(error: ValidationError) -> NoReturn:
    first = error.errors()[0]
    name = str(first["loc"][0]) if first["loc"] else "protocol"
    if name == "confirm" and isinstance(first["input"], int) and first["input"] > 0:
        raise InputError("confirm: there is no confirmation stage yet; the only value is 0")
    wanted = first["msg"].removeprefix("Input ")
    raise InputError(f"{name}: {wanted}, but it is {first['input']!r}") from error
