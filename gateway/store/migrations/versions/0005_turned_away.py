"""How many requests were turned away because of a refusal, and which suspensions have ended."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("refused_prompts", sa.Column("turned_away", sa.Integer, nullable=False, server_default="0"))
    op.create_index("ix_refused_prompts_suspended_until", "refused_prompts", ["suspended_until"])
