"""Pictures are found by their strongest points too. Those from before are found by PDQ alone."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("images", sa.Column("landmarks", sa.LargeBinary(128)))
