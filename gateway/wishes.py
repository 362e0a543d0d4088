"""A caller's wish, in our words: it is completed with a model's defaults and checked, before anything is counted."""

import secrets
from base64 import b32encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, Field

from gateway.errors import BadRequest
from gateway.exchange import ImageRequest
from gateway.wording import LANGUAGES, known
from inference.drawing import AS_DRAWN, KNOBS, Drawing
from inference.engines import MAX_REFERENCES, ModelCard, check_drawing
from inference.errors import OrderRefused
from inference.sizes import fit
from policies.policy import TOLERANCES
from provenance.claims import Corner, LabelStyle

MEDIA_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "jpg": "image/jpeg"} | {
    name: f"image/{name}" for name in ("webp", "avif", "tiff")
}
_SEEDS = 2**53
"""Seeds drawn here are told in JSON, where many readers keep no larger number exactly."""


class LabelFields(BaseModel):
    """What a request may say about the visible label and about languages, in every dialect that draws."""

    visible_label: LabelStyle = Field("none", description="drawn into the picture; at least what the operator demands")
    label_corner: Corner = Field("top_right", description="where the visible label stands")
    label_language: str | None = Field(None, description="of the words of `text`; `/health` names the choices")
    language: str | None = Field(
        None, description="of a refusal: `en`, `de`, `fr`, `es` or `it`; without it, `Accept-Language` counts"
    )


@dataclass(frozen=True, slots=True)
class Wish:
    """What a caller asked for, in our words. `said`: values of fields of `Drawing`; None, and what is not there, means
    "as the model does by default"."""

    said: Mapping[str, Any]
    model: str | None = None
    output_format: str = "png"
    quality: int = 92
    upload: str | None = None
    end_user: str | None = None
    mask: str | None = None
    references: tuple[str, ...] = ()
    visible_label: LabelStyle = "none"
    label_corner: Corner = "top_right"
    label_language: str | None = None
    tolerance: int | None = None
    language: str | None = None


def said_in(body: object, **otherwise: Any) -> dict[str, Any]:
    """What a body says about the drawing in fields that are called as ours; `otherwise`: what it calls otherwise."""
    return {name: getattr(body, name) for name in KNOBS if hasattr(body, name)} | otherwise


@dataclass(frozen=True, slots=True)
class WishBounds:
    """What this gateway makes. `min_pixels`: of a picture that can carry the watermark. `label_languages`: of the
    visible label."""

    max_prompt_characters: int
    min_pixels: int
    label_languages: tuple[str, ...]


_Bad = Callable[[str, str, str], BadRequest]


def completed(
    wish: Wish, card: ModelCard, bounds: WishBounds, dialect: str, prefix: str, fields: Mapping[str, str]
) -> ImageRequest:
    """The wish with the model's defaults, checked. `prefix`: of its id. `fields`: our name of a field → the caller's.

    Raises `BadRequest`.
    """

    def bad(field: str, problem: str, remedy: str) -> BadRequest:
        return BadRequest(fields.get(field, field), problem, remedy)

    said = {name: value for name, value in wish.said.items() if value is not None}
    _check_words(wish, said, card, bounds, bad)
    try:
        wide, high = card.default_size
        fitted = fit(card, said.get("width", wide), said.get("height", high))
        usual = {"steps": card.default_steps, "guidance": card.default_guidance, "seed": secrets.randbelow(_SEEDS)}
        finish = replace(said.get("finish", AS_DRAWN), size=fitted.size)
        size = {"width": fitted.width, "height": fitted.height}
        drawing = Drawing(**usual | said | size | {"finish": finish})
        check_drawing(drawing, card)
    except OrderRefused as failure:
        raise bad(failure.field, "cannot be used", failure.remedy) from failure
    wide, high = drawing.final_size
    if wide * high < bounds.min_pixels:
        problem = f"the picture has fewer than {bounds.min_pixels} pixels, too few for a watermark"
        raise bad("width", problem, "Ask for more")
    request = ImageRequest(
        id=f"{prefix}_{b32encode(secrets.token_bytes(15)).decode().lower()}",
        dialect=dialect,
        model=card.id,
        drawing=drawing,
        fits_input=wish.upload is not None and not {"width", "height"} & said.keys(),
        created_at=datetime.now(UTC),
        media_type=MEDIA_TYPES[wish.output_format],
        quality=wish.quality,
        upload=wish.upload,
        end_user=wish.end_user,
        mask=wish.mask,
        references=wish.references,
        visible_label=wish.visible_label,
        label_corner=wish.label_corner,
        label_language=wish.label_language,
        tolerance=wish.tolerance,
        language=wish.language,
    )
    _check_pictures(request, card, bad)
    return request


def _check_words(wish: Wish, said: Mapping[str, Any], card: ModelCard, bounds: WishBounds, bad: _Bad) -> None:
    longest, characters = bounds.max_prompt_characters, len(said["prompt"])
    if characters > longest:
        raise bad("prompt", f"has {characters} characters, at most {longest} are read", "Shorten it")
    if wish.output_format not in MEDIA_TYPES:
        raise bad("output_format", "is not a format made here", "Use png, jpeg, webp, avif or tiff")
    if not 1 <= wish.quality <= 100:
        raise bad("quality", "must lie between 1 and 100", "Leave it out for the default")
    strength = said.get("strength")
    if strength is not None and not 0 < strength <= 1:  # also refuses NaN
        raise bad("strength", "is out of range", "Choose a number above 0, up to 1")
    if strength is not None and not (wish.upload and (card.uses_strength or wish.mask)):
        why = "this model does not use it" if wish.upload else "belongs to an image to start from, and none was sent"
        raise bad("strength", why, "Leave it out")
    if wish.tolerance not in (None, *TOLERANCES):
        raise bad("tolerance", "is out of range", "Choose 0, the strictest, to 6; without it, 2 counts")
    if wish.language is not None and known(wish.language) is None:
        raise bad("language", "is no language of refusals here", f"Use one of {', '.join(LANGUAGES)}")
    if wish.label_language not in (None, *bounds.label_languages):
        choices = ", ".join(bounds.label_languages)
        raise bad("label_language", "is no language of labels here", f"Use one of {choices}")


def _check_pictures(request: ImageRequest, card: ModelCard, bad: _Bad) -> None:
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
    if request.mask and not request.upload:
        raise bad("mask", "belongs to a picture, and none was sent", "Send the picture to change along")
