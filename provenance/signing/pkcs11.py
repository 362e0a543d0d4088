"""Part `pkcs11`: signs with a key in a hardware module, or in anything else that speaks PKCS#11; owns `pkcs11`.

The key never leaves the module, and the module is shown hashes only. How long it takes is up to the module's driver:
PKCS#11 knows no timeout.
"""

import threading
from pathlib import Path
from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict, model_validator

from provenance.errors import CertificateProblem, SigningFailed
from provenance.signing.digests import remote_key

_BARRED: Final = "The PKCS#11 module refused the PIN. Mend what pin_path names and restart."


class Pkcs11Signer:
    """Part `pkcs11`, with the extra `pkcs11`. One session, for one thread at a time, and opened anew after a failure.

    Raises `CertificateProblem` if the module, the token or the key is not there, or the key is not the certificate's.
    """

    name = "pkcs11"
    version = "1"

    class Options(BaseModel):
        """`chain_path`: PEM certificates of the key, leaf first. `module_path`: the PKCS#11 library. `token_label`: of
        the token; `key_label` or `key_id` (hex): of its private key. `pin_path`: file with the user PIN."""

        model_config = ConfigDict(frozen=True, extra="forbid")

        chain_path: Path
        module_path: Path
        token_label: str
        pin_path: Path
        key_label: str | None = None
        key_id: str | None = None

        @model_validator(mode="after")
        def _names_a_key(self) -> Self:
            if self.key_label is None and self.key_id is None:
                raise ValueError("name the key by key_label or key_id")
            if self.key_id is not None:
                bytes.fromhex(self.key_id)
            return self

    def __init__(self, options: Options) -> None:
        try:
            import pkcs11
        except ImportError as cause:
            raise CertificateProblem("The signer pkcs11 needs the extra: pip install 'fluxgate[pkcs11]'.") from cause
        self._pkcs11 = pkcs11
        self._options = options
        self._key = remote_key(options.chain_path)
        self.algorithm = self._key.algorithm
        self.chain_pem = self._key.chain_pem
        self._lock = threading.Lock()
        self._private: Any = None
        self._barred = False
        try:
            self.sign(b"is this the key of the certificate?")
        except SigningFailed as cause:
            raise CertificateProblem(f"The key in the module cannot be used. {cause}") from cause

    def sign(self, message: bytes) -> bytes:
        """See `Signer.sign`. Raises `SigningFailed`."""
        digest = self._key.digest(message)
        with self._lock:
            try:
                signature = self._signed(digest)
            except SigningFailed:
                # Once more, in a new session: the module may have been restarted, or another part has logged out.
                signature = self._signed(digest)
        return self._key.checked(digest, signature)

    def _signed(self, digest: bytes) -> bytes:
        pkcs11 = self._pkcs11
        if self._barred:
            raise SigningFailed(_BARRED)
        try:
            if self._private is None:
                self._private = self._found()
            if self.algorithm == "ps256":
                parameters = (pkcs11.Mechanism.SHA256, pkcs11.MGF.SHA256, 32)
                return bytes(
                    self._private.sign(digest, mechanism=pkcs11.Mechanism.RSA_PKCS_PSS, mechanism_param=parameters)
                )
            return bytes(self._private.sign(digest, mechanism=pkcs11.Mechanism.ECDSA))
        except (pkcs11.PKCS11Error, RuntimeError, OSError) as cause:
            self._private = None
            # A module locks its token after a few wrong PINs, so one must do.
            self._barred = isinstance(cause, pkcs11.PinIncorrect | pkcs11.PinLocked)
            said = _BARRED if self._barred else f"The PKCS#11 module failed ({type(cause).__name__})."
            raise SigningFailed(said) from cause

    def _found(self) -> Any:
        options, pkcs11 = self._options, self._pkcs11
        token = pkcs11.lib(str(options.module_path)).get_token(token_label=options.token_label)
        try:
            session = token.open(user_pin=options.pin_path.read_text("utf-8").strip())
        except pkcs11.UserAlreadyLoggedIn:  # logging in is the process's, not the session's
            session = token.open()
        return session.get_key(
            pkcs11.ObjectClass.PRIVATE_KEY,
            label=options.key_label,
            id=None if options.key_id is None else bytes.fromhex(options.key_id),
        )
