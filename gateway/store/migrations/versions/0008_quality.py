"""The quality at which a lossy format was written, which may be higher than the one asked for."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("images", sa.Column("quality", sa.Integer))
