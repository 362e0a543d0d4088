"""A caller's pseudonym for its own user (`safety_identifier`, `user`): checked here, logged only as a commitment."""

import unicodedata

from gateway.errors import BadRequest

MAX_CHARACTERS = 256
# Control characters, lone surrogates, line and paragraph separators.
_REFUSED_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})


class BadEndUser(BadRequest):
    """The pseudonym cannot be used. `field` is what the caller named it; the message never quotes it."""


def checked_end_user(value: str, field: str = "safety_identifier") -> str:
    """The pseudonym unchanged: 1 to 256 characters without control characters. Raises `BadEndUser` otherwise."""
    if not value.strip():
        raise BadEndUser(field, "is empty", "Leave it out, or send a stable pseudonym")
    if len(value) > MAX_CHARACTERS:
        raise BadEndUser(field, f"is longer than {MAX_CHARACTERS} characters", "Send a hash of your user's id")
    if any(unicodedata.category(character) in _REFUSED_CATEGORIES for character in value):
        raise BadEndUser(field, "contains control characters", "Send letters, digits and punctuation only")
    return value


def commitment_bytes(tenant: str, end_user: str) -> bytes:
    """What the log commits to, under a salt of its own. Two tenants' equal pseudonyms are different people.

    A tenant name holds no NUL, so no two pairs give the same bytes.
    """
    return tenant.encode() + b"\0" + end_user.encode()
