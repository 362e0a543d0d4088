"""The one table from what went wrong to what the caller is told. Dialects give a `Problem` their own shape.

Codes are stable once shipped. A refusal is never 408, 409, 429 or 5xx: official clients retry those by themselves.
"""

from dataclasses import replace
from datetime import UTC, datetime

from slowapi.errors import RateLimitExceeded

from gateway.auth.end_users import BadEndUser
from gateway.auth.identity import NotAuthenticated, NotPermitted, Scope
from gateway.errors import (
    BadRequest,
    BodyTooLarge,
    NotFound,
    NotOffered,
    RetrySlowed,
    Suspended,
    TenantQueueIsFull,
    UnknownWords,
    UploadRefused,
)
from gateway.exchange import Delivered, Failed, Held, Outcome, Refused
from gateway.limits import PUBLIC_RETRY_AFTER_SECONDS, BudgetExhausted, RateLimited, RateState
from gateway.problem_rows import CANCELLED, INTERNAL, ROWS, Problem
from gateway.statements import Statement
from gateway.wording import Wording, wording
from inference.errors import (
    OrderRefused,
    UnknownModel,
)
from provenance.errors import (
    UnreadableImage,
)

__all__ = [
    "CANCELLED",
    "Problem",
    "documented",
    "failure_code",
    "problem_of",
    "problem_of_code",
    "problem_of_outcome",
    "told",
]

_KEYS = {
    "missing_key": ("No API key was sent.", "Send `Authorization: Bearer fg_…`."),
    "wrong_key_format": (
        "What was sent as an API key is not a Fluxgate key.",
        "Send `Authorization: Bearer fg_…`, with a key that the operator of this gateway made.",
    ),
    "invalid_key": ("This API key is not known here.", "Check the key, or ask the operator for one."),
    "expired_key": ("This API key has expired.", "Ask the operator to rotate it."),
    "revoked_key": ("This API key was revoked.", "Ask the operator for another."),
}


def documented() -> tuple[Problem, ...]:
    """Every answer there is, one for each code, for the README and for whoever writes a client."""
    given = (
        *(NotAuthenticated(code) for code in _KEYS),
        NotPermitted(Scope.GENERATE),
        BadRequest("field", "problem", "remedy"),
        UnknownModel(()),
        UnknownWords("prompt", ()),
        UnreadableImage("data", "problem", "remedy"),
        BodyTooLarge(0),
        NotFound("prediction"),
        NotOffered("Variations", "remedy"),
        RateLimited(1, "key", RateState((), False)),
        BudgetExhausted(1, "image-budget", RateState((), False)),
        TenantQueueIsFull(1),
        RetrySlowed(1),
        Suspended(1, 0.0, "", ""),
    )
    stops = tuple(Problem(400, code, title, "") for code, title in ((_REFUSED, _REFUSED_TITLE), (_HELD, _HELD_TITLE)))
    return (*ROWS.values(), *(problem_of(failure) for failure in given), *stops)


_REFUSED, _REFUSED_TITLE = "moderation_blocked", "Refused by the safety policy"
_HELD, _HELD_TITLE = "held_for_review", "Held for review"


def problem_of(failure: BaseException) -> Problem:
    """The answer to an exception; total, so that no exception can reach a caller in its own words."""
    match failure:
        case NotAuthenticated():
            detail, remedy = _KEYS[failure.code]
            return Problem(401, failure.code, "Not authenticated", detail, remedy=remedy)
        case NotPermitted():
            return Problem(
                403,
                "missing_scope",
                "Not permitted",
                f"This key lacks the scope `{failure.scope.value}`.",
                remedy="Ask the operator for a key with this scope.",
            )
        case BadRequest():
            return Problem(
                422,
                "invalid_request",
                "Request not usable",
                f"{failure.field}: {failure.problem}.",
                failure.field,
                failure.remedy,
            )
        case BadEndUser():
            problem, _, remedy = str(failure).partition(": ")
            detail = f"{failure.field} {problem}."
            return Problem(422, "invalid_request", "Request not usable", detail, failure.field, f"{remedy}.")
        case OrderRefused():
            return Problem(422, "invalid_request", "Request not usable", str(failure), failure.field, failure.remedy)
        case UnknownModel():
            return Problem(
                404,
                "model_not_found",
                "Model not found",
                "This model is not served here.",
                "model",
                "See `GET /api/v1/models` or `GET /v1/models` for those that are.",
            )
        case UnknownWords():
            named = ", ".join(failure.words) or "this prompt"
            return Problem(
                422,
                "unknown_words",
                "Words not known to the model",
                f"This model draws few things, and none of them is near to: {named}.",
                failure.field,
                "Ask for what it draws: `GET /api/v1/models` and `fluxgate generate --vocabulary` list it.",
            )
        case UnreadableImage():
            return Problem(
                422, "unreadable_image", "Picture not usable", failure.problem, f"file.{failure.field}", failure.remedy
            )
        case UploadRefused():
            return _stopped(failure.statement)
        case BodyTooLarge():
            return Problem(
                413,
                "body_too_large",
                "Body too large",
                f"The body is larger than {failure.limit} bytes.",
                "body",
                "Send a smaller file.",
            )
        case NotFound():
            return Problem(404, "not_found", "Not found", f"There is no such {failure.what} of yours here.")
        case NotOffered():
            return Problem(
                400,
                "not_offered",
                "Not offered here",
                f"{failure.what} are not offered here.",
                remedy=failure.remedy,
            )
        case RateLimited():
            return Problem(
                429,
                "rate_limited",
                "Too many requests",
                f"The limit `{failure.limit_name}` is used up.",
                remedy="Wait as long as Retry-After says.",
                retry_after=failure.retry_after_seconds,
            )
        case RateLimitExceeded():
            return Problem(
                429,
                "rate_limited",
                "Too many requests",
                "This address has asked as often as it may.",
                remedy="Wait as long as Retry-After says.",
                retry_after=PUBLIC_RETRY_AFTER_SECONDS,
            )
        case BudgetExhausted():
            return Problem(
                429,
                "budget_exhausted",
                "Image budget used up",
                "Today's image budget of your tenant is used up.",
                remedy="Wait for the next UTC day, or ask the operator for more.",
                retry_after=failure.retry_after_seconds,
            )
        case TenantQueueIsFull():
            return Problem(
                429,
                "tenant_queue_full",
                "Your share of the queue is full",
                "Your tenant has as many images waiting as it may have at once.",
                remedy="Wait for some of them, as long as Retry-After says.",
                retry_after=failure.retry_after_seconds,
            )
        case RetrySlowed():
            return Problem(
                429,
                "retry_slowed",
                "Asked again too soon",
                "This is much like requests that were refused before; it will not be looked at yet.",
                remedy="Ask for something else, or wait as long as Retry-After says.",
                retry_after=failure.retry_after_seconds,
            )
        case Suspended():
            until = datetime.fromtimestamp(failure.until, UTC).isoformat(timespec="seconds")
            return Problem(
                403,
                "suspended",
                "Suspended",
                f"Too many requests much like one another were refused. Nothing is made for you before {until}; "
                f"the decision that led to this is {failure.decision}.",
                remedy=failure.appeal,
                retry_after=failure.retry_after_seconds,
                decision=failure.decision or None,
            )
    return next((ROWS[kind] for kind in type(failure).__mro__ if kind in ROWS), INTERNAL)


def retryable_codes() -> frozenset[str]:
    """Codes of failures on our side: the same request may well succeed later."""
    return frozenset(code for code, problem in _BY_CODE.items() if problem.status >= 500)


def failure_code(failure: BaseException) -> str:
    """The code under which a failure stands in the log and in the job's row."""
    return problem_of(failure).code


# A job can also end with a code that a route gives at once, when the fault shows only later.
_LATER = (
    Problem(
        422,
        "invalid_request",
        "Request not usable",
        "The model cannot draw this; its prompt may be too long, or its mask may open nothing of what is drawn.",
        "prompt",
        "Shorten the prompt, or open the mask nearer the middle.",
    ),
    Problem(422, "unreadable_image", "Picture not usable", "The picture sent in cannot be read any more.", "image"),
)
_BY_CODE = {row.code: row for row in (*reversed(ROWS.values()), *_LATER)}


def problem_of_code(code: str) -> Problem:
    """The answer to a job that ended with `code`, which may have been written by an earlier version."""
    return _BY_CODE.get(code, replace(INTERNAL, code=code))


def problem_of_outcome(outcome: Outcome) -> Problem | None:
    """None for a delivered picture; otherwise what the caller is told instead."""
    match outcome:
        case Delivered():
            return None
        case Refused() | Held():
            return _stopped(outcome.statement)
        case Failed():
            return problem_of_code(outcome.code)


def _stopped(statement: Statement, words: Wording | None = None) -> Problem:
    words = words or wording("en")
    stated = words.translated(statement)
    held = statement.verdict == "hold"
    return Problem(
        400,
        _HELD if held else _REFUSED,
        _HELD_TITLE if held else _REFUSED_TITLE,
        words.summary(stated),
        remedy=words.whom_to_ask(stated),
        statement=stated,
        decision=statement.decision,
    )


def told(problem: Problem, words: Wording, link: str) -> Problem:
    """The problem in the reader's words, with the link to its decision in the message itself: whatever stands between
    us and a person passes on the message, and often nothing else."""
    if problem.statement is not None:
        problem = _stopped(problem.statement, words)
    said = words.message["link"].format(link=link)
    return replace(problem, detail=f"{problem.detail} {said}", link=link)
