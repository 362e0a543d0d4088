"""The OpenAI dialect: the images and moderations routes chatbots call first, as the official client speaks them."""

import asyncio
import base64
import secrets
import time
from typing import Annotated, Any, ClassVar, TypeVar

import orjson
from fastapi import APIRouter, Body, Request, Response
from pydantic import BaseModel, ConfigDict

from gateway.addresses import Call
from gateway.auth.identity import Principal, Scope
from gateway.desk import Desk
from gateway.dialects.dialect import RECEIPT_HEADER, speaking
from gateway.dialects.openai_answers import ANSWERS, OpenAIError
from gateway.dialects.openai_errors import openai_error
from gateway.dialects.openai_images import (
    EDIT_FORM,
    EXAMPLES,
    FIELDS,
    EditBody,
    GenerationBody,
    contents,
    counted_form,
    edit_body,
    edit_wishes,
    take_in,
    told_quality,
    wishes,
)
from gateway.dialects.openai_moderations import EXAMPLES as MODERATIONS
from gateway.dialects.openai_moderations import MODERATION_MODEL, ModerationBody, moderate
from gateway.dialects.waiting import KeyHeader, outcomes
from gateway.errors import NotOffered
from gateway.exchange import Delivered, Outcome, drawing_of
from gateway.intake.admission import DATA_URLS, FILES, called, caller, keyed
from gateway.problems import Problem
from gateway.work import Work
from inference.engines import ModelCard

NamedBody = TypeVar("NamedBody", GenerationBody, EditBody, ModerationBody)


class OpenAI:
    """Routes under /v1."""

    name = "openai"
    version = "1"
    prefix = "/v1"
    unusable = 400
    error: ClassVar = {"model": OpenAIError}
    answers = ANSWERS

    class Options(BaseModel):
        """Nothing to choose."""

        model_config = ConfigDict(frozen=True, extra="forbid")

    def __init__(self, options: Options) -> None:
        self._options = options

    def problem(self, problem: Problem, request: Request) -> Response:
        """The one error envelope. A refusal is a 400 with `moderation_details`; clients must not retry it."""
        return _problem(problem)

    def router(self, desk: Desk) -> APIRouter:
        """Images, moderations, models."""
        router = APIRouter(prefix=self.prefix, tags=["openai"], route_class=speaking(self))

        @router.post("/images/generations", summary="Generate pictures")
        async def generations(
            request: Request, body: Annotated[GenerationBody, Body(openapi_examples=EXAMPLES)], _key: KeyHeader = None
        ) -> Response:
            call, who = called(request), caller(request)
            body = _named(desk, call, who, body)
            asked = desk.complete(wishes(body, desk.model(body.model)), "openai", "img", FIELDS)
            key = desk.idempotency_key(who, call, body.model_dump_json().encode())
            work = await desk.accept(who, asked, FIELDS, key)
            return await _drawn(desk, request, body, work)

        @router.post("/images/edits", summary="Change a picture, or a region of it", openapi_extra=EDIT_FORM)
        @keyed(Scope.GENERATE, FILES)
        async def edits(request: Request, _key: KeyHeader = None) -> Response:
            call, who = called(request), caller(request)
            async with counted_form(request) as form:
                body, pictures, mask = edit_body(form)
                body = _named(desk, call, who, body)
                wanted = edit_wishes(body, desk.model(body.model), pictures, mask)
                asked = desk.complete(wanted, "openai", "img", FIELDS)
                await desk.not_suspended(who, asked[0].end_user)
                files = await contents(pictures, mask) if "idempotency-key" in request.headers else ()
                key = desk.idempotency_key(who, call, body.model_dump_json().encode(), *files)
                work = await desk.accepted_before(who, key)
                if work is None:
                    asked = await take_in(desk, who, asked, pictures, mask)
                    work = await desk.accept(who, asked, FIELDS, key)
            return await _drawn(desk, request, body, work)

        @router.post(
            "/images/variations", status_code=400, summary="Not offered: send the image and a prompt to the edits"
        )
        async def variations(request: Request) -> Response:
            raise NotOffered("Variations of an image", "Send the image and a prompt to POST /v1/images/edits.")

        @router.post("/moderations", summary="Classify words and pictures by the policy's classifiers")
        @keyed(Scope.MODERATE, DATA_URLS)
        async def moderations(
            request: Request, body: Annotated[ModerationBody, Body(openapi_examples=MODERATIONS)]
        ) -> Response:
            call, who = called(request), caller(request)
            body = _named(desk, call, who, body)
            call_id = f"modr-{secrets.token_hex(12)}"
            results = await moderate(desk, who, body, call_id)
            return _json({"id": call_id, "model": MODERATION_MODEL, "results": results})

        @router.get("/models", summary="The models that this gateway serves")
        async def models(request: Request) -> Response:
            cards = [_model(card, desk) for card in desk.models()]
            return _json({"object": "list", "data": cards})

        @router.get("/models/{model:path}", summary="One served model, whose id may hold slashes")
        async def model(request: Request, model: str) -> Response:
            return _json(_model(desk.model(model), desk))

        return router


def _model(card: ModelCard, desk: Desk) -> dict[str, Any]:
    said = {"id": card.id, "object": "model", "created": 0, "owned_by": desk.provider}
    return said | {"text_tokens": card.text_tokens}


def _named(desk: Desk, call: Call, who: Principal, body: NamedBody) -> NamedBody:
    """The body with the one name of the end user that counts. Raises `BadEndUser`."""
    named = desk.end_user(call, who, body.safety_identifier or body.user)
    return body.model_copy(update={"safety_identifier": named, "user": None})


async def _drawn(desk: Desk, request: Request, body: GenerationBody, work: Work) -> Response:
    return await asyncio.to_thread(_answer, desk, called(request), body, await outcomes(request, work))


def _answer(desk: Desk, call: Call, body: GenerationBody, outcomes: list[Outcome]) -> Response:
    """All delivered pictures; those that were stopped are named beside them. Nothing delivered is an error."""
    delivered = [outcome for outcome in outcomes if isinstance(outcome, Delivered)]
    problems = {
        number: problem for number, each in enumerate(outcomes) if (problem := desk.telling.problem(call, each))
    }
    if not delivered:
        refusal = _problem(problems[0])
        refusal.headers[RECEIPT_HEADER] = desk.telling.receipt_link(call, outcomes[0].receipt.request_id)
        return refusal
    first = delivered[0]
    answer = {
        "created": int(time.time()),
        "background": "opaque",
        "output_format": "jpeg" if body.output_format == "jpg" else body.output_format,
        "quality": told_quality(body),
        "size": f"{first.image.width}x{first.image.height}",
        "data": [_picture(desk, call, body, outcome) for outcome in delivered],
        "usage": _no_usage(),
        "fluxgate": {
            "images": [
                {"index": number, **_facts(outcome)}
                for number, outcome in enumerate(outcomes)
                if isinstance(outcome, Delivered)
            ],
            "stopped": [{"index": number, **openai_error(problem)} for number, problem in problems.items()],
        },
    }
    response = _json(answer)
    response.headers["X-AI-Generated"] = "true"
    response.headers["X-AI-Content-Id"] = first.image.content_id
    response.headers[RECEIPT_HEADER] = desk.telling.receipt_link(call, first.receipt.request_id)
    return response


def _picture(desk: Desk, call: Call, body: GenerationBody, outcome: Delivered) -> dict[str, Any]:
    said = {"revised_prompt": outcome.told.revised_prompt, "seed": drawing_of(outcome).get("seed")}
    if body.response_format == "url":
        return {"url": desk.image_link(call, outcome.image), "b64_json": None, **said}
    return {"b64_json": base64.b64encode(desk.file(outcome)).decode(), "url": None, **said}


def _facts(outcome: Delivered) -> dict[str, Any]:
    return {
        "model": outcome.image.model,
        "content_id": outcome.image.content_id,
        "sha256": outcome.image.sha256,
        "manifest_id": outcome.image.manifest_id,
        "output_compression": outcome.image.quality,
        "drawing": drawing_of(outcome),
        "receipt": orjson.loads(outcome.receipt.to_json()),
        **outcome.told.to_dict(),
    }


def _no_usage() -> dict[str, Any]:
    """The client's models require the shape; tokens are not what is counted here."""
    details = {"image_tokens": 0, "text_tokens": 0}
    return {
        "input_tokens": 0,
        "input_tokens_details": details,
        "output_tokens": 0,
        "output_tokens_details": details,
        "total_tokens": 0,
    }


def _problem(problem: Problem) -> Response:
    response = _json({"error": openai_error(problem)}, 400 if problem.status == 422 else problem.status)
    if problem.final:
        response.headers["x-should-retry"] = "false"
    return response


def _json(content: dict[str, Any], status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")
