"""Encrypts accepted requests at rest: AES-256-GCM under the data folder's vault key."""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.errors import GatewayError

_NONCE_BYTES = 12  # NIST SP 800-38D, 8.2.2: 96-bit random nonces


class VaultError(GatewayError):
    """An encrypted value cannot be decrypted under this key and context."""

    code = "vault_unreadable"


class Vault:
    """`key`: 32 bytes. Every value is bound to a context (its row's id), so rows cannot be swapped unnoticed."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def encrypt(self, value: bytes, context: str) -> bytes:
        """Nonce followed by ciphertext and tag."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, value, context.encode())

    def decrypt(self, encrypted: bytes, context: str) -> bytes:
        """Raises `VaultError` if the value was changed, moved to another row, or encrypted under another key."""
        try:
            return self._cipher.decrypt(encrypted[:_NONCE_BYTES], encrypted[_NONCE_BYTES:], context.encode())
        except InvalidTag as failure:
            raise VaultError("a stored request cannot be decrypted with this vault key") from failure
