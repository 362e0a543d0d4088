"""Routes that belong to no dialect: signed files, the free verifier, reasons, the log's own files, health, metrics."""

from collections.abc import Callable
from typing import Annotated, Any, ClassVar

import orjson
from fastapi import APIRouter, File, Query, Request, Response, UploadFile
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from gateway import telemetry
from gateway.desk import Desk
from gateway.dialects.dialect import speaking
from gateway.dialects.openai_errors import openai_error
from gateway.errors import NotFound
from gateway.house import House
from gateway.intake.admission import FILES, public
from gateway.problems import Problem
from gateway.serving.public.answers import ANSWERS, PROBLEM
from gateway.serving.public.decisions import add_decision_routes
from gateway.serving.readiness import Readiness
from gateway.signing.signers import describe_certificate, describe_timestamps
from gateway.stations.labelling import describe_labels
from gateway.store.pictures import EXTENSIONS, MANIFEST_SUFFIX
from gateway.version import SYSTEM, SYSTEM_VERSION
from gateway.wiring import describe_gaps

_FILE_HEADERS = {"Cache-Control": "private, no-transform", "X-Content-Type-Options": "nosniff"}


class Public:
    """RFC 9457 problem documents; otherwise routes like any dialect's. Below `/v1`, where OpenAI's clients ask too,
    they also carry the `error` that these read."""

    name = "public"
    version = "1"
    prefix = ""
    unusable = 422
    error: ClassVar = PROBLEM
    answers = ANSWERS

    def __init__(self, house: House, in_work: Callable[[], int]) -> None:
        """`in_work`: how many images this process works on."""
        self._house = house
        self._in_work = in_work

    def problem(self, problem: Problem, request: Request) -> Response:
        """`application/problem+json`."""
        document: dict[str, Any] = {
            "type": f"urn:fluxgate:problem:{problem.code}",
            "title": problem.title,
            "status": problem.status,
            "detail": problem.detail,
            "code": problem.code,
        }
        document |= {
            name: value
            for name, value in (
                ("field", problem.field),
                ("remedy", problem.remedy),
                ("decision_url", problem.link),
            )
            if value is not None
        }
        if request.url.path.startswith("/v1/"):
            document["error"] = openai_error(problem)
        return Response(orjson.dumps(document), problem.status, media_type="application/problem+json")

    def router(self, desk: Desk) -> APIRouter:
        """All of them."""
        house, in_work = self._house, self._in_work
        router = APIRouter(route_class=speaking(self))
        readiness = Readiness(house)

        @router.get("/files/images/{name}", tags=["files"], summary="A sealed picture, byte for byte as signed")
        @public()
        def picture(name: str, expires: str, signature: str) -> Response:
            house.links.check(f"/files/images/{name}", expires, signature)
            found = house.images.by_content_id(name.split(".")[0], delivered=True)
            if found is None:
                raise NotFound("picture")
            image = found.image
            headers = {
                "X-AI-Generated": "true",
                "X-AI-Content-Id": image.content_id,
                "Content-Disposition": f'inline; filename="{image.content_id}.{EXTENSIONS[image.media_type]}"',
            }
            data = house.pictures.file(found.job_id, image)
            return Response(data, media_type=image.media_type, headers=_FILE_HEADERS | headers)

        @router.get("/files/manifests/{name}", tags=["files"], summary="A picture's manifest store, for everyone")
        @public()
        def manifest(name: str) -> Response:
            found = house.images.by_content_id(name.removesuffix(MANIFEST_SUFFIX), delivered=True)
            if found is None:
                raise NotFound("manifest")
            store = house.pictures.manifest(found.job_id, found.image)
            return Response(store, media_type="application/c2pa", headers=_FILE_HEADERS)

        @router.get("/files/uploads/{upload_id}", tags=["files"], summary="A picture that was sent in")
        @public()
        def upload(upload_id: str, expires: str, signature: str) -> Response:
            house.links.check(f"/files/uploads/{upload_id}", expires, signature)
            data, media_type = house.uploads.file(upload_id)
            return Response(data, media_type=media_type, headers=_FILE_HEADERS)

        @router.post(
            "/v1/verify", tags=["verify"], summary="Is this picture from here, and unchanged? Nothing is kept."
        )
        @public(FILES, rated=True)
        async def verify(
            file: Annotated[UploadFile, File()],
            manifest: Annotated[UploadFile | None, File(description="its manifest, if that is a separate file")] = None,
        ) -> Response:
            data, beside = await file.read(), await manifest.read() if manifest else None
            await file.close()  # the form's own copy is not needed while this waits
            return _json(await house.checks.verify(data, beside))

        @router.get("/v1/log/checkpoint", tags=["log"], summary="The log's newest signed checkpoint (C2SP)")
        @public()
        def checkpoint() -> Response:
            return Response(house.ledger.latest_checkpoint(), media_type="text/plain; charset=utf-8")

        @router.get("/v1/log/key", tags=["log"], summary="The public key receipts are checked with (C2SP vkey)")
        @public()
        def key() -> Response:
            return Response(house.ledger.vkey + "\n", media_type="text/plain; charset=utf-8")

        @router.get("/v1/log/consistency", tags=["log"], summary="Proof that the log only grew")
        @public()
        def consistency(old: Annotated[int, Query(ge=1)], new: Annotated[int, Query(ge=1)]) -> Response:
            try:
                proof = house.ledger.consistency_proof(old, new)
            except ValueError as failure:
                raise NotFound("pair of log sizes") from failure
            return _json({"old": old, "new": new, "proof": [step.hex() for step in proof]})

        add_decision_routes(router, desk, house)

        @router.get("/health/live", tags=["health"], summary="The process answers")
        @public()
        async def live() -> Response:
            return _json({"status": "ok"})

        @router.get("/health/ready", tags=["health"], summary="Pictures can be made now")
        @public()
        async def ready() -> Response:
            lacks = await readiness.missing()
            return _json({"status": "not ready" if lacks else "ok", "waiting_for": lacks}, 503 if lacks else 200)

        @router.get("/health", tags=["health"], summary="What runs here, and what no classifier covers")
        @public()
        async def health() -> Response:
            policy = house.rulebook.base
            return _json(
                {
                    "system": SYSTEM,
                    "version": SYSTEM_VERSION,
                    "provider": house.settings.provider,
                    "policy": {"name": policy.name, "digest": policy.digest},
                    "canary": _canary(house),
                    "accepted_gaps": describe_gaps(policy),
                    "classifiers": [_classifier(part) for part in house.screening.parts],
                    "models": [
                        {"id": c.id, "trained": c.trained, "licence": c.licence} for c in house.dispatcher.models
                    ],
                    "watermark": house.sealing.parts.watermarker.algorithm,
                    "labels": describe_labels(house.sealing.labelling),
                    "jurisdictions": [overlay.name for overlay in house.rulebook.overlays_for("")],
                    "timestamped": house.signer.authority is not None,
                    "timestamps": describe_timestamps(house.signer.authority),
                    "certificate": describe_certificate(house.signer),
                    "limits_degraded": house.limits.degraded,
                    "jobs_in_work": in_work(),
                }
            )

        @router.get("/metrics", tags=["health"], summary="Prometheus metrics")
        @public()
        def metrics() -> Response:
            telemetry.IN_WORK.set(in_work())
            telemetry.QUEUE_DEPTH.set(house.dispatcher.depth)
            telemetry.LIMITS_DEGRADED.set(house.limits.degraded)
            telemetry.LOG_SIZE.set(house.ledger.size)
            telemetry.CERTIFICATE_SECONDS_LEFT.set(house.signer.seconds_left)
            if (authority := house.signer.authority) is not None:
                telemetry.TIMESTAMPS.labels("made").set(authority.health.made)
                telemetry.TIMESTAMPS.labels("failed").set(authority.health.failed)
            return Response(generate_latest(telemetry.REGISTRY), media_type=CONTENT_TYPE_LATEST)

        return router


def _json(content: dict[str, Any], status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")


def _classifier(part: Any) -> dict[str, str]:
    """`licence`: where it is another than ours."""
    said = {"name": part.name, "version": part.version}
    return {**said, "licence": part.licence} if hasattr(part, "licence") else said


def _canary(house: House) -> dict[str, Any] | None:
    book = house.rulebook
    if book.canary is None:
        return None
    policy = book.canary.base
    said = {"name": policy.name, "digest": policy.digest, "share": book.share}
    return {**said, "accepted_gaps": describe_gaps(policy)}
