"""Decisions by their id, also those about uploads; the statements of jobs that ended before are taken over."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    decisions = op.create_table(
        "decisions",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("request_id", sa.String(40), nullable=False, unique=True),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("reasons", sa.Text, nullable=False),
    )
    jobs = sa.table("jobs", *map(sa.column, ("id", "tenant", "completed_at", "reasons")))
    told = op.get_bind().execute(sa.select(jobs).where(jobs.c.reasons.is_not(None)))
    rows = [
        {
            "id": "dec_" + job.id.split("_", 1)[1],
            "request_id": job.id,
            "tenant": job.tenant,
            "at": job.completed_at or 0.0,
            "reasons": job.reasons,
        }
        for job in told
    ]
    if rows:
        op.bulk_insert(decisions, rows)
