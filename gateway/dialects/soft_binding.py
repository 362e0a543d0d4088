"""The C2PA Soft Binding Resolution API 2.4: from any copy of a picture back to its manifest and its place in the log.

Read only, for anyone, at the public rate: nothing here tells more than the delivered file told its receiver. Pictures
come in as bytes; `byReference` is left out, since a gateway that fetches what strangers name can be pointed anywhere.
A watermark found in another picture than the recorded one is no match; one too plain to be compared has no score.
"""

import asyncio
import base64
import binascii
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar

import orjson
from fastapi import APIRouter, Body, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, Row, select
from sqlalchemy.exc import SQLAlchemyError

from gateway.addresses import public_base
from gateway.desk import Desk
from gateway.dialects.bodies import WireBody
from gateway.dialects.described import binary
from gateway.dialects.dialect import speaking
from gateway.dialects.soft_binding_answers import ANSWERS, SoftBindingError
from gateway.errors import BadRequest, NotFound
from gateway.intake.admission import FILES, public
from gateway.problems import Problem
from gateway.store.database import reading
from gateway.store.schema import images
from provenance.credentials.store import active_manifest
from provenance.errors import LedgerUnavailable
from provenance.files.encoding import MEDIA_TYPES
from provenance.log.receipts import Receipt, ReceiptInvalid, verify_receipt
from provenance.looks.fingerprint import PDQ_ALGORITHM
from provenance.payload import MARK_BYTES
from provenance.standings import Standing

SPEC_VERSION = "2.4.0"
ROOT = "/c2pa/v1"
_PDQ_BYTES = 32
_BINDING = {"a fingerprint": {"value": {"alg": PDQ_ALGORITHM, "value": base64.b64encode(bytes(_PDQ_BYTES)).decode()}}}
_RECEIPT = {
    "a receipt": {
        "value": {"repository": {"manifestId": "urn:c2pa:…"}, "anchor": {"proof": {"value": "c2sp.org/tlog-proof@v1…"}}}
    }
}
_MOST_HINTED = 3  # to lay a copy over an original takes about 0.2 s
_RECEIPT_TYPE = "org.c2pa.manifest-receipt"
_RECEIPT_CONTEXT = {"c2pa": "https://c2pa.org/ns/", "receipt": "https://c2pa.org/ns/manifest-receipt#"}

Picture = Annotated[bytes, Body(media_type="image/png", description="the file itself")]
MaxResults = Annotated[int, Query(alias="maxResults", ge=1, le=100)]
ActiveOnly = Annotated[bool, Query(alias="returnActiveManifest")]
HintAlg = Annotated[str | None, Query(alias="hintAlg", max_length=200)]
HintValue = Annotated[str | None, Query(alias="hintValue", max_length=1000)]
Matches = list[dict[str, Any]]


class BindingBody(WireBody):
    """A soft binding: `value` in base64, as it stands in the assertion."""

    alg: str = Field(max_length=200)
    value: str = Field(max_length=1000)


class SoftBinding:
    """Errors are problem documents; requests that cannot be read are 400, as this API wants it."""

    name = "soft_binding"
    version = "1"
    prefix = ROOT
    unusable = 400
    error: ClassVar = {"model": SoftBindingError}
    answers = ANSWERS

    class Options(BaseModel):
        """Nothing to choose."""

        model_config = ConfigDict(frozen=True, extra="forbid")

    def __init__(self, options: Options) -> None:
        self._options = options

    def problem(self, problem: Problem, request: Request) -> Response:
        """`{"error", "code", "field"?, "remedy"?}`."""
        status = 400 if problem.status == 422 else problem.status
        said = {"error": problem.detail, "code": problem.code, "field": problem.field, "remedy": problem.remedy}
        return _json({name: value for name, value in said.items() if value is not None}, status)

    def router(self, desk: Desk) -> APIRouter:
        """All routes."""
        parts = desk.house
        router = APIRouter(route_class=speaking(self), tags=["soft binding"])
        resolver = _Resolver(desk)

        @router.get(f"{ROOT}/matches/byBinding", summary="Manifests that a watermark or fingerprint leads to")
        @public(rated=True)
        def by_binding(request: Request, alg: str, value: str, most: MaxResults = 10) -> Response:
            return _json({"matches": resolver.by_binding(alg, value, most)})

        @router.post(f"{ROOT}/matches/byBinding", summary="The same, with the binding in the body")
        @public(rated=True)
        def by_binding_body(
            request: Request, body: Annotated[BindingBody, Body(openapi_examples=_BINDING)], most: MaxResults = 10
        ) -> Response:
            return _json({"matches": resolver.by_binding(body.alg, body.value, most)})

        @router.post(
            f"{ROOT}/matches/byContent",
            summary="Manifests that a picture leads to; nothing of it is kept",
            openapi_extra={"requestBody": {"content": binary(*MEDIA_TYPES)["content"]}},
        )
        @public(FILES, rated=True)
        async def by_content(
            request: Request,
            data: Picture,
            alg: str | None = None,
            most: MaxResults = 10,
            hint_alg: HintAlg = None,
            hint_value: HintValue = None,
        ) -> Response:
            media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if media_type not in MEDIA_TYPES:
                return _json({"error": f"Send one of {', '.join(MEDIA_TYPES)}.", "code": "invalid_request"}, 415)
            return _json({"matches": await resolver.by_content(data, alg, most, (hint_alg, hint_value))})

        @router.get(f"{ROOT}/manifests/{{manifest_id}}", summary="A manifest store, as it was signed")
        @public(rated=True)
        def manifest(request: Request, manifest_id: str, active_only: ActiveOnly = False) -> Response:
            row = resolver.picture(images.c.manifest_id == manifest_id)
            store = parts.pictures.manifest(row)
            return Response(active_manifest(store) if active_only else store, media_type="application/c2pa")

        @router.get(f"{ROOT}/manifests/{{manifest_id}}/receipts", summary="Proof that the manifest is in the log")
        @public(rated=True)
        def receipt(request: Request, manifest_id: str) -> Response:
            found = resolver.receipt(manifest_id, _root(request, desk))
            return _json(found | resolver.checked(manifest_id, found))

        @router.post(f"{ROOT}/manifests/{{manifest_id}}/receipts", summary="Does this receipt hold?")
        @public(rated=True)
        def check(
            request: Request, manifest_id: str, body: Annotated[dict[str, Any], Body(openapi_examples=_RECEIPT)]
        ) -> Response:
            return _json(resolver.checked(manifest_id, body))

        @router.get(f"{ROOT}/services/supportedAlgorithms", summary="Watermarks and fingerprints resolved here")
        @public()
        async def algorithms() -> Response:
            marks = [{"alg": name} for name in sorted(resolver.mark_algorithms)]
            return _json({"watermarks": marks, "fingerprints": [{"alg": PDQ_ALGORITHM}]})

        @router.get(f"{ROOT}/services/status", summary="Whether resolving works")
        @public()
        def status() -> Response:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            return _json({"status": "ok" if resolver.answers() else "down", "timestamp": now})

        @router.get(f"{ROOT}/services/capabilities", summary="What of the standard is supported")
        @public()
        async def capabilities() -> Response:
            return _json({"c2paSpecificationVersion": SPEC_VERSION, "supportedCapabilities": ["queryByContent"]})

        @router.get("/.well-known/c2pa-soft-binding-resolution", summary="Where soft bindings are resolved")
        @public()
        async def well_known(request: Request) -> Response:
            root = _root(request, desk)
            return _json(
                {
                    "apiEndpoint": root,
                    "c2paSpecificationVersion": SPEC_VERSION,
                    "statusEndpoint": f"{root}/services/status",
                    "capabilitiesEndpoint": f"{root}/services/capabilities",
                }
            )

        return router


class _Resolver:
    """Looks up delivered pictures; held ones do not exist here."""

    def __init__(self, desk: Desk) -> None:
        self._parts = desk.house
        self._looks = desk.house.looks
        self.mark_algorithms = frozenset(part.algorithm for part in desk.house.watermarkers if part.marks)

    def answers(self) -> bool:
        """Whether records and log can be read."""
        try:
            self._looks.nearest("0" * 64)
            self._parts.ledger.latest_checkpoint()
        except (SQLAlchemyError, LedgerUnavailable):
            return False
        return True

    def picture(self, condition: ColumnElement[bool]) -> Row[Any]:
        """The delivered picture. Raises `NotFound`."""
        with reading(self._parts.database).connect() as connection:
            row = connection.execute(select(images).where(condition, images.c.held.is_(False))).first()
        if row is None:
            raise NotFound("manifest")
        return row

    def by_binding(self, alg: str, value: str, most: int) -> Matches:
        """Raises `BadRequest` for an algorithm that is not resolved here, and for a value that is none of it."""
        binding = self._binding(alg, value)
        if alg == PDQ_ALGORITHM:
            return self._by_looks(binding.hex(), most)
        try:
            row = self.picture((images.c.mark == binding.hex()) & (images.c.mark_algorithm == alg))
        except NotFound:
            return []
        return [{"manifestId": row.manifest_id}]

    async def by_content(self, data: bytes, alg: str | None, most: int, hint: tuple[str | None, str | None]) -> Matches:
        """Best first. `alg`: only what this algorithm leads to. `hint`: algorithm and value of a binding the caller
        has read; it adds candidates, which are compared with the picture like any others. Raises `BadRequest`."""
        hinted = await asyncio.to_thread(self._hinted, *hint)
        if alg is not None and alg not in self.mark_algorithms | {PDQ_ALGORITHM}:
            raise _unsupported(alg)
        found = await self._parts.checks.match(data, hinted)
        if found["verdict"] == Standing.UNCHECKABLE:
            raise BadRequest("body", "the picture cannot be opened", "Send a whole PNG, JPEG or WebP")
        return await asyncio.to_thread(self._found, found, alg, most)

    def _found(self, found: dict[str, Any], alg: str | None, most: int) -> Matches:
        matches: Matches = []
        record, pdq = found["record"], found["pdq"]
        if (
            record is not None
            and record["same_picture"] is not False
            and alg in (None, found["algorithm"] or PDQ_ALGORITHM)
        ):
            matches += self._recorded(record)
        looking = self._by_looks(pdq, most) if pdq is not None and alg in (None, PDQ_ALGORITHM) else []
        hinted = [match for each in found["hinted"] if each and each["same_picture"] for match in self._recorded(each)]
        for match in (*looking, *hinted):
            if match["manifestId"] not in {known["manifestId"] for known in matches}:
                matches.append(match)
        return matches[:most]

    def _hinted(self, alg: str | None, value: str | None) -> list[str]:
        """Ids of the manifests a hint leads to."""
        if alg is None and value is None:
            return []
        if alg is None or value is None:
            raise BadRequest("hintAlg", "a hint is an algorithm and a value", "Send hintAlg and hintValue, or neither")
        try:
            return [match["manifestId"] for match in self.by_binding(alg, value, _MOST_HINTED)]
        except BadRequest as bad:
            raise BadRequest(f"hint{bad.field.capitalize()}", bad.problem, bad.remedy) from bad

    def receipt(self, manifest_id: str, root: str) -> dict[str, Any]:
        """The manifest's receipt, against the newest checkpoint. Raises `NotFound`."""
        row = self.picture(images.c.manifest_id == manifest_id)
        receipt = self._parts.ledger.receipt_for(row.job_id)
        if receipt is None:
            raise NotFound("receipt")
        return {
            "@context": _RECEIPT_CONTEXT,
            "@type": _RECEIPT_TYPE,
            "repository": {"uri": root, "manifestId": manifest_id},
            "anchor": {
                "uri": f"{root.removesuffix(ROOT)}/v1/log/checkpoint",
                "parameters": {"vkey": self._parts.ledger.vkey},
                "proof": {"format": "c2sp.org/tlog-proof@v1", "value": receipt.tlog_proof()},
            },
        }

    def checked(self, manifest_id: str, said: dict[str, Any]) -> dict[str, Any]:
        """`{"verified", "error"?}`: the proof holds under this log's key, and its entry is about this manifest."""
        try:
            repository = said["repository"]["manifestId"]
            receipt = Receipt.from_tlog_proof(said["anchor"]["proof"]["value"])
            verify_receipt(receipt, self._parts.ledger.vkey)
        except (KeyError, TypeError, AttributeError):
            return {"verified": False, "error": "repository.manifestId or anchor.proof.value is missing"}
        except ReceiptInvalid as failure:
            return {"verified": False, "error": str(failure)}
        if not orjson.loads(receipt.leaf).get("manifest_id") == repository == manifest_id:
            return {"verified": False, "error": "the receipt is about another manifest"}
        return {"verified": True}

    def _binding(self, alg: str, value: str) -> bytes:
        sizes = dict.fromkeys(self.mark_algorithms, MARK_BYTES) | {PDQ_ALGORITHM: _PDQ_BYTES}
        if alg not in sizes:
            raise _unsupported(alg)
        try:
            binding = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            binding = b""
        if len(binding) != sizes[alg]:
            raise BadRequest("value", "not a value of this algorithm", f"Send base64 of {sizes[alg]} bytes")
        return binding

    def _by_looks(self, pdq: str, most: int) -> Matches:
        near = self._looks.nearest(pdq, most)
        return [
            {
                "manifestId": self.picture(images.c.content_id == look.content_id).manifest_id,
                "similarityScore": round(100 * (1 - look.distance / 256)),
            }
            for look in near
        ]

    def _recorded(self, record: dict[str, Any]) -> Matches:
        try:
            row = self.picture(images.c.content_id == record["content_id"])
        except NotFound:
            return []
        score = record["score"]
        return [{"manifestId": row.manifest_id} | ({} if score is None else {"similarityScore": score})]


def _unsupported(alg: str) -> BadRequest:
    return BadRequest("alg", "this algorithm is not resolved here", f"See {ROOT}/services/supportedAlgorithms")


def _root(request: Request, desk: Desk) -> str:
    return public_base(request, desk.house.settings) + ROOT


def _json(content: dict[str, Any], status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")
