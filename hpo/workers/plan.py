"""What the database's claims need to know of a study's protocol."""

from hpo.protocol import Protocol
from hpo.search.samplers import planned_trials
from storage.claims import Plan


def make_plan(protocol: Protocol) -> Plan:
    """The plan by which a study's work is claimed."""
    return Plan(
        planned=planned_trials(protocol),
        n_repeats=protocol.repeats,
        max_attempts=protocol.max_attempts,
        lease_s=protocol.lease_s,
    )
