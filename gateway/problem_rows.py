"""What callers are told about failures that carry nothing beyond their type: a part of the table in `problems.py`.

Codes are stable once shipped. A refusal is never 408, 409, 429 or 5xx: official clients retry those by themselves.
"""

from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from gateway.auth.api_keys import IdentityUnavailable
from gateway.errors import (
    BodyTimedOut,
    CheckFailed,
    CheckTooCostly,
    GatewayError,
    IdempotencyKeyReused,
    Interrupted,
    LeaseLost,
    LinkExpired,
    QueueIsFull,
    ScreeningUnanswered,
    ServerBusy,
    UnsupportedEncoding,
)
from gateway.statements import Statement
from gateway.store.blobs import BlobMissing, BlobsUnavailable
from gateway.store.vault import VaultError
from inference.errors import (
    DispatcherClosed,
    EngineBroken,
    EngineOutOfMemory,
    InferenceError,
    QueueFull,
    RenderCancelled,
    RenderTimeout,
)
from provenance.errors import (
    AlreadyRecorded,
    CertificateProblem,
    LedgerUnavailable,
    MarkUnreadable,
    ProvenanceError,
    ReadBackFailed,
    SealError,
    SigningFailed,
    TimestampFailed,
)


@dataclass(frozen=True, slots=True)
class Problem:
    """What a caller is told. `final`: asking again with the same request will not help, and clients are told so.
    `decision`: id of the decision behind it; `link`: where everybody who has the link reads about it."""

    status: int
    code: str
    title: str
    detail: str
    field: str | None = None
    remedy: str | None = None
    retry_after: int | None = None
    statement: Statement | None = None
    decision: str | None = None
    link: str | None = None

    @property
    def final(self) -> bool:
        """True for every answer that the same request would get again."""
        return self.status < 500 and self.status not in (408, 409, 429)


CANCELLED = "cancelled"
"""Code of what its caller called off."""

# Rows for exceptions that carry nothing to tell beyond their type, most specific first where types inherit.
ROWS: dict[type[Exception], Problem] = {
    QueueIsFull: Problem(503, "queue_full", "Busy", "As many pictures are in work as may be.", retry_after=5),
    QueueFull: Problem(503, "queue_full", "Busy", "As many pictures are in work as may be.", retry_after=5),
    IdempotencyKeyReused: Problem(
        422,
        "idempotency_key_reused",
        "Idempotency key reused",
        "This Idempotency-Key came with another request before.",
        "Idempotency-Key",
        "Send a new key with a new request, and the same key only with the same request.",
    ),
    ServerBusy: Problem(503, "server_busy", "Busy", "The server has as much work as it takes at once.", retry_after=5),
    CheckTooCostly: Problem(
        422,
        "check_too_costly",
        "File too costly to check",
        "Checking this file takes more time or memory than a check may take here.",
        "file",
        "Send a smaller image, or check it with `fluxgate verify`.",
    ),
    CheckFailed: Problem(503, "check_failed", "Check failed", "The file could not be checked.", retry_after=5),
    UnsupportedEncoding: Problem(
        415,
        "unsupported_encoding",
        "Body encoded",
        "A body with Content-Encoding is not read.",
        "body",
        "Send the body uncompressed, without Content-Encoding.",
    ),
    BodyTimedOut: Problem(
        408,
        "body_timeout",
        "Body too slow",
        "The body did not arrive in time.",
        "body",
        "Send it again over a faster connection, or send less.",
    ),
    IdentityUnavailable: Problem(
        503, "identity_unavailable", "Cannot check keys", "The key store does not answer.", retry_after=5
    ),
    ScreeningUnanswered: Problem(
        503,
        "screening_unanswered",
        "Screening unavailable",
        "A classifier did not answer, so nothing was drawn or sent.",
    ),
    EngineOutOfMemory: Problem(
        503,
        "engine_out_of_memory",
        "Engine out of memory",
        "The engine had no memory for this picture.",
        remedy="Ask for a smaller picture, or again later.",
    ),
    RenderTimeout: Problem(503, "render_timeout", "Drawing took too long", "The engine did not finish in time."),
    RenderCancelled: Problem(400, CANCELLED, "Cancelled", "The request was cancelled before it finished."),
    EngineBroken: Problem(503, "engine_failed", "Engine failed", "The engine failed on this picture."),
    DispatcherClosed: Problem(503, "shutting_down", "Shutting down", "This server is stopping.", retry_after=10),
    InferenceError: Problem(503, "engine_failed", "Engine failed", "The engine failed on this picture."),
    MarkUnreadable: Problem(
        503,
        "mark_unreadable",
        "Picture not marked",
        "The watermark could not be read back, so the picture stays here.",
        remedy="Ask for another seed, a larger picture, or PNG.",
    ),
    SigningFailed: Problem(503, "signing_failed", "Picture not signed", "The signer did not sign."),
    TimestampFailed: Problem(
        503,
        "timestamp_failed",
        "Picture not time-stamped",
        "The time-stamp authority gave no time-stamp, and pictures do not leave without one.",
        retry_after=30,
    ),
    ReadBackFailed: Problem(503, "sealing_failed", "Picture not sealed", "The sealed file did not verify."),
    SealError: Problem(503, "sealing_failed", "Picture not sealed", "The picture could not be sealed."),
    CertificateProblem: Problem(503, "signing_failed", "Picture not signed", "The signing certificate cannot be used."),
    AlreadyRecorded: Problem(500, "internal_error", "Internal error", "This request was recorded before."),
    LedgerUnavailable: Problem(
        503,
        "ledger_unavailable",
        "Log unavailable",
        "The log could not record, and without a receipt no picture leaves.",
    ),
    ProvenanceError: Problem(503, "sealing_failed", "Picture not sealed", "The picture could not be sealed."),
    BlobsUnavailable: Problem(503, "storage_unavailable", "Storage unavailable", "The picture could not be stored."),
    BlobMissing: Problem(404, "not_found", "Not found", "This file is not here (any more)."),
    SQLAlchemyError: Problem(
        503,
        "database_unavailable",
        "Database unavailable",
        "The database did not take or give a record.",
        retry_after=5,
    ),
    VaultError: Problem(503, "vault_unreadable", "Request unreadable", "The stored request does not open."),
    Interrupted: Problem(503, "interrupted", "Interrupted", "The server stopped while it worked on this, twice."),
    LeaseLost: Problem(503, "interrupted", "Interrupted", "Another server has taken this request over.", retry_after=2),
    LinkExpired: Problem(
        403,
        "link_expired",
        "Link expired",
        "This link is past its time, or was changed.",
        remedy="Ask for the prediction again: it carries a fresh link.",
    ),
    GatewayError: Problem(500, "internal_error", "Internal error", "Something went wrong here."),
}
INTERNAL = Problem(500, "internal_error", "Internal error", "Something went wrong here.")
