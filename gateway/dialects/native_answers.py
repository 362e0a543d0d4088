"""What the native routes answer, for the API's description and for whoever generates a client from it."""

from typing import Any, Literal

from gateway.dialects.described import Answer, Answers
from gateway.statements import Statement


class Fault(Answer):
    """What went wrong, and what to do. `code` is one of the README's."""

    code: str
    message: str
    title: str
    field: str | None = None
    remedy: str | None = None
    statement_of_reasons: Statement | None = None


class Failed(Answer):
    """What a client reads that knows no answer but a prediction. `error`: in words, with what to do."""

    status: Literal["failed"]
    error: str


class NativeError(Answer):
    """Every answer that is a no; `data` has it in the shape of a prediction. A question for the state of a generation
    that gets one says nothing of the generation."""

    error: Fault
    status: Literal["failed"]
    data: Failed


class Progress(Answer):
    """Denoising steps."""

    steps_done: int
    steps: int


class Provenance(Answer):
    """What shows where the image comes from."""

    manifest_id: str
    manifest_url: str
    watermark: str | None
    ai_generated: bool


class View(Answer):
    """A generation. The answer leaves out what is not known yet, and has `error` if it `failed`. `drawing`: the numbers
    that draw the image again with the same model, prompt and input images; as the log says it."""

    id: str
    status: Literal["processing", "completed", "failed"]
    model: str
    created_at: str
    completed_at: str | None = None
    progress: Progress | None = None
    outputs: list[str] | None = None
    content_id: str | None = None
    sha256: str | None = None
    seed: int | None = None
    drawing: dict[str, int | str] | None = None
    provenance: Provenance | None = None
    metrics: dict[str, float] | None = None
    receipt: dict[str, Any] | None = None
    error: str | None = None
    error_details: Fault | None = None


class Prediction(View):
    """The fields stand at the top and below `data`: clients read either."""

    data: View


class Predictions(Answer):
    """A page of the history; `next` is `before` of the page after it."""

    data: list[View]
    next: float | None


class Credentials(Answer):
    """What was read of an upload's Content Credentials."""

    state: str
    made_here: bool
    reserved_uses: list[str]


class Upload(Answer):
    """`download_url`: what to send as `image`, `mask` or a reference. A mask has neither credentials nor marks."""

    download_url: str
    file_name: str
    content_type: str
    size: int
    content_credentials: Credentials | None = None
    foreign_marks: list[str] | None = None


class Uploaded(Answer):
    """The kept file."""

    data: Upload


class ServedModel(Answer):
    """What a served model can do. `aliases`: its other names here, `*` for every other name. Sizes in pixels."""

    id: str
    aliases: list[str]
    family: str
    description: str
    modes: list[str]
    licence: str
    commercial_use: bool
    trained: bool
    default_steps: int
    max_steps: int
    default_size: list[int]
    min_side: int
    max_side: int
    max_pixels: int
    multiple_of: int
    price_credits: float | None


class ServedModels(Answer):
    """All of them."""

    data: list[ServedModel]


ANSWERS: Answers = {
    "POST /api/v1/model/generateImage": {200: {"model": Prediction}},
    "GET /api/v1/model/prediction/{prediction_id}": {200: {"model": Prediction}},
    "POST /api/v1/model/prediction/{prediction_id}/cancel": {200: {"model": Prediction}},
    "GET /api/v1/model/predictions": {200: {"model": Predictions}},
    "POST /api/v1/model/uploadMedia": {200: {"model": Uploaded}},
    "GET /api/v1/models": {200: {"model": ServedModels}},
}
