"""The C2PA Soft Binding Resolution API 2.4: from any copy of a picture back to its manifest and its place in the log.

Read only, for anyone, at the public rate: nothing here tells more than the delivered file told its receiver. Pictures
come in as bytes; `byReference` is left out, since a gateway that fetches what strangers name can be pointed anywhere.
"""

import base64
import binascii
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar

import orjson
from fastapi import APIRouter, Body, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from gateway.desk import Desk
from gateway.dialects.bodies import WireBody
from gateway.dialects.described import binary
from gateway.dialects.dialect import speaking
from gateway.dialects.soft_binding_answers import ANSWERS, SoftBindingError
from gateway.errors import BadRequest
from gateway.intake.admission import FILES, called, public
from gateway.problems import Problem
from gateway.verifying.resolver import Match, Resolver
from provenance.files.encoding import MEDIA_TYPES
from provenance.looks.fingerprint import PDQ_ALGORITHM

SPEC_VERSION = "2.4.0"
ROOT = "/c2pa/v1"
_BINDING = {"a fingerprint": {"value": {"alg": PDQ_ALGORITHM, "value": base64.b64encode(bytes(32)).decode()}}}
_RECEIPT = {
    "a receipt": {
        "value": {"repository": {"manifestId": "urn:c2pa:…"}, "anchor": {"proof": {"value": "c2sp.org/tlog-proof@v1…"}}}
    }
}
_RECEIPT_TYPE = "org.c2pa.manifest-receipt"
_RECEIPT_CONTEXT = {"c2pa": "https://c2pa.org/ns/", "receipt": "https://c2pa.org/ns/manifest-receipt#"}

Picture = Annotated[bytes, Body(media_type="image/png", description="the file itself")]
MaxResults = Annotated[int, Query(alias="maxResults", ge=1, le=100)]
ActiveOnly = Annotated[bool, Query(alias="returnActiveManifest")]
HintAlg = Annotated[str | None, Query(alias="hintAlg", max_length=200)]
HintValue = Annotated[str | None, Query(alias="hintValue", max_length=1000)]


class BindingBody(WireBody):
    """A soft binding: `value` in base64, as the assertion has it."""

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
        router = APIRouter(route_class=speaking(self), tags=["soft binding"])
        resolver = desk.find

        @router.get(f"{ROOT}/matches/byBinding", summary="Manifests that a watermark or fingerprint leads to")
        @public(rated=True)
        def by_binding(request: Request, alg: str, value: str, most: MaxResults = 10) -> Response:
            return _matches(resolver.by_binding(alg, _binding(resolver, alg, value), most))

        @router.post(f"{ROOT}/matches/byBinding", summary="The same, with the binding in the body")
        @public(rated=True)
        def by_binding_body(
            request: Request, body: Annotated[BindingBody, Body(openapi_examples=_BINDING)], most: MaxResults = 10
        ) -> Response:
            return _matches(resolver.by_binding(body.alg, _binding(resolver, body.alg, body.value), most))

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
            hint = _hint(resolver, hint_alg, hint_value)
            return _matches(await resolver.by_content(data, alg, most, hint))

        @router.get(f"{ROOT}/manifests/{{manifest_id}}", summary="A manifest store, as it was signed")
        @public(rated=True)
        def manifest(request: Request, manifest_id: str, active_only: ActiveOnly = False) -> Response:
            return Response(resolver.manifest(manifest_id, active_only=active_only), media_type="application/c2pa")

        @router.get(f"{ROOT}/manifests/{{manifest_id}}/receipts", summary="Proof that the manifest is in the log")
        @public(rated=True)
        def receipt(request: Request, manifest_id: str) -> Response:
            root, proof = _root(request), resolver.receipt(manifest_id).tlog_proof()
            found = {
                "@context": _RECEIPT_CONTEXT,
                "@type": _RECEIPT_TYPE,
                "repository": {"uri": root, "manifestId": manifest_id},
                "anchor": {
                    "uri": f"{root.removesuffix(ROOT)}/v1/log/checkpoint",
                    "parameters": {"vkey": resolver.vkey},
                    "proof": {"format": "c2sp.org/tlog-proof@v1", "value": proof},
                },
            }
            return _json(found | _checked(resolver, manifest_id, found))

        @router.post(f"{ROOT}/manifests/{{manifest_id}}/receipts", summary="Does this receipt hold?")
        @public(rated=True)
        def check(
            request: Request, manifest_id: str, body: Annotated[dict[str, Any], Body(openapi_examples=_RECEIPT)]
        ) -> Response:
            return _json(_checked(resolver, manifest_id, body))

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

        @router.get(f"{ROOT}/services/capabilities", summary="The parts of the standard that this gateway supports")
        @public()
        async def capabilities() -> Response:
            return _json({"c2paSpecificationVersion": SPEC_VERSION, "supportedCapabilities": ["queryByContent"]})

        @router.get("/.well-known/c2pa-soft-binding-resolution", summary="Where soft bindings are resolved")
        @public()
        async def well_known(request: Request) -> Response:
            root = _root(request)
            return _json(
                {
                    "apiEndpoint": root,
                    "c2paSpecificationVersion": SPEC_VERSION,
                    "statusEndpoint": f"{root}/services/status",
                    "capabilitiesEndpoint": f"{root}/services/capabilities",
                }
            )

        return router


def _binding(resolver: Resolver, alg: str, value: str) -> bytes:
    size = resolver.binding_bytes(alg)
    try:
        binding = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        binding = b""
    if len(binding) != size:
        raise BadRequest("value", "not a value of this algorithm", f"Send base64 of {size} bytes")
    return binding


def _hint(resolver: Resolver, alg: str | None, value: str | None) -> tuple[str, bytes] | None:
    if alg is None and value is None:
        return None
    if alg is None or value is None:
        raise BadRequest("hintAlg", "a hint is an algorithm and a value", "Send hintAlg and hintValue, or neither")
    try:
        return alg, _binding(resolver, alg, value)
    except BadRequest as bad:
        raise BadRequest(f"hint{bad.field.capitalize()}", bad.problem, bad.remedy) from bad


def _matches(found: list[Match]) -> Response:
    return _json(
        {
            "matches": [
                {"manifestId": each.manifest_id} | ({} if each.score is None else {"similarityScore": each.score})
                for each in found
            ]
        }
    )


def _checked(resolver: Resolver, manifest_id: str, said: dict[str, Any]) -> dict[str, Any]:
    """`{"verified", "error"?}`: the proof holds under this log's key, and its entry is about this manifest."""
    try:
        repository, proof = said["repository"]["manifestId"], said["anchor"]["proof"]["value"]
        fault = resolver.fault_of(proof, manifest_id)
    except (KeyError, TypeError, AttributeError):
        return {"verified": False, "error": "repository.manifestId or anchor.proof.value is missing"}
    if fault is None and repository != manifest_id:
        fault = "the receipt is about another manifest"
    return {"verified": True} if fault is None else {"verified": False, "error": fault}


def _root(request: Request) -> str:
    return called(request).base + ROOT


def _json(content: dict[str, Any], status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")
