"""Manifests are stored by their content: pictures name the digest. Older pictures keep the names they have."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("images", sa.Column("manifest_sha256", sa.String(64)))
