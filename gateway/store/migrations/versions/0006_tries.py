"""Which refusals belong to one request, and which key their end users share; how much each key had moderated."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("refused_prompts", sa.Column("key_subject", sa.LargeBinary(32)))
    op.add_column("refused_prompts", sa.Column("asking", sa.String(40), nullable=False, server_default=""))
    op.create_table(
        "moderation_totals",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("key_id", sa.String(32), nullable=False),
        sa.Column("hour", sa.Integer, nullable=False),
        sa.Column("passed", sa.Integer, nullable=False),
        sa.UniqueConstraint("key_id", "hour"),
    )
    op.create_index("refused_prompts_by_key", "refused_prompts", ["key_subject", "at"])
