"""What was refused to whom, as keyed sketches, so that asking again can be counted."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "refused_prompts",
        sa.Column("request_id", sa.String(40), primary_key=True),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("subject", sa.LargeBinary(32), nullable=False),
        sa.Column("sketch", sa.LargeBinary(256), nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("expires_at", sa.Float, nullable=False, index=True),
        sa.Column("suspended_until", sa.Float),
    )
    op.create_index("refused_prompts_by_subject", "refused_prompts", ["subject", "at"])
