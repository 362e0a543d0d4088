"""What goes into a seal and what comes out: a claim about pixels, and the sealed bytes with all that names them."""

import base64
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from provenance.payload import MARK_BYTES

MediaType = Literal["image/png", "image/jpeg", "image/webp"]
Operation = Literal["generated", "edited"]

SYSTEM: Final = "Fluxgate"

TRAINED: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
COMPOSITE_TRAINED: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"


@dataclass(frozen=True, slots=True)
class Claim:
    """What this gateway vouches for about one picture. No prompt and no person: it is read by everyone.

    `content_id`: public id, `content_id(8 random bytes)`. `mark`: 8 bytes, what the watermark carries.
    `model_version`: digest of the weights, `sha256:…`. `model_trained`: False for a demonstration pipeline with
    random weights, and then said so. `created_at`: UTC, whole seconds. `quality`: 1 to 100, of JPEG and WebP.
    `provider`: the operator's name. `parent`: file of the picture that was edited, with its media type; required for
    `edited`, absent for `generated`. Raises `ValueError` where these do not hold.
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
    operation: Operation = "generated"
    parent: bytes | None = None
    parent_media_type: MediaType | None = None

    def __post_init__(self) -> None:
        if len(self.mark) != MARK_BYTES:
            raise ValueError(f"a mark has {MARK_BYTES} bytes, got {len(self.mark)}")
        if self.created_at.tzinfo != UTC or self.created_at.microsecond:
            raise ValueError("created_at must be UTC in whole seconds")
        edited = self.operation == "edited"
        if edited != (self.parent is not None) or edited != (self.parent_media_type is not None):
            raise ValueError("an edited picture names its parent and the parent's media type; a generated one has none")

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
    `manifest`: the C2PA manifest store.
    `psnr_db`: of the marked pixels against the rendered ones, infinite if equal. `timestamped`: an RFC 3161
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
