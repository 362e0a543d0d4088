"""Entries for the log's tests."""

from datetime import UTC, datetime
from typing import Any

from policies.findings import Stage
from policies.verdicts import Reason, Verdict
from provenance.log.entries import Entry, EntryKind, commit
from provenance.log.openings import Openings

SALT = bytes(range(32))
OPENINGS = Openings(bytes(32))
REASON = Reason("demo.gore", "gore", Stage.PROMPT, Verdict.REFUSE, "prompt_terms", "1.2", 0.91239, 0.5, floor=True)


def an_entry(number: int = 0, **changes: Any) -> Entry:
    said: dict[str, Any] = {
        "request_id": f"req_{number}",
        "outcome": EntryKind.DELIVERED,
        "time": datetime(2026, 11, 21, 12, 0, 0, 123456, UTC),
        "dialect": "native",
        "stage": "recorded",
        "policy": "demo",
        "policy_digest": "sha256:" + "a" * 64,
        "verdict": Verdict.ALLOW,
        "output_sha256": "b" * 64,
    }
    return Entry(**said | changes)


def a_committed_entry(number: int = 0) -> Entry:
    return an_entry(number, commitments={"prompt": commit(SALT, "prompt", b"a cat")})
