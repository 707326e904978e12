"""The columns with the digests of protocols and trainings."""

import sqlalchemy as sa
from alembic import op


revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the columns; they may be null, because older versions of hpo write no digests."""
    for table in ("hpo_studies", "hpo_trainings"):
        columns = sa.inspect(op.get_bind()).get_columns(table)
        if "digest" not in {column["name"] for column in columns}:
            op.add_column(table, sa.Column("digest", sa.String(64)))
