"""A caller's wish, in our words, before it is completed with a model's defaults and checked."""

from dataclasses import dataclass

from inference.engines import AS_DRAWN, Finish
from provenance.claims import Corner, LabelStyle

DEFAULT_STRENGTH = 0.6

MEDIA_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "jpg": "image/jpeg"} | {
    name: f"image/{name}" for name in ("webp", "avif", "tiff")
}


@dataclass(frozen=True, slots=True)
class Wish:
    """What a caller asked for, in our words; None means "as the model does by default"."""

    prompt: str
    model: str | None = None
    width: int | None = None
    height: int | None = None
    steps: int | None = None
    guidance: float | None = None
    seed: int | None = None
    output_format: str = "png"
    quality: int = 92
    upload: str | None = None
    strength: float | None = None
    end_user: str | None = None
    mask: str | None = None
    references: tuple[str, ...] = ()
    finish: Finish = AS_DRAWN
    visible_label: LabelStyle = "none"
    label_corner: Corner = "top_right"
    label_language: str | None = None
    tolerance: int | None = None
    language: str | None = None
