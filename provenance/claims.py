"""What goes into a seal and what comes out: a claim about pixels, and the sealed bytes with all that names them."""

import base64
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from provenance.payload import MARK_BYTES

MediaType = Literal["image/png", "image/jpeg", "image/webp", "image/avif", "image/tiff"]
Operation = Literal["generated", "edited"]
Step = Literal["upscaled", "recoloured", "cropped"]
"""What was done to the pixels after the model had drawn them, by plain arithmetic."""
LabelProfile = Literal["iptc", "eu", "california", "china"]
LabelStyle = Literal["none", "icon", "text"]
"""Of the visible label, the weakest first."""
Corner = Literal["top_left", "top_right", "bottom_left", "bottom_right"]

SYSTEM: Final = "Fluxgate"

TRAINED: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
COMPOSITE_TRAINED: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
ALGORITHMICALLY_ENHANCED: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/algorithmicallyEnhanced"
DRAWN: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/algorithmicMedia"
"""Of a visible label: drawn by rule, with no model."""


@dataclass(frozen=True, slots=True)
class VisibleLabel:
    """What is drawn into the picture for everyone to see: the icon, or words in `language`, a key of `words.toml`."""

    style: Literal["icon", "text"]
    language: str = "en"
    corner: Corner = "top_right"


@dataclass(frozen=True, slots=True)
class Source:
    """A picture that went into another one: the file as it was sent in, with whatever credential it has.

    `left_out`: None if that credential goes into the manifest with it; otherwise the picture is named alone, and this
    sentence says why; empty where there is no credential.
    """

    data: bytes
    media_type: MediaType
    left_out: str | None = None


@dataclass(frozen=True, slots=True)
class Detached:
    """The manifest is not put into the file but kept beside it (C2PA 2.4, 11.4).

    `url`: where it can be had, as it then stands in the file's XMP; None if the file says nothing about it.
    """

    url: str | None = None


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of a picture, in pixels from its upper left corner."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Claim:
    """What this gateway vouches for about one picture. No prompt and no person: it is read by everyone.

    `content_id`: public id, `content_id(8 random bytes)`. `mark`: 8 bytes, what the watermark carries.
    `model_version`: digest of the weights, `sha256:…`. `model_trained`: False for a demonstration pipeline with
    random weights, and then said so. `created_at`: UTC, whole seconds. `quality`: 1 to 100, of lossy formats.
    `provider`: the operator's name. `parent`: the picture that was edited, None for a generated one. `region`: the part
    of it that was painted anew, None for all of it. `references`: pictures the model looked at beside the words.
    `cut_parent`: it was cut to another aspect first.
    `steps`: in the order in which they were done. `detached`: None for a manifest in the file. `labels`: profiles
    whose fields are written into the metadata, at least one; `provider_code`: the provider's in China's. Raises
    `ValueError` where these do not hold.
    """

    content_id: str
    mark: bytes
    model_id: str
    model_version: str
    model_trained: bool
    created_at: datetime
    media_type: MediaType
    provider: str
    system_version: str
    quality: int = 95
    system: str = SYSTEM
    parent: Source | None = None
    region: Region | None = None
    references: tuple[Source, ...] = ()
    cut_parent: bool = False
    steps: tuple[Step, ...] = ()
    detached: Detached | None = None
    labels: tuple[LabelProfile, ...] = ("iptc", "eu", "california")
    provider_code: str = ""
    visible_label: VisibleLabel | None = None

    def __post_init__(self) -> None:
        if len(self.mark) != MARK_BYTES:
            raise ValueError(f"a mark has {MARK_BYTES} bytes, got {len(self.mark)}")
        if self.created_at.tzinfo != UTC or self.created_at.microsecond:
            raise ValueError("created_at must be UTC in whole seconds")
        if self.region is not None and self.parent is None:
            raise ValueError("only a picture with a parent has a region that was painted anew")
        if self.cut_parent and self.parent is None:
            raise ValueError("only a picture with a parent has one that was cut")
        if not self.labels or ("china" in self.labels and not self.provider_code):
            raise ValueError("a picture is labelled after at least one profile, and China's names a provider code")

    @property
    def operation(self) -> Operation:
        """`edited` if there was a picture to begin with."""
        return "generated" if self.parent is None else "edited"

    @property
    def digital_source_type(self) -> str:
        """IPTC digital source type of the operation."""
        return COMPOSITE_TRAINED if self.operation == "edited" else TRAINED

    @property
    def created_text(self) -> str:
        """`created_at` in RFC 3339."""
        return self.created_at.strftime("%Y-%m-%dT%H:%M:%SZ")


def content_id(random: bytes) -> str:
    """The public id of a picture from 8 random bytes: `fg_` and 13 lower-case base-32 characters."""
    if len(random) != 8:
        raise ValueError(f"a content id is made of 8 bytes, got {len(random)}")
    return "fg_" + base64.b32encode(random).decode("ascii").rstrip("=").lower()


@dataclass(frozen=True, slots=True)
class SealedImage:
    """A file that has been marked, labelled, signed and read back, and everything a record needs to find it again.

    `sha256`: hex, of `data`. `pdq`: 64 hex characters, and `pdq_quality` 0 to 100. `landmarks`: of `landmarks.py`.
    `mark` and `mark_algorithm` are empty only where `UnsafeUnmarked` was allowed. `manifest_id`: `urn:c2pa:…`;
    `manifest`: the C2PA manifest store. `psnr_db`: of the marked pixels against those before, infinite if equal.
    `quality`: that was used, of a lossy format: higher than the one asked for where that does not keep the mark.
    `timestamped`: an RFC 3161
    time-stamp is in the signature; without one it stops being valid when the certificate expires.
    """

    data: bytes
    media_type: MediaType
    width: int
    height: int
    sha256: str
    pdq: str
    pdq_quality: int
    landmarks: bytes
    mark: bytes
    mark_algorithm: str
    manifest_id: str
    manifest: bytes
    manifest_json: str
    psnr_db: float
    timestamped: bool
    quality: int | None = None
