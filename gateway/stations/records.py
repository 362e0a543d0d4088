"""Records how a request ends: one log entry, receipt and outcome, in one transaction with the job's final state."""

import asyncio
import logging
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, update

from gateway import telemetry
from gateway.auth.end_users import commitment_bytes
from gateway.errors import LeaseLost
from gateway.exchange import Delivered, Failed, Held, Outcome, Refused, StoredImage
from gateway.problems import CANCELLED, failure_code
from gateway.statements import Appeals, Statement, only_unanswered, state
from gateway.stations.progress import Progress
from gateway.stations.sealing import Sealed
from gateway.store.budgets import day_of, settle
from gateway.store.decisions import keep
from gateway.store.jobs import JobState
from gateway.store.pictures import Pictures
from gateway.store.schema import images, jobs
from gateway.version import SYSTEM_VERSION
from inference.engines import Rendering
from policies.verdicts import Verdict
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
    .where(jobs.c.id == bindparam("job"), jobs.c.attempt == bindparam("fence"), jobs.c.state == JobState.RUNNING)
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
        request=None,  # the words are kept no longer than the work
    )
)


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

    async def stopped(self, progress: Progress) -> Outcome:
        """Records a request that the policy stopped. Silence of a classifier alone is our failure, not the caller's."""
        if only_unanswered(progress.decision):
            return await self._failed(progress, "screening_unanswered")
        statement = self._statement(progress)
        held = progress.decision.verdict is Verdict.HOLD
        outcome = entries.EntryKind.HELD if held else entries.EntryKind.REFUSED
        receipt = await self._close(progress, outcome, {"now_reasons": statement.to_json()}, statement=statement)
        return Held(receipt, statement, None) if held else Refused(receipt, statement)

    def _statement(self, progress: Progress) -> Statement:
        request = progress.request
        return state(progress.decision, progress.stage, progress.policy, request.id, self._appeals, request.language)

    async def failed(self, progress: Progress, failure: BaseException) -> Outcome:
        """Records a request that a part broke on: the log gets the code, our own log the exception's type."""
        code = failure_code(failure)
        log.warning("request %s failed: %s (%s)", progress.request.id, code, type(failure).__name__)
        return await self._failed(progress, code)

    async def _failed(self, progress: Progress, code: str) -> Failed:
        receipt = await self._close(progress, entries.EntryKind.FAILED, {"now_code": code}, failure=code)
        return Failed(receipt, code)

    async def sealed(self, progress: Progress, rendering: Rendering, sealed: Sealed) -> Outcome:
        """Records a request with its sealed image: delivered, or held for a reviewer."""
        held = progress.decision.verdict is Verdict.HOLD
        statement = self._statement(progress) if held else None
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
                progress,
                entries.EntryKind.HELD if held else entries.EntryKind.DELIVERED,
                {"now_content_id": image.content_id, "now_reasons": statement.to_json() if statement else None},
                statement=statement,
                sealed=sealed,
                rendering=rendering,
                drawing=progress.request.recorded,
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
            await self._pictures.discard(progress.request.id, image)
            raise
        return Held(receipt, statement, image) if statement else Delivered(receipt, image, progress.request.told)

    async def _close(
        self,
        progress: Progress,
        outcome: entries.EntryKind,
        job: dict[str, Any],
        *,
        statement: Statement | None = None,
        sealed: Sealed | None = None,
        rendering: Rendering | None = None,
        **facts: Any,
    ) -> Receipt:
        progress.laps.end("sealing" if sealed is not None else "deciding")
        now = self._clock()
        salt = secrets.token_bytes(SALT_BYTES)
        entry = Entry(
            request_id=progress.request.id,
            outcome=outcome,
            time=now,
            dialect=progress.request.dialect,
            stage=progress.stage.value,
            policy=progress.policy.name,
            policy_digest=progress.policy.digest,
            verdict=progress.decision.verdict,
            reasons=progress.decision.reasons,
            shadows=progress.decision.shadows,
            tolerance=progress.tolerance,
            second_stage=progress.second_stage or None,
            system_version=SYSTEM_VERSION,
            commitments=_commitments(salt, progress),
            **facts,
        )
        final = job | {
            "job": progress.request.id,
            "fence": progress.attempt,
            "now_state": outcome.value,
            "now_stage": progress.stage.value,
            "now_time": now.timestamp(),
            "done": progress.request.drawing.steps if progress.is_drawn else progress.steps_drawn,
            # What fails here is not the caller's to pay; what the caller calls off is, as far as it was drawn.
            "charge": 0 if outcome is entries.EntryKind.FAILED and job["now_code"] != CANCELLED else progress.charge,
        }
        day = day_of(progress.request.created_at.timestamp())

        def alongside(connection: Connection) -> None:
            if connection.execute(_CLOSE, final).rowcount != 1:
                raise LeaseLost
            if final["charge"] is not None:
                settle(connection, progress.request.id, progress.who.tenant, day)
            if sealed is not None and rendering is not None:
                connection.execute(insert(images).values(_image_row(progress, sealed, rendering, outcome, now)))
            if statement is not None:
                connection.execute(keep(statement, progress.request.id, progress.who.tenant, now.timestamp()))
            for each in progress.alongside:
                connection.execute(each)

        loop = asyncio.get_running_loop()
        receipt = await loop.run_in_executor(self._pool, lambda: self._ledger.record(entry, alongside, salt=salt))
        for call in progress.afterwards:
            call()
        progress.laps.end("recording")
        held = outcome in (entries.EntryKind.HELD, entries.EntryKind.REFUSED)
        telemetry.request_ended(
            request_id=progress.request.id,
            outcome=outcome.value,
            dialect=progress.request.dialect,
            stage=progress.stage.value,
            stops=[
                (reason.category, reason.stage.value)
                for reason in progress.decision.reasons
                if held and reason.verdict is progress.decision.verdict
            ],
            failure=facts.get("failure"),
            seconds=progress.laps.seconds | ({} if rendering is None else {"engine": rendering.seconds}),
        )
        return receipt

    def close(self) -> None:
        """Waits for what is being recorded."""
        self._pool.shutdown(wait=True)


def _commitments(salt: bytes, progress: Progress) -> dict[str, str]:
    """What is personal stands in the log only as a commitment; deleting the salt erases it, and proofs still hold."""
    values = {"principal": f"{progress.who.tenant}/{progress.who.key_id}".encode()}
    if progress.request.prompt:  # empty only where a stored request did not open any more
        values["prompt"] = progress.request.prompt.encode()
    if progress.request.revised_prompt is not None:
        values["revised_prompt"] = progress.request.revised_prompt.encode()
    if progress.request.end_user is not None:
        values["end_user"] = commitment_bytes(progress.who.tenant, progress.request.end_user)
    if progress.request.uploads:
        values["upload"] = ",".join(progress.request.uploads).encode()
    return {name: entries.commit(salt, name, value) for name, value in values.items()}


def _image_row(
    progress: Progress, sealed: Sealed, rendering: Rendering, outcome: entries.EntryKind, now: datetime
) -> dict[str, Any]:
    picture = sealed.image
    return {
        "content_id": sealed.content_id,
        "job_id": progress.request.id,
        "tenant": progress.who.tenant,
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
        "held": outcome is entries.EntryKind.HELD,
    }


def utc_now() -> datetime:
    """The wall clock, where one must be handed in."""
    return datetime.now(UTC)
