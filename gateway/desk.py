"""The front desk every dialect stands at: who is asking, within what limits, for what; then the job is accepted.

Dialects translate. They reach the house only through here, so none can skip a station or add one.
"""

import asyncio
import hashlib
import secrets
import time
from base64 import b32encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType

from fastapi import Request
from sqlalchemy import select

from gateway import telemetry
from gateway.addresses import public_base
from gateway.auth.end_users import checked_end_user
from gateway.auth.identity import NotAuthenticated, NotPermitted, Principal, Scope, sends_a_key
from gateway.errors import BadRequest, NotFound
from gateway.exchange import Delivered, Failed, Held, ImageRequest, Outcome, Refused, StoredImage
from gateway.house import House
from gateway.jobs import Jobs, idempotency_key
from gateway.limits import LimitReached, Rate
from gateway.limits.turns import most_at_once
from gateway.notes import NOTHING_TOLD, Told
from gateway.statements import Statement
from gateway.stations.model_names import aliases_of, served_model
from gateway.store.database import reading
from gateway.store.jobs import FINAL_STATES, Accepted, IdempotencyKey, JobRow
from gateway.store.pictures import EXTENSIONS, MANIFEST_SUFFIX
from gateway.store.schema import images
from gateway.telling import Telling
from gateway.wishes import DEFAULT_STRENGTH, MEDIA_TYPES, Wish
from gateway.wording import LANGUAGES, known
from inference.engines import (
    MAX_REFERENCES,
    ModelCard,
    RenderOrder,
    check_order,
    check_picture_size,
)
from inference.errors import OrderRefused
from inference.sizes import fit
from policies.policy import TOLERANCES
from provenance.errors import LedgerUnavailable
from provenance.labels import LabelDoesNotFit
from provenance.log.receipts import Receipt

_LONGEST_KEY = 255
_LOOK_SECONDS = 0.25  # between looks at a job that another process works on
_SEEDS = 2**53
"""Seeds drawn here are told in JSON, where many readers keep no larger number exactly."""


def _check_modes(request: ImageRequest, card: ModelCard, bad: Callable[[str, str, str], BadRequest]) -> None:
    """Raises what `bad` makes of pictures that the model does not take, or not as many. It says how many it takes."""
    one, others = bool(request.upload), len(request.references)
    if one and "image" not in card.modes:
        raise bad("upload", f"takes no image; got {1 + others}", "Leave it out, or choose another model")
    if request.mask and "inpaint" not in card.modes:
        raise bad("mask", "this model changes no region of its own", "Leave it out, or choose another model")
    if others and "references" not in card.modes:
        taken, remedy = ("one image", "Send one image") if one else ("no references", "Leave them out")
        raise bad("references", f"takes {taken}; got {one + others}", f"{remedy}, or choose another model")
    if others > MAX_REFERENCES:
        raise bad("references", f"takes at most {MAX_REFERENCES} images; got {others}", "Send fewer")


class Desk:
    """`jobs` works on what is accepted here."""

    def __init__(self, house: House, jobs: Jobs) -> None:
        self.house = house
        self.jobs = jobs
        self.telling = Telling(house)

    # -- who ----------------------------------------------------------------------------------------------------

    async def identify(self, request: Request, scope: Scope, rate: Rate = Rate.REQUESTS) -> Principal:
        """The caller, admitted within a rate. Raises NotAuthenticated, NotPermitted or RateLimited.

        Asked for the first time before the body is read (`gateway/intake/admission.py`), and counted only then.
        """
        known: Principal | None = getattr(request.state, "caller", None)
        if known is not None:
            if not known.may(scope):
                raise NotPermitted(scope)
            return known
        now = datetime.now(UTC)
        for provider in self.house.identity_providers:
            who = await provider.identify_fresh(request.headers, now)
            if who is not None:
                break
        else:
            raise NotAuthenticated("wrong_key_format" if sends_a_key(request.headers) else "missing_key")
        if not who.may(scope):
            raise NotPermitted(scope)
        try:
            state = await self.house.limits.admit(who, rate)
        except LimitReached as refusal:
            request.state.headers = self.house.limits.headers(refusal.state)
            raise
        request.state.headers = self.house.limits.headers(state)
        request.state.caller = who
        return who

    def end_user(self, request: Request, who: Principal, named: str | None) -> str | None:
        """The caller's pseudonym for its own user. `named`: in the body.

        A front end forwards bodies that its users have written, but sets the header of the settings itself: for a key
        that is trusted to send it, the header counts. Raises `BadEndUser` if it cannot be used.
        """
        header = self.house.settings.end_user_header
        if header is None or Scope.END_USER_HEADER not in who.scopes:
            return named or None
        said = request.headers.get(header, "").strip()
        return checked_end_user(said, header) if said else named or None

    async def not_suspended(self, who: Principal, end_user: str | None) -> None:
        """Raises `Suspended` for whoever may not have anything looked at now, `BadEndUser` for a name that is none.

        For what is no picture to be made: pictures sent in and moderation calls.
        """
        if end_user is not None:
            checked_end_user(end_user)
        await self.house.retries.admit(who, end_user)

    # -- what ---------------------------------------------------------------------------------------------------

    def model(self, name: str | None) -> ModelCard:
        """The served model of that name or alias, or the first one. Raises `UnknownModel`."""
        return served_model(name, self.house.dispatcher.models, self.house.settings.aliases)

    def aliases(self, card: ModelCard) -> list[str]:
        """The model's other names here."""
        return aliases_of(card, self.house.settings.aliases)

    def complete(self, wish: Wish, dialect: str, prefix: str, fields: Mapping[str, str]) -> ImageRequest:
        """The wish with the model's defaults, checked. `fields`: our name of a field → the caller's.

        Raises `BadRequest`, `OrderRefused` or `UnknownModel`; nothing has been counted or written then.
        """

        def bad(field: str, problem: str, remedy: str) -> BadRequest:
            return BadRequest(fields.get(field, field), problem, remedy)

        card = self.model(wish.model)
        longest = self.house.settings.max_prompt_characters
        if len(wish.prompt) > longest:
            raise bad("prompt", f"has {len(wish.prompt)} characters, at most {longest} are read", "Shorten it")
        if wish.output_format not in MEDIA_TYPES:
            raise bad("output_format", "is not a format made here", "Use png, jpeg, webp, avif or tiff")
        if not 1 <= wish.quality <= 100:
            raise bad("quality", "must lie between 1 and 100", "Leave it out for the default")
        if wish.strength is not None and not 0 < wish.strength <= 1:  # also refuses NaN
            raise bad("strength", "is out of range", "Choose a number above 0, up to 1")
        if wish.strength is not None and not (wish.upload and (card.uses_strength or wish.mask)):
            why = (
                "this model does not use it" if wish.upload else "belongs to an image to start from, and none was sent"
            )
            raise bad("strength", why, "Leave it out")
        if wish.tolerance not in (None, *TOLERANCES):
            raise bad("tolerance", "is out of range", "Choose 0, the strictest, to 6; without it, 2 counts")
        if wish.end_user is not None:
            checked_end_user(wish.end_user, fields.get("end_user", "end_user"))
        try:
            wide, high = card.default_size
            fitted = fit(card, wide if wish.width is None else wish.width, high if wish.height is None else wish.height)
        except OrderRefused as failure:
            raise bad(failure.field, "cannot be used", failure.remedy) from failure
        request = ImageRequest(
            id=f"{prefix}_{b32encode(secrets.token_bytes(15)).decode().lower()}",
            dialect=dialect,
            model=card.id,
            prompt=wish.prompt,
            width=fitted.width,
            height=fitted.height,
            fits_input=wish.upload is not None and wish.width is None and wish.height is None,
            steps=wish.steps if wish.steps is not None else card.default_steps,
            guidance=wish.guidance if wish.guidance is not None else card.default_guidance,
            seed=wish.seed if wish.seed is not None else secrets.randbelow(_SEEDS),
            created_at=datetime.now(UTC),
            media_type=MEDIA_TYPES[wish.output_format],
            quality=wish.quality,
            upload=wish.upload,
            strength=wish.strength if wish.strength is not None else DEFAULT_STRENGTH,
            end_user=wish.end_user,
            mask=wish.mask,
            references=wish.references,
            finish=replace(wish.finish, size=fitted.size),
            visible_label=wish.visible_label,
            label_corner=wish.label_corner,
            label_language=wish.label_language,
            tolerance=wish.tolerance,
            language=wish.language,
        )
        try:
            check_order(
                RenderOrder(
                    prompt=request.prompt,
                    model=card.id,
                    width=request.width,
                    height=request.height,
                    steps=request.steps,
                    guidance=request.guidance,
                    seed=request.seed,
                    strength=request.strength,
                    finish=request.finish,
                ),
                card,
            )
        except OrderRefused as failure:
            raise bad(failure.field, "cannot be used", failure.remedy) from failure
        least = self.house.sealing.parts.watermarker.min_pixels
        if request.final_size[0] * request.final_size[1] < least:
            raise bad("width", f"the picture has fewer than {least} pixels, too few for a watermark", "Ask for more")
        _check_modes(request, card, bad)
        if request.mask and not request.upload:
            raise bad("mask", "belongs to a picture, and none was sent", "Send the picture to change along")
        languages = self.house.sealing.labelling.languages
        if wish.language is not None and known(wish.language) is None:
            raise bad("language", "is no language of refusals here", f"Use one of {', '.join(LANGUAGES)}")
        if wish.label_language not in (None, *languages):
            raise bad("label_language", "is no language of labels here", f"Use one of {', '.join(languages)}")
        telemetry.entry_will_have(request.id)
        return request

    def complete_all(
        self, wishes: Sequence[Wish], dialect: str, prefix: str, fields: Mapping[str, str]
    ) -> list[ImageRequest]:
        """`complete`, for the images that one request asks for: they are one try (`gateway/retries/counting.py`)."""
        made = [self.complete(wish, dialect, prefix, fields) for wish in wishes]
        return [replace(each, asking=made[0].id) for each in made]

    async def accept(
        self,
        who: Principal,
        requests: Sequence[ImageRequest],
        fields: Mapping[str, str] = MappingProxyType({}),
        key: IdempotencyKey | None = None,
    ) -> Accepted:
        """Makes the requests of one call jobs, all or none: one transaction with what they hold of the image budget.

        `fields`: see `complete`. `key`: with the same one, the same call leads to the same jobs. Raises NotFound,
        BadRequest, UnknownWords, Suspended, RetrySlowed, BudgetExhausted, QueueIsFull, TenantQueueIsFull or
        IdempotencyKeyReused.
        """
        if known := await self.accepted_before(key):
            return known
        most = most_at_once(self.house.settings.queue_size)
        if len(requests) > most:
            raise BadRequest("n", f"is more than the {most} images that may wait here at once", "Ask for fewer")
        first = requests[0]
        sent = await self.house.database_calls(self._check_sent, who, first, fields) if first.uploads else None
        sized = [self.house.tailoring.sized(request, sent) for request in requests]
        await asyncio.to_thread(self._check_labels, who, sized[0], fields)
        await self.house.retries.admit(who, first.end_user, first.prompt)
        worded = [await self.house.tailoring.worded(who, request, fields) for request in sized]
        return await self.jobs.accept(who, worded, key)

    async def accepted_before(self, key: IdempotencyKey | None) -> Accepted | None:
        """The jobs that an earlier call with this key led to. Raises `IdempotencyKeyReused`."""
        known = None if key is None else await self.jobs.known(key)
        if known is not None:
            telemetry.entries_are_those_of(known.ids)
        return known

    def idempotency_key(self, who: Principal, request: Request, *asked: bytes) -> IdempotencyKey | None:
        """The call's `Idempotency-Key`, for what is `asked`. Raises `BadRequest` for one that cannot be used."""
        key = request.headers.get("idempotency-key")
        if key is None:
            return None
        if not 1 <= len(key) <= _LONGEST_KEY or not key.isprintable():
            remedy = "Send for example a UUID, the same one with every attempt"
            raise BadRequest("Idempotency-Key", f"is not 1 to {_LONGEST_KEY} printable characters", remedy)
        body = b"".join(hashlib.sha256(each).digest() for each in (request.url.path.encode(), *asked))
        return idempotency_key(self.house.idempotency_secret, who, key, body, time.time())

    def _check_labels(self, who: Principal, request: ImageRequest, fields: Mapping[str, str]) -> None:
        try:
            self.house.sealing.labelling.of(who.tenant).check(request)
        except LabelDoesNotFit as failure:
            field, remedy = fields.get("visible_label", "visible_label"), "Ask for a wider or higher one"
            raise BadRequest(field, "does not fit into the picture", remedy) from failure

    def _check_sent(self, who: Principal, request: ImageRequest, fields: Mapping[str, str]) -> tuple[int, int] | None:
        """Width and height of the image to change, if there is one. Raises `NotFound`, or `BadRequest` for sizes that
        cannot be drawn from: said now, and not by a failed job."""
        rows = {upload: self.house.uploads.row(upload, who.tenant) for upload in request.uploads}
        sizes = {upload: (int(row.width), int(row.height)) for upload, row in rows.items()}
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

    async def receipt(self, who: Principal, request_id: str) -> Receipt:
        """The receipt of the caller's own request, or of a decision about it. Raises `NotFound`."""
        decided = await self.house.database_calls(self.house.decisions.about, request_id, who.tenant)
        if decided is not None:
            return decided.receipt
        outcome = await self.outcome(await self.job(who, request_id))
        if outcome is None:
            raise NotFound("receipt")
        return outcome.receipt

    async def job(self, who: Principal, job_id: str) -> JobRow:
        """The caller's own job. Raises `NotFound`."""
        row = await self.house.database_calls(self.jobs.rows.find, job_id, who.tenant)
        if row is None:
            raise NotFound("prediction")
        return row

    async def history(self, who: Principal, limit: int, before: float | None) -> list[tuple[JobRow, Outcome | None]]:
        """The caller's jobs with their outcomes, newest first."""

        def read() -> list[tuple[JobRow, Outcome | None]]:
            return [(row, self._outcome(row)) for row in self.jobs.rows.history(who.tenant, limit, before)]

        return await self.house.database_calls(read)

    async def finished(self, who: Principal, job_id: str) -> Outcome:
        """Waits for a job of the caller's, whichever process works on it. Raises `LedgerUnavailable`, `LeaseLost`."""
        while True:
            if self.jobs.works_on(job_id):
                return await self.jobs.finished(job_id)
            outcome = await self.outcome(await self.job(who, job_id))
            if outcome is not None:
                return outcome
            await asyncio.sleep(_LOOK_SECONDS)

    async def outcome(self, row: JobRow) -> Outcome | None:
        """The outcome of a finished job, rebuilt from its receipt in the log; None while it is in work."""
        return await self.house.database_calls(self._outcome, row) if row.state in FINAL_STATES else None

    def _outcome(self, row: JobRow) -> Outcome | None:
        if row.state not in FINAL_STATES:
            return None
        receipt = self.house.ledger.receipt_for(row.id)
        if receipt is None:  # the row and the entry were one transaction
            raise LedgerUnavailable("a finished job has no entry in the log")
        match row.state:
            case "delivered":
                return Delivered(receipt, self._image(row.content_id), self.told(row))
            case "held":
                image = self._image(row.content_id) if row.content_id else None
                return Held(receipt, Statement.from_json(row.reasons), image)
            case "refused":
                return Refused(receipt, Statement.from_json(row.reasons))
            case _:
                return Failed(receipt, row.code)

    def told(self, row: JobRow) -> Told:
        """What the caller is told about a job's image beside the image."""
        if row.told is None:
            return NOTHING_TOLD
        return Told.from_json(self.house.vault.decrypt(row.told, row.id))

    def _image(self, content_id: str) -> StoredImage:
        with reading(self.house.database).connect() as connection:
            row = connection.execute(select(images).where(images.c.content_id == content_id)).one()
        return StoredImage(
            content_id=row.content_id,
            media_type=row.media_type,
            sha256=row.sha256,
            manifest_id=row.manifest_id,
            manifest_sha256=row.manifest_sha256,
            mark=row.mark,
            width=row.width,
            height=row.height,
            model=row.model,
            quality=row.quality,
        )

    def image_link(self, request: Request, image: StoredImage) -> str:
        """A signed link to the sealed file, byte for byte as signed."""
        extension = EXTENSIONS[image.media_type]
        return self.link(request, f"/files/images/{image.content_id}.{extension}")

    def manifest_link(self, request: Request, image: StoredImage) -> str:
        """Where the picture's manifest store is, for everyone and for good."""
        return f"{public_base(request, self.house.settings)}/files/manifests/{image.content_id}{MANIFEST_SUFFIX}"

    def link(self, request: Request, path: str) -> str:
        """A signed link under the base of our own addresses (`gateway/addresses.py`)."""
        return self.house.links.link(public_base(request, self.house.settings), path)
