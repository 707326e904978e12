"""The part of a study's protocol that the database needs to hand out claims."""

from hpo.protocol import Protocol
from hpo.search.samplers import planned_trials
from storage.claims import Plan


def make_plan(protocol: Protocol) -> Plan:
    """The plan by which workers claim the work of a study."""
    return Plan(
        planned=planned_trials(protocol),
        n_repeats=protocol.repeats,
        max_attempts=protocol.max_attempts,
        lease_s=protocol.lease_s,
        key=protocol.search_space.key if protocol.avoids_repeats else None,
    )
