"""Decisions that callers were told of: kept with their reasons, and found again by whoever has their link.

A decision's link is `/d/{id}?sig=…`: short enough for a message, a screenshot and a letter. It does not expire, because
an appeal may come after months; it opens the statement of reasons and the receipt of one decision, and nothing else.
"""

import base64
import hmac
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine as Database
from sqlalchemy import Insert, Select, insert, select

from gateway.statements import Statement
from gateway.store.database import reading
from gateway.store.schema import decisions
from provenance.log.ledger import Ledger
from provenance.log.receipts import Receipt

_SIGNATURE_BYTES = 12
"""96 bits: nobody guesses one, and it is 16 characters long."""


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision as it is kept. `at`: Unix seconds."""

    request_id: str
    tenant: str
    at: float
    statement: Statement
    receipt: Receipt


class Decisions:
    """`key`: 32 bytes, which sign the links."""

    def __init__(self, database: Database, ledger: Ledger, key: bytes) -> None:
        self._database = database
        self._ledger = ledger
        self._key = key

    def path(self, decision: str) -> str:
        """Path and query of its link."""
        return f"/d/{decision.removeprefix('dec_')}?sig={self._sign(decision)}"

    def opens(self, decision: str, signature: str) -> bool:
        """Whether this is the signature in its link."""
        return hmac.compare_digest(self._sign(decision).encode(), signature.encode())

    def find(self, decision: str, tenant: str | None = None) -> Decided | None:
        """The decision with this id; None if there is none, or none of this tenant. Blocks."""
        return self._found(select(decisions).where(decisions.c.id == decision), tenant, decision)

    def about(self, request_id: str, tenant: str) -> Decided | None:
        """The decision about this request of this tenant, if there is one. Blocks."""
        return self._found(select(decisions).where(decisions.c.request_id == request_id), tenant, request_id)

    def _found(self, query: Select[Any], tenant: str | None, name: str) -> Decided | None:
        if not name.isprintable():  # PostgreSQL takes no NUL, not even to look for it
            return None
        with reading(self._database).connect() as connection:
            row = connection.execute(query).one_or_none()
        if row is None or tenant not in (None, row.tenant):
            return None
        receipt = self._ledger.receipt_for(row.request_id)
        if receipt is None:
            return None
        return Decided(row.request_id, row.tenant, row.at, Statement.from_json(row.reasons), receipt)

    def _sign(self, decision: str) -> str:
        digest = hmac.digest(self._key, f"decision\n{decision}".encode(), "sha256")
        return base64.urlsafe_b64encode(digest[:_SIGNATURE_BYTES]).decode()


def keep(statement: Statement, request_id: str, tenant: str, at: float) -> Insert:
    """What is written with the decision's log entry, in one transaction."""
    row = {"id": statement.decision, "request_id": request_id, "tenant": tenant, "at": at}
    return insert(decisions).values(row | {"reasons": statement.to_json()})
