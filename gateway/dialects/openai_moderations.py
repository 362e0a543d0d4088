"""`POST /v1/moderations`: our findings in the thirteen categories that OpenAI's clients require."""

import asyncio
import base64
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal

import orjson
from pydantic import Discriminator, Field

from gateway.auth.identity import Principal, Scope
from gateway.dialects.bodies import WireBody
from gateway.errors import BadRequest, ScreeningUnanswered
from gateway.house import House
from gateway.statements import only_unanswered
from policies.evaluate import evaluate
from policies.findings import UNANSWERED, Category, Fact, Finding, Stage
from policies.policy import Policy
from policies.verdicts import Decision, Verdict
from provenance.files.encoding import decode

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
    """One text, several texts (a result each), or house of one subject (one result)."""

    input: str | list[str] | list[Part]
    safety_identifier: str | None = Field(None, description="your pseudonym for the end user, as in the images routes")
    user: str | None = Field(None, description="another name for `safety_identifier`")
    model: str = Field(MODERATION_MODEL, description="accepted; the policy's classifiers answer whatever it says")


async def moderate(house: House, who: Principal, body: ModerationBody, call_id: str) -> list[dict[str, Any]]:
    """One result a subject. `call_id`: by which a canary may be chosen, as for any request.

    Raises `BadRequest`, `UnreadableImage`, or `ScreeningUnanswered` if any part was silent.
    """
    inputs = body.input if isinstance(body.input, list) else [body.input]
    if not 1 <= len(inputs) <= MAX_INPUTS:
        raise BadRequest("input", f"has {len(inputs)} parts", f"Send 1 to {MAX_INPUTS}")
    longest = house.settings.max_prompt_characters
    subjects: list[list[tuple[Stage, Any]]] = []
    for each in inputs:
        words = each if isinstance(each, str) else each.text if isinstance(each, Words) else None
        if words is not None and len(words) > longest:
            raise BadRequest("input", f"is longer than {longest} characters", "Send it in pieces")
        if isinstance(each, str):
            subjects.append([(Stage.PROMPT, each)])
            continue
        if not subjects:
            subjects.append([])
        looked_at = (Stage.PROMPT, words) if words is not None else (Stage.INPUT_IMAGE, await _pixels(house, each))
        subjects[0].append(looked_at)
    policy = house.rulebook.policy_for(who.tenant, subject=call_id)
    sent = [each.model_dump() if isinstance(each, WireBody) else each for each in inputs]
    results = []
    for number, subject in enumerate(subjects):
        decision, result = await _result(house, who, policy, subject)
        if decision.stops:
            said = orjson.dumps(sent[number] if len(subjects) == len(sent) else sent)
            await house.moderation_log.stopped(
                who, body.safety_identifier, f"{call_id}-{number}", policy, decision, said
            )
        else:
            house.moderation_log.passed(who)
        results.append(result)
    return results


async def _pixels(house: House, picture: Any) -> Any:
    head, _, payload = picture.image_url.url.partition(",")
    if not (head.startswith("data:image/") and head.endswith(";base64")):
        raise BadRequest("input.image_url", "is not a data: URL", "Send data:image/png;base64,…; nothing is fetched")
    try:
        data = base64.b64decode(payload, validate=True)
    except ValueError as failure:  # binascii.Error is one; so is what non-ASCII text raises
        raise BadRequest("input.image_url", "is not valid base64", "Encode the file's bytes") from failure
    return await asyncio.to_thread(decode, data, house.uploads.limits)


async def _result(
    house: House, who: Principal, policy: Policy, subject: list[tuple[Stage, Any]]
) -> tuple[Decision, dict[str, Any]]:
    decision = Decision(Verdict.ALLOW, policy.digest)
    looks = [
        await (house.screening.prompt(thing) if stage is Stage.PROMPT else house.screening.image(thing, stage))
        for stage, thing in subject
    ]
    pictures = [found for (stage, _), found in zip(subject, looks, strict=True) if stage is Stage.INPUT_IMAGE]
    for (stage, _), found in zip(subject, looks, strict=True):
        beside = pictures if stage is Stage.PROMPT else []
        said = evaluate(policy, found, stage=stage, assurance=int(who.assurance), pictures=beside)
        decision = decision.join(said)
    findings = tuple(finding for found in looks for finding in found)
    if only_unanswered(decision):
        raise ScreeningUnanswered
    flagged = {reason.category for reason in decision.reasons}
    applied = {stage: "text" if stage is Stage.PROMPT else "image" for stage, _ in subject}
    scores = dict.fromkeys(THEIRS, 0.0)
    inputs: dict[str, set[str]] = {theirs: set() for theirs in THEIRS}
    for finding in findings:
        for theirs in _COUNTERPART.get(finding.category, ()):
            scores[theirs] = max(scores[theirs], finding.score)
            inputs[theirs].add(applied[finding.stage])
    true_for = {theirs for ours in flagged for theirs in _COUNTERPART.get(ours, ())}
    told = exactly if Scope.EXACT_SCORES in who.scopes else to_a_tenth
    return decision, {
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
