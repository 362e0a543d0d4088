"""Counts how often somebody asks again, much alike, for what was refused; the answer gets harder step by step.

    warn     the refusal says what further tries lead to
    slow     what is like it is turned away until a wait is over, which doubles with every try
    hold     what is like it and passes the screening is held for a reviewer
    suspend  nothing of this person's is made for a while; the answer says until when, and how to appeal

The first three touch only prompts like the refused one. A suspension also covers pictures sent in and moderation calls,
so that nobody goes on probing there. Every step stands in the log, as a reason of the entry whose refusal led to it
(rule `retries-…`); what is turned away meanwhile is counted (`gateway/suspensions.py`). Screening decides first and
alone: no step makes anything softer, and without a count everything is decided as if there were no steps.

Somebody is the end user the caller names, else the key. Kept are a keyed hash of that, and a keyed sketch of the prompt
(`gateway/prompt_sketch.py`), until the time in the settings is over; several gateways count in one database.
"""

import asyncio
import hmac
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Delete, Engine, Row, delete, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from gateway import telemetry
from gateway.auth.end_users import commitment_bytes
from gateway.auth.identity import Principal
from gateway.errors import RetrySlowed, Suspended
from gateway.prompt_sketch import likeness, sketch
from gateway.records import Case
from gateway.settings import RetryOptions
from gateway.statements import decision_id
from gateway.store.database import reading
from gateway.store.schema import refused_prompts
from policies.findings import UNANSWERED, Category, Stage
from policies.verdicts import Decision, Reason, Verdict

log = logging.getLogger("fluxgate.retries")

STEPS = ("warn", "slow", "hold", "suspend")

MOST_COMPARED = 256
"""Newest refusals of one person that a prompt is compared with: bounds the work."""

ONE_ASKING_SECONDS = 1.0
"""Pictures of one request (`n`) are asked for within milliseconds; they are one try."""

LONGEST_WAIT_SECONDS = 3600.0

Rows = Sequence[Row[Any]]


def step_of(tries: int, options: RetryOptions) -> str | None:
    """The step that `tries` refusals after the first one lead to; None if to nothing yet. Never falls as tries grow."""
    reached = [step for step in STEPS if tries >= getattr(options, f"{step}_after")]
    return reached[-1] if reached else None


def wait_seconds(tries: int, options: RetryOptions) -> float:
    """How long what is like it waits after that many tries: doubles with each, up to an hour; 0 before `slow`."""
    if tries < options.slow_after:
        return 0.0
    return min(LONGEST_WAIT_SECONDS, options.slow_seconds * 2.0 ** min(tries - options.slow_after, 32))


def askings_in(times: Sequence[float]) -> int:
    """How many askings refusals at these times, rising, belong to: each holds all of one second from its first on."""
    count, begun = 0, -math.inf
    for at in times:
        if at - begun >= ONE_ASKING_SECONDS:
            count, begun = count + 1, at
    return count


@dataclass(frozen=True, slots=True)
class _Like:
    """Refusals that a prompt is like: how many `askings`, Unix seconds of the `last`, the highest `score`.

    `newest`: id of the last.
    """

    askings: int
    last: float
    score: float
    newest: str


class Retries:
    """`key`: 32 secret bytes, the same for all gateways on one database. `clock`: Unix seconds."""

    def __init__(
        self, engine: Engine, key: bytes, options: RetryOptions, appeal: str, clock: Callable[[], float]
    ) -> None:
        self._engine = engine
        self._key = key
        self._options = options
        self._appeal = appeal
        self._clock = clock

    async def admit(self, who: Principal, end_user: str | None, prompt: str | None = None) -> None:
        """Raises `Suspended`, or `RetrySlowed` for a prompt; `SQLAlchemyError` if it cannot be known."""
        await asyncio.to_thread(self._admit, who, end_user, prompt)

    async def weigh(self, case: Case) -> None:
        """Joins to a case what asking again has led to: a note if it was refused, a hold if it was not.

        To be called once the prompt, or the picture drawn from it, was decided on. A refusal is counted by the
        transaction that records it. Without a database nothing is joined: the case stands as the screening decided.
        """
        refused = any(
            reason.verdict is Verdict.REFUSE
            and reason.category != UNANSWERED
            and reason.stage is not Stage.INPUT_IMAGE  # there it was for a picture sent in, not for the words
            for reason in case.decision.reasons
        )
        if case.decision.stops and not refused:
            return
        try:
            found = await asyncio.to_thread(self._refused if refused else self._passed, case)
        except SQLAlchemyError as failure:
            log.warning("refused prompts could not be counted: %s", type(failure).__name__)
            return
        if found is not None:
            telemetry.RETRIES.labels(found.rule.removeprefix("retries-")).inc()
            case.join(Decision(found.verdict, case.policy.digest, (found,)))

    # -- blocking, in a thread ------------------------------------------------------------------------------------

    def _admit(self, who: Principal, end_user: str | None, prompt: str | None) -> None:
        now = self._clock()
        with reading(self._engine).connect() as connection:
            rows = self._rows(connection, self._subject(who, end_user), now)
        if not rows:
            return
        last = max(rows, key=lambda row: row.suspended_until or 0.0)
        if (last.suspended_until or 0.0) > now:
            self._count("suspended", last.request_id)
            seconds = math.ceil(last.suspended_until - now)
            raise Suspended(seconds, last.suspended_until, decision_id(last.request_id), self._appeal)
        like = None if prompt is None else self._like(rows, sketch(prompt, self._tenant_key(who)))
        if like is None:
            return
        left = like.last + wait_seconds(like.askings - 1, self._options) - now
        if left > 0:
            self._count("slowed", like.newest)
            raise RetrySlowed(math.ceil(left))

    def _count(self, step: str, request_id: str) -> None:
        telemetry.RETRIES.labels(step).inc()
        counted = update(refused_prompts).where(refused_prompts.c.request_id == request_id)
        with self._engine.begin() as connection:
            connection.execute(counted.values(turned_away=refused_prompts.c.turned_away + 1))

    def _passed(self, case: Case) -> Reason | None:
        with reading(self._engine).connect() as connection:
            rows = self._rows(connection, self._subject(case.who, case.request.end_user), self._clock())
        if not rows:
            return None
        like = self._like(rows, sketch(case.request.prompt, self._tenant_key(case.who)))
        if like is None or like.askings - 1 < self._options.hold_after:
            return None
        return self._reason("hold", Verdict.HOLD, case, like)

    def _refused(self, case: Case) -> Reason | None:
        made = sketch(case.request.prompt, self._tenant_key(case.who))
        if made is None:
            return None
        subject = self._subject(case.who, case.request.end_user)
        asked, now = case.request.created_at.timestamp(), self._clock()
        with reading(self._engine).connect() as connection:
            rows = self._rows(connection, subject, now)
        before = [row for row in rows if abs(row.at - asked) >= ONE_ASKING_SECONDS]
        like = self._like(before, made)
        step = step_of(like.askings, self._options) if like else None
        until = now + self._options.suspend_seconds if step == "suspend" else None
        case.alongside += (
            _forget(now),
            insert(refused_prompts).values(
                request_id=case.request.id,
                tenant=case.who.tenant,
                subject=subject,
                sketch=made,
                at=asked,
                expires_at=max(asked + self._options.remember_seconds, until or 0.0),
                suspended_until=until,
            ),
        )
        return self._reason(step, Verdict.FLAG, case, like) if step and like else None

    def _rows(self, connection: Connection, subject: bytes, now: float) -> Rows:
        table = refused_prompts.c
        query = select(refused_prompts).where(table.subject == subject, table.expires_at > now)
        return connection.execute(query.order_by(table.at.desc()).limit(MOST_COMPARED)).all()

    def _like(self, rows: Rows, made: bytes | None) -> _Like | None:
        if not rows or made is None:
            return None
        scores = likeness(made, [row.sketch for row in rows])
        like = [row for row, score in zip(rows, scores, strict=True) if score >= self._options.similarity]
        if not like:
            return None
        like.sort(key=lambda row: row.at)
        return _Like(askings_in([row.at for row in like]), like[-1].at, float(scores.max()), like[-1].request_id)

    def _reason(self, step: str, verdict: Verdict, case: Case, like: _Like) -> Reason:
        return Reason(
            rule=f"retries-{step}",
            category=Category.EVASION.value,
            stage=Stage.OUTPUT_IMAGE if case.stage is Stage.OUTPUT_IMAGE else Stage.PROMPT,
            verdict=verdict,
            classifier="retries",
            version="1",
            score=like.score,
            threshold=self._options.similarity,
        )

    def _tenant_key(self, who: Principal) -> bytes:
        return hmac.digest(self._key, who.tenant.encode(), "sha256")

    def _subject(self, who: Principal, end_user: str | None) -> bytes:
        """32 bytes. The first byte of what is hashed keeps an end user from being taken for a key of the same name."""
        name = b"\x00" + who.key_id.encode()
        if end_user is not None:
            name = b"\x01" + commitment_bytes(who.tenant, end_user)
        return hmac.digest(self._tenant_key(who), name, "sha256")


def _forget(now: float) -> Delete:
    """Deletes what is over and needs no entry. What another gateway is deleting just now is passed over."""
    table = refused_prompts.c
    nothing_to_log = (table.expires_at <= now) & table.suspended_until.is_(None) & (table.turned_away == 0)
    over = select(table.request_id).where(nothing_to_log).with_for_update(skip_locked=True)
    return delete(refused_prompts).where(table.request_id.in_(over))
