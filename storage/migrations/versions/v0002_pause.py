"""The column that says whether a study is paused."""

import sqlalchemy as sa
from alembic import op


revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column with a default, because hpo with version 0001 creates studies without it."""
    columns = sa.inspect(op.get_bind()).get_columns("hpo_studies")
    if "is_paused" not in {column["name"] for column in columns}:
        column = sa.Column("is_paused", sa.Boolean, nullable=False, server_default=sa.false())
        op.add_column("hpo_studies", column)
