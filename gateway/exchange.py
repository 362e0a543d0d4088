"""What goes through the house: an `ImageRequest` in; `Delivered`, `Held`, `Refused` or `Failed` out, with a receipt."""

from dataclasses import dataclass, replace
from datetime import datetime

import orjson

from gateway.notes import NOTHING_TOLD, Note, Told
from gateway.statements import Statement
from inference.drawing import Drawing
from provenance.claims import Corner, LabelStyle
from provenance.log.receipts import Receipt


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """One picture asked for, checked and completed with defaults by a dialect.

    `drawing`: how it is drawn, with the prompt as the caller sent it. `quality`: 1-100, for lossy formats. `upload`: id
    of a picture this tenant sent in before, to change; `mask`: another, white where `upload` is to be painted anew;
    `references`: others, to look at beside the words. `fits_input`: no size was asked for, and an edit takes its
    input's. `cuts_input`: something of `upload` is cut off. `revised_prompt`: what is drawn instead of the prompt,
    `not_drawn`: words of it that are not, `notes`: what the caller is told (`gateway/stations/tailoring.py`).
    `end_user`: the caller's pseudonym for its own user; only a salted commitment of it is logged. `tolerance`: the
    `safety_tolerance` asked for, 0 to 6; the policy says what of it counts. `asking`: id of the first of several images
    that one request asks for, which are one try; "" for its own. `language`: what the caller asked to be told a refusal
    in. `visible_label`, `label_corner`, `label_language`: what it asks to see; `Labelling.visible` says what is drawn.
    """

    id: str
    dialect: str
    model: str
    drawing: Drawing
    created_at: datetime
    media_type: str = "image/png"
    quality: int = 92
    upload: str | None = None
    end_user: str | None = None
    mask: str | None = None
    references: tuple[str, ...] = ()
    fits_input: bool = False
    cuts_input: bool = False
    revised_prompt: str | None = None
    not_drawn: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()
    visible_label: LabelStyle = "none"
    label_corner: Corner = "top_right"
    label_language: str | None = None
    tolerance: int | None = None
    asking: str = ""
    language: str | None = None

    @property
    def uploads(self) -> tuple[str, ...]:
        """Ids of all pictures it needs."""
        return (*filter(None, (self.upload, self.mask)), *self.references)

    @property
    def prompt(self) -> str:
        """The words as the caller sent them."""
        return self.drawing.prompt

    @property
    def drawn(self) -> Drawing:
        """The drawing with the prompt that reaches the model."""
        return self.drawing if self.revised_prompt is None else replace(self.drawing, prompt=self.revised_prompt)

    @property
    def cost(self) -> int:
        """Thousandths of megapixel-steps, the unit of image budgets, rounded up. Pixels added by enlarging count as one
        step each: they are screened, marked and sealed like the others."""
        pixels, (wide, high) = self.drawing.width * self.drawing.height, self.drawing.final_size
        return -(-(pixels * self.drawing.steps + max(0, wide * high - pixels)) // 1000)

    def cost_of(self, steps: int) -> int:
        """What so many steps cost, of an image that is not finished."""
        return -(-self.drawing.width * self.drawing.height * steps // 1000)

    @property
    def recorded(self) -> dict[str, int | str]:
        """What the log and the manifest say about how it was drawn."""
        return self.drawing.recorded(is_edit=self.upload is not None)

    @property
    def told(self) -> Told:
        """What the caller is told about the image beside the image."""
        return Told(self.revised_prompt, self.not_drawn, self.notes)


@dataclass(frozen=True, slots=True)
class StoredImage:
    """A sealed picture in the store. `mark`: hex of the watermark payload. `manifest_sha256`: hex, of the manifest
    store; None for pictures from before manifests were stored by it. `quality`: used by a lossy format; None for the
    others, and for pictures from before it was recorded."""

    content_id: str
    media_type: str
    sha256: str
    manifest_id: str
    manifest_sha256: str | None
    mark: str
    width: int
    height: int
    model: str
    quality: int | None = None


@dataclass(frozen=True, slots=True)
class Delivered:
    """The picture may leave: it is sealed, stored and in the log."""

    receipt: Receipt
    image: StoredImage
    told: Told = NOTHING_TOLD


@dataclass(frozen=True, slots=True)
class Held:
    """A reviewer must look first. `image` is None when the words alone were reason enough and nothing was drawn."""

    receipt: Receipt
    statement: Statement
    image: StoredImage | None


@dataclass(frozen=True, slots=True)
class Refused:
    """The policy said no; nothing leaves but the reasons."""

    receipt: Receipt
    statement: Statement


@dataclass(frozen=True, slots=True)
class Failed:
    """A part broke or the request was cancelled; nothing leaves. `code` is a row of `gateway/problems.py`."""

    receipt: Receipt
    code: str


Outcome = Delivered | Held | Refused | Failed


def drawing_of(outcome: Outcome) -> dict[str, int | str]:
    """What the log says an image was drawn with; empty where nothing was drawn, and for older entries."""
    said: dict[str, int | str] = orjson.loads(outcome.receipt.leaf).get("drawing", {})
    return said
