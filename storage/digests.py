"""SHA-256 digests of what is recorded, by which `hpo storage check` finds changed records.

A digest is written in the transaction that writes the record. It contains no ids of the database,
so it also holds for a copy of the study in another database. Records of hpo 0.4.0 and older have
no digest. Digests find accidents. They do not find forgery, because anyone can compute them.
"""

import hashlib
import json
from typing import Protocol


class Work(Protocol):
    """A piece of work, by the values that identify it in every database.

    `created_at` is the time of creation of the study, in seconds since 1970. `kind`, `trial` and
    `part` are columns of `hpo_claims`.
    """

    @property
    def created_at(self) -> float: ...
    @property
    def kind(self) -> str: ...
    @property
    def trial(self) -> int: ...
    @property
    def part(self) -> int: ...


def of_protocol(protocol: str) -> str:
    """The digest of a study's protocol, which is JSON text."""
    return _digest("hpo protocol 1", protocol)


def of_training(work: Work, fold: int, curve: str, error: float) -> str:
    """The digest of one training of a piece of work; `curve` is the JSON text as it is stored."""
    what = (float(work.created_at), work.kind, work.trial, work.part, fold)
    return _digest("hpo training 1", *what, curve, float(error))


def _digest(*content: str | float) -> str:
    """The digest of the content as JSON. JSON writes a float with the fewest digits that are exact.

    The first entry names the kind and the version of the content.
    """
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
