"""What the gateway itself can say no to, or fail at. Every other exception of the package has its base here."""

from datetime import UTC, datetime
from typing import ClassVar


class GatewayError(Exception):
    """Base of the gateway's own exceptions. `code`: the row of `gateway/problems.toml`, stable once shipped.

    What never reaches a caller keeps the base's code.
    """

    code: ClassVar[str] = "internal_error"


class BadRequest(GatewayError):
    """Something in the request cannot be used. `field`: dotted path in the caller's own words."""

    code = "invalid_request"

    def __init__(self, field: str, problem: str, remedy: str) -> None:
        super().__init__(f"{field}: {problem}. {remedy}")
        self.field = field
        self.problem = problem
        self.remedy = remedy


class BodyTooLarge(GatewayError):
    """The body is larger than `limit` bytes."""

    code = "body_too_large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"the body is larger than {limit} bytes")
        self.limit = limit


class UnsupportedEncoding(GatewayError):
    """The body is compressed, which would hide its size."""

    code = "unsupported_encoding"


class BodyTimedOut(GatewayError):
    """The body did not arrive in time."""

    code = "body_timeout"


class CheckTooCostly(GatewayError):
    """Checking this file takes more time or memory than a check may take."""

    code = "check_too_costly"


class CheckFailed(GatewayError):
    """The process that checked a file ended or failed, not for what the file costs."""

    code = "check_failed"


class ServerBusy(GatewayError):
    """The server holds as many bodies, or runs as many checks, as it accepts; nothing was done."""

    code = "server_busy"


class UnknownWords(GatewayError):
    """The model knows few words, and none of the prompt's is near to one of them. `words`: of the prompt, as written.

    They are for the caller alone: not in `str()`, which may be logged.
    """

    code = "unknown_words"

    def __init__(self, field: str, words: tuple[str, ...]) -> None:
        super().__init__("the model knows no word of the prompt")
        self.field = field
        self.words = words

    @property
    def named(self) -> str:
        """The words in one line."""
        return ", ".join(self.words) or "this prompt"


class NotFound(GatewayError):
    """No such thing, or not the caller's. `what`: prediction, upload, image, page."""

    code = "not_found"

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} not found")
        self.what = what


class NotOffered(GatewayError):
    """A route that other systems have and this one does not. `what`: in the plural; `remedy`: what to do instead."""

    code = "not_offered"

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what} are not offered")
        self.what = what
        self.remedy = remedy


class LinkExpired(GatewayError):
    """A signed link is past its time or was changed."""

    code = "link_expired"


class QueueIsFull(GatewayError):
    """The server is working on as many images as it accepts; nothing was accepted."""

    code = "queue_full"


class TenantQueueIsFull(GatewayError):
    """The caller's tenant has as many images in work as one tenant may have; nothing was accepted."""

    code = "tenant_queue_full"

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__("the tenant's share of the queue is full")
        self.retry_after_seconds = retry_after_seconds


class IdempotencyKeyReused(GatewayError):
    """The `Idempotency-Key` came with another request before."""

    code = "idempotency_key_reused"


class ScreeningUnanswered(GatewayError):
    """A classifier did not answer, and nothing else stood against the request: our failure, not a refusal."""

    code = "screening_unanswered"


class Interrupted(GatewayError):
    """The process died more often than a job is tried while it worked on this one."""

    code = "interrupted"


class LeaseLost(GatewayError):
    """Somebody else has taken this job over: what was made here must not be recorded."""

    code = "interrupted"
    retry_after_seconds = 2


class RetrySlowed(GatewayError):
    """The prompt is like one refused before, too often and too soon."""

    code = "retry_slowed"

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__("the request resembles refused requests and came too soon")
        self.retry_after_seconds = retry_after_seconds


class Suspended(GatewayError):
    """Nothing is made for this person before `until`, Unix seconds. `decision`: the refusal that led to it."""

    code = "suspended"

    def __init__(self, retry_after_seconds: int, until: float, decision: str, appeal: str) -> None:
        super().__init__(decision)
        self.retry_after_seconds = retry_after_seconds
        self.until = until
        self.decision = decision
        self.appeal = appeal

    @property
    def until_text(self) -> str:
        """`until` in ISO 8601, UTC."""
        return datetime.fromtimestamp(self.until, UTC).isoformat(timespec="seconds")
