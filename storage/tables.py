"""hpo's tables, in the same database as Optuna's.

Optuna's tables hold what samplers and the dashboard need. hpo's tables hold what a scientist needs:
the frozen protocol of each study, one row for each piece of work, and one row for each training.

A row of work is kept after the work has ended. Its `state` is live until the work has an outcome.
"""

from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from storage import optuna_tables
from storage.backends import BACKENDS, Backend


metadata = sa.MetaData()

AnyRow: TypeAlias = optuna_tables.AnyRow

GIVEN_BACK = 0.0
"""The `expires_at` of work that its worker gave back."""

CLOCK_SLACK_S = 1.0
"""Seconds by which a lease may end later than a whole lease from now.

A worker may renew its lease just after another worker has read the clock. A lease that ends still
later was written before the database's clock was set back.
"""

NO_PART = -1
"""The `part` of a trial. It is not NULL, because a unique constraint does not compare NULLs."""


class clock(FunctionElement[float]):
    """The database's time now, in seconds since 1970; not the time when the transaction began."""

    type = sa.Double()
    inherit_cache = True


def _compile_clock(backend: Backend) -> None:
    @compiles(clock, *backend.schemes)
    def sql(element: clock, compiler: Any, **options: Any) -> str:
        return backend.clock


for _backend in BACKENDS:
    _compile_clock(_backend)

_OPTIONS = {name: value for backend in BACKENDS for name, value in backend.table_options.items()}

_long_text = sa.Text()
for _backend in BACKENDS:
    if _backend.long_text is not None:
        _long_text = _long_text.with_variant(_backend.long_text, *_backend.schemes)

hpo_studies = sa.Table(
    "hpo_studies",
    metadata,
    sa.Column("study_id", sa.Integer, primary_key=True, autoincrement=False),  # Optuna's
    sa.Column("name", sa.String(200), nullable=False, unique=True),
    sa.Column("protocol", _long_text, nullable=False),  # JSON; see hpo.protocol
    sa.Column("n_trials", sa.Integer, nullable=False),  # trials to start in all; `extend` raises it
    sa.Column("n_started", sa.Integer, nullable=False),  # trial numbers given out
    sa.Column("choice", sa.Integer),  # the chosen trial, once the search is over
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("is_paused", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("digest", sa.String(64)),  # of the protocol; NULL if hpo 0.4.0 made the study
    **_OPTIONS,
)

hpo_claims = sa.Table(
    "hpo_claims",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column(
        "study_id", sa.ForeignKey("hpo_studies.study_id", ondelete="CASCADE"), nullable=False
    ),
    sa.Column("kind", sa.String(12), nullable=False),  # trial | confirmation | test
    sa.Column("trial", sa.Integer, nullable=False),  # Optuna's number of the trial
    sa.Column("part", sa.Integer, nullable=False),  # round or seed; -1 for a trial
    sa.Column("trial_id", sa.Integer, nullable=False),  # Optuna's id of the trial
    sa.Column("state", sa.String(8), nullable=False),  # live | complete | pruned | failed
    sa.Column("token", sa.Integer, nullable=False),  # fencing token: rises with each worker
    sa.Column("n_attempts", sa.Integer, nullable=False),  # workers, less those that gave it back
    sa.Column("worker", sa.String(200), nullable=False),
    sa.Column("claimed_at", sa.Double, nullable=False),
    sa.Column("expires_at", sa.Double, nullable=False),  # in no index, so that heartbeats are cheap
    sa.Column("n_epochs", sa.Integer, nullable=False),  # done so far
    sa.Column("n_parameters", sa.Integer),  # trainable weights of the network
    sa.Column("error", sa.Double),  # a fraction: mean over folds, or on the test set
    sa.Column("failure", _long_text),  # why it failed, with the traceback
    sa.UniqueConstraint("study_id", "kind", "trial", "part", name="uq_hpo_claims_work"),
    sa.Index("ix_hpo_claims_state", "study_id", "state"),
    sqlite_autoincrement=True,  # so that a late worker's id never matches another claim
    **_OPTIONS,
)

hpo_trainings = sa.Table(
    "hpo_trainings",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("claim_id", sa.ForeignKey("hpo_claims.id", ondelete="CASCADE"), nullable=False),
    sa.Column("fold", sa.Integer, nullable=False),  # 0 for a test run
    sa.Column("error", sa.Double, nullable=False),  # a fraction, after the last epoch
    sa.Column("curve", _long_text, nullable=False),  # JSON: the error after each epoch
    sa.Column("train_s", sa.Double, nullable=False),
    sa.Column("token", sa.Integer, nullable=False),
    sa.Column("worker", sa.String(200), nullable=False),
    sa.Column("versions", sa.String(500), nullable=False),  # JSON
    sa.Column("digest", sa.String(64)),  # see storage.digests; NULL if hpo 0.4.0 wrote the row
    sa.UniqueConstraint("claim_id", "fold", name="uq_hpo_trainings_fold"),
    **_OPTIONS,
)

IN_OPTUNA = optuna_tables.has_study(hpo_studies.c.study_id, hpo_studies.c.name)
"""The condition that Optuna's row of a study exists: Optuna's dashboard can delete a study."""
