"""The audit of one study: its records are compared with each other and with its protocol."""

from collections.abc import Container, Iterator, Mapping
from typing import Any

from hpo import protocol as protocols
from hpo.errors import DamagedError
from hpo.protocol import Protocol
from hpo.registry import Registry, unknown
from hpo.search.pruners import make_pruning, pruners
from hpo.search.samplers import max_trials, samplers
from hpo.settings import MAX_COUNT
from hpo.studies.damage import damage_reported
from storage import audit
from storage.audit import Rules
from storage.engine import Database
from storage.errors import UnreachableError
from storage.studies import StudyRow


def problems(db: Database, row: StudyRow) -> list[str]:
    """What is wrong with the records of a study, one line for each problem.

    Raises:
        StudyMissingError: the study was deleted.
        UnreachableError: the database does not answer.
    """
    found: list[str] = []
    rules = Rules()
    try:
        with damage_reported(row.name):
            protocol = protocols.read(row.protocol, row.name)
            found += _unknown_strategies(protocol)
            rules = _rules(protocol)
    except DamagedError as error:
        found.append(str(error))
    try:
        return [*found, *audit.differences(db, row.study_id, rules)]
    except UnreachableError as error:
        db.ping()  # if the database answers, it refuses to read only these records
        return [*found, str(error)]


def _unknown_strategies(protocol: Protocol) -> Iterator[str]:
    """The sampler and the pruner that this version of hpo does not have."""
    named: list[tuple[Registry[Any], str]]
    named = [(samplers, protocol.sampler), (pruners, protocol.pruner)]
    for registry, name in named:
        if name not in registry:
            yield f"the protocol is wrong: {unknown(registry.kind, name, registry)}"


def _rules(protocol: Protocol) -> Rules:
    space = protocol.search_space

    def epochs_of(params: Mapping[str, Any]) -> int:
        return int(space.decode(params).get("epochs", protocol.epochs))

    def steps_of(epochs: int, curves: audit.Curves) -> Mapping[int, float]:
        return make_pruning(protocol, epochs).errors(curves, after=0)

    def judged_of(epochs: int) -> Container[int]:
        return make_pruning(protocol, epochs).steps

    return Rules(
        n_folds=protocol.folds,
        n_repeats=protocol.repeats,
        n_epochs=int(space.highest("epochs")) if "epochs" in space.names else protocol.epochs,
        min_trials=protocol.initial_trials or len(protocol.known),
        max_trials=max_trials(protocol) or MAX_COUNT,
        max_attempts=protocol.max_attempts,
        lease_s=protocol.lease_s,
        distributions=space.distributions(),
        planned=[space.encode(params) for params in protocol.first],
        key=space.key if protocol.avoids_repeats else None,
        epochs_of=epochs_of,
        steps_of=steps_of if protocol.pruner in pruners else None,
        judged_of=judged_of if protocol.pruner in pruners else None,
    )
