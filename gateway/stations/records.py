"""Closes cases: one log entry, one receipt, one outcome per request, in one transaction with the job's final state."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, Executable, bindparam, func, insert, update

from gateway import telemetry
from gateway.auth.end_users import commitment_bytes
from gateway.auth.identity import Principal
from gateway.errors import LeaseLost
from gateway.exchange import Delivered, Failed, Held, ImageRequest, Outcome, Refused, StoredImage
from gateway.problems import CANCELLED, failure_code
from gateway.statements import Appeals, Statement, only_unanswered, state
from gateway.stations.pictures import Pictures
from gateway.stations.sealing import Sealed
from gateway.store.budgets import day_of, settle
from gateway.store.decisions import keep
from gateway.store.schema import images, jobs
from gateway.version import SYSTEM_VERSION
from inference.engines import Rendering
from moderation.screening import second_stage
from policies.evaluate import evaluate
from policies.findings import Finding, Stage
from policies.policy import Policy
from policies.verdicts import Decision, Verdict
from provenance.errors import AlreadyRecorded, LedgerUnavailable
from provenance.log import entries
from provenance.log.entries import SALT_BYTES, Entry
from provenance.log.ledger import Ledger
from provenance.log.receipts import Receipt
from provenance.looks.fingerprint import sha256

log = logging.getLogger("fluxgate.records")

UNRECORDABLE = (LedgerUnavailable, LeaseLost, AlreadyRecorded)
"""What cannot end in a log entry of this worker: the log is away, or somebody else records."""


# Made once: building a statement costs more than running it.
_CLOSE = (
    update(jobs)
    .where(jobs.c.id == bindparam("job"), jobs.c.attempt == bindparam("fence"), jobs.c.state == "running")
    .values(
        state=bindparam("now_state"),
        stage=bindparam("now_stage"),
        completed_at=bindparam("now_time"),
        code=bindparam("now_code", None),
        content_id=bindparam("now_content_id", None),
        reasons=bindparam("now_reasons", None),
        steps_done=func.coalesce(bindparam("done"), jobs.c.steps_done),
        charged=func.coalesce(bindparam("charge"), jobs.c.cost),
        lease_until=None,
        order=None,  # the words are kept no longer than the work
    )
)


class Case:
    """What is known of a request so far. A decision about it only ever gets harder.

    `alongside`: what is written in the transaction that records it. `afterwards`: called once that is committed.
    `second_stage`: who was asked about the prompt only because, or not asked since, another was unsure or sure; as it
    stands in the log. `steps_drawn`: by this worker.
    """

    def __init__(self, request: ImageRequest, who: Principal, policy: Policy, attempt: int) -> None:
        self.request = request
        self.who = who
        self.policy = policy
        self.attempt = attempt
        self.stage = Stage.PROMPT
        self.decision = Decision(Verdict.ALLOW, policy.digest)
        self.alongside: tuple[Executable, ...] = ()
        self.afterwards: tuple[Callable[[], None], ...] = ()
        self.second_stage: dict[str, str] = {}
        self.laps = telemetry.Laps()
        self.steps_drawn = 0
        self.is_drawn = False

    @property
    def charge(self) -> int | None:
        """What the caller pays: the steps that were drawn. None: all of it."""
        return None if self.is_drawn else self.request.cost_of(self.steps_drawn)

    @property
    def tolerance(self) -> dict[str, int] | None:
        """The tolerance asked for, and the one that counted; None where none was asked for."""
        if self.request.tolerance is None:
            return None
        return {"asked": self.request.tolerance, "counted": self.policy.tolerance}

    def decide(self, findings: Iterable[Finding], stage: Stage, pictures: Sequence[Sequence[Finding]] = ()) -> None:
        """Joins the policy's decision about these findings to what was decided before.

        `pictures`: what was found in each picture sent in with the words that are decided on.
        """
        findings = tuple(findings)
        if stage is Stage.PROMPT:
            self.second_stage = second_stage(findings)
        self.stage = stage
        self.laps.end("image" if stage is Stage.OUTPUT_IMAGE else "prompt")
        assurance = int(self.who.assurance)
        self.join(evaluate(self.policy, findings, stage=stage, assurance=assurance, pictures=pictures))

    def join(self, decision: Decision) -> None:
        """Joins another decision at the stage that was last decided on."""
        self.decision = self.decision.join(decision)


class Records:
    """`clock`: aware UTC time. `appeals`: whom to turn to about what findings cite.

    One pool thread per waiting recorder, so that the ledger can commit them in groups.
    """

    def __init__(
        self,
        ledger: Ledger,
        pictures: Pictures,
        clock: Callable[[], datetime],
        appeals: Appeals = MappingProxyType({}),
        threads: int = 32,
    ) -> None:
        self._ledger = ledger
        self._appeals = appeals
        self._pictures = pictures
        self._clock = clock
        self._pool = ThreadPoolExecutor(threads, "records")

    async def stopped(self, case: Case) -> Outcome:
        """Closes a case the policy stopped. A classifier's silence alone is our failure, not the caller's fault."""
        if only_unanswered(case.decision):
            return await self._failed(case, "screening_unanswered")
        statement = self._statement(case)
        held = case.decision.verdict is Verdict.HOLD
        outcome = entries.Outcome.HELD if held else entries.Outcome.REFUSED
        receipt = await self._close(case, outcome, {"now_reasons": statement.to_json()}, statement=statement)
        return Held(receipt, statement, None) if held else Refused(receipt, statement)

    def _statement(self, case: Case) -> Statement:
        request = case.request
        return state(case.decision, case.stage, case.policy, request.id, self._appeals, request.language)

    async def failed(self, case: Case, failure: BaseException) -> Outcome:
        """Closes a case a part broke on. The log gets the code, our own log the exception's type, nobody its words."""
        code = failure_code(failure)
        log.warning("request %s failed: %s (%s)", case.request.id, code, type(failure).__name__)
        return await self._failed(case, code)

    async def _failed(self, case: Case, code: str) -> Failed:
        receipt = await self._close(case, entries.Outcome.FAILED, {"now_code": code}, failure=code)
        return Failed(receipt, code)

    async def sealed(self, case: Case, rendering: Rendering, sealed: Sealed) -> Outcome:
        """Closes a case with a sealed picture: delivered, or held for a reviewer."""
        held = case.decision.verdict is Verdict.HOLD
        statement = self._statement(case) if held else None
        picture = sealed.image
        image = StoredImage(
            content_id=sealed.content_id,
            media_type=picture.media_type,
            sha256=picture.sha256,
            manifest_id=picture.manifest_id,
            manifest_sha256=sha256(picture.manifest),
            mark=picture.mark.hex(),
            width=picture.width,
            height=picture.height,
            model=rendering.model_id,
            quality=picture.quality,
        )
        try:
            receipt = await self._close(
                case,
                entries.Outcome.HELD if held else entries.Outcome.DELIVERED,
                {"now_content_id": image.content_id, "now_reasons": statement.to_json() if statement else None},
                statement=statement,
                sealed=sealed,
                rendering=rendering,
                drawing=case.request.drawing,
                model_id=rendering.model_id,
                weights_digest=rendering.weights_digest,
                output_sha256=picture.sha256,
                pdq=picture.pdq,
                manifest_id=picture.manifest_id,
                manifest_sha256=image.manifest_sha256,
                mark_id=picture.mark.hex(),
                content_id=sealed.content_id,
                timestamped=picture.timestamped,
            )
        except (LeaseLost, AlreadyRecorded):  # somebody else's picture is the recorded one
            await self._pictures.discard(case.request.id, image)
            raise
        return Held(receipt, statement, image) if statement else Delivered(receipt, image, case.request.told)

    async def _close(
        self,
        case: Case,
        outcome: entries.Outcome,
        job: dict[str, Any],
        *,
        statement: Statement | None = None,
        sealed: Sealed | None = None,
        rendering: Rendering | None = None,
        **facts: Any,
    ) -> Receipt:
        case.laps.end("sealing" if sealed is not None else "deciding")
        now = self._clock()
        salt = secrets.token_bytes(SALT_BYTES)
        entry = Entry(
            request_id=case.request.id,
            outcome=outcome,
            time=now,
            dialect=case.request.dialect,
            stage=case.stage.value,
            policy=case.policy.name,
            policy_digest=case.policy.digest,
            verdict=case.decision.verdict,
            reasons=case.decision.reasons,
            shadows=case.decision.shadows,
            tolerance=case.tolerance,
            second_stage=case.second_stage or None,
            system_version=SYSTEM_VERSION,
            commitments=_commitments(salt, case),
            **facts,
        )
        final = job | {
            "job": case.request.id,
            "fence": case.attempt,
            "now_state": outcome.value,
            "now_stage": case.stage.value,
            "now_time": now.timestamp(),
            "done": case.request.steps if case.is_drawn else case.steps_drawn,
            # What fails here is not the caller's to pay; what the caller calls off is, as far as it was drawn.
            "charge": 0 if outcome is entries.Outcome.FAILED and job["now_code"] != CANCELLED else case.charge,
        }
        day = day_of(case.request.created_at.timestamp())

        def alongside(connection: Connection) -> None:
            if connection.execute(_CLOSE, final).rowcount != 1:
                raise LeaseLost
            if final["charge"] is not None:
                settle(connection, case.request.id, case.who.tenant, day)
            if sealed is not None and rendering is not None:
                connection.execute(insert(images).values(_image_row(case, sealed, rendering, outcome, now)))
            if statement is not None:
                connection.execute(keep(statement, case.request.id, case.who.tenant, now.timestamp()))
            for each in case.alongside:
                connection.execute(each)

        loop = asyncio.get_running_loop()
        receipt = await loop.run_in_executor(self._pool, lambda: self._ledger.record(entry, alongside, salt=salt))
        for call in case.afterwards:
            call()
        case.laps.end("recording")
        held = outcome in (entries.Outcome.HELD, entries.Outcome.REFUSED)
        telemetry.request_ended(
            request_id=case.request.id,
            outcome=outcome.value,
            dialect=case.request.dialect,
            stage=case.stage.value,
            stops=[
                (reason.category, reason.stage.value)
                for reason in case.decision.reasons
                if held and reason.verdict is case.decision.verdict
            ],
            failure=facts.get("failure"),
            seconds=case.laps.seconds | ({} if rendering is None else {"engine": rendering.seconds}),
        )
        return receipt

    def close(self) -> None:
        """Waits for what is being recorded."""
        self._pool.shutdown(wait=True)


def _commitments(salt: bytes, case: Case) -> dict[str, str]:
    """What is personal stands in the log only as a commitment; deleting the salt erases it, and proofs still hold."""
    values = {"principal": f"{case.who.tenant}/{case.who.key_id}".encode()}
    if case.request.prompt:  # empty only where a stored request did not open any more
        values["prompt"] = case.request.prompt.encode()
    if case.request.revised_prompt is not None:
        values["revised_prompt"] = case.request.revised_prompt.encode()
    if case.request.end_user is not None:
        values["end_user"] = commitment_bytes(case.who.tenant, case.request.end_user)
    if case.request.uploads:
        values["upload"] = ",".join(case.request.uploads).encode()
    return {name: entries.commit(salt, name, value) for name, value in values.items()}


def _image_row(
    case: Case, sealed: Sealed, rendering: Rendering, outcome: entries.Outcome, now: datetime
) -> dict[str, Any]:
    picture = sealed.image
    return {
        "content_id": sealed.content_id,
        "job_id": case.request.id,
        "tenant": case.who.tenant,
        "media_type": picture.media_type,
        "width": picture.width,
        "height": picture.height,
        "size": len(picture.data),
        "sha256": picture.sha256,
        "pdq": picture.pdq,
        "pdq_quality": picture.pdq_quality,
        "landmarks": picture.landmarks,
        "mark": picture.mark.hex() or None,
        "mark_algorithm": picture.mark_algorithm,
        "manifest_id": picture.manifest_id,
        "manifest_sha256": sha256(picture.manifest),
        "model": rendering.model_id,
        "model_trained": rendering.trained,
        "quality": picture.quality,
        "created_at": now.timestamp(),
        "held": outcome is entries.Outcome.HELD,
    }


def utc_now() -> datetime:
    """The wall clock, where one must be handed in."""
    return datetime.now(UTC)
