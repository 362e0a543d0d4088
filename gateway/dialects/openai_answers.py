"""What OpenAI's routes answer, for the API's description and for whoever generates a client from it."""

from typing import Any, Literal

from pydantic import Field

from gateway.dialects.described import Answer, Answers
from gateway.statements import Statement


class Details(Answer):
    """Where the policy stopped a request, and because of what."""

    moderation_stage: Literal["input", "output"]
    categories: list[str]


class ErrorObject(Answer):
    """What the official client raises. `code` is one of the README's."""

    message: str
    type: str
    param: str | None
    code: str
    moderation_details: Details | None = None
    statement_of_reasons: Statement | None = None


class OpenAIError(Answer):
    """Every answer that is a no."""

    error: ErrorObject


class Image(Answer):
    """One of `b64_json` and `url`, as `response_format` asks for. `seed`: draws the same image again."""

    b64_json: str | None
    url: str | None
    revised_prompt: str | None
    seed: int | None = None


class TokenDetails(Answer):
    """Always 0."""

    image_tokens: int
    text_tokens: int


class Usage(Answer):
    """Always 0: megapixel-steps are counted here, not tokens."""

    input_tokens: int
    input_tokens_details: TokenDetails
    output_tokens: int
    output_tokens_details: TokenDetails
    total_tokens: int


class ImageFacts(Answer):
    """Facts about a delivered image. `index`: which of the `n` asked for. `model`: the one that drew, whatever
    alias was asked for. `drawing`: seed, size, steps and guidance it was drawn with, as the log says it."""

    index: int
    model: str
    content_id: str
    sha256: str
    manifest_id: str
    drawing: dict[str, int | str]
    receipt: dict[str, Any]


class Stopped(ErrorObject):
    """An image that was stopped while others were delivered."""

    index: int


class ImagesFacts(Answer):
    """Facts about each image, and those that were stopped."""

    images: list[ImageFacts]
    stopped: list[Stopped]


class Images(Answer):
    """The delivered images."""

    created: int
    background: str
    output_format: str
    quality: str
    size: str
    data: list[Image]
    usage: Usage
    fluxgate: ImagesFacts


class OurCategory(Answer):
    """A category of our own taxonomy."""

    flagged: bool
    score: float = Field(ge=0, le=1)


class ModerationFacts(Answer):
    """The policy's verdict, and what has no counterpart among OpenAI's categories."""

    verdict: str
    policy: str
    policy_digest: str
    categories: dict[str, OurCategory]
    facts: dict[str, float]


class ModerationResult(Answer):
    """About one subject. `flagged`: one of the `categories` is true."""

    flagged: bool
    categories: dict[str, bool]
    category_scores: dict[str, float]
    category_applied_input_types: dict[str, list[str]]
    fluxgate: ModerationFacts


class Moderation(Answer):
    """One result for each subject."""

    id: str
    model: str
    results: list[ModerationResult]


class Model(Answer):
    """A served model."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class Models(Answer):
    """All of them."""

    object: Literal["list"]
    data: list[Model]


ANSWERS: Answers = {
    "POST /v1/images/generations": {200: {"model": Images}},
    "POST /v1/images/edits": {200: {"model": Images}},
    "POST /v1/images/variations": {},
    "POST /v1/moderations": {200: {"model": Moderation}},
    "GET /v1/models": {200: {"model": Models}},
    "GET /v1/models/{model:path}": {200: {"model": Model}},
}
