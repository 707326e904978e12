"""Our tables, which stand beside Optuna's in the same database.

What the sampler and the dashboard need is in Optuna's tables; what a scientist needs is here: the
frozen protocol of each study, one row a piece of work, one row a training. A row of work is kept
for ever; its `state` is live until the work has an outcome.
"""

from typing import Any, TypeAlias

import sqlalchemy as sa
from optuna.storages._rdb import models as optuna_tables
from sqlalchemy.dialects.mysql import LONGTEXT
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


metadata = sa.MetaData()

AnyRow: TypeAlias = sa.Row[*tuple[Any, ...]]
"""A result's row whose columns are read by name."""

GIVEN_BACK = 0.0
"""The `expires_at` of work whose worker gave it back."""

NO_PART = -1
"""The `part` of a trial; NULL would never count as a duplicate in a unique constraint."""


class clock(FunctionElement[float]):
    """The database's time at this moment, in seconds since 1970; not the transaction's start."""

    type = sa.Double()
    inherit_cache = True


@compiles(clock, "sqlite")
def _sqlite_clock(element: clock, compiler: Any, **options: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(clock, "postgresql")
def _postgresql_clock(element: clock, compiler: Any, **options: Any) -> str:
    return "extract(epoch from clock_timestamp())::float8"


@compiles(clock, "mysql")
@compiles(clock, "mariadb")
def _mysql_clock(element: clock, compiler: Any, **options: Any) -> str:
    return "(timestampdiff(microsecond, '1970-01-01', utc_timestamp(6)) / 1e6)"


UTF8 = "utf8mb4"  # MariaDB's charset for what may hold any character, as a traceback does
_text = sa.Text().with_variant(LONGTEXT(), "mysql")

hpo_studies = sa.Table(
    "hpo_studies",
    metadata,
    sa.Column("study_id", sa.Integer, primary_key=True, autoincrement=False),  # Optuna's
    sa.Column("name", sa.String(200), nullable=False, unique=True),
    sa.Column("protocol", _text, nullable=False),  # JSON; see hpo.protocol
    sa.Column("n_trials", sa.Integer, nullable=False),  # the budget; extend raises it
    sa.Column("n_started", sa.Integer, nullable=False),  # trial numbers given out
    sa.Column("choice", sa.Integer),  # the chosen trial, once the search is over
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("is_paused", sa.Boolean, nullable=False, server_default=sa.false()),
    mysql_charset=UTF8,
)

hpo_claims = sa.Table(
    "hpo_claims",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column(
        "study_id", sa.ForeignKey("hpo_studies.study_id", ondelete="CASCADE"), nullable=False
    ),
    sa.Column("kind", sa.String(12), nullable=False),  # trial | confirmation | test
    sa.Column("trial", sa.Integer, nullable=False),  # Optuna's number of the configuration
    sa.Column("part", sa.Integer, nullable=False),  # round or seed; -1 for a trial
    sa.Column("trial_id", sa.Integer, nullable=False),  # Optuna's id of the configuration
    sa.Column("state", sa.String(8), nullable=False),  # live | complete | pruned | failed
    sa.Column("token", sa.Integer, nullable=False),  # fencing token: rises with each holder
    sa.Column("n_attempts", sa.Integer, nullable=False),  # holders, less those who gave it back
    sa.Column("worker", sa.String(200), nullable=False),
    sa.Column("claimed_at", sa.Double, nullable=False),
    sa.Column("expires_at", sa.Double, nullable=False),  # in no index: heartbeats are cheap
    sa.Column("n_epochs", sa.Integer, nullable=False),  # done so far
    sa.Column("n_parameters", sa.Integer),  # trainable weights of the network
    sa.Column("error", sa.Double),  # a fraction: mean over folds, or on the test set
    sa.Column("failure", _text),  # why it failed, with the traceback
    sa.UniqueConstraint("study_id", "kind", "trial", "part", name="uq_hpo_claims_work"),
    sa.Index("ix_hpo_claims_state", "study_id", "state"),
    sqlite_autoincrement=True,  # an id is never used again: a late worker's fence must not match
    mysql_charset=UTF8,
)

hpo_trainings = sa.Table(
    "hpo_trainings",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("claim_id", sa.ForeignKey("hpo_claims.id", ondelete="CASCADE"), nullable=False),
    sa.Column("fold", sa.Integer, nullable=False),  # 0 for a test run
    sa.Column("error", sa.Double, nullable=False),  # a fraction, after the last epoch
    sa.Column("curve", _text, nullable=False),  # JSON: the error after each epoch
    sa.Column("train_s", sa.Double, nullable=False),
    sa.Column("token", sa.Integer, nullable=False),
    sa.Column("worker", sa.String(200), nullable=False),
    sa.Column("versions", sa.String(500), nullable=False),  # JSON
    sa.UniqueConstraint("claim_id", "fold", name="uq_hpo_trainings_fold"),
    mysql_charset=UTF8,
)

_optuna_studies = optuna_tables.StudyModel
IN_OPTUNA = sa.exists().where(
    _optuna_studies.study_id == hpo_studies.c.study_id,
    _optuna_studies.study_name == hpo_studies.c.name,
)
"""Whether Optuna's half of a study is still there: its dashboard, too, can delete one."""
