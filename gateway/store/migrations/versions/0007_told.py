"""What a caller is told about an image that is not just what was asked for, sealed like the request."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("told", sa.LargeBinary))
