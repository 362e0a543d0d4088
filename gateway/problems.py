"""From what went wrong to what the caller is told. Dialects give a `Problem` their own shape.

`problems.toml` is the one table, by code; every exception of ours carries its code (`code` of its class).
"""

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from slowapi.errors import RateLimitExceeded
from sqlalchemy.exc import SQLAlchemyError

from gateway.errors import GatewayError
from gateway.exchange import Delivered, Failed, Held, Outcome, Refused
from gateway.statements import Statement, UploadRefused
from gateway.wording import Wording, wording
from inference.errors import InferenceError, RenderCancelled
from moderation.errors import ModerationError
from policies.errors import PolicyError
from provenance.errors import ProvenanceError


@dataclass(frozen=True, slots=True)
class Row:
    """One code's row of the table. `exact`: what replaces the other texts where the exception is at hand."""

    status: int
    title: str
    sentence: str
    remedy: str | None = None
    retry_after: int | None = None
    field: str | None = None
    exact: Mapping[str, str] = dataclasses.field(default_factory=dict)


TABLE: Final[Mapping[str, Row]] = {
    code: Row(**row)
    for code, row in tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")).items()
}

OURS: Final = (GatewayError, ModerationError, ProvenanceError, InferenceError, PolicyError)
"""Each package's base. Whatever else is raised is a stranger's, and never quoted."""

FOREIGN: Final[Mapping[type[Exception], str]] = {
    SQLAlchemyError: "database_unavailable",
    RateLimitExceeded: "rate_limited",  # slowapi's, on public routes
}
"""Strangers' exceptions that have a code."""

INTERNAL: Final = GatewayError.code
CANCELLED: Final = RenderCancelled.code
REFUSED: Final = UploadRefused.code
HELD: Final = "held_for_review"


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


def documented() -> tuple[Problem, ...]:
    """Every answer there is, one for each code, for the reference and for whoever writes a client."""
    return tuple(map(problem_of_code, TABLE))


def problem_of(failure: BaseException) -> Problem:
    """The answer to an exception; total, so that no exception can reach a caller in its own words."""
    if isinstance(failure, UploadRefused):
        return _stopped(failure.statement)
    code = failure_code(failure)
    general = problem_of_code(code)
    if not isinstance(failure, OURS) or code == INTERNAL:
        return general
    try:
        exact = {name: text.format(failure=failure) for name, text in TABLE[code].exact.items()}
    except AttributeError:  # a stranger's subclass of ours, without what ours has
        return general
    return replace(
        general,
        detail=exact.get("sentence", general.detail),
        field=exact.get("field", general.field),
        remedy=exact.get("remedy", general.remedy),
        retry_after=getattr(failure, "retry_after_seconds", general.retry_after),
        decision=getattr(failure, "decision", None) or None,
    )


def failure_code(failure: BaseException) -> str:
    """The code under which a failure stands in the log and in the job's row."""
    if isinstance(failure, OURS):
        return failure.code if failure.code in TABLE else INTERNAL
    return next((code for kind, code in FOREIGN.items() if isinstance(failure, kind)), INTERNAL)


def retryable_codes() -> frozenset[str]:
    """Codes of failures on our side: the same request may well succeed later."""
    return frozenset(code for code, row in TABLE.items() if row.status >= 500)


def problem_of_code(code: str) -> Problem:
    """The answer to a job that ended with `code`, which may have been written by an earlier version."""
    row = TABLE.get(code, TABLE[INTERNAL])
    return Problem(row.status, code, row.title, row.sentence, row.field, row.remedy, row.retry_after)


def problem_of_outcome(outcome: Outcome) -> Problem | None:
    """None for a delivered image; otherwise what the caller is told instead."""
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
    return replace(
        problem_of_code(HELD if statement.verdict == "hold" else REFUSED),
        detail=words.summary(stated),
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
