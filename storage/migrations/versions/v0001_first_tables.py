"""The first tables: studies, claims, trainings."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import LONGTEXT


revision = "0001"
down_revision = None

_text = sa.Text().with_variant(LONGTEXT(), "mysql")


def _parent(column: str) -> sa.ForeignKey:
    return sa.ForeignKey(column, ondelete="CASCADE")


def upgrade() -> None:
    """Create the tables that do not exist yet.

    An interrupted migration leaves some tables behind on MariaDB.
    """
    op.create_table(
        "hpo_studies",
        sa.Column("study_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("name", sa.String(200), nullable=False, unique=True),
        sa.Column("protocol", _text, nullable=False),
        sa.Column("n_trials", sa.Integer, nullable=False),
        sa.Column("n_started", sa.Integer, nullable=False),
        sa.Column("choice", sa.Integer),
        sa.Column("created_at", sa.Double, nullable=False),
        mysql_charset="utf8mb4",
        if_not_exists=True,
    )
    op.create_table(
        "hpo_claims",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("study_id", sa.Integer, _parent("hpo_studies.study_id"), nullable=False),
        sa.Column("kind", sa.String(12), nullable=False),
        sa.Column("trial", sa.Integer, nullable=False),
        sa.Column("part", sa.Integer, nullable=False),
        sa.Column("trial_id", sa.Integer, nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("token", sa.Integer, nullable=False),
        sa.Column("n_attempts", sa.Integer, nullable=False),
        sa.Column("worker", sa.String(200), nullable=False),
        sa.Column("claimed_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
        sa.Column("n_epochs", sa.Integer, nullable=False),
        sa.Column("n_parameters", sa.Integer),
        sa.Column("error", sa.Double),
        sa.Column("failure", _text),
        sa.UniqueConstraint("study_id", "kind", "trial", "part", name="uq_hpo_claims_work"),
        sqlite_autoincrement=True,
        mysql_charset="utf8mb4",
        if_not_exists=True,
    )
    if not sa.inspect(op.get_bind()).has_index("hpo_claims", "ix_hpo_claims_state"):
        op.create_index("ix_hpo_claims_state", "hpo_claims", ["study_id", "state"])
    op.create_table(
        "hpo_trainings",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("claim_id", sa.Integer, _parent("hpo_claims.id"), nullable=False),
        sa.Column("fold", sa.Integer, nullable=False),
        sa.Column("error", sa.Double, nullable=False),
        sa.Column("curve", _text, nullable=False),
        sa.Column("train_s", sa.Double, nullable=False),
        sa.Column("token", sa.Integer, nullable=False),
        sa.Column("worker", sa.String(200), nullable=False),
        sa.Column("versions", sa.String(500), nullable=False),
        sa.UniqueConstraint("claim_id", "fold", name="uq_hpo_trainings_fold"),
        mysql_charset="utf8mb4",
        if_not_exists=True,
    )
