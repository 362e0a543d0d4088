"""Who is asking: the `Principal`, and the protocol by which an identity provider names one."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Protocol

from gateway.errors import GatewayError


class Assurance(IntEnum):
    """How well a tenant is known. Policies may ask for a level; no request can claim one."""

    UNVERIFIED = 0
    ORGANISATION = 1
    IDENTITY = 2
    ADULT = 3


class Scope(StrEnum):
    """What a key may do.

    `audit`: read decisions and receipts of its tenant; `generate` includes it. `exact_scores`: see moderation scores to
    more than a tenth, for whoever tunes a policy. `end_user_header`: name end users in the header of the setting
    `end_user_header`, for front ends that set it.
    """

    GENERATE = "generate"
    MODERATE = "moderate"
    AUDIT = "audit"
    EXACT_SCORES = "exact_scores"
    END_USER_HEADER = "end_user_header"


@dataclass(frozen=True, slots=True)
class Principal:
    """A known caller. `key_id` is public; the secret never gets this far."""

    key_id: str
    tenant: str
    scopes: frozenset[Scope]
    assurance: Assurance
    expires_at: datetime | None = None

    def may(self, scope: Scope) -> bool:
        """Whether its scopes include this one: whoever makes images may read what was decided about them."""
        return scope in self.scopes or (scope is Scope.AUDIT and Scope.GENERATE in self.scopes)


class NotAuthenticated(GatewayError):
    """The credentials name nobody. This class itself: a key of the right form that is unknown or wrong."""

    code = "invalid_key"

    def __init__(self) -> None:
        super().__init__(self.code)


class MissingKey(NotAuthenticated):
    """No credential was sent."""

    code = "missing_key"


class WrongKeyFormat(NotAuthenticated):
    """A credential was sent that is of no kind known here."""

    code = "wrong_key_format"


class ExpiredKey(NotAuthenticated):
    """The key is past its time."""

    code = "expired_key"


class RevokedKey(NotAuthenticated):
    """The operator revoked the key."""

    code = "revoked_key"


class NotPermitted(GatewayError):
    """A known caller without the scope this route asks for."""

    code = "missing_scope"

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope.value)
        self.scope = scope


class IdentityProvider(Protocol):
    """Turns request headers into a principal.

    `identify_fresh` returns None for "not my kind of credential", so that the next provider is asked, and raises
    `NotAuthenticated` for "mine, and bad": the difference keeps a bad key from being tried as something else.
    """

    name: str
    version: str

    def close(self) -> None: ...

    async def identify_fresh(self, headers: Mapping[str, str], now: datetime) -> Principal | None: ...


KEY_HEADERS = ("x-key", "x-api-key")
"""Where keys come in beside `Authorization`: Black Forest Labs' header; the usual one."""


def sends_a_key(headers: Mapping[str, str]) -> bool:
    """Whether the caller sent any credential, of whatever kind: it is told apart from sending none."""
    scheme, _, credential = headers.get("authorization", "").strip().partition(" ")
    if credential or scheme.lower() not in ("", "bearer"):
        return True
    return any(headers.get(name, "").strip() for name in KEY_HEADERS)
