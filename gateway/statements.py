"""The statement of reasons: why a request was stopped, in words a person can answer to (DSA Art 17).

It names category, stage, rule and who decided; it never quotes the subject, and it gives no scores, which would help
someone probe a threshold. Scores stand in the log entry, for those who audit.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import orjson

from gateway.errors import GatewayError
from policies.findings import UNANSWERED, Stage
from policies.policy import Policy
from policies.taxonomy import load_taxonomy
from policies.verdicts import Decision, Reason

Appeals = Mapping[str, Mapping[str, str]]
"""Classifier → id of what its findings cite → whom to turn to about it."""


@dataclass(frozen=True, slots=True)
class StatedEntry:
    """What a reason rests on, such as a registered right: the register's own `id` and whom to turn to about it."""

    id: str
    appeal: str


@dataclass(frozen=True, slots=True)
class StatedReason:
    """One rule that applied, in plain words. `ground`: the law or licence clause behind the category."""

    category: str
    title: str
    text: str
    ground: str
    stage: str
    rule: str
    classifier: str
    floor: bool
    entries: tuple[StatedEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement of reasons. `decision`: its id. `verdict`: `hold` or `refuse`. `language`: what the request
    asked to be told in; "" for whatever its reader prefers."""

    decision: str
    verdict: str
    stage: str
    categories: tuple[str, ...]
    reasons: tuple[StatedReason, ...]
    policy: str
    policy_digest: str
    automated: bool
    appeal: str
    appeal_contact: str
    appeal_days: int
    warning: str = ""
    language: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As it stands in answers."""
        return asdict(self)

    def to_json(self) -> str:
        """As it stands in the job table."""
        return orjson.dumps(asdict(self)).decode()

    @staticmethod
    def from_json(text: str) -> "Statement":
        """The inverse of `to_json`."""
        values = orjson.loads(text)
        reasons = tuple(map(_stated, values.pop("reasons")))
        return Statement(**{**values, "categories": tuple(values["categories"]), "reasons": reasons})


class UploadRefused(GatewayError):
    """The policy refused an image sent in; `statement` says why."""

    code = "moderation_blocked"

    def __init__(self, statement: Statement) -> None:
        super().__init__(statement.decision)
        self.statement = statement


def _stated(reason: dict[str, Any]) -> StatedReason:
    entries = tuple(StatedEntry(**entry) for entry in reason.pop("entries", ()))  # older statements have none
    return StatedReason(**reason, entries=entries)


def state(
    decision: Decision, stage: Stage, policy: Policy, request_id: str, appeals: Appeals, language: str | None = None
) -> Statement:
    """States why `decision` stopped the request, by the rules that were as hard as its verdict.

    The stage is the first at which one of them applied; `stage`, the station reached, where none of them says.
    Every decision here is taken by rules over classifier findings, hence `automated` is always true; a reviewer's
    decision is an event of its own.
    """
    titles = taxonomy()
    hardest = [r for r in decision.reasons if r.verdict == decision.verdict and r.category != UNANSWERED]
    reasons = tuple(
        StatedReason(
            category=reason.category,
            title=titles[reason.category].title,
            text=titles[reason.category].reason,
            ground=titles[reason.category].grounds[0],
            stage=reason.stage.value,
            rule=reason.rule,
            classifier=reason.classifier,
            floor=reason.floor,
            entries=_entries(reason, appeals.get(reason.classifier, {})),
        )
        for reason in hardest
    )
    return Statement(
        decision=decision_id(request_id),
        verdict=decision.verdict.word,
        stage=min((reason.stage for reason in hardest), key=list(Stage).index, default=stage).value,
        categories=tuple(sorted({reason.category for reason in hardest})),
        reasons=reasons,
        policy=policy.name,
        policy_digest=policy.digest,
        automated=True,
        appeal=policy.appeal.how,
        appeal_contact=policy.appeal.contact,
        appeal_days=policy.appeal.days,
        warning=next((WARNINGS[reason.rule] for reason in decision.reasons if reason.rule in WARNINGS), ""),
        language=language or "",
    )


def _entries(reason: Reason, appeals: Mapping[str, str]) -> tuple[StatedEntry, ...]:
    ids = dict(reason.cites).get("entries", "").split(",")
    return tuple(StatedEntry(each, appeals[each]) for each in ids if each in appeals)


_LIKE_BEFORE = "It resembles requests that were refused before."
WARNINGS = {
    "retries-warn": f"{_LIKE_BEFORE} Repeating it leads to waits, to a review by a person, and to a suspension.",
    "retries-slow": f"{_LIKE_BEFORE} The next one that resembles it has to wait.",
    "retries-hold": f"{_LIKE_BEFORE} The next one that resembles it has to wait, and a person reviews it.",
    "retries-suspend": f"{_LIKE_BEFORE} Because there were so many, this service makes no images for you for a while.",
}
"""What asking again has led to (`gateway/retries/counting.py`)."""


taxonomy = cache(load_taxonomy)  # read once, at start: parsing it took a third of a refusal's time


def decision_id(request_id: str) -> str:
    """The decision about a request carries the request's own id."""
    return "dec_" + request_id.split("_", 1)[1]


def only_unanswered(decision: Decision) -> bool:
    """True if the request stops for no other reason than that a classifier did not answer: our failure, not a no."""
    stopping = [reason for reason in decision.reasons if reason.verdict == decision.verdict]
    return bool(stopping) and all(reason.category == UNANSWERED for reason in stopping)
