"""The desk: the only door to the house. Dialects, the command line, and whatever else makes or shows images ask here.

Verbs over plain types: no type of a web framework comes in, and no part of the house goes out, so that no caller can
skip a station or add one. The verbs, in the order of a call:

    identify   who calls, within which rate          upload, moderate   images and texts nothing is drawn for
    model(s)   what is served                        job, history       what became of accepted images
    complete   a wish with its defaults, checked     cancel             call an image off
    accept     images in work, to wait for           file, receipt      what may leave, and its proof
    find       from a copy to its record             telling            how decisions are told
"""

import asyncio
import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import MappingProxyType

from gateway import telemetry
from gateway.addresses import Call
from gateway.auth.end_users import checked_end_user
from gateway.auth.identity import MissingKey, NotPermitted, Principal, Scope, WrongKeyFormat, sends_a_key
from gateway.errors import BadRequest, NotFound
from gateway.exchange import Delivered, Failed, Held, ImageRequest, Outcome, Refused, StoredImage
from gateway.house import House
from gateway.jobs import Jobs, idempotency_key
from gateway.limits import LimitReached, Rate
from gateway.limits.turns import most_at_once
from gateway.notes import NOTHING_TOLD, Told
from gateway.statements import Statement
from gateway.stations.model_names import aliases_of, served_model
from gateway.stations.moderating import Judged, Subject
from gateway.stations.uploads import Taken
from gateway.store.jobs import Accepted, IdempotencyKey, Job, JobState
from gateway.store.pictures import EXTENSIONS, MANIFEST_SUFFIX
from gateway.telling import Telling
from gateway.wishes import Wish, WishBounds, completed
from gateway.work import Work
from inference.engines import ModelCard, check_picture_size
from inference.errors import OrderRefused
from provenance.errors import LedgerUnavailable
from provenance.labels import LabelDoesNotFit
from provenance.log.receipts import Receipt

__all__ = ["Admission", "Desk", "Judged", "Report", "Subject", "Taken", "Work"]

_LONGEST_KEY = 255
_LOOK_SECONDS = 0.25  # between looks at a job that another process works on
_NO_OTHER_NAMES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Admission:
    """A caller who may go on. `headers`: what the answer says of its limits."""

    who: Principal
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Report:
    """How an accepted image stands. `model`: its id. Times are Unix seconds; `outcome` is None while it is in work."""

    id: str
    model: str
    created_at: float
    completed_at: float | None
    steps_done: int
    steps: int
    outcome: Outcome | None


class Desk:
    """`jobs` works on what is accepted here."""

    def __init__(self, house: House, jobs: Jobs) -> None:
        self._house = house
        self._jobs = jobs
        self.telling = Telling(house)
        self.find = house.resolver

    # -- who ----------------------------------------------------------------------------------------------------

    async def identify(self, headers: Mapping[str, str], scope: Scope, rate: Rate = Rate.REQUESTS) -> Admission:
        """The caller, admitted within a rate. Raises NotAuthenticated, NotPermitted or RateLimited, which carries the
        headers of its answer."""
        now = datetime.now(UTC)
        for provider in self._house.identity_providers:
            who = await provider.identify_fresh(headers, now)
            if who is not None:
                break
        else:
            raise WrongKeyFormat if sends_a_key(headers) else MissingKey
        if not who.may(scope):
            raise NotPermitted(scope)
        try:
            state = await self._house.limits.admit(who, rate)
        except LimitReached as refusal:
            refusal.headers = self._house.limits.headers(refusal.state)
            raise
        return Admission(who, self._house.limits.headers(state))

    def end_user(self, call: Call, who: Principal, named: str | None) -> str | None:
        """The caller's pseudonym for its own user. `named`: in the body.

        A front end forwards bodies that its users have written, but sets the header of the settings itself: for a key
        that is trusted to send it, the header counts. Raises `BadEndUser` if it cannot be used.
        """
        header = self._house.settings.end_user_header
        if header is None or Scope.END_USER_HEADER not in who.scopes:
            return named or None
        said = call.headers.get(header.lower(), "").strip()
        return checked_end_user(said, header) if said else named or None

    # -- nothing is drawn ---------------------------------------------------------------------------------------

    async def upload(
        self, who: Principal, end_user: str | None, data: bytes, file_name: str, dialect: str, *, mask: str = ""
    ) -> Taken:
        """Takes an image in: screened, and kept to start from. `mask`: the caller's name of the field, if it is a mask.

        Raises Suspended, UploadRefused, ScreeningUnanswered, UnreadableImage or BadRequest.
        """
        await self.not_suspended(who, end_user)
        if mask:
            return Taken(await self._house.uploads.take_mask(who, data, file_name, mask))
        return await self._house.uploads.take(who, data, file_name, dialect)

    async def moderate(
        self, who: Principal, end_user: str | None, call_id: str, subjects: Sequence[tuple[Subject, bytes]]
    ) -> list[Judged]:
        """What the policy concludes of each subject; the bytes beside it are what the log commits to.

        Raises `Suspended`, `BadRequest` for a text that is too long, `UnreadableImage` or `ScreeningUnanswered`.
        """
        await self.not_suspended(who, end_user)
        longest = self._house.settings.max_prompt_characters
        for subject, _ in subjects:
            if any(isinstance(thing, str) and len(thing) > longest for thing in subject):
                raise BadRequest("input", f"is longer than {longest} characters", "Send it in pieces")
        return await self._house.moderating.judge(who, end_user, call_id, subjects)

    async def not_suspended(self, who: Principal, end_user: str | None) -> None:
        """Raises `Suspended` for whoever may not have anything looked at now, `BadEndUser` for a name that is none."""
        if end_user is not None:
            checked_end_user(end_user)
        await self._house.retries.admit(who, end_user)

    # -- what ---------------------------------------------------------------------------------------------------

    def models(self) -> Sequence[ModelCard]:
        """What is served; the first one draws where no model is named."""
        return self._house.dispatcher.models

    def model(self, name: str | None) -> ModelCard:
        """The served model of that name or alias, or the first one. Raises `UnknownModel`."""
        return served_model(name, self._house.dispatcher.models, self._house.settings.aliases)

    def aliases(self, card: ModelCard) -> list[str]:
        """The model's other names here."""
        return aliases_of(card, self._house.settings.aliases)

    @property
    def provider(self) -> str:
        """Who runs this gateway."""
        return self._house.settings.provider

    def complete(
        self, wishes: Sequence[Wish], dialect: str, prefix: str, fields: Mapping[str, str]
    ) -> list[ImageRequest]:
        """The images that one call asks for, with the model's defaults, checked: they are one try
        (`gateway/retries/counting.py`). `prefix`: of their ids. `fields`: our name of a field → the caller's.

        Raises `BadRequest`, `UnknownModel` or `BadEndUser`; nothing has been counted or written then.
        """
        labels, least = self._house.sealing.labelling.languages, self._house.sealing.parts.watermarker.min_pixels
        bounds = WishBounds(self._house.settings.max_prompt_characters, least, labels)
        made = []
        for wish in wishes:
            if wish.end_user is not None:
                checked_end_user(wish.end_user, fields.get("end_user", "end_user"))
            made.append(completed(wish, self.model(wish.model), bounds, dialect, prefix, fields))
            telemetry.entry_will_have(made[-1].id)
        return [replace(each, asking=made[0].id) for each in made] if len(made) > 1 else made

    async def accept(
        self,
        who: Principal,
        requests: Sequence[ImageRequest],
        fields: Mapping[str, str] = _NO_OTHER_NAMES,
        key: IdempotencyKey | None = None,
    ) -> Work:
        """Makes the requests of one call jobs, all or none: one transaction with what they hold of the image budget.

        `fields`: see `complete`. `key`: with the same one, the same call leads to the same jobs. Raises NotFound,
        BadRequest, UnknownWords, Suspended, RetrySlowed, BudgetExhausted, QueueIsFull, TenantQueueIsFull or
        IdempotencyKeyReused.
        """
        if known := await self.accepted_before(who, key):
            return known
        most = most_at_once(self._house.settings.queue_size)
        if len(requests) > most:
            raise BadRequest("n", f"is more than the {most} images that may wait here at once", "Ask for fewer")
        first = requests[0]
        sent = await self._house.database_calls(self._check_sent, who, first, fields) if first.uploads else None
        sized = [self._house.tailoring.sized(request, sent) for request in requests]
        await asyncio.to_thread(self._check_labels, who, sized[0], fields)
        await self._house.retries.admit(who, first.end_user, first.prompt)
        worded = [await self._house.tailoring.worded(who, request, fields) for request in sized]
        return self._work(who, await self._jobs.accept(who, worded, key))

    async def accepted_before(self, who: Principal, key: IdempotencyKey | None) -> Work | None:
        """What an earlier call with this key led to. Raises `IdempotencyKeyReused`."""
        known = None if key is None else await self._jobs.known(key)
        if known is None:
            return None
        telemetry.entries_are_those_of(known.ids)
        return self._work(who, known)

    def idempotency_key(self, who: Principal, call: Call, *asked: bytes) -> IdempotencyKey | None:
        """The call's `Idempotency-Key`, for what is `asked`. Raises `BadRequest` for one that cannot be used."""
        key = call.headers.get("idempotency-key")
        if key is None:
            return None
        if not 1 <= len(key) <= _LONGEST_KEY or not key.isprintable():
            remedy = "Send for example a UUID, the same one with every attempt"
            raise BadRequest("Idempotency-Key", f"is not 1 to {_LONGEST_KEY} printable characters", remedy)
        body = b"".join(hashlib.sha256(each).digest() for each in (call.path.encode(), *asked))
        return idempotency_key(self._house.idempotency_secret, who, key, body, time.time())

    def _work(self, who: Principal, accepted: Accepted) -> Work:
        return Work(accepted.ids, accepted.again, who.tenant, self._jobs, lambda job_id: self._finished(who, job_id))

    def _check_labels(self, who: Principal, request: ImageRequest, fields: Mapping[str, str]) -> None:
        try:
            self._house.sealing.labelling.of(who.tenant).check(request)
        except LabelDoesNotFit as failure:
            field, remedy = fields.get("visible_label", "visible_label"), "Ask for a wider or higher one"
            raise BadRequest(field, "does not fit into the picture", remedy) from failure

    def _check_sent(self, who: Principal, request: ImageRequest, fields: Mapping[str, str]) -> tuple[int, int] | None:
        """Width and height of the image to change, if there is one. Raises `NotFound`, or `BadRequest` for sizes that
        cannot be drawn from: said now, and not by a failed job."""
        kept = {upload: self._house.uploads.row(upload, who.tenant) for upload in request.uploads}
        sizes = {upload: (each.width, each.height) for upload, each in kept.items()}
        try:
            for upload in filter(None, (request.upload, *request.references)):
                check_picture_size("init_pixels" if upload == request.upload else "references", *sizes[upload])
        except OrderRefused as failure:
            raise BadRequest(fields.get(failure.field, failure.field), "cannot be used", failure.remedy) from failure
        if request.mask and request.upload and sizes[request.mask] != sizes[request.upload]:
            width, height = sizes[request.upload]
            remedy = f"Send one of {width} x {height} pixels"
            raise BadRequest(fields.get("mask", "mask"), "has not the size of the picture", remedy)
        return sizes[request.upload] if request.upload else None

    # -- how it went --------------------------------------------------------------------------------------------

    async def job(self, who: Principal, job_id: str) -> Report:
        """How the caller's own image stands. Raises `NotFound`."""

        def read() -> Report | None:
            job = self._jobs.table.find(job_id, who.tenant)
            return None if job is None else self._report(job)

        found = await self._house.database_calls(read)
        if found is None:
            raise NotFound("prediction")
        return found

    async def history(self, who: Principal, limit: int, before: float | None) -> list[Report]:
        """The caller's images, newest first. `before`: Unix seconds."""

        def read() -> list[Report]:
            return [self._report(job) for job in self._jobs.table.history(who.tenant, limit, before)]

        return await self._house.database_calls(read)

    async def cancel(self, who: Principal, job_id: str) -> Report:
        """Stops a drawing at its next step. Raises `NotFound`."""
        await self.job(who, job_id)
        await self._jobs.cancel(job_id, who.tenant)
        return await self.job(who, job_id)

    async def receipt(self, who: Principal, request_id: str) -> Receipt:
        """The receipt of the caller's own request, or of a decision about it. Raises `NotFound`."""
        decided = await self._house.database_calls(self._house.decisions.about, request_id, who.tenant)
        if decided is not None:
            return decided.receipt
        report = await self.job(who, request_id)
        if report.outcome is None:
            raise NotFound("receipt")
        return report.outcome.receipt

    async def _finished(self, who: Principal, job_id: str) -> Outcome:
        """Waits for a job of the caller's, whichever process works on it."""
        while True:
            if self._jobs.works_on(job_id):
                return await self._jobs.finished(job_id)
            if (outcome := (await self.job(who, job_id)).outcome) is not None:
                return outcome
            await asyncio.sleep(_LOOK_SECONDS)

    def _report(self, job: Job) -> Report:
        done, outcome = self._jobs.steps_done(job), self._outcome(job)
        return Report(job.id, job.model, job.created_at, job.completed_at, done, job.steps, outcome)

    def _outcome(self, job: Job) -> Outcome | None:
        """The outcome of a finished job, rebuilt from its receipt in the log; None while it is in work."""
        if not job.state.is_final:
            return None
        receipt = self._house.ledger.receipt_for(job.id)
        if receipt is None:  # the row and the entry were one transaction
            raise LedgerUnavailable("a finished job has no entry in the log")
        image = self._image(job.content_id) if job.content_id else None
        if job.state is JobState.DELIVERED and image is not None:
            return Delivered(receipt, image, self._told(job))
        if job.state is JobState.HELD:
            return Held(receipt, Statement.from_json(job.reasons or ""), image)
        if job.state is JobState.REFUSED:
            return Refused(receipt, Statement.from_json(job.reasons or ""))
        return Failed(receipt, job.code or "")

    def _told(self, job: Job) -> Told:
        if job.told is None:
            return NOTHING_TOLD
        return Told.from_json(self._house.vault.decrypt(job.told, job.id))

    def _image(self, content_id: str) -> StoredImage:
        found = self._house.images.by_content_id(content_id)
        if found is None:
            raise LedgerUnavailable("a delivered image has no row")
        return found.image

    # -- what may leave -----------------------------------------------------------------------------------------

    def file(self, delivered: Delivered) -> bytes:
        """The sealed file, byte for byte as signed. Blocks. Raises `BlobMissing` or `BlobsUnavailable`."""
        return self._house.pictures.file(delivered.receipt.request_id, delivered.image)

    def image_link(self, call: Call, image: StoredImage) -> str:
        """A signed link to the sealed file, byte for byte as signed."""
        extension = EXTENSIONS[image.media_type]
        return self.link(call, f"/files/images/{image.content_id}.{extension}")

    def manifest_link(self, call: Call, image: StoredImage) -> str:
        """Where the image's manifest store is, for everyone and for good."""
        return f"{call.base}/files/manifests/{image.content_id}{MANIFEST_SUFFIX}"

    def link(self, call: Call, path: str) -> str:
        """A signed link under the base of our own addresses (`gateway/addresses.py`)."""
        return self._house.links.link(call.base, path)
