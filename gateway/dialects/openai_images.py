"""The bodies of OpenAI's images routes, and the wishes in them: generations as JSON, edits as a form with pictures."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final, Literal

import orjson
from fastapi.exceptions import RequestValidationError
from pydantic import Field, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from gateway.auth.identity import Principal
from gateway.desk import Desk
from gateway.dialects.bodies import WireBody
from gateway.errors import BadRequest
from gateway.exchange import ImageRequest
from gateway.intake.bodies import TooManyFiles
from gateway.wishes import LabelFields, Wish, said_in
from inference.engines import MAX_REFERENCES, ModelCard
from policies.policy import TOLERANCES

FIELDS = {
    "width": "size",
    "height": "size",
    "steps": "num_inference_steps",
    "guidance": "guidance_scale",
    "quality": "output_compression",
    "end_user": "safety_identifier",
    "upload": "image",
    "init_pixels": "image",
    "references": "image",
}
EXAMPLES = {
    "simple": {"value": {"prompt": "a red apple on a wooden table"}},
    "reproducible": {"value": {"prompt": "a red apple on a wooden table", "size": "256x256", "seed": 7, "n": 2}},
}


class GenerationBody(LabelFields, WireBody):
    """`POST /v1/images/generations`. The last three fields are extensions that self-hosted engines share; those of the
    visible label are ours."""

    prompt: str
    model: str | None = None
    n: int = Field(1, ge=1, le=10)
    size: str = "auto"
    quality: Literal["auto", "low", "medium", "high", "standard", "hd"] = Field(
        "auto", description="`low` halves the model's default number of steps, `high` and `hd` double it"
    )
    background: Literal["auto", "opaque"] = "auto"
    moderation: Literal["auto", "low"] = Field(
        "auto", description="`low`: as softly as you were granted, if at all; the floor is out of its reach"
    )
    output_format: str = "png"
    output_compression: int = Field(
        92, ge=0, le=100, description="of jpeg, webp, avif; raised if the watermark needs it"
    )
    response_format: Literal["b64_json", "url"] = "b64_json"
    stream: Literal[False] = False
    partial_images: Literal[0] = 0
    style: None = Field(None, description="not offered: say in the prompt which style it is to be")
    negative_prompt: None = Field(None, description="not offered: say in the prompt what is to be seen")
    safety_identifier: str | None = None
    user: str | None = Field(None, description="another name for `safety_identifier`, which wins")
    seed: int | None = Field(
        None,
        description="image k of `n` is drawn with seed + k; without it each has a seed of its own, told in `data`; "
        "equal seeds draw equal pixels, every file has a mark of its own",
    )
    num_inference_steps: int | None = None
    guidance_scale: float | None = None


class EditBody(GenerationBody):
    """`POST /v1/images/edits`, without its files. The first picture is changed, the others are looked at."""

    strength: float | None = Field(None, description="how far to leave the image: above 0, up to 1; 0.6 by default")
    input_fidelity: Literal["high", "low"] | None = Field(
        None, description="a word for `strength`: `low` is 0.6, `high` is 0.3"
    )


def wishes(body: GenerationBody, card: ModelCard) -> list[Wish]:
    """One wish a picture. With a seed given, picture k takes seed + k: equal requests give equal pictures."""
    width, height = _size(body.size)
    steps = _steps(body, card)
    return [
        Wish(
            said_in(
                body,
                width=width,
                height=height,
                steps=steps,
                guidance=body.guidance_scale,
                seed=None if body.seed is None else body.seed + number,
            ),
            model=body.model,
            output_format=body.output_format,
            quality=max(1, body.output_compression),  # 0 means the strongest compression there is
            end_user=body.safety_identifier or body.user,
            visible_label=body.visible_label,
            label_corner=body.label_corner,
            label_language=body.label_language,
            tolerance=max(TOLERANCES) if body.moderation == "low" else None,
            language=body.language,
        )
        for number in range(body.n)
    ]


def _steps(body: GenerationBody, card: ModelCard) -> int | None:
    """What `quality` means in steps; None for the model's default. Raises `BadRequest` if it cannot be kept."""
    if body.quality in ("auto", "medium", "standard"):
        return body.num_inference_steps
    if body.num_inference_steps is not None:
        raise BadRequest("quality", "sets the number of steps, as num_inference_steps does", "Send one of the two")
    usual = card.default_steps
    steps = usual // 2 if body.quality == "low" else min(2 * usual, card.max_steps)
    if steps in (0, usual):
        raise BadRequest("quality", f"this model takes {usual} steps, neither less nor more", "Leave it out")
    return steps


def told_quality(body: GenerationBody) -> str:
    """The quality of an answer, in the words that its clients know."""
    return {"auto": "medium", "standard": "medium", "hd": "high"}.get(body.quality, body.quality)


def _size(size: str) -> tuple[int | None, int | None]:
    if size == "auto":
        return None, None
    width, _, height = size.partition("x")
    if not (width.isdecimal() and height.isdecimal() and len(size) < 12):
        raise BadRequest("size", "is not of the form WIDTHxHEIGHT", "Send for example 1024x1024, or auto")
    return int(width), int(height)


_LATER: Final = "sent along"
_STRENGTHS: Final = {"low": 0.6, "high": 0.3}

MAX_FILES: Final = 100
"""Files that are counted before a form is refused unread: more than are taken, so that the answer says how many are."""

EDIT_FORM: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    **EditBody.model_json_schema(),
                    "properties": {
                        **EditBody.model_json_schema()["properties"],
                        "image": {"type": "array", "items": {"type": "string", "format": "binary"}},
                        "mask": {"type": "string", "format": "binary"},
                    },
                    "required": ["image", "prompt"],
                }
            }
        },
    }
}
"""The form, for the API page: FastAPI does not read files and a model from one form."""


@asynccontextmanager
async def counted_form(request: Request) -> AsyncIterator[FormData]:
    """The request's form. Raises `BadRequest` on `image` for more files than are even counted."""
    try:
        form = await request.form(max_files=MAX_FILES)
    except TooManyFiles as failure:
        raise too_many_pictures() from failure
    try:
        yield form
    finally:
        await form.close()


def edit_body(form: FormData) -> tuple[EditBody, list[UploadFile], UploadFile | None]:
    """The checked fields, the pictures and the mask of a form. Raises `BadRequest` or `RequestValidationError`."""
    pictures: list[UploadFile] = []
    masks: list[UploadFile] = []
    fields: dict[str, Any] = {}
    for name, value in form.multi_items():
        if name in ("image", "image[]", "mask"):
            if isinstance(value, str):
                raise BadRequest(name, "is not a file", "Send the picture itself as a file part")
            (masks if name == "mask" else pictures).append(value)
        else:
            fields[name] = _value(name, value)
    if not pictures:
        raise BadRequest("image", "is missing", "Send the picture to change as a file part")
    if len(pictures) > 1 + MAX_REFERENCES:
        raise too_many_pictures(len(pictures))
    if len(masks) > 1:
        raise BadRequest("mask", "is there more than once", "Send one mask, for the first picture")
    try:
        return EditBody.model_validate(fields), pictures, masks[0] if masks else None
    except ValidationError as failure:
        raise RequestValidationError(failure.errors()) from failure


def too_many_pictures(number: int | None = None) -> BadRequest:
    """`number`: how many were sent, if they were counted."""
    got = "" if number is None else f"; got {number}"
    return BadRequest("image", f"takes at most {1 + MAX_REFERENCES} images{got}", "Send fewer")


def edit_wishes(body: EditBody, card: ModelCard, pictures: list[UploadFile], mask: UploadFile | None) -> list[Wish]:
    """The wishes, before any picture is taken in: so that what cannot be made is refused with nothing written."""
    seen, region, strength = (_LATER,) * (len(pictures) - 1), _LATER if mask else None, _strength(body, card, mask)
    return [
        replace(wish, said={**wish.said, "strength": strength}, upload=_LATER, references=seen, mask=region)
        for wish in wishes(body, card)
    ]


def _strength(body: EditBody, card: ModelCard, mask: UploadFile | None) -> float | None:
    if body.input_fidelity is None:
        return body.strength
    if body.strength is not None:
        raise BadRequest("input_fidelity", "says what strength says", "Send one of the two")
    if not (card.uses_strength or mask):
        raise BadRequest("input_fidelity", "this model looks at images as a whole", "Leave it out")
    return _STRENGTHS[body.input_fidelity]


async def contents(pictures: list[UploadFile], mask: UploadFile | None) -> list[bytes]:
    """The files of a form, to be read once more later."""
    found = []
    for file in (*pictures, *([mask] if mask else ())):
        found.append(await file.read())
        await file.seek(0)
    return found


async def take_in(
    desk: Desk, who: Principal, asked: list[ImageRequest], pictures: list[UploadFile], mask: UploadFile | None
) -> list[ImageRequest]:
    """The requests over the form's pictures, which are screened and kept as `uploadMedia` keeps them."""
    end_user = asked[0].end_user
    sent = [await _take(desk, who, end_user, picture) for picture in pictures]
    region = await _take(desk, who, end_user, mask, mask="mask") if mask else None
    return [replace(each, upload=sent[0], references=tuple(sent[1:]), mask=region) for each in asked]


async def _take(desk: Desk, who: Principal, end_user: str | None, file: UploadFile, *, mask: str = "") -> str:
    taken = await desk.upload(who, end_user, await file.read(), file.filename or "", "openai", mask=mask)
    return taken.upload.id


def _value(name: str, value: Any) -> Any:
    """A form holds only text: numbers and truth values are read as in JSON, words are left as they are."""
    if not isinstance(value, str):
        raise BadRequest(name, "is a file", "Send text here")
    if not value:  # how a form leaves a field out; an empty name of a model stays one
        return value if name in ("prompt", "model") else None
    declared = EditBody.model_fields.get(name)
    if declared is None or declared.annotation in (str, str | None):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return value
