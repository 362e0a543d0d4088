"""Counts how often somebody asks again, much alike, for what was refused; the answer gets harder step by step.

    warn     the refusal says what further tries lead to
    slow     what is like it is turned away until a wait is over, which doubles with every try
    hold     what is like it and passes the screening is held for a reviewer
    suspend  nothing of this person's is made for a while; the answer says until when, and how to appeal

The first three touch only prompts like the refused one. A suspension also covers pictures sent in and moderation calls,
so that nobody goes on probing there. Every step stands in the log, as a reason of the entry whose refusal led to it
(rule `retries-…`); what is turned away meanwhile is counted (`gateway/retries/suspensions.py`). Screening decides first
and alone: no step makes anything softer, and without a count everything is decided as if there were no steps.

Somebody is the end user the caller names, else the key. Since a caller can name a new end user each time, what many end
users of one key were refused, much alike, counts for each of them: `end_users_per_try` different ones count as one try.
That leads to a hold at most, so nobody is suspended for what others asked. A request is one try, however many images it
asks for, and requests that arrive within one moment are as many tries as they are.

The table holds a keyed hash of the person, one of the key, and a keyed sketch of the prompt
(`gateway/retries/sketches.py`), until the time in the settings is over; several gateways count in one database.
"""

import hmac
import logging
import math
import threading
from collections.abc import Callable
from typing import Literal

from sqlalchemy import Engine as Database
from sqlalchemy.exc import SQLAlchemyError

from gateway import telemetry
from gateway.auth.end_users import commitment_bytes
from gateway.auth.identity import Principal
from gateway.errors import RetrySlowed, Suspended
from gateway.retries.sketches import sketch
from gateway.retries.steps import Like, Rows, hardest, likes, suspension, wait_seconds
from gateway.settings import RetryOptions
from gateway.statements import decision_id
from gateway.stations.progress import Progress
from gateway.store.calls import DatabaseCalls
from gateway.store.refusals import Refusal, Refusals, forget_old, keep_refusal
from policies.findings import UNANSWERED, Category, Stage
from policies.verdicts import Decision, Reason, Verdict

log = logging.getLogger("fluxgate.retries")

MOST_COMPARED = 256
"""Newest refusals of one person that a prompt is compared with: bounds the work."""

RECORDING_SECONDS = 5.0
"""A refusal counts from the moment it is decided. After this long it is in the database, or was not recorded at all."""


class Retries:
    """`key`: 32 secret bytes, the same for all gateways on one database. `clock`: Unix seconds."""

    def __init__(
        self,
        database: Database,
        calls: DatabaseCalls,
        key: bytes,
        options: RetryOptions,
        appeal: str,
        clock: Callable[[], float],
    ) -> None:
        self._refusals = Refusals(database)
        self._calls = calls
        self._key = key
        self._options = options
        self._appeal = appeal
        self._clock = clock
        self._lock = threading.Lock()
        self._deciding: dict[str, tuple[float, Refusal]] = {}  # refusals that are being recorded, by request id

    async def admit(self, who: Principal, end_user: str | None, prompt: str | None = None) -> None:
        """Raises `Suspended`, or `RetrySlowed` for a prompt; `SQLAlchemyError` if it cannot be known."""
        await self._calls(self._admit, who, end_user, prompt)

    async def weigh(self, progress: Progress) -> None:
        """Joins to a request's progress what asking again has led to: a note if it was refused, a hold if it was not.

        To be called once the prompt, or the picture drawn from it, was decided on. A refusal is counted by the
        transaction that records it. Without a database nothing is joined: the progress stands as the screening decided.
        """
        refused = any(
            reason.verdict is Verdict.REFUSE
            and reason.category != UNANSWERED
            and reason.stage is not Stage.INPUT_IMAGE  # there it was for a picture sent in, not for the words
            for reason in progress.decision.reasons
        )
        if progress.decision.stops and not refused:
            return
        try:
            found = await self._calls(self._refused if refused else self._passed, progress)
        except SQLAlchemyError as failure:
            log.warning("refused prompts could not be counted: %s", type(failure).__name__)
            return
        if found is not None:
            telemetry.RETRIES.labels(found.rule.removeprefix("retries-")).inc()
            progress.join(Decision(found.verdict, progress.policy.digest, (found,)))

    # -- blocking, in a thread ------------------------------------------------------------------------------------

    def _admit(self, who: Principal, end_user: str | None, prompt: str | None) -> None:
        now = self._clock()
        own, others = self._known(who, end_user, now)
        until, because = suspension(own)
        if until > now:
            self._count("suspended", because)
            raise Suspended(math.ceil(until - now), until, decision_id(because), self._appeal)
        if prompt is None or not (own or others):
            return
        made = sketch(prompt, self._tenant_key(who))
        for like in likes(own, others, made, self._options, another=False):
            left = like.last + wait_seconds(like.tries, self._options) - now
            if left > 0:
                self._count("slowed", like.newest)
                raise RetrySlowed(math.ceil(left))

    def _count(self, step: str, request_id: str) -> None:
        telemetry.RETRIES.labels(step).inc()
        self._refusals.turn_away(request_id)

    def _passed(self, progress: Progress) -> Reason | None:
        own, others = self._known(progress.who, progress.request.end_user, self._clock())
        if not (own or others):
            return None
        made = sketch(progress.request.prompt, self._tenant_key(progress.who))
        for like in likes(own, others, made, self._options, another=False):
            if like.tries >= self._options.hold_after:
                return self._reason("hold", Verdict.HOLD, progress, like)
        return None

    def _refused(self, progress: Progress) -> Reason | None:
        made = sketch(progress.request.prompt, self._tenant_key(progress.who))
        if made is None:
            return None
        asked, now = progress.request.created_at.timestamp(), self._clock()
        asking = progress.request.asking or progress.request.id
        with self._lock:  # of refusals that are decided at one moment, each sees those before it
            own, others = self._known(progress.who, progress.request.end_user, now)
            found = likes(_before(own, asking), _before(others, asking), made, self._options, another=True)
            step, like = hardest(found, self._options)
            suspends = step == "suspend" and suspension(own)[0] <= now
            until = now + self._options.suspend_seconds if suspends else None
            refusal = Refusal(
                request_id=progress.request.id,
                tenant=progress.who.tenant,
                subject=self._subject(progress.who, progress.request.end_user),
                key_subject=self._subject(progress.who, None),
                asking=asking,
                sketch=made,
                at=asked,
                expires_at=max(asked + self._options.remember_seconds, until or 0.0),
                suspended_until=until,
            )
            self._deciding[refusal.request_id] = (now, refusal)
        progress.alongside += (forget_old(now), keep_refusal(refusal))
        progress.afterwards += (lambda: self._recorded(refusal.request_id),)
        return self._reason(step, Verdict.FLAG, progress, like) if step and like else None

    def _recorded(self, request_id: str) -> None:
        self._deciding.pop(request_id, None)  # without the lock: this is called on the event loop

    def _known(self, who: Principal, end_user: str | None, now: float) -> tuple[Rows, Rows]:
        """The newest refusals of this person, and those of everybody who uses this key.

        Also those of this process that are decided and not in the database yet.
        """
        found: list[Rows] = []
        for request_id, (decided, _) in tuple(self._deciding.items()):
            if decided < now - RECORDING_SECONDS:
                self._deciding.pop(request_id, None)
        deciding = [refusal for _, refusal in tuple(self._deciding.values())]  # before the database is read
        asked: tuple[tuple[Literal["subject", "key_subject"], bytes], ...] = (
            ("subject", self._subject(who, end_user)),
            ("key_subject", self._subject(who, None)),
        )
        for column, value in asked:
            stored = self._refusals.newest(column, value, now, MOST_COMPARED)
            known = {row.request_id for row in stored}
            new = [each for each in deciding if getattr(each, column) == value and each.request_id not in known]
            found.append((*stored, *new))
        return found[0], found[1]

    def _reason(self, step: str, verdict: Verdict, progress: Progress, like: Like) -> Reason:
        return Reason(
            rule=f"retries-{step}",
            category=Category.EVASION.value,
            stage=Stage.OUTPUT_IMAGE if progress.stage is Stage.OUTPUT_IMAGE else Stage.PROMPT,
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


def _before(rows: Rows, asking: str) -> Rows:
    """Those that another request asked for."""
    return [row for row in rows if (row.asking or row.request_id) != asking]
