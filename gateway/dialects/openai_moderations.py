"""`POST /v1/moderations`: our findings in the thirteen categories that OpenAI's clients require."""

import base64
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal

import orjson
from pydantic import Discriminator, Field

from gateway.auth.identity import Principal, Scope
from gateway.desk import Desk, Judged, Subject
from gateway.dialects.bodies import WireBody
from gateway.errors import BadRequest
from policies.findings import UNANSWERED, Category, Fact, Finding, Stage

MODERATION_MODEL = "fluxgate-moderation-1"
MAX_INPUTS = 32

_GREY_SQUARE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAEAAAABACAAAAACPAi4CAAAAK0lEQVR42u3MMREAAAgEoNfkRjeEmwcB"
    "qMlNRyAQCAQCgUAgEAgEAsHzYAFAdAEArKmlZAAAAABJRU5ErkJggg=="
)
# Ours → theirs. What breaks a law or a right that they have no word for is `illicit`, so that it is flagged; what is
# said of a text rather than of its content (its language, its disguise) is reported under `fluxgate` alone.
_COUNTERPART: dict[str, tuple[str, ...]] = {
    Category.CSAE: ("sexual", "sexual/minors"),
    Category.NCII: ("sexual",),
    Category.SEXUAL: ("sexual",),
    Category.VIOLENCE: ("violence",),
    Category.GORE: ("violence", "violence/graphic"),
    Category.HATE: ("hate",),
    Category.HARASSMENT: ("harassment",),
    Category.SELF_HARM: ("self-harm",),
    Category.EXTREMISM: ("illicit", "illicit/violent"),
    Category.ILLICIT: ("illicit",),
    Category.WEAPONS: ("illicit", "illicit/violent"),
    Category.DRUGS: ("illicit",),
    Category.DISINFORMATION: ("illicit",),
    Category.IMPERSONATION: ("illicit",),
    Category.PERSONAL_DATA: ("illicit",),
    Category.INTELLECTUAL_PROPERTY: ("illicit",),
    Category.LEGAL_DECISIONS: ("illicit",),
}
EXAMPLES = {
    "one text": {"value": {"input": "a red apple on a wooden table"}},
    "several texts": {"value": {"input": ["a red apple", "a blue bowl"]}},
    "a text and an image": {
        "value": {
            "input": [
                {"type": "text", "text": "a red apple"},
                {"type": "image_url", "image_url": {"url": _GREY_SQUARE}},
            ]
        }
    },
}
THEIRS = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)


class Words(WireBody):
    """A text part."""

    type: Literal["text"]
    text: str


class ImageUrl(WireBody):
    """A picture as a data: URL; no address is ever fetched."""

    url: str


class Picture(WireBody):
    """A picture part."""

    type: Literal["image_url"]
    image_url: ImageUrl


Part = Annotated[Words | Picture, Discriminator("type")]


class ModerationBody(WireBody):
    """One text, several texts (a result each), or parts of one subject (one result)."""

    input: str | list[str] | list[Part]
    safety_identifier: str | None = Field(None, description="your pseudonym for the end user, as in the images routes")
    user: str | None = Field(None, description="another name for `safety_identifier`")
    model: str = Field(MODERATION_MODEL, description="accepted; the policy's classifiers answer whatever it says")


async def moderate(desk: Desk, who: Principal, body: ModerationBody, call_id: str) -> list[dict[str, Any]]:
    """One result a subject. `call_id`: by which a policy on trial may be chosen, as for any request.

    Raises `BadRequest`, or what `Desk.moderate` raises.
    """
    inputs = body.input if isinstance(body.input, list) else [body.input]
    if not 1 <= len(inputs) <= MAX_INPUTS:
        raise BadRequest("input", f"has {len(inputs)} parts", f"Send 1 to {MAX_INPUTS}")
    sent = [each.model_dump() if isinstance(each, WireBody) else each for each in inputs]
    subjects: list[tuple[Subject, bytes]]
    if isinstance(inputs[0], str):  # a list is all texts or all parts
        subjects = [([each], orjson.dumps(each)) for each in inputs if isinstance(each, str)]
    else:  # parts of one subject
        subjects = [([_thing(each) for each in inputs], orjson.dumps(sent[0] if len(sent) == 1 else sent))]
    judged = await desk.moderate(who, body.safety_identifier, call_id, subjects)
    told = exactly if Scope.EXACT_SCORES in who.scopes else to_a_tenth
    return [_result(each, told) for each in judged]


def _thing(part: Any) -> str | bytes:
    if isinstance(part, Words):
        return part.text
    head, _, payload = part.image_url.url.partition(",")
    if not (head.startswith("data:image/") and head.endswith(";base64")):
        raise BadRequest("input.image_url", "is not a data: URL", "Send data:image/png;base64,…; nothing is fetched")
    try:
        return base64.b64decode(payload, validate=True)
    except ValueError as failure:  # binascii.Error is one; so is what non-ASCII text raises
        raise BadRequest("input.image_url", "is not valid base64", "Encode the file's bytes") from failure


def _result(judged: Judged, told: Callable[[float], float]) -> dict[str, Any]:
    decision, findings, policy = judged.decision, judged.findings, judged.policy
    flagged = {reason.category for reason in decision.reasons}
    scores = dict.fromkeys(THEIRS, 0.0)
    inputs: dict[str, set[str]] = {theirs: set() for theirs in THEIRS}
    for finding in findings:
        for theirs in _COUNTERPART.get(finding.category, ()):
            scores[theirs] = max(scores[theirs], finding.score)
            inputs[theirs].add("text" if finding.stage is Stage.PROMPT else "image")
    true_for = {theirs for ours in flagged for theirs in _COUNTERPART.get(ours, ())}
    return {
        "flagged": bool(true_for),  # clients ask why: what has no counterpart is told under `fluxgate`
        "categories": {theirs: theirs in true_for for theirs in THEIRS},
        "category_scores": {theirs: told(score) for theirs, score in scores.items()},
        "category_applied_input_types": {theirs: sorted(inputs[theirs]) for theirs in THEIRS},
        "fluxgate": {
            "verdict": decision.verdict.word,
            "policy": policy.name,
            "policy_digest": policy.digest,
            "categories": _ours(findings, flagged, told),
            "facts": {name: told(score) for name, score in _facts(findings).items()},
        },
    }


def exactly(score: float) -> float:
    """For keys with the scope `exact_scores`."""
    return score


def to_a_tenth(score: float) -> float:
    """Enough to see how sure a classifier is, too little to feel one's way below a threshold."""
    return round(score, 1)


def _ours(findings: Iterable[Finding], flagged: set[str], told: Callable[[float], float]) -> dict[str, dict[str, Any]]:
    ours: dict[str, dict[str, Any]] = {}
    for finding in findings:
        if finding.category != UNANSWERED and finding.category not in set(Fact):
            known = ours.setdefault(finding.category, {"flagged": finding.category in flagged, "score": 0.0})
            known["score"] = max(known["score"], told(finding.score))
    return ours


def _facts(findings: Iterable[Finding]) -> dict[str, float]:
    """What nothing is wrong with by itself, by its highest score."""
    found: dict[str, float] = {}
    for finding in findings:
        if finding.category in set(Fact):
            found[finding.category] = max(found.get(finding.category, 0.0), finding.score)
    return found
