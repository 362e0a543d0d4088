"""The native dialect: the hosted FLUX API that first integrators use, so that moving is a change of base URL."""

import string
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal

import orjson
from fastapi import APIRouter, Body, File, Form, Query, Request, Response, UploadFile
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from gateway.addresses import Call
from gateway.auth.identity import Principal, Scope
from gateway.desk import Desk, Report, Taken
from gateway.dialects.bodies import WireBody
from gateway.dialects.dialect import RECEIPT_HEADER, speaking
from gateway.dialects.native_answers import ANSWERS, NativeError
from gateway.dialects.waiting import KeyHeader
from gateway.errors import BadRequest, NotFound
from gateway.exchange import Delivered, Outcome, drawing_of
from gateway.intake.admission import FILES, called, caller, keyed
from gateway.limits import Rate
from gateway.problems import Problem
from gateway.wishes import LabelFields, Wish, said_in
from inference.drawing import Finish

_FIELDS = {
    "guidance": "guidance_scale",
    "quality": "output_quality",
    "upload": "image",
    "init_pixels": "image",
    "end_user": "safety_identifier",
    "enlarge": "upscale",
    "tolerance": "safety_tolerance",
}
_EXAMPLES = {
    "flat": {"value": {"prompt": "a red apple on a wooden table", "width": 256, "height": 256, "seed": 7}},
    "nested": {"value": {"input": {"prompt": "a red apple on a wooden table"}}},
}


class Input(LabelFields, WireBody):
    """What to draw. Sizes in pixels; absent fields take the model's defaults."""

    prompt: str
    width: int | None = None
    height: int | None = None
    steps: int | None = Field(None, description="denoising steps")
    num_inference_steps: int | None = Field(None, description="another name for `steps`")
    guidance_scale: float | None = None
    seed: int | None = Field(None, description="equal seeds draw equal pixels; every file has a mark of its own")
    image: str | None = Field(None, description="`download_url` of an uploaded picture to start from")
    strength: float | None = Field(None, description="how far to leave `image`: above 0, up to 1; 0.6 by default")
    mask: str | None = Field(
        None,
        description="`download_url` of a mask for `image`, sent in with `purpose=mask`: open where white or holed",
    )
    references: list[str] = Field([], description="`download_url`s of images for the model to look at")
    palette: list[str] = Field([], description="colours to draw in, such as #c81e1e; applied after drawing")
    upscale: int = Field(1, description="1, 2 or 4 times the width and the height, by interpolation")
    output_format: str = Field("png", description="png, jpeg, webp, avif or tiff")
    output_quality: int = Field(
        92, description="1 to 100, for jpeg, webp and avif; raised as far as the watermark needs, see the prediction"
    )
    safety_tolerance: int | None = Field(
        None, description="0, the strictest, to 6; above 2 as far as you were granted it; the floor is out of its reach"
    )
    safety_identifier: str | None = Field(None, description="your pseudonym for the end user; logged as a commitment")
    user: str | None = Field(None, description="another name for `safety_identifier`")


class Flat(Input):
    """The flat form."""

    model: str | None = None


class Nested(WireBody):
    """The nested form."""

    model: str | None = None
    input: Input


def _form(body: Any) -> str:
    nested = isinstance(body, Nested) or (isinstance(body, dict) and body.get("input") is not None)
    return "nested" if nested else "flat"


Either = Annotated[Annotated[Flat, Tag("flat")] | Annotated[Nested, Tag("nested")], Discriminator(_form)]


class Native:
    """Routes under /api/v1."""

    name = "native"
    version = "1"
    prefix = "/api/v1"
    unusable = 422
    error: ClassVar = {"model": NativeError}
    answers = ANSWERS

    class Options(BaseModel):
        """Nothing to choose."""

        model_config = ConfigDict(frozen=True, extra="forbid")

    def __init__(self, options: Options) -> None:
        self._options = options

    def problem(self, problem: Problem, request: Request) -> Response:
        """`{"error": {code, message, field, remedy, …}}`, and what clients read that look for a prediction only."""
        said = f"{problem.detail} {problem.remedy}" if problem.remedy else problem.detail
        failed = {"status": "failed", "error": said}
        return _json({"error": _error(problem), "status": "failed", "data": failed}, problem.status)

    def router(self, desk: Desk) -> APIRouter:
        """The six native routes."""
        router = APIRouter(prefix=self.prefix, tags=["native"], route_class=speaking(self))

        @router.post("/model/generateImage", summary="Start a generation")
        async def generate(
            request: Request, body: Annotated[Either, Body(openapi_examples=_EXAMPLES)], _key: KeyHeader = None
        ) -> Response:
            who = caller(request)
            call = called(request)
            (asked,) = desk.complete([_wish(desk, body, call, who)], "native", "pred", _FIELDS)
            key = desk.idempotency_key(who, call, body.model_dump_json().encode())
            work = await desk.accept(who, [asked], _FIELDS, key)
            if work.again:
                return _both(_view(desk, call, await desk.job(who, work.ids[0])))
            return _both(_started(asked.id, asked.model, asked.created_at))

        @router.get("/model/prediction/{prediction_id}", summary="Ask for the state of a generation")
        @keyed(Scope.GENERATE, rate=Rate.POLLS)
        async def prediction(request: Request, prediction_id: str) -> Response:
            call, report = called(request), await desk.job(caller(request), prediction_id)
            response = _both(_view(desk, call, report))
            if report.outcome is not None:
                response.headers[RECEIPT_HEADER] = desk.telling.receipt_link(call, prediction_id)
            return response

        @router.post("/model/prediction/{prediction_id}/cancel", summary="Stop a generation at its next step")
        async def cancel(request: Request, prediction_id: str) -> Response:
            return _both(_view(desk, called(request), await desk.cancel(caller(request), prediction_id)))

        @router.get("/model/predictions", summary="The caller's own generations, newest first")
        async def predictions(
            request: Request,
            limit: Annotated[int, Query(ge=1, le=100)] = 20,
            before: Annotated[float | None, Query(description="`next` of the page before")] = None,
        ) -> Response:
            call, found = called(request), await desk.history(caller(request), limit + 1, before)
            more = found[limit - 1].created_at if len(found) > limit else None
            return _json({"data": [_view(desk, call, each) for each in found[:limit]], "next": more})

        @router.post("/model/uploadMedia", summary="Send in a picture to start from")
        @keyed(Scope.GENERATE, FILES)
        async def upload(
            request: Request,
            file: Annotated[UploadFile, File()],
            purpose: Annotated[
                Literal["picture", "mask"], Form(description="of a mask only the places are kept, one bit each")
            ] = "picture",
            safety_identifier: Annotated[str | None, Form(description="as in `generateImage`")] = None,
        ) -> Response:
            who = caller(request)
            if (number := len((await request.form()).getlist("file"))) > 1:
                raise BadRequest("file", f"takes one file; got {number}", "Send each file with a request of its own")
            call, mask = called(request), "file" if purpose == "mask" else ""
            end_user = desk.end_user(call, who, safety_identifier)
            taken = await desk.upload(who, end_user, await file.read(), file.filename or "", self.name, mask=mask)
            return _json({"data": _uploaded(desk, call, taken)})

        @router.get("/models", summary="The models that this gateway serves")
        async def models(request: Request) -> Response:
            return _json({"data": [_model(card, desk.aliases(card)) for card in desk.models()]})

        return router


def _wish(desk: Desk, body: Flat | Nested, call: Call, who: Principal) -> Wish:
    asked = body.input if isinstance(body, Nested) else body
    if asked.steps is not None and asked.num_inference_steps is not None and asked.steps != asked.num_inference_steps:
        raise BadRequest("steps", "differs from num_inference_steps", "Send one of the two")
    return Wish(
        said_in(
            asked,
            steps=asked.steps if asked.steps is not None else asked.num_inference_steps,
            guidance=asked.guidance_scale,
            finish=Finish(tuple(map(_colour, asked.palette)), asked.upscale),
        ),
        model=body.model,
        output_format=asked.output_format,
        quality=asked.output_quality,
        upload=_upload_id("image", asked.image) if asked.image else None,
        end_user=desk.end_user(call, who, asked.safety_identifier or asked.user),
        mask=_upload_id("mask", asked.mask) if asked.mask else None,
        references=tuple(_upload_id("references", url) for url in asked.references),
        visible_label=asked.visible_label,
        label_corner=asked.label_corner,
        label_language=asked.label_language,
        tolerance=asked.safety_tolerance,
        language=asked.language,
    )


def _uploaded(desk: Desk, call: Call, taken: Taken) -> dict[str, Any]:
    upload, credential = taken.upload, taken.credential
    kept: dict[str, Any] = {
        "download_url": desk.link(call, f"/files/uploads/{upload.id}"),
        "file_name": upload.file_name,
        "content_type": upload.media_type,
        "size": upload.size,
    }
    if credential is None:
        return kept
    return kept | {
        "content_credentials": {
            "state": credential.state,
            "made_here": credential.ours,
            "reserved_uses": list(credential.reserved),
        },
        "foreign_marks": list(taken.foreign_marks),
    }


def _colour(text: str) -> tuple[int, int, int]:
    digits = text.removeprefix("#")
    if len(digits) != 6 or not all(digit in string.hexdigits for digit in digits):
        raise BadRequest("palette", "holds what is not a colour", "Give each as six hexadecimal digits, like #c81e1e")
    red, green, blue = bytes.fromhex(digits)
    return red, green, blue


def _upload_id(field: str, url: str) -> str:
    """Only pictures sent in here are taken: no address on any network is ever fetched for a caller."""
    name = url.split("?", 1)[0].rsplit("/", 1)[-1]
    if not name.startswith("upl_"):
        raise BadRequest(field, "is not a picture sent in here", "Send it with uploadMedia and use its download_url")
    return name


def _started(job_id: str, model: str, created_at: datetime) -> dict[str, Any]:
    return {"id": job_id, "status": "processing", "model": model, "created_at": _time(created_at.timestamp())}


def _view(desk: Desk, call: Call, report: Report) -> dict[str, Any]:
    view: dict[str, Any] = {
        "id": report.id,
        "status": "processing",
        "model": report.model,
        "created_at": _time(report.created_at),
        "progress": {"steps_done": report.steps_done, "steps": report.steps},
    }
    outcome, completed_at = report.outcome, report.completed_at
    if outcome is None or completed_at is None:
        return view
    view |= {
        "status": "failed",
        "completed_at": _time(completed_at),
        "metrics": {"predict_time": round(completed_at - report.created_at, 3)},
        "receipt": orjson.loads(outcome.receipt.to_json()),
    }
    problem = desk.telling.problem(call, outcome)
    if problem is None:
        return view | _delivered(desk, call, outcome)
    return view | {"error": problem.detail, "error_details": _error(problem)}


def _delivered(desk: Desk, call: Call, outcome: Outcome) -> dict[str, Any]:
    if not isinstance(outcome, Delivered):
        raise NotFound("picture")
    image = outcome.image
    return {
        "status": "completed",
        "outputs": [desk.image_link(call, image)],
        "content_id": image.content_id,
        "sha256": image.sha256,
        "output_quality": image.quality,
        "seed": drawing_of(outcome).get("seed"),
        "drawing": drawing_of(outcome),
        **outcome.told.to_dict(),
        "provenance": {
            "manifest_id": image.manifest_id,
            "manifest_url": desk.manifest_link(call, image),
            "watermark": image.mark,
            "ai_generated": True,
        },
    }


def _error(problem: Problem) -> dict[str, Any]:
    error: dict[str, Any] = {"code": problem.code, "message": problem.detail, "title": problem.title}
    if problem.field:
        error["field"] = problem.field
    if problem.remedy:
        error["remedy"] = problem.remedy
    if problem.link:
        error["decision_url"] = problem.link
    if problem.statement:
        error["statement_of_reasons"] = problem.statement.to_dict()
    return error


def _model(card: Any, aliases: list[str]) -> dict[str, Any]:
    return {
        "id": card.id,
        "aliases": aliases,
        "family": card.family,
        "description": card.description,
        "modes": list(card.modes),
        "licence": card.licence,
        "commercial_use": card.commercial_use,
        "trained": card.trained,
        "default_steps": card.default_steps,
        "max_steps": card.max_steps,
        "default_size": list(card.default_size),
        "min_side": card.min_side,
        "max_side": card.max_side,
        "max_pixels": card.max_pixels,
        "multiple_of": card.multiple_of,
        "max_enlarged_side": card.max_enlarged_side or None,
        "text_tokens": card.text_tokens,
        "vocabulary": card.vocabulary and card.vocabulary.described(),
        "price_credits": card.price_credits,
    }


def _both(view: dict[str, Any]) -> Response:
    """Clients of this API read the fields at top level or under `data`: both are served."""
    return _json({**view, "data": view})


def _json(content: dict[str, Any], status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
