"""What one log entry says, in canonical JSON, and the commitments that stand in it for personal data. Pure.

An entry names no person and quotes no one: whatever is personal (prompt, key and tenant, end user, input picture) is
there only as HMAC-SHA-256 under a random salt that is kept outside the tree, encrypted under a key that lies outside
the database (`openings.py`). Deleting the salt erases for good, and every proof still holds.
"""

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import orjson

from policies.verdicts import Reason, Verdict
from provenance.errors import ProvenanceError
from provenance.log.tiles import MAX_ENTRY_BYTES

SCHEMA = "fluxgate-entry/1"
SALT_BYTES = 32
_REQUEST_ID = re.compile(r"[!-~]{1,128}")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_COMMITMENT = re.compile(r"[0-9a-f]{64}")


class EntryInvalid(ProvenanceError):
    """An entry cannot go into the log, or a leaf is not an entry in canonical form."""


class EntryKind(StrEnum):
    """How a request ended. Not of requests: `ERASED` says that the openings of entry `about` were deleted, `REVOKED`
    that a signing certificate is not to be relied on (`provenance/credentials/revocations.py`), `LIFTED` that the
    suspension which decision `about` led to was ended by a person, `ENDED` that it ran out or that its refusal counts
    no longer, and how many requests were turned away meanwhile (`turned_away`), `MEASURED` that a report on the
    screening was made (`files`), `MODERATED` that a moderation call would have been stopped as a request, or, with
    `passed`, how many subjects of one key's calls were not."""

    DELIVERED = "delivered"
    HELD = "held"
    REFUSED = "refused"
    FAILED = "failed"
    ERASED = "erased"
    REVOKED = "revoked"
    LIFTED = "lifted"
    ENDED = "ended"
    MEASURED = "measured"
    MODERATED = "moderated"


def commit(salt: bytes, name: str, value: bytes) -> str:
    """Commitment to `value` under the name it has in the entry: hex HMAC-SHA-256(salt, name ‖ 0x00 ‖ value).

    `salt`: 32 random bytes, fresh for every entry. The name keeps equal values under two names apart.
    """
    if len(salt) != SALT_BYTES:
        raise EntryInvalid(f"a salt has {SALT_BYTES} bytes, not {len(salt)}")
    return hmac.digest(salt, name.encode() + b"\x00" + value, "sha256").hex()


def opens(commitment: str, salt: bytes, name: str, value: bytes) -> bool:
    """True if `commitment` was made from exactly this salt, name and value."""
    return hmac.compare_digest(commitment, commit(salt, name, value))


@dataclass(frozen=True, slots=True)
class Entry:
    """One request's record. Fields that do not apply stay None and are left out of the leaf.

    `time`: aware; logged in UTC with milliseconds. `stage`: the station reached. `automated`: no human took part in the
    decision. `shadows`: what rules on trial would have said. `tolerance`: the `safety_tolerance` that was `asked` for,
    and the one that `counted`. `second_stage`: second classifier → whether it was `asked` about the prompt, and if not,
    why: the first one scored `below` its zone or surely `above`, or was `silent`. `drawing`: seed, size in pixels,
    steps and guidance the image was drawn with. `*_digest`: `sha256:…`.
    `output_sha256`, `pdq`, `manifest_sha256`: hex, of the delivered or held picture only. `timestamped`: an RFC 3161
    time-stamp is in its signature. `passed`: number of `subjects`, and `from` and `to` when. `files`: name →
    hex SHA-256 of a report's files. `commitments`: name → `commit(...)`. Raises `EntryInvalid`.
    """

    request_id: str
    outcome: EntryKind
    time: datetime
    dialect: str
    stage: str
    automated: bool = True
    policy: str | None = None
    policy_digest: str | None = None
    verdict: Verdict | None = None
    reasons: tuple[Reason, ...] = ()
    shadows: tuple[Reason, ...] = ()
    tolerance: Mapping[str, int] | None = None
    second_stage: Mapping[str, str] | None = None
    drawing: Mapping[str, int | str] | None = None
    model_id: str | None = None
    weights_digest: str | None = None
    output_sha256: str | None = None
    pdq: str | None = None
    manifest_id: str | None = None
    manifest_sha256: str | None = None
    mark_id: str | None = None
    content_id: str | None = None
    timestamped: bool | None = None
    system_version: str | None = None
    failure: str | None = None
    about: str | None = None
    turned_away: int | None = None
    passed: Mapping[str, int | str] | None = None
    revocation: Mapping[str, str] | None = None
    files: Mapping[str, str] | None = None
    commitments: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _REQUEST_ID.fullmatch(self.request_id):
            raise EntryInvalid("request_id is 1 to 128 printable ASCII characters without spaces")
        if self.time.tzinfo is None:
            raise EntryInvalid("time must know its zone")
        for name, commitment in self.commitments.items():
            if not (_NAME.fullmatch(name) and _COMMITMENT.fullmatch(commitment)):
                raise EntryInvalid("a commitment is a lower-case name and 64 hex digits")

    def leaf(self) -> bytes:
        """The leaf: canonical JSON. Raises `EntryInvalid` if it is longer than a log entry may be."""
        said: dict[str, Any] = {
            "schema": SCHEMA,
            "request_id": self.request_id,
            "outcome": self.outcome.value,
            "time": self.time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "dialect": self.dialect,
            "stage": self.stage,
            "automated": self.automated,
            "policy": self.policy,
            "policy_digest": self.policy_digest,
            "verdict": None if self.verdict is None else self.verdict.word,
            "reasons": [_reason(reason) for reason in self.reasons] or None,
            "shadows": [_reason(reason) for reason in self.shadows] or None,
            "tolerance": None if self.tolerance is None else dict(self.tolerance),
            "second_stage": None if self.second_stage is None else dict(self.second_stage),
            "drawing": None if self.drawing is None else dict(self.drawing),
            "model_id": self.model_id,
            "weights_digest": self.weights_digest,
            "output_sha256": self.output_sha256,
            "pdq": self.pdq,
            "manifest_id": self.manifest_id,
            "manifest_sha256": self.manifest_sha256,
            "mark_id": self.mark_id,
            "content_id": self.content_id,
            "timestamped": self.timestamped,
            "system_version": self.system_version,
            "failure": self.failure,
            "about": self.about,
            "turned_away": self.turned_away,
            "passed": None if self.passed is None else dict(self.passed),
            "revocation": None if self.revocation is None else dict(self.revocation),
            "files": None if self.files is None else dict(self.files),
            "commitments": dict(self.commitments) or None,
        }
        try:
            leaf = _canonical({name: value for name, value in said.items() if value is not None})
        except TypeError:  # lone surrogates
            raise EntryInvalid("an entry's texts are valid Unicode") from None
        if len(leaf) > MAX_ENTRY_BYTES:
            raise EntryInvalid(f"the entry has {len(leaf)} bytes, at most {MAX_ENTRY_BYTES} fit into the log")
        return leaf


def read_leaf(leaf: bytes) -> dict[str, Any]:
    """The fields of a leaf. Raises `EntryInvalid` unless it is an entry in its one canonical form."""
    try:
        said = orjson.loads(leaf)
        if said["schema"] == SCHEMA and type(said["request_id"]) is str and _canonical(said) == leaf:
            return said  # type: ignore[no-any-return]
    except (TypeError, KeyError, ValueError):
        pass
    raise EntryInvalid("the leaf is not an entry in canonical form")


def _canonical(said: dict[str, Any]) -> bytes:
    """Sorted keys, no spaces, UTF-8. Scores are texts: no reader has to agree with us on how floats are written."""
    return orjson.dumps(said, option=orjson.OPT_SORT_KEYS)


def _reason(reason: Reason) -> dict[str, Any]:
    cites = {"cites": dict(reason.cites)} if reason.cites else {}
    return {
        **cites,
        "rule": reason.rule,
        "category": reason.category,
        "stage": reason.stage.value,
        "verdict": reason.verdict.word,
        "classifier": reason.classifier,
        "version": reason.version,
        "score": f"{reason.score:.4f}",
        "threshold": f"{reason.threshold:.4f}",
        "floor": reason.floor,
    }
