"""What the gateway itself can say no to, or fail at. `gateway/problems.py` maps each to an answer."""

from gateway.statements import Statement


class GatewayError(Exception):
    """Base of the gateway's own exceptions."""


class BadRequest(GatewayError):
    """Something in the request cannot be used. `field`: dotted path in the caller's own words."""

    def __init__(self, field: str, problem: str, remedy: str) -> None:
        super().__init__(f"{field}: {problem}. {remedy}")
        self.field = field
        self.problem = problem
        self.remedy = remedy


class BodyTooLarge(GatewayError):
    """The body is larger than `limit` bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"larger than {limit} bytes")
        self.limit = limit


class UnsupportedEncoding(GatewayError):
    """The body is compressed, which would hide its size."""


class BodyTimedOut(GatewayError):
    """The body did not arrive in time."""


class CheckTooCostly(GatewayError):
    """Checking this file takes more time or memory than a check may take."""


class CheckFailed(GatewayError):
    """The process that checked a file ended or failed, not for what the file costs."""


class ServerBusy(GatewayError):
    """As many bodies are in memory, or as many checks in work, as may be; nothing was done."""


class UnknownWords(GatewayError):
    """The model knows few words, and none of the prompt's is near to one of them. `words`: of the prompt, as written.

    They are for the caller alone: not in `str()`, which may be logged.
    """

    def __init__(self, field: str, words: tuple[str, ...]) -> None:
        super().__init__("no word of the prompt is known to the model")
        self.field = field
        self.words = words


class NotFound(GatewayError):
    """No such thing, or not the caller's. `what`: prediction, upload, picture, page."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


class NotOffered(GatewayError):
    """A route that other systems have and this one does not. `what`: in the plural; `remedy`: what to do instead."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}: not offered")
        self.what = what
        self.remedy = remedy


class LinkExpired(GatewayError):
    """A signed link is past its time or was changed."""


class QueueIsFull(GatewayError):
    """As many pictures are in work as may be; nothing was accepted."""


class TenantQueueIsFull(GatewayError):
    """The caller's tenant has as many images in work as it may have beside the others; nothing was accepted."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__("the tenant's share of the queue is taken")
        self.retry_after_seconds = retry_after_seconds


class IdempotencyKeyReused(GatewayError):
    """The `Idempotency-Key` came with another request before."""


class ScreeningUnanswered(GatewayError):
    """A classifier did not answer, and nothing else stood against the request: our failure, not a refusal."""


class Interrupted(GatewayError):
    """The process died more often than a job is tried while it worked on this one."""


class LeaseLost(GatewayError):
    """Somebody else has taken this job over: what was made here must not be recorded."""


class RetrySlowed(GatewayError):
    """The prompt is like one refused before, too often and too soon."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__("asked again too soon")
        self.retry_after_seconds = retry_after_seconds


class Suspended(GatewayError):
    """Nothing is made for this person before `until`, Unix seconds. `decision`: the refusal that led to it."""

    def __init__(self, retry_after_seconds: int, until: float, decision: str, appeal: str) -> None:
        super().__init__(decision)
        self.retry_after_seconds = retry_after_seconds
        self.until = until
        self.decision = decision
        self.appeal = appeal


class UploadRefused(GatewayError):
    """The policy refused a picture sent in; `statement` says why."""

    def __init__(self, statement: Statement) -> None:
        super().__init__(statement.decision)
        self.statement = statement
