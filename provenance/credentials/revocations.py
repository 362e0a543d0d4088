"""Revoked signing certificates: what the log says of one, and which signatures still count. Pure.

A revocation is an entry of the log, signed and append-only like every other, under an id made of the certificate's
serial number; so it is found by one look-up, holds for every gateway on the same database, and cannot be taken back.
There is no CRL and no OCSP here: whoever verifies without this gateway's records has to learn it from the issuing CA.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from provenance.credentials.reading import Credential
from provenance.log.entries import Entry, EntryInvalid, EntryKind, read_leaf


class Reason(StrEnum):
    """Why, in the words of RFC 5280, 5.3.1. No free text: the log is forever and may name nobody."""

    KEY_COMPROMISE = "key_compromise"
    AFFILIATION_CHANGED = "affiliation_changed"
    SUPERSEDED = "superseded"
    CESSATION_OF_OPERATION = "cessation_of_operation"


@dataclass(frozen=True, slots=True)
class Revocation:
    """`serial`: decimal. `since`: from when on signatures are not to be relied on (RFC 5280's invalidity date), at
    most `revoked_at`, when this was recorded. Times are aware, `since` in whole seconds as time-stamps are."""

    serial: str
    reason: Reason
    since: datetime
    revoked_at: datetime


def revocation_id(serial: str) -> str:
    """The id under which a certificate's revocation stands in the log. `serial`: decimal."""
    return f"certificate-{serial}"


def revocation_entry(revocation: Revocation, system_version: str) -> Entry:
    """The log entry of a revocation."""
    return Entry(
        request_id=revocation_id(revocation.serial),
        outcome=EntryKind.REVOKED,
        time=revocation.revoked_at,
        dialect="cli",
        stage="certificate",
        automated=False,
        system_version=system_version,
        revocation={"reason": revocation.reason.value, "since": revocation.since.astimezone(UTC).isoformat()},
    )


def read_revocation(leaf: bytes) -> Revocation:
    """Back from the entry's leaf. Raises `EntryInvalid` if it is none of a revocation."""
    said = read_leaf(leaf)
    try:
        return Revocation(
            said["request_id"].removeprefix("certificate-"),
            Reason(said["revocation"]["reason"]),
            datetime.fromisoformat(said["revocation"]["since"]),
            datetime.fromisoformat(said["time"]),
        )
    except (KeyError, TypeError, ValueError) as cause:
        raise EntryInvalid("the entry is not a revocation") from cause


def still_counts(revocation: Revocation, credential: Credential, recorded_at: datetime | None) -> bool:
    """True if something that the stolen key cannot make is older than the revocation.

    That is a time-stamp of a known authority from before `since`, or our own log's record of exactly this file from
    before the revocation: `recorded_at`, None if there is none.
    """
    if recorded_at is not None and recorded_at < revocation.revoked_at:
        return True
    return (
        credential.time_trusted
        and credential.signed_at is not None
        and datetime.fromisoformat(credential.signed_at) < revocation.since
    )


def statement(revocation: Revocation, *, counts: bool) -> str:
    """For people: that the certificate was revoked, and what that means for this file."""
    said = f"Its certificate is revoked ({revocation.reason.value}) from {revocation.since:%Y-%m-%d %H:%M} UTC on."
    if counts:
        return f"{said} What is shown to be older is not touched by that, and this is."
    return f"{said} Nothing shows that this was signed before, so the signature is not to be relied on."
