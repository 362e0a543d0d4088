"""The bodies of OpenAI's images routes, and the wishes in them: generations as JSON, edits as a form with pictures."""

from dataclasses import replace
from typing import Any, Final, Literal

import orjson
from fastapi.exceptions import RequestValidationError
from pydantic import ConfigDict, Field, ValidationError
from starlette.datastructures import FormData, UploadFile

from gateway.auth.identity import Principal
from gateway.desk import Desk, Wish
from gateway.errors import BadRequest
from gateway.exchange import ImageRequest
from gateway.labelling import LabelFields
from inference.engines import MAX_REFERENCES
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


class GenerationBody(LabelFields):
    """`POST /v1/images/generations`. The last three fields are extensions that self-hosted engines share; those of the
    visible label are ours."""

    model_config = ConfigDict(extra="forbid")

    prompt: str
    model: str | None = None
    n: int = Field(1, ge=1, le=10)
    size: str = "auto"
    quality: Literal["auto", "low", "medium", "high", "standard", "hd", "xhigh", "max"] = "auto"
    background: Literal["auto", "opaque"] = "auto"
    moderation: Literal["auto", "low"] = Field(
        "auto", description="`low`: as softly as you were granted, if at all; the floor is out of its reach"
    )
    output_format: str = "png"
    output_compression: int = Field(92, ge=1, le=100)
    response_format: Literal["b64_json", "url"] = "b64_json"
    stream: Literal[False] = False
    partial_images: Literal[0] = 0
    style: str | None = Field(None, description="accepted and ignored, as newer models do")
    safety_identifier: str | None = None
    user: str | None = None
    seed: int | None = None
    num_inference_steps: int | None = None
    guidance_scale: float | None = None


class EditBody(GenerationBody):
    """`POST /v1/images/edits`, without its files. The first picture is changed, the others are looked at."""

    input_fidelity: Literal["high", "low"] = Field("low", description="accepted; `strength` says it in numbers")
    strength: float = Field(0.6, description="how far to leave the picture: above 0, up to 1")


def wishes(body: GenerationBody) -> list[Wish]:
    """One wish a picture. With a seed given, picture k takes seed + k: equal requests give equal pictures."""
    width, height = _size(body.size)
    return [
        Wish(
            prompt=body.prompt,
            model=body.model,
            width=width,
            height=height,
            steps=body.num_inference_steps,
            guidance=body.guidance_scale,
            seed=None if body.seed is None else body.seed + number,
            output_format=body.output_format,
            quality=body.output_compression,
            end_user=body.safety_identifier or body.user,
            visible_label=body.visible_label,
            label_corner=body.label_corner,
            label_language=body.label_language,
            tolerance=max(TOLERANCES) if body.moderation == "low" else None,
        )
        for number in range(body.n)
    ]


def _size(size: str) -> tuple[int | None, int | None]:
    if size == "auto":
        return None, None
    width, _, height = size.partition("x")
    if not (width.isdecimal() and height.isdecimal() and len(size) < 12):
        raise BadRequest("size", "is not of the form WIDTHxHEIGHT", "Send for example 1024x1024, or auto")
    return int(width), int(height)


_LATER: Final = "sent along"

MAX_FILES: Final = 2 + MAX_REFERENCES
"""Parts with a file that a form may have; one more is refused before it is read."""

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
        raise BadRequest("image", "are too many", f"Send at most {1 + MAX_REFERENCES}")
    if len(masks) > 1:
        raise BadRequest("mask", "is there more than once", "Send one mask, for the first picture")
    try:
        return EditBody.model_validate(fields), pictures, masks[0] if masks else None
    except ValidationError as failure:
        raise RequestValidationError(failure.errors()) from failure


def edit_wishes(body: EditBody, pictures: list[UploadFile], mask: UploadFile | None) -> list[Wish]:
    """The wishes, before any picture is taken in: so that what cannot be made is refused with nothing written."""
    seen, region = (_LATER,) * (len(pictures) - 1), _LATER if mask else None
    return [replace(wish, upload=_LATER, references=seen, mask=region, strength=body.strength) for wish in wishes(body)]


async def take_in(
    desk: Desk, who: Principal, orders: list[ImageRequest], pictures: list[UploadFile], mask: UploadFile | None
) -> list[ImageRequest]:
    """The orders over the form's pictures, which are screened and kept as `uploadMedia` keeps them."""
    sent = [await _take(desk, who, picture) for picture in pictures]
    region = await _take_mask(desk, who, mask) if mask else None
    return [replace(order, upload=sent[0], references=tuple(sent[1:]), mask=region) for order in orders]


async def _take(desk: Desk, who: Principal, file: UploadFile) -> str:
    taken = await desk.parts.uploads.take(who, await file.read(), file.filename or "")
    return str(taken.row.id)


async def _take_mask(desk: Desk, who: Principal, file: UploadFile) -> str:
    return str((await desk.parts.uploads.take_mask(who, await file.read(), file.filename or "", "mask")).id)


def _value(name: str, value: Any) -> Any:
    """A form holds only text: numbers and truth values are read as in JSON, words are left as they are."""
    if not isinstance(value, str):
        raise BadRequest(name, "is a file", "Send text here")
    declared = EditBody.model_fields.get(name)
    if declared is None or declared.annotation in (str, str | None):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return value
