"""Keeps the salts of commitments unreadable in the database, under a key that lies elsewhere.

A commitment can be guessed by whoever has its salt: he tries one prompt after the other. The database holds salts only
encrypted (AES-256-GCM, the entry's request id as associated data), so a copy of it, or a backup, confirms no guess.
Erasing is still the deletion of one row; deleting the key erases all.
"""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from provenance.errors import ProvenanceError
from provenance.log.entries import SALT_BYTES

_NONCE_BYTES = 12  # NIST SP 800-38D, 8.2.2: random nonces of 96 bits, for up to 2**32 entries


class OpeningUnreadable(ProvenanceError):
    """A stored opening was changed, belongs to another entry, or was written under another key."""


class Openings:
    """`key`: 32 secret bytes that are not kept in the database."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, request_id: str, salt: bytes) -> bytes:
        """What the database keeps: nonce, ciphertext and tag."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, salt, request_id.encode())

    def open(self, request_id: str, stored: bytes) -> bytes:
        """The salt. Raises `OpeningUnreadable`."""
        try:
            return self._cipher.decrypt(stored[:_NONCE_BYTES], stored[_NONCE_BYTES:], request_id.encode())
        except (InvalidTag, ValueError) as failure:
            raise OpeningUnreadable("an opening does not open under this key") from failure


def is_sealed(stored: bytes) -> bool:
    """False for a salt as databases kept it before openings were encrypted."""
    return len(stored) != SALT_BYTES
