"""The values that hpo writes into its tables, by column.

SQLite stores any value in any column, and anyone can change a database by hand. Readers therefore
check the values.
"""

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


LOWEST = -sys.float_info.max
"""The least finite number."""


@dataclass(frozen=True, kw_only=True)
class Values:
    """The values of one column.

    types: the Python types of the values.
    low: the least number.
    words: all values of a column of words; empty for other columns.
    or_null: whether the column may be NULL.
    """

    types: tuple[type, ...]
    low: float = LOWEST
    words: tuple[str, ...] = ()
    or_null: bool = False

    def has(self, value: object) -> bool:
        """Whether hpo writes this value into the column. It writes finite numbers only."""
        if value is None:
            return self.or_null
        if not isinstance(value, self.types):
            return False
        if isinstance(value, str):
            return not self.words or value in self.words
        return isinstance(value, (int, float)) and self.low <= value < math.inf


def _whole(low: float, *, or_null: bool = False) -> Values:
    return Values(types=(int,), low=low, or_null=or_null)


def _number(low: float = 0.0, *, or_null: bool = False) -> Values:
    return Values(types=(int, float), low=low, or_null=or_null)


def _text(*words: str, or_null: bool = False) -> Values:
    return Values(types=(str,), words=words, or_null=or_null)


STUDY: Mapping[str, Values] = {
    "name": _text(),
    "protocol": _text(),
    "n_trials": _whole(1),
    "n_started": _whole(0),
    "choice": _whole(0, or_null=True),
    "created_at": _number(),
    "is_paused": _whole(0),
    "digest": _text(or_null=True),
}
"""The columns of `hpo_studies`."""

WORK: Mapping[str, Values] = {
    "kind": _text("trial", "test"),
    "trial": _whole(0),
    "part": _whole(-1),
    "trial_id": _whole(0),
    "state": _text("live", "complete", "pruned", "failed"),
    "token": _whole(1),
    "n_attempts": _whole(0),
    "worker": _text(),
    "claimed_at": _number(),
    "expires_at": _number(),
    "n_epochs": _whole(0),
    "n_parameters": _whole(0, or_null=True),
    "error": _number(LOWEST, or_null=True),
    "failure": _text(or_null=True),
}
"""The columns of `hpo_claims`."""

TRAINING: Mapping[str, Values] = {
    "fold": _whole(0),
    "error": _number(LOWEST),
    "curve": _text(),
    "train_s": _number(),
    "token": _whole(1),
    "worker": _text(),
    "versions": _text(),
    "digest": _text(or_null=True),
}
"""The columns of `hpo_trainings`."""


def shown(value: object) -> str:
    """A value of the database as a message shows it: one printable line, at most 60 characters."""
    text = "NULL" if value is None else ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def check(columns: Mapping[str, Values], row: Mapping[str, Any]) -> None:
    """Check the row's values; columns that the row lacks are not checked.

    Raises:
        ValueError: hpo never writes a value of the row; the message names the column.
    """
    for name, values in columns.items():
        if name in row and not values.has(row[name]):
            raise ValueError(f"{name} is {shown(row[name])}")


def parse_curve(text: str) -> tuple[float, ...]:
    """The error after each epoch, from the JSON text of a column `curve`.

    Raises:
        ValueError: the text is no list of at least one finite number.
    """
    try:
        errors = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the curve {shown(text)} is no JSON") from error
    if not isinstance(errors, list) or not errors:
        raise ValueError(f"the curve {shown(text)} is no list of errors")
    if not all(type(error) in (int, float) and math.isfinite(error) for error in errors):
        raise ValueError(f"the curve {shown(text)} has an entry that is no finite number")
    return tuple(errors)
