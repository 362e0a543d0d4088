"""The gateway's tables. The log's tables belong to `provenance.log.ledger`; migrations create both."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

# Times are Unix seconds (float): every database compares them alike, and clocks come in as arguments.

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("tenant", String(64), nullable=False, index=True),
    Column("label", String(128), nullable=False),
    Column("digest", LargeBinary(32), nullable=False),  # HMAC-SHA-256(pepper, secret)
    Column("scopes", String(128), nullable=False),
    Column("assurance", Integer, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float),
    Column("revoked_at", Float),
    Column("replaced_by", String(32)),
)

# One row that grows with every change of a key: polling it once a second makes a revocation visible everywhere.
key_changes = Table("key_changes", metadata, Column("id", Integer, primary_key=True), Column("count", BigInteger))

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("key_id", String(32), nullable=False),
    Column("assurance", Integer, nullable=False),
    Column("dialect", String(32), nullable=False),
    Column("model", String(200), nullable=False),
    Column("order", LargeBinary, key="request"),  # encrypted; emptied when the job ends
    Column("told", LargeBinary),  # sealed at rest, as long as the job is known; NULL where there is nothing to tell
    Column("state", String(16), nullable=False),  # accepted, running, delivered, held, refused, failed
    Column("created_at", Float, nullable=False),
    Column("started_at", Float),
    Column("completed_at", Float),
    Column("steps_done", Integer, nullable=False, default=0),
    Column("steps", Integer, nullable=False),
    Column("lease_until", Float),
    Column("attempt", Integer, nullable=False, default=0),  # the fencing token
    Column("cancel_requested", Boolean, nullable=False, default=False),
    Column("cost", BigInteger),  # thousandths of megapixel-steps held of the day's budget; empty in older rows
    Column("charged", BigInteger),  # what of it the job cost in the end; empty until then
    Column("stage", String(16)),
    Column("code", String(64)),
    Column("content_id", String(40)),
    Column("reasons", Text),  # statement of reasons, JSON: ids and categories, never the subject
    Index("jobs_by_tenant", "tenant", "created_at"),
    Index("jobs_by_state", "state", "lease_until"),
)

# What each tenant's jobs hold and have cost, by UTC day: written in one transaction with a job's row, and with its end.
budgets = Table(
    "budgets",
    metadata,
    Column("tenant", String(64), primary_key=True),
    Column("day", Integer, primary_key=True),  # whole days since 1970
    Column("used", BigInteger, nullable=False),  # thousandths of megapixel-steps
)

# Which jobs an `Idempotency-Key` led to. Key and body are keyed hashes: a body holds a prompt.
idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("body", String(64), nullable=False),
    Column("jobs", Text, nullable=False),  # ids, in the order of the images, with a space between
    Column("expires_at", Float, nullable=False, index=True),
)

images = Table(
    "images",
    metadata,
    Column("content_id", String(40), primary_key=True),
    Column("job_id", String(40), ForeignKey("jobs.id"), nullable=False, unique=True),
    Column("tenant", String(64), nullable=False),
    Column("media_type", String(32), nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("size", Integer, nullable=False),
    Column("sha256", String(64), nullable=False, index=True),
    Column("pdq", String(64), nullable=False),
    Column("pdq_quality", Integer, nullable=False),
    Column("landmarks", LargeBinary(128)),  # empty for pictures from before there were any
    Column("mark", String(64), unique=True),
    Column("mark_algorithm", String(128), nullable=False),
    Column("manifest_id", String(200), nullable=False, index=True),
    Column("manifest_sha256", String(64)),  # of the manifest store; empty for pictures from before it was the name
    Column("model", String(200), nullable=False),
    Column("model_trained", Boolean, nullable=False),
    Column("quality", Integer),  # of a lossy format, as used; empty for pictures from before it was recorded
    Column("created_at", Float, nullable=False),
    Column("held", Boolean, nullable=False),
)

uploads = Table(
    "uploads",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("file_name", String(200), nullable=False),
    Column("media_type", String(32), nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("size", Integer, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("created_at", Float, nullable=False),
)

# What was refused to whom, as keyed sketches (gateway/retries/counting.py).
refused_prompts = Table(
    "refused_prompts",
    metadata,
    Column("request_id", String(40), primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("subject", LargeBinary(32), nullable=False),  # HMAC of the end user or key
    Column(
        "key_subject", LargeBinary(32)
    ),  # HMAC of the key; empty in rows from before end users of one key counted together
    Column("asking", String(40), nullable=False, default=""),  # the first of the images that one request asked for
    Column("sketch", LargeBinary(256), nullable=False),
    Column("at", Float, nullable=False),
    Column("expires_at", Float, nullable=False, index=True),
    Column("suspended_until", Float, index=True),
    Column("turned_away", Integer, nullable=False, default=0),  # requests, while suspended or slowed because of it
    Index("refused_prompts_by_subject", "subject", "at"),
    Index("refused_prompts_by_key", "key_subject", "at"),
)

# What callers were told of decisions that stopped something (gateway/store/decisions.py).
decisions = Table(
    "decisions",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("request_id", String(40), nullable=False, unique=True),
    Column("tenant", String(64), nullable=False),
    Column("at", Float, nullable=False),
    Column("reasons", Text, nullable=False),
)

# How many subjects of moderation calls were not stopped, until the hour is over and in the log
# (gateway/stations/moderation_log.py).
moderation_totals = Table(
    "moderation_totals",
    metadata,
    Column("id", String(40), primary_key=True),  # of the log entry
    Column("tenant", String(64), nullable=False),
    Column("key_id", String(32), nullable=False),
    Column("hour", Integer, nullable=False),  # since the beginning of 1970
    Column("passed", Integer, nullable=False),
    UniqueConstraint("key_id", "hour"),
)
